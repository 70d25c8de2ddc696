package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units/wording"
)

func (a *app) cordonCommand() *cobra.Command   { return a.scheduleCommand("cordon") }
func (a *app) drainCommand() *cobra.Command    { return a.scheduleCommand("drain") }
func (a *app) uncordonCommand() *cobra.Command { return a.scheduleCommand("uncordon") }

func (a *app) scheduleCommand(verb string) *cobra.Command {
	short := map[string]string{
		"cordon":   "Give a machine no more units; it keeps those it has",
		"drain":    "Move a machine's units away and give it no more",
		"uncordon": "Let a machine take units again",
	}
	long := short[verb] + ".\nA machine is named by its name, its ID or the beginning of it."
	if verb == "drain" {
		long += "\nThe leader moves the units one after the other, or --parallel of them at a time: each starts on its new\n" +
			"machine before it stops on the old one, and the next one goes when it is active. Exclusive units, timers\n" +
			"and units that run once stop first. A unit that fails where it goes runs on where it was, and one that\n" +
			"no other machine can take stays: they are named in the end, and the exit code is 1. With --stop those\n" +
			"that no other machine can take stop: they are named before, and it is asked whether to go on. Without\n" +
			"a terminal to ask on nothing is done then, unless --yes is given.\n" +
			"Interrupted, the drain goes on in the cluster: the same command shows it again, and tries again what\n" +
			"failed; uncordon takes it back."
	}
	var o drainOptions
	cmd := &cobra.Command{
		Use:   verb + " MACHINE...",
		Short: short[verb],
		Long:  long,
		Args:  atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.schedule(cmd.Context(), verb, args, o)
		},
		ValidArgsFunction: a.completeMachines,
	}
	if verb == "drain" {
		yesFlag(cmd, &o.yes)
		parallelFlag(cmd, &o.parallel)
		cmd.Flags().BoolVar(&o.stop, "stop", false, "stop units that no other machine can take, instead of leaving them there")
		cmd.Flags().BoolVar(&o.noWait, "no-wait", false, "don't wait until the units have moved")
	}
	return cmd
}

// drainOptions are the options of drain; zero for cordon and uncordon.
type drainOptions struct {
	yes, noWait, stop bool
	parallel          int
}

func parallelFlag(cmd *cobra.Command, n *int) {
	cmd.Flags().IntVar(n, "parallel", 0, "how many units move at a time (default 1, or as before where it goes on)")
}

func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "go on without asking, though units have no other place and stop")
}

// schedule has the machines cordoned, drained or uncordoned together.
func (a *app) schedule(ctx context.Context, verb string, args []string, o drainOptions) error {
	c, err := a.dialFor(verb)
	if err != nil {
		return err
	}
	defer c.Close()
	wait := verb == "drain" && !o.noWait
	if o.stop {
		if err := a.mayDrain(ctx, c, verb, o.yes, args...); err != nil {
			return err
		}
	}
	reply, err := c.ScheduleAll(ctx, api.MachinesRequest{Verb: verb, Machines: args, Wait: wait, Parallel: o.parallel, Stop: o.stop})
	if err != nil {
		if ctx.Err() != nil && wait {
			names := strings.Join(args, " ")
			fmt.Fprintf(a.err, "Interrupted. The cluster goes on draining %s: `fleettop drain %s` shows how far it is, "+
				"and `fleettop uncordon %s` takes it back for the units that are left.\n", names, names, names)
		}
		return err
	}
	return a.tellScheduled(verb, reply)
}

// scheduled is what became of a machine, for programs.
type scheduled struct {
	machineRow
	Changed bool       `json:"changed"`
	Moved   *api.Moved `json:"moved,omitempty"`
}

