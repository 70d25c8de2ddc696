package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleetlab/lab"
)

// cableVerb makes this program a cable; lab.Options.CableCommand.
const cableVerb = "cable"

// app is what the verbs share.
type app struct {
	name    string // of the lab
	verbose bool
}

// command returns the command line.
func command() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "fleetlab",
		Short: "Real systemd machines on this box, to try fleettop on and to break",
		Long: `fleetlab boots real systemd machines on this Linux box: containers with a PID 1,
journal, D-Bus and network cable of their own, named n1, n2, ... It needs root.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&a.name, "name", "lab", "name of the lab; several run side by side")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "say what is done")
	root.AddCommand(a.up(), a.down(), a.list(), a.shell(), a.install(), a.logs())
	root.AddCommand(a.machineVerbs()...)
	return root
}

func (a *app) options() (lab.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return lab.Options{}, fmt.Errorf("find this program: %w", err)
	}
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return lab.Options{Name: a.name, CableCommand: []string{self, cableVerb},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}, nil
}

func (a *app) open() (*lab.Lab, error) {
	opts, err := a.options()
	if err != nil {
		return nil, err
	}
	return lab.Open(opts)
}

// machines calls f for each machine named, in order, all errors joined.
func (a *app) machines(names []string, f func(*lab.Machine) error) error {
	l, err := a.open()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		m, err := l.Machine(name)
		if err == nil {
			err = f(m)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// machineVerbs returns the verbs that do one thing to machines.
func (a *app) machineVerbs() []*cobra.Command {
	verb := func(use, short, done string, f func(context.Context, *lab.Machine) error) *cobra.Command {
		return &cobra.Command{Use: use + " MACHINE...", Short: short, Args: cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.machines(args, func(m *lab.Machine) error {
					if err := f(cmd.Context(), m); err != nil {
						return err
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", m.Name, done)
					return nil
				})
			}}
	}
	booted := func(ctx context.Context, m *lab.Machine) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return m.WaitBooted(ctx)
	}
	return []*cobra.Command{
		verb("kill", "Cut the power: all processes end at once, no goodbye", "lost power",
			func(_ context.Context, m *lab.Machine) error {
				_, err := m.Kill()
				return err
			}),
		verb("boot", "Give power back to a machine and wait until it is up", "is up",
			func(ctx context.Context, m *lab.Machine) error {
				return errors.Join(m.Boot(ctx), booted(ctx, m))
			}),
		verb("poweroff", "Shut down in good order", "is off", func(ctx context.Context,
			m *lab.Machine) error {
			return m.PowerOff(ctx)
		}),
		verb("reboot", "Shut down in good order, boot, and wait until it is up", "is up again",
			func(ctx context.Context, m *lab.Machine) error {
				if err := m.Reboot(ctx); err != nil {
					return err
				}
				return booted(ctx, m)
			}),
		verb("cut", "Pull the network cable", "has no network", func(_ context.Context,
			m *lab.Machine) error {
			return m.Cut()
		}),
		verb("heal", "Plug the network cable in again", "has network",
			func(_ context.Context, m *lab.Machine) error { return m.Heal() }),
		verb("freeze", "Stop all processes, like a hung kernel", "is frozen",
			func(_ context.Context, m *lab.Machine) error { return m.Freeze() }),
		verb("thaw", "Let frozen processes go on", "goes on", func(_ context.Context,
			m *lab.Machine) error {
			return m.Thaw()
		}),
		verb("perfect", "Undo slow and lossy", "has a perfect cable",
			func(_ context.Context, m *lab.Machine) error { return m.Perfect() }),
		a.slow(), a.lossy(),
	}
}

func (a *app) slow() *cobra.Command {
	return &cobra.Command{Use: "slow MACHINE DELAY [JITTER]", Short: "Delay each packet, each way",
		Args:    cobra.RangeArgs(2, 3),
		Example: "  fleetlab slow n2 50ms 10ms",
		RunE: func(cmd *cobra.Command, args []string) error {
			delay, err := time.ParseDuration(args[1])
			jitter := time.Duration(0)
			if err == nil && len(args) > 2 {
				jitter, err = time.ParseDuration(args[2])
			}
			if err != nil {
				return fmt.Errorf("%w: give times as in 50ms", err)
			}
			return a.worsen(cmd, args[0], func(m *lab.Machine) error { return m.Slow(delay, jitter) })
		}}
}

func (a *app) lossy() *cobra.Command {
	return &cobra.Command{Use: "lossy MACHINE PERCENT", Short: "Lose a share of the packets, each way",
		Args:    cobra.ExactArgs(2),
		Example: "  fleetlab lossy n2 5",
		RunE: func(cmd *cobra.Command, args []string) error {
			percent, err := strconv.ParseFloat(strings.TrimSuffix(args[1], "%"), 64)
			if err != nil {
				return fmt.Errorf("percentage %q: give a number from 0 to 100", args[1])
			}
			return a.worsen(cmd, args[0], func(m *lab.Machine) error { return m.Lossy(percent) })
		}}
}

func (a *app) worsen(cmd *cobra.Command, name string, f func(*lab.Machine) error) error {
	return a.machines([]string{name}, func(m *lab.Machine) error {
		if err := f(m); err != nil {
			return err
		}
		q, err := m.Quality()
		if err == nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s has a cable of %s\n", m.Name, q)
		}
		return err
	})
}

func (a *app) down() *cobra.Command {
	return &cobra.Command{Use: "down", Short: "End the lab and remove all of it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.open(); errors.Is(err, lab.ErrNotUp) {
				fmt.Fprintf(cmd.OutOrStdout(), "lab %s is not up\n", a.name)
				return nil
			}
			opts, err := a.options()
			if err != nil {
				return err
			}
			l, err := lab.New(opts) // not the one opened: one whose state is lost can't be
			if err != nil {
				return err
			}
			if err := l.Down(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "lab %s is down\n", a.name)
			return nil
		}}
}

func (a *app) list() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "Show the labs of this box and their machines", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			infos, err := lab.List()
			if err != nil {
				return err
			}
			if len(infos) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no lab is up; start one with `fleetlab up`")
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "LAB\tMACHINE\tIP\tPOWER\tCABLE\tMACHINE-ID")
			for _, info := range infos {
				l, err := lab.Open(lab.Options{Name: info.Name})
				if err != nil {
					return err
				}
				for _, m := range l.Machines() {
					power, cable := "off", m.Cable()
					if m.Running() {
						power = "on"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", info.Name, m.Name, m.IP, power, cable, m.MachineID)
				}
			}
			return w.Flush()
		}}
}
