package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/units"
)

// attempt is how long fleet's client waits between two looks; --block-attempts counts in it.
const attempt = 250 * time.Millisecond

// actFlags are the flags of the verbs that change units.
type actFlags struct {
	replace  bool
	noBlock  bool
	attempts int
	wait     time.Duration
	most     int
}

func takesFiles(v api.Verb) bool { return v == api.Submit || v == api.Load || v == api.Start }

// action returns what makes the command of a verb about units.
func action(verb api.Verb, use, short string) func(*app) *cobra.Command {
	return func(a *app) *cobra.Command { return a.actionCommand(verb, use, short) }
}

func (a *app) actionCommand(verb api.Verb, use, short string) *cobra.Command {
	var fl actFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  atLeastOne,
		RunE:  func(cmd *cobra.Command, args []string) error { return a.act(cmd.Context(), verb, &fl, args) },
	}
	f := cmd.Flags()
	if takesFiles(verb) {
		f.BoolVar(&fl.replace, "replace", false, "put the given files in the place of those submitted before, "+
			"and the template's content in that of its instances")
	} else {
		cmd.ValidArgsFunction = a.completeUnits
	}
	if takesFiles(verb) || verb == api.Restart {
		f.IntVar(&fl.most, "max-unavailable", 0,
			"change a global unit on so many machines at a time; 0 is one after the other")
	}
	if verb == api.Load || verb == api.Start {
		cmd.ValidArgsFunction = a.completeUnitsAndFiles
	}
	f.BoolVar(&fl.noBlock, "no-block", false, "don't wait until it is done")
	f.IntVar(&fl.attempts, "block-attempts", 0,
		"wait for so many quarters of a second, as fleet counts; 0 for as long as it takes")
	f.DurationVar(&fl.wait, "wait", 0,
		"wait so long at most, also for units that no machine can take now; 0 gives up on those at once")
	return cmd
}

// What verbs that are no verbs do.
var does = map[string]string{"status": "look at", "journal": "read the logs of"}

func atLeastOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("name what to %s: %s", cmp.Or(does[cmd.Name()], cmd.Name()), cmd.UseLine())
	}
	return nil
}

func exactlyOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes one at a time, and these are %d: %s", cmd.Name(), len(args), strings.Join(args, " "))
	}
	return atLeastOne(cmd, args)
}

func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasAvailableSubCommands():
		return unknownVerb(cmd, args[0])
	}
	return fmt.Errorf("%s takes no arguments: leave out %q", cmd.CommandPath(), args[0])
}

func (a *app) act(ctx context.Context, verb api.Verb, fl *actFlags, args []string) error {
	if fl.attempts < 0 || fl.wait < 0 {
		return usageError{errors.New("--block-attempts and --wait can't be negative")}
	}
	if fl.noBlock && (fl.attempts > 0 || fl.wait > 0) {
		return usageError{errors.New("--no-block waits for nothing: leave out --block-attempts and --wait")}
	}
	if fl.most < 0 {
		return usageError{errors.New("--max-unavailable can't be negative")}
	}
	c, err := a.dialFor(string(verb))
	if err != nil {
		return err
	}
	defer c.Close()
	// What was done before an error is told all the same.
	s, sendErr := a.send(ctx, c, verb, fl, args)
	a.warn(s.results)
	var outcomes []wait.Outcome
	for _, r := range s.Refused {
		outcomes = append(outcomes, wait.Outcome{Unit: r.Unit, Verdict: wait.Refused, Text: r.Error.Error(), Error: r.Error})
	}
	var goals []wait.Goal
	for _, r := range s.results {
		s.saySubmitted(a, r)
		g := wait.Goal{Unit: r.Name, Verb: verb, Generation: r.Generation, Replaced: r.Replaced, On: r.On}
		if r.Replaced && verb != api.Start && r.Desired == units.Launched {
			g.Verb = api.Restart // it is restarted, and may fail to
		}
		switch {
		case r.Error != nil:
			e := s.explain(r)
			outcomes = append(outcomes, wait.Outcome{Unit: r.Name, Verdict: wait.Refused, Text: e.Error(), Error: e})
		case waits(g.Verb, r) && !fl.noBlock && sendErr == nil:
			goals = append(goals, g)
		default:
			outcomes = append(outcomes, wait.Outcome{Unit: r.Name, Verdict: wait.Reached, Text: immediate(verb, r)})
		}
	}
	for _, o := range outcomes {
		if err := a.tell(o); err != nil {
			return err
		}
	}
	var waitErr error
	if len(goals) > 0 {
		limit := cmp.Or(fl.wait, time.Duration(fl.attempts)*attempt)
		var more []wait.Outcome
		var left int
		more, left, waitErr = wait.Until(ctx, c, goals,
			wait.Options{Limit: limit, Patient: fl.wait > 0, Silence: a.timeout, Tell: a.tell})
		outcomes = append(outcomes, more...)
		if waitErr != nil && ctx.Err() != nil {
			fmt.Fprintf(a.err, "Interrupted. The cluster carries on; %d of %d units not done yet: "+
				"`fleettop list-units` shows how they stand.\n", left, len(goals))
		}
	}
	for i, o := range outcomes {
		if o.Verdict != wait.Reached && o.Error == nil {
			outcomes[i].Error = failureText(api.Code(o.Verdict), o.Text)
		}
	}
	if a.json() && len(outcomes) > 0 {
		if err := print.JSON(a.out, s.complete(outcomes, sendErr)); err != nil {
			return err
		}
	}
	if sendErr != nil && ctx.Err() != nil && len(s.left) > 0 {
		fmt.Fprintf(a.err, "Interrupted. %d of %d units were done; what became of the others isn't known: "+
			"`fleettop list-unit-files` shows how they stand.\n",
			len(s.results), len(s.results)+len(s.left))
	}
	if err := cmp.Or(sendErr, waitErr); err != nil {
		return err
	}
	if slices.ContainsFunc(outcomes, func(o wait.Outcome) bool { return o.Verdict != wait.Reached }) {
		return errReported
	}
	return nil
}

