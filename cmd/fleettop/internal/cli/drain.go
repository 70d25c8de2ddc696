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
		long += "\nUnits that no other machine can take would stop: they are named before, and it is asked\n" +
			"whether to go on. Without a terminal to ask on nothing is done then, unless --yes is given."
	}
	var yes, noWait bool
	cmd := &cobra.Command{
		Use:   verb + " MACHINE...",
		Short: short[verb],
		Long:  long,
		Args:  atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.schedule(cmd.Context(), verb, args, yes, noWait)
		},
		ValidArgsFunction: a.completeMachines,
	}
	if verb == "drain" {
		yesFlag(cmd, &yes)
		cmd.Flags().BoolVar(&noWait, "no-wait", false, "don't wait until the units have moved")
	}
	return cmd
}

func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "go on though units have no other place and stop")
}

// schedule has the machines cordoned, drained or uncordoned together.
func (a *app) schedule(ctx context.Context, verb string, args []string, yes, noWait bool) error {
	c, err := a.dialFor(verb)
	if err != nil {
		return err
	}
	defer c.Close()
	wait := verb == "drain" && !noWait
	if verb == "drain" {
		if err := a.mayDrain(ctx, c, verb, yes, args...); err != nil {
			return err
		}
	}
	reply, err := c.ScheduleAll(ctx, api.MachinesRequest{Verb: verb, Machines: args, Wait: wait})
	if err != nil {
		if ctx.Err() != nil && wait {
			names := strings.Join(args, " ")
			fmt.Fprintf(a.err, "Interrupted. Units go on moving from %s: `fleettop list-units` shows how they stand, "+
				"and `fleettop uncordon %s` keeps those that are left.\n", names, names)
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
			a.warnMoved(res.Moved)
			text = "drained: " + wording.Count(res.Moved.Units, "unit") + " moved"
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

// warnMoved tells of units that had to go and don't run now.
func (a *app) warnMoved(m *api.Moved) {
	if len(m.Failed) > 0 {
		fmt.Fprintf(a.err,
			"warning: failed where they went: %s; `fleettop status` says more.\n", strings.Join(m.Failed, ", "))
	}
	if len(m.Nowhere) > 0 {
		fmt.Fprintf(a.err,
			"warning: stopped, as no other machine can take them: %s. They start when one can.\n", strings.Join(m.Nowhere, ", "))
	}
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
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Make this machine leave the cluster for good; its units move",
		Long: "Make this machine leave the cluster for good; its units move, and it takes as long as that takes.\n" +
			"Interrupted before, the machine stays drained: `fleettop leave` goes on, `fleettop uncordon` calls it off.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.leave(cmd.Context(), yes)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	yesFlag(cmd, &yes)
	return cmd
}

func (a *app) leave(ctx context.Context, yes bool) error {
	c, err := a.dialFor("leave")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := a.mayDrain(ctx, c, "leave", yes); err != nil {
		return err
	}
	moved, err := c.Leave(ctx)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(a.err, "Interrupted. This machine stays drained, and its units go on moving: "+
				"`fleettop leave` goes on, and `fleettop uncordon` with its name calls it off.")
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