func (a *app) tellScheduled(verb string, reply *api.MachinesReply) error {
	done := map[string]string{"cordon": "cordoned", "drain": "drained: its units are being moved away",
		"uncordon": "taking units again"}[verb]
	list := make([]any, 0, len(reply.Machines))
	failed := false
	for _, res := range reply.Machines {
		if res.Error != nil || res.Machine == nil {
			failed = true
			fmt.Fprintln(a.err, res.Error)
			list = append(list, failedMachine{res.Asked, res.Error})
			continue
		}
		list = append(list, scheduled{newMachineRow(*res.Machine), res.Changed, res.Moved})
		text := done
		if res.Moved != nil {
			failed = a.warnMoved(res.Moved) || failed
			text = "drained: " + wording.Count(res.Moved.Units, "unit") + " moved"
			if n := len(res.Moved.Stayed); n == 1 {
				text += ", 1 is still there"
			} else if n > 1 {
				text += fmt.Sprintf(", %d are still there", n)
			}
		}
		if a.json() {
			continue
		}
		if _, err := fmt.Fprintf(a.out, "Machine %s (%s) is %s\n", print.ShortID(res.Machine.ID, false),
			print.OrDash(res.Machine.Name), text); err != nil {
			return err
		}
	}
	if a.json() {
		if err := print.JSON(a.out, list); err != nil {
			return err
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// warnMoved tells of units that had to go and don't run now, or didn't go. It
// reports whether any failed or is still there.
func (a *app) warnMoved(m *api.Moved) (failed bool) {
	for _, u := range m.Stayed {
		fmt.Fprintf(a.err, "%s is still there: %s\n", u.Unit, u.Reason)
	}
	if len(m.Failed) > 0 {
		fmt.Fprintf(a.err,
			"warning: failed where they went: %s; `fleettop status` says more.\n", strings.Join(m.Failed, ", "))
	}
	if len(m.Nowhere) > 0 {
		fmt.Fprintf(a.err,
			"warning: stopped, as no other machine can take them: %s. They start when one can.\n", strings.Join(m.Nowhere, ", "))
	}
	return len(m.Failed)+len(m.Stayed) > 0
}

// strandedShown is how many units that have no other place are named.
const strandedShown = 10

// mayDrain says which units have no other place than machines that are to be
// drained, and asks whether to go on; it returns an error where not.
func (a *app) mayDrain(ctx context.Context, c *client.Client, verb string, yes bool, machines ...string) error {
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	plan, err := c.PlanDrain(limited, machines...)
	switch {
	case err != nil:
		return err
	case !plan.Store.Connected:
		return api.Refuse(api.CodeUnavailable,
			"try again when it has its quorum back", "nothing was done: the cluster's store can't be reached")
	case len(plan.Stranded) == 0:
		return nil
	}
	names := make([]string, 0, len(plan.Machines))
	for _, m := range plan.Machines {
		names = append(names, m.Name)
	}
	fmt.Fprintf(a.err, "%s of %s can run on no other machine, and would stop:\n",
		wording.Count(len(plan.Stranded), "unit"), strings.Join(names, ", "))
	for i, u := range plan.Stranded {
		if i == strandedShown {
			fmt.Fprintf(a.err, "  and %d more\n", len(plan.Stranded)-i)
			break
		}
		fmt.Fprintf(a.err, "  %s: %s\n", u.Unit, u.Reason)
	}
	switch {
	case yes:
		return nil
	case a.json() || !print.IsTerminal(a.in) || !print.IsTerminal(a.err):
		return api.Refuse(api.CodeConflict,
			"add --yes to go on all the same, or make room for them first", "nothing was done: %s would stop units", verb)
	}
	switch ok, err := a.confirm(ctx, bufio.NewReader(a.in), "Go on with "+verb+"?"); {
	case err != nil:
		return err
	case !ok:
		return errors.New("nothing was done")
	}
	return nil
}

func (a *app) leaveCommand() *cobra.Command {
	var yes bool
	var req api.LeaveRequest
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Make this machine leave the cluster for good; its units move",
		Long: "Make this machine leave the cluster for good; its units move, and it takes as long as that takes.\n" +
			"They move as with drain, and those that no other machine can take stop; it is asked before.\n" +
			"Interrupted before the end, the machine stays drained: `fleettop leave` goes on, `fleettop uncordon` takes it back.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.leave(cmd.Context(), yes, req)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	yesFlag(cmd, &yes)
	parallelFlag(cmd, &req.Parallel)
	return cmd
}

func (a *app) leave(ctx context.Context, yes bool, req api.LeaveRequest) error {
	c, err := a.dialFor("leave")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := a.mayDrain(ctx, c, "leave", yes); err != nil {
		return err
	}
	moved, err := c.Leave(ctx, req)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(a.err, "Interrupted. This machine stays drained, and its units go on moving: "+
				"`fleettop leave` goes on, and `fleettop uncordon` with its name takes it back.")
		}
		return err
	}
	a.warnMoved(moved)
	if a.json() {
		return print.JSON(a.out, map[string]any{"leaving": true, "moved": moved})
	}
	_, err = fmt.Fprintf(a.out, "This machine is leaving the cluster; %s moved.\n"+
		"Its daemon ends now, disables its service and puts the cluster's key aside: to come back it joins anew.\n",
		wording.Count(moved.Units, "unit"))
	return err
}