// warn prints what the daemon had to say of units it did as asked. Of a
// template's many instances it is said once.
func (a *app) warn(results []api.UnitResult) {
	var behind []string
	for _, r := range results {
		switch {
		case r.Warning == "":
		case r.TemplateHash != "":
			behind = append(behind, r.Name)
		default:
			fmt.Fprintln(a.err, "WARNING:", r.Warning)
		}
	}
	switch {
	case len(behind) == 1:
		i := slices.IndexFunc(results, func(r api.UnitResult) bool { return r.Name == behind[0] })
		fmt.Fprintln(a.err, "WARNING:", results[i].Warning)
	case len(behind) > 1:
		fmt.Fprintf(a.err, "WARNING: %s keep their template's earlier content: "+
			"`fleettop start --replace` with their names takes the new one\n", some(behind))
	}
}

// some names the first few of several.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// waits reports whether there is something to wait for: placing a global unit
// never ends, as machines come and go.
func waits(verb api.Verb, r api.UnitResult) bool {
	if verb == api.Destroy || verb == api.Release {
		return true
	}
	if verb == api.Submit || r.Global {
		return false
	}
	return verb != api.Stop || r.Desired == units.Loaded
}

// immediate is what is told of a unit that isn't waited for, in fleet's words.
func immediate(verb api.Verb, r api.UnitResult) string {
	switch {
	case verb == api.Submit && r.Replaced && r.Desired == units.Launched:
		return fmt.Sprintf("Unit %s replaced; it is being restarted where it runs", r.Name)
	case verb == api.Submit && r.Replaced && r.Desired == units.Loaded:
		return fmt.Sprintf("Unit %s replaced; it stays loaded", r.Name)
	case verb == api.Submit && r.Replaced:
		return fmt.Sprintf("Unit %s replaced", r.Name)
	case verb == api.Submit && r.Desired != units.Inactive:
		return fmt.Sprintf("Unit %s is submitted already, and to be %s", r.Name, r.Desired)
	case verb == api.Submit, verb == api.Stop && r.Desired == units.Inactive:
		return fmt.Sprintf("Unit %s inactive", r.Name)
	case r.Global && (r.Replaced || verb == api.Restart) && r.Desired == units.Launched:
		return fmt.Sprintf("Triggered global unit %s %s, machine by machine; `fleettop explain %s` says how far it is",
			r.Name, verb, r.Name)
	case r.Global:
		return fmt.Sprintf("Triggered global unit %s %s", r.Name, verb)
	}
	return fmt.Sprintf("Triggered unit %s %s", r.Name, verb)
}

// tell prints an outcome: what was reached for the reader of the output, the rest for the person.
func (a *app) tell(o wait.Outcome) (err error) {
	switch {
	case o.Verdict != wait.Reached:
		fmt.Fprintln(a.err, o.Text)
	case !a.json():
		_, err = fmt.Fprintln(a.out, o.Text)
	}
	return err
}
