package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"fleettop/cmd/fleetlab/lab"
)

// optionsVariable is what fleettop.service takes the daemon's flags from.
const optionsVariable = "FLEETTOP_OPTIONS"

func (a *app) up() *cobra.Command {
	var n int
	var subnet, dir string
	var in installation
	cmd := &cobra.Command{Use: "up", Short: "Boot a lab, and leave it running", Args: cobra.NoArgs,
		Example: "  fleetlab up -n 3\n  fleetlab up -n 3 --fleettop ./bin/fleettop --service daemon/fleettop.service",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := in.check(); err != nil {
				return err
			}
			if old, err := a.open(); err == nil {
				return fmt.Errorf("lab %s is up already, with %d machines: use it, take it down with `%s`, or choose another --name",
					a.name, len(old.Machines()), a.line("down"))
			}
			opts, err := a.options()
			if err != nil {
				return err
			}
			opts.Subnet, opts.Dir = subnet, dir
			l, err := lab.New(opts)
			if err != nil {
				return err
			}
			return a.bringUp(cmd.Context(), cmd.OutOrStdout(), l, n, in)
		}}
	cmd.Flags().IntVarP(&n, "machines", "n", 3, "how many machines")
	cmd.Flags().StringVar(&subnet, "subnet", "", "IPv4 /24 of the machines (default: a free one of 198.18.0.0/15)")
	cmd.Flags().StringVar(&dir, "dir", "", "where the machines' disks are (default /var/lib/fleetlab/NAME)")
	in.flags(cmd)
	return cmd
}

// bringUp boots the lab, and makes a cluster of it if there is a fleettop to
// install. A fleettop that doesn't come up leaves the lab running, to be looked
// at; an interrupt leaves nothing.
func (a *app) bringUp(ctx context.Context, out io.Writer, l *lab.Lab, n int, in installation) error {
	began := time.Now()
	if err := within(ctx, 2*time.Minute, func(ctx context.Context) error { return l.Up(ctx, n) }); err != nil {
		return err
	}
	fmt.Fprintf(out, "lab %s: n1 to n%d on %s, up in %.1f s\n", l.Name(), n, l.Subnet(), time.Since(began).Seconds())
	if in.binary != "" {
		began = time.Now()
		err := within(ctx, time.Minute, func(ctx context.Context) error { return in.run(ctx, l) })
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), l.Down(context.WithoutCancel(ctx)))
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%w\nthe lab stays up: look with `%s`, or remove it with `%s`", err, a.line("logs n1 "+lab.UnitName), a.line("down")), l.Disown())
		}
		fmt.Fprintf(out, "fleettop runs on each of them, one cluster after %.1f s\n", time.Since(began).Seconds())
		a.hint(out, "the cluster", "shell n1 fleettop list-machines")
	}
	a.hint(out, "a shell on a machine", "shell n1")
	a.hint(out, "cut a machine's power", fmt.Sprintf("kill n%d", n))
	a.hint(out, "give it back", fmt.Sprintf("boot n%d", n))
	a.hint(out, "remove it all", "down")
	return l.Disown()
}

func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

// hint says how to do something with this lab.
func (a *app) hint(out io.Writer, what, rest string) {
	fmt.Fprintf(out, "  %-24s %s\n", what, a.line(rest))
}

// line returns a command line for this lab, to be copied by the reader.
func (a *app) line(rest string) string {
	if a.name == "lab" {
		return "fleetlab " + rest
	}
	return "fleetlab --name " + a.name + " " + rest
}

// installation is fleettop as it is to be put on machines.
type installation struct {
	binary  string
	service string
	options string
}

func (in *installation) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&in.binary, "fleettop", "", "static fleettop binary to install and start on each machine")
	cmd.Flags().StringVar(&in.service, "service", "daemon/fleettop.service", "its unit file")
	cmd.Flags().StringVar(&in.options, "options", "", "more flags for each daemon; {name} and {ip} are the machine's")
}

func (in *installation) check() error {
	if in.binary == "" {
		return nil
	}
	for _, path := range []string{in.binary, in.service} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w: build fleettop first (`make build`), or give --fleettop and --service", err)
		}
	}
	return nil
}

