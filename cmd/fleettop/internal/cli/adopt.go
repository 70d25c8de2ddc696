package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/fromfleet"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
	"fleettop/units/wording"
)

// adoptFlags are the flags of adopt.
type adoptFlags struct {
	options   []string
	fromFleet string
	dryRun    bool
	wait      time.Duration
}

func (a *app) adoptCommand() *cobra.Command {
	var fl adoptFlags
	cmd := &cobra.Command{
		Use:   "adopt UNIT@MACHINE... | --from-fleet=SOCKET|URL|FILE [FILE...]",
		Short: "Take units over from a machine's own files, without a restart",
		Long: "Take units over that run on a machine under its own files: they become the cluster's, their processes run on,\n" +
			"and they move when the machine dies. --from-fleet takes over all units of a running CoreOS fleet, or of a list\n" +
			"of unit files wherever they run. The way back is `fleettop release`.",
		Args: func(cmd *cobra.Command, args []string) error {
			if fl.fromFleet != "" {
				return nil
			}
			return atLeastOne(cmd, args)
		},
		RunE:              func(cmd *cobra.Command, args []string) error { return a.adopt(cmd.Context(), &fl, args) },
		ValidArgsFunction: a.completeLogs,
	}
	f := cmd.Flags()
	f.StringArrayVar(&fl.options, "option", nil,
		"add NAME=VALUE to the [X-Fleet] section of the unit's file; repeat it for more")
	f.StringVar(&fl.fromFleet, "from-fleet", "",
		"take over the units of the fleet at this socket or URL, or of this file and those named after it")
	f.BoolVar(&fl.dryRun, "dry-run", false, "say what would be done with each unit, and do nothing")
	f.DurationVar(&fl.wait, "wait", 0, "wait so long at most; 0 for as long as it takes")
	return cmd
}

func (a *app) adopt(ctx context.Context, fl *adoptFlags, args []string) error {
	if fl.fromFleet != "" && len(fl.options) > 0 {
		return usageError{errors.New("--option goes with UNIT@MACHINE: the units of a fleet have their options")}
	}
	c, err := a.dialFor("adopt")
	if err != nil {
		return err
	}
	defer c.Close()
	target, err := a.adoptionTarget(ctx, c)
	if err != nil {
		return err
	}
	var steps []fromfleet.Step
	if fl.fromFleet == "" {
		for _, arg := range args {
			steps = append(steps, adoptOne(arg, fl.options, target))
		}
	} else {
		f, err := a.readFleet(ctx, fl.fromFleet, args, target)
		if err != nil {
			return err
		}
		steps = fromfleet.Plan(f, target)
	}
	if fl.dryRun {
		return a.tellPlan(steps)
	}
	return a.carryOut(ctx, c, steps, fl)
}

// adoptionTarget is what the daemon knows of the cluster that units are adopted into.
func (a *app) adoptionTarget(ctx context.Context, c *client.Client) (t fromfleet.Cluster, err error) {
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	machines, err := c.Machines(limited)
	if err != nil {
		return t, err
	}
	list, err := c.Units(limited, false)
	if err != nil {
		return t, err
	}
	t.Machines, t.Hashes = machines.Machines, map[string]string{}
	for _, u := range list.Units {
		t.Hashes[u.Name] = u.Hash
	}
	t.HostUnit = func(machine, unit string) (units.HostUnit, error) {
		limited, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		return c.HostUnit(limited, machine, unit)
	}
	return t, nil
}

// readFleet returns the units of a fleet at an endpoint, or of files.
func (a *app) readFleet(ctx context.Context, from string, more []string, t fromfleet.Cluster) (fromfleet.Fleet, error) {
	if info, err := os.Stat(from); strings.HasPrefix(from, "/") && err == nil && info.Mode().Type() == os.ModeSocket {
		from = "unix://" + from
	}
	if strings.Contains(from, "://") {
		if len(more) > 0 {
			return fromfleet.Fleet{}, usageError{errors.New("--from-fleet with a socket or a URL takes all units: leave out " +
				strings.Join(more, " "))}
		}
		limited, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		return fromfleet.Read(limited, from)
	}
	given, err := a.env.gather(api.Submit, false, append([]string{from}, more...))
	if err != nil {
		return fromfleet.Fleet{}, err
	}
	if len(given.Refused) > 0 {
		return fromfleet.Fleet{}, given.Refused[0].Error
	}
	return fromfleet.OfFiles(given.Files, t)
}

