package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/units/wording"
)

// rebalanceOptions are the options of rebalance.
type rebalanceOptions struct {
	yes, dryRun, exclusive, noWait, cancel bool
	parallel, mostMoves                    int
}

func (a *app) rebalanceCommand() *cobra.Command {
	var o rebalanceOptions
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Move units until the machines have equally many",
		Long: "Move units until the machines have equally many, within one, and the instances of templates are spread.\n" +
			"The moves are shown with their reasons, and it is asked before they are made; --dry-run only shows them.\n" +
			"The leader makes them one after the other, as drain does: a unit starts on its new machine before it stops on\n" +
			"the old one, and one that fails runs on where it was. Exclusive units are moved only with --exclusive, as that stops\n" +
			"them for a while; units that run once, that MachineOf= or Replaces= ties to others, or that a requirement keeps there, never.\n" +
			"Interrupted, it goes on in the cluster: the same command shows it again; --cancel takes back what hasn't begun to move.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.mostMoves < 0:
				return usageError{errors.New("--max-moves needs a number from 1 on")}
			case o.cancel && (o.dryRun || o.exclusive || o.mostMoves+o.parallel > 0):
				return usageError{errors.New("--cancel goes with no other option")}
			}
			return a.rebalance(cmd.Context(), o)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "go on without asking")
	f.BoolVar(&o.dryRun, "dry-run", false, "show the moves, and make none")
	f.BoolVar(&o.exclusive, "exclusive", false, "move exclusive units too, which stops them for a while")
	f.IntVar(&o.mostMoves, "max-moves", 0, "plan no more moves than this")
	f.IntVar(&o.parallel, "parallel", 0, "how many units move at a time (default 1)")
	f.BoolVar(&o.noWait, "no-wait", false, "don't wait until the units have moved")
	f.BoolVar(&o.cancel, "cancel", false, "take back what a rebalance hasn't begun to move")
	return cmd
}

func (a *app) rebalance(ctx context.Context, o rebalanceOptions) error {
	c, err := a.dialFor("rebalance")
	if err != nil {
		return err
	}
	defer c.Close()
	if o.cancel {
		reply, err := c.Rebalance(ctx, api.RebalanceRequest{Cancel: true})
		switch {
		case err != nil:
		case a.json():
			err = print.JSON(a.out, reply)
		default:
			_, err = fmt.Fprintln(a.out, "What has not begun to move stays where it is.")
		}
		return err
	}
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	plan, err := c.PlanRebalance(limited, o.exclusive, o.mostMoves)
	cancel()
	if err != nil {
		return err
	}
	moves, goesOn := plan.Moves, len(plan.Pending) > 0
	if goesOn {
		moves = plan.Pending
	}
	if a.json() && (o.dryRun || len(moves) == 0) {
		return print.JSON(a.out, plan)
	}
	out := a.out
	if a.json() {
		out = a.err
	}
	for _, m := range moves {
		if _, err := fmt.Fprintf(out, "%s: %s %s -> %s\n", m.Reason, m.Unit, m.FromName, m.ToName); err != nil {
			return err
		}
	}
	switch {
	case len(moves) == 0:
		_, err := fmt.Fprintln(a.out, "Nothing to move: the machines have as many units as their requirements let them share.")
		return err
	case goesOn:
		fmt.Fprintf(a.err, "A rebalance goes on: %s to be moved.\n", wording.Count(len(moves), "unit"))
	}
	switch {
	case o.dryRun:
		return nil
	case goesOn || o.yes:
	case a.json() || !print.IsTerminal(a.in) || !print.IsTerminal(a.err):
		return api.Refuse(api.CodeConflict, "add --yes to make these moves, or --dry-run to only see them", "nothing was done: there is no terminal to ask on")
	default:
		ok, err := a.confirm(ctx, bufio.NewReader(a.in), fmt.Sprintf("Move %s?", wording.Count(len(moves), "unit")))
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("nothing was done")
		}
	}
	req := api.RebalanceRequest{Parallel: o.parallel, Wait: !o.noWait}
	if !goesOn {
		req.Moves = moves
	}
	reply, err := c.Rebalance(ctx, req)
	if err != nil {
		if ctx.Err() != nil && req.Wait {
			fmt.Fprintln(a.err, "Interrupted. The cluster goes on with it: `fleettop rebalance` shows how far it is, "+
				"and `fleettop rebalance --cancel` takes back what hasn't begun to move.")
		}
		return err
	}
	return a.tellRebalanced(reply)
}

func (a *app) tellRebalanced(reply *api.RebalanceReply) error {
	failed := reply.Moved != nil && a.warnMoved(reply.Moved)
	var err error
	switch {
	case a.json():
		err = print.JSON(a.out, reply)
	case reply.Moved == nil:
		_, err = fmt.Fprintln(a.out, "The units are being moved.")
	default:
		_, err = fmt.Fprintln(a.out, wording.Count(reply.Moved.Units, "unit")+" moved.")
	}
	if err == nil && failed {
		err = errReported
	}
	return err
}