// run installs fleettop on all machines and starts it: first where the
// cluster begins, then on the others at once.
func (in *installation) run(ctx context.Context, l *lab.Lab) error {
	machines := l.Machines()
	err := l.Install(ctx, lab.InstallOptions{Binary: in.binary, ServiceFile: in.service,
		Env: func(m *lab.Machine) map[string]string {
			return map[string]string{optionsVariable: daemonOptions(m, machines[0], in.options)}
		}})
	if err != nil {
		return err
	}
	if err := start(ctx, machines[0]); err != nil {
		return err
	}
	group, starting := errgroup.WithContext(ctx)
	for _, m := range machines[1:] {
		group.Go(func() error { return start(starting, m) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return waitForCluster(ctx, machines)
}

// waitForCluster waits until every machine knows of all. A daemon is ready
// before that: it serves its machine with or without the others.
func waitForCluster(ctx context.Context, machines []*lab.Machine) error {
	for _, m := range machines {
		for {
			out, err := m.Exec(ctx, "fleettop", "list-machines", "--no-legend")
			known := strings.Count(out, "\n")
			if err == nil && known == len(machines) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s knows of %d machines, not of %d (%v): %w", m.Name, known, len(machines), err,
					context.Cause(ctx))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// daemonOptions returns a daemon's flags: the first one begins a cluster, which the others join.
func daemonOptions(m, first *lab.Machine, more string) string {
	more = strings.NewReplacer("{name}", m.Name, "{ip}", m.IP.String()).Replace(more)
	options := "--address " + m.IP.String()
	if m.Name != first.Name {
		options += " --join " + first.IP.String()
	}
	return strings.TrimSpace(options + " " + more)
}

// start starts fleettop, or says with the journal's help why it didn't.
func start(ctx context.Context, m *lab.Machine) error {
	err := m.RestartFleettop(ctx)
	if err == nil {
		return nil
	}
	log, logErr := m.Journal(context.WithoutCancel(ctx), lab.UnitName)
	if logErr != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(lines[max(0, len(lines)-15):], "\n"))
}

func (a *app) install() *cobra.Command {
	var in installation
	cmd := &cobra.Command{Use: "install BINARY [MACHINE...]",
		Short: "Install or upgrade fleettop and restart it, on all machines or some", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.binary = args[0]
			if err := in.check(); err != nil {
				return err
			}
			l, err := a.open()
			if err != nil {
				return err
			}
			machines := l.Machines()
			names := args[1:]
			if len(names) == 0 {
				for _, m := range machines {
					names = append(names, m.Name)
				}
			}
			return a.machines(names, func(m *lab.Machine) error {
				err := m.Install(cmd.Context(), lab.InstallOptions{Binary: in.binary, ServiceFile: in.service,
					Env: func(m *lab.Machine) map[string]string {
						return map[string]string{optionsVariable: daemonOptions(m, machines[0], in.options)}
					}})
				if err != nil || !m.Running() {
					return err
				}
				if err := start(cmd.Context(), m); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s runs it\n", m.Name)
				return nil
			})
		}}
	cmd.Flags().StringVar(&in.service, "service", "daemon/fleettop.service", "its unit file")
	cmd.Flags().StringVar(&in.options, "options", "", "more flags for each daemon; {name} and {ip} are the machine's")
	return cmd
}

func (a *app) shell() *cobra.Command {
	cmd := &cobra.Command{Use: "shell MACHINE [COMMAND...]", Short: "Open a shell on a machine, or run a command there",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.machines(args[:1], func(m *lab.Machine) error {
				words := args[1:]
				if len(words) == 0 {
					words = []string{"bash", "--login"}
				}
				run := m.Command(context.WithoutCancel(cmd.Context()), words...)
				// The terminal, its signals and its size are the command's own.
				run.SysProcAttr, run.Cancel = nil, nil
				run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
				if term.IsTerminal(int(os.Stdout.Fd())) {
					run.Env = append(run.Env, "TERM="+os.Getenv("TERM"), "COLORTERM="+os.Getenv("COLORTERM"), "PAGER=less",
						"SYSTEMD_PAGER=less", "SYSTEMD_COLORS=1")
				}
				err := run.Run()
				if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
					return fmt.Errorf("shell on %s: %w", m.Name, err)
				}
				return err
			})
		}}
	cmd.Flags().SetInterspersed(false) // the command's flags are not ours
	return cmd
}

func (a *app) logs() *cobra.Command {
	return &cobra.Command{Use: "logs MACHINE [UNIT]", Short: "Show a machine's journal", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			unit := ""
			if len(args) > 1 {
				unit = args[1]
			}
			return a.machines(args[:1], func(m *lab.Machine) error {
				log, err := m.Journal(cmd.Context(), unit)
				fmt.Fprint(cmd.OutOrStdout(), log)
				return err
			})
		}}
}