// adoptOne plans for an argument UNIT@MACHINE.
func adoptOne(arg string, options []string, t fromfleet.Cluster) fromfleet.Step {
	unit, machine := unitAndMachine(arg)
	s := fromfleet.Step{Unit: unit, Verb: api.Start}
	refuse := func(err error) fromfleet.Step {
		e, ok := errors.AsType[*api.Error](err)
		if !ok {
			e = api.Refuse(api.CodeInvalid, "", "%v", err)
		}
		s.Verb, s.Text, s.Error = "", e.Error(), e
		return s
	}
	if machine == "" {
		return refuse(api.Refuse(api.CodeInvalid, "write "+unit+"@MACHINE; `fleettop list-machines` names them", "%s says of no machine to adopt it from", arg))
	}
	known := map[string]cluster.Machine{}
	for _, m := range t.Machines {
		known[m.ID] = m.Machine.Machine
	}
	m, e := api.FindMachine(known, machine)
	if e != nil {
		return refuse(e)
	}
	s.Machine = m.Label()
	if t.Hashes[unit] != "" {
		return refuse(api.Refuse(api.CodeConflict, "`fleettop status "+unit+"` shows it", "%s is the cluster's already", unit))
	}
	host, err := t.HostUnit(m.ID, unit)
	if err == nil {
		err = host.Running(s.Machine)
	}
	if err != nil {
		return refuse(err)
	}
	s.File, err = fromfleet.WithOptions(host, options)
	if err != nil {
		return refuse(err)
	}
	s.File.AdoptFrom = m.ID
	global, err := fromfleet.CheckGlobal(s.File, t)
	if err != nil {
		return refuse(err)
	}
	s.Text = "is taken over where it runs, on " + s.Machine
	if host.PID > 0 {
		s.Text += fmt.Sprintf(" (PID %d)", host.PID)
	}
	if global {
		s.File.AdoptFrom = cluster.EveryMachine
		s.Text = "is taken over where it runs, and started on all other machines that it may run on"
	}
	return s
}

func (a *app) tellPlan(steps []fromfleet.Step) error {
	failed := false
	for _, s := range steps {
		failed = failed || s.Error != nil
	}
	if a.json() {
		if err := print.JSON(a.out, steps); err != nil {
			return err
		}
	} else {
		for _, s := range steps {
			text := s.Unit + " " + s.Text
			if s.Error != nil {
				text = s.Unit + " can't be taken over: " + s.Text
			}
			if _, err := fmt.Fprintln(a.out, text); err != nil {
				return err
			}
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// carryOut sends what is planned, each unit by its verb, waits until it is done and says so.
func (a *app) carryOut(ctx context.Context, c *client.Client, steps []fromfleet.Step, fl *adoptFlags) error {
	var outcomes []wait.Outcome
	var goals []wait.Goal
	say := func(o wait.Outcome) error { outcomes = append(outcomes, o); return a.tell(o) }
	planned := map[string]fromfleet.Step{}
	files := map[api.Verb][]api.File{}
	for _, s := range steps {
		planned[s.Unit] = s
		switch {
		case s.Error != nil:
			if err := say(wait.Outcome{Unit: s.Unit, Verdict: wait.Refused, Text: s.Unit + " can't be taken over: " + s.Text,
				Error: s.Error}); err != nil {
				return err
			}
		case s.Verb == "":
			if err := say(wait.Outcome{Unit: s.Unit, Verdict: wait.Reached, Text: s.Unit + " " + s.Text}); err != nil {
				return err
			}
		default:
			files[s.Verb] = append(files[s.Verb], s.File)
		}
	}
	for _, verb := range []api.Verb{api.Submit, api.Load, api.Start} { // templates before their instances
		for _, b := range batches(api.ActionRequest{Verb: verb, Files: files[verb]}) {
			if len(b.Files) == 0 {
				continue
			}
			reply, err := c.Act(ctx, b)
			if err != nil {
				return err
			}
			for _, r := range reply.Results {
				s := planned[r.Name]
				switch {
				case r.Error != nil:
					err = say(wait.Outcome{Unit: r.Name, Verdict: wait.Refused, Text: r.Name + " can't be taken over: " +
						r.Error.Error(), Error: r.Error})
				case waits(verb, r):
					goals = append(goals, wait.Goal{Unit: r.Name, Verb: verb, Generation: r.Generation,
						Adopted: s.File.AdoptFrom != ""})
				default:
					err = say(wait.Outcome{Unit: r.Name, Verdict: wait.Reached, Text: r.Name + " " + s.Text})
				}
				if err != nil {
					return err
				}
			}
		}
	}
	var waitErr error
	if len(goals) > 0 {
		var more []wait.Outcome
		more, _, waitErr = wait.Until(ctx, c, goals, wait.Options{Limit: fl.wait, Silence: a.timeout, Tell: a.tell})
		outcomes = append(outcomes, more...)
	}
	failed := 0
	for i, o := range outcomes {
		if o.Verdict == wait.Reached {
			continue
		}
		failed++
		if o.Error == nil {
			outcomes[i].Error = failureText(api.Code(o.Verdict), o.Text)
		}
	}
	if a.json() {
		if err := print.JSON(a.out, outcomes); err != nil {
			return err
		}
	} else if fl.fromFleet != "" {
		if _, err := fmt.Fprintf(a.out, "%s: %d done, %d not.\n", wording.Count(len(steps), "unit"), len(outcomes)-failed,
			failed); err != nil {
			return err
		}
	}
	if waitErr != nil {
		return waitErr
	}
	if failed > 0 {
		return errReported
	}
	return nil
}
