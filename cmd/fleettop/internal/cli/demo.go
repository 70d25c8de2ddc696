package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/demo"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/tui"
)

func (a *app) demoCommand() *cobra.Command {
	var machines int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a cluster of three machines on this computer; one dies, its units move",
		Long: "demo runs three daemons on loopback, each with an embedded etcd and its units as child\n" +
			"processes. It needs no root, installs nothing and leaves nothing behind. On a terminal the\n" +
			"console opens on it, where K takes a machine's power away and B gives it back; elsewhere\n" +
			"the story of a machine that dies is told once.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if machines < 3 || machines > 9 {
				return usageError{fmt.Errorf("a demo of %d machines: choose 3 to 9, as one must be able to die", machines)}
			}
			return a.demo(cmd.Context(), machines)
		},
	}
	cmd.Flags().IntVar(&machines, "machines", 3, "how many machines")
	return cmd
}

func (a *app) demo(ctx context.Context, machines int) (err error) {
	// Further signals must not keep the demo from taking its processes with it.
	ctx, stop := untilSignal(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	defer func() {
		if by := (signalled{}); errors.As(context.Cause(ctx), &by) {
			err = by
		}
	}()
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	o := demo.Options{Binary: binary, Machines: machines, Out: a.out, Verb: func(ctx context.Context, args ...string) int {
		return Run(ctx, args, a.in, a.out, a.err)
	}}
	if print.IsTerminal(a.out) && print.IsTerminal(a.in) {
		o.Console = func(ctx context.Context, o tui.Options) error {
			o.ReadOnly = a.readOnly
			return a.show(ctx, o)
		}
	}
	return demo.Run(ctx, o)
}
