package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/units"
	"fleettop/units/retry"
)

// journalFlags are the flags of `fleettop journal`.
type journalFlags struct {
	follow, utc, noHostname, sudo bool
	lines, output, machine        string
	since, until, priority, grep  string
	linesSet                      bool
}

func (a *app) journalCommand() *cobra.Command {
	var fl journalFlags
	cmd := &cobra.Command{
		Use:   "journal UNIT|GLOB[@MACHINE]...",
		Short: "Print the logs of units, wherever they run; with -f go on, and go with them when they move",
		Long: "Print the logs of units, wherever they run or ran, merged by time. " +
			"With --follow it goes on, and when a unit moves it\n" +
			"goes on with the new machine, behind a line that says so.\n" +
			"One machine's lines are chosen with --machine, or with @MACHINE behind the unit's type: web@1.service@n3.",
		Example: "  fleettop journal -f web@1\n  fleettop journal -f 'web@*' -p warning\n" +
			"  fleettop journal db.service@n3 --since \"1 hour ago\" -o json",
		Args: atLeastOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			fl.linesSet = cmd.Flags().Changed("lines")
			return a.journal(cmd.Context(), &fl, args)
		},
		ValidArgsFunction: a.completeLogs,
	}
	f := cmd.Flags()
	f.BoolVarP(&fl.follow, "follow", "f", false, "go on with what is logged from now on")
	f.StringVarP(&fl.lines, "lines", "n", "10",
		"the newest so many, or all; all is also the default with --since, --until, and without --follow with "+
			"--priority and --grep")
	f.StringVarP(&fl.since, "since", "S", "",
		"only what was logged at or after a time: \"2026-01-31 15:04\", yesterday, -1h, \"2 hours ago\"")
	f.StringVarP(&fl.until, "until", "U", "", "only what was logged at or before a time")
	f.StringVarP(&fl.priority, "priority", "p", "",
		"only this priority and more urgent ones (err, 3), or a range (err..notice)")
	f.StringVarP(&fl.grep, "grep", "g", "",
		"only messages that match a pattern; case counts if it has an upper-case letter")
	f.StringVarP(&fl.output, "output", "o", "short", "short, cat, json or export")
	f.StringVarP(&fl.machine, "machine", "m", "", "only what this machine has, by name or ID")
	f.BoolVar(&fl.utc, "utc", false, "times in UTC")
	f.BoolVar(&fl.noHostname, "no-hostname", false, "don't print the machine's name")
	f.BoolVar(&fl.sudo, "sudo", false, "for scripts made for fleet; not needed, as the daemon reads the logs")
	_ = cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions(print.JournalForms, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("priority",
		cobra.FixedCompletions(journal.PriorityNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("machine", a.completeMachines)
	return cmd
}

// selects reports whether the flags say by something else than their number
// which lines are wanted: then none of them is left out.
func (fl *journalFlags) selects() bool {
	return fl.since != "" || fl.until != "" || !fl.follow && (fl.priority != "" || fl.grep != "")
}

// options checks the flags.
func (fl *journalFlags) options(args []string, now time.Time) (o api.JournalOptions, err error) {
	o = api.JournalOptions{Follow: fl.follow, Priority: fl.priority, Grep: fl.grep, Machine: fl.machine}
	for _, arg := range args {
		unit, machine := unitAndMachine(arg)
		if machine != "" && o.Machine != "" && machine != o.Machine {
			return o, fmt.Errorf("%s and %s: choose one machine, or none for all", o.Machine, machine)
		}
		if machine != "" {
			o.Machine = machine
		}
		o.Units = append(o.Units, unit)
	}
	switch n, err := strconv.Atoi(fl.lines); {
	case fl.lines == "all" || fl.selects() && !fl.linesSet:
	case err != nil || n < 0:
		return o, fmt.Errorf("--lines %q is none: give a number, or all", fl.lines)
	case n == 0:
		o.Lines = -1
	default:
		o.Lines = n
	}
	// Local forms mean this terminal's zone, so they are settled here.
	var since, until time.Time
	if fl.since != "" {
		if since, err = journal.ParseTimeOrAge(fl.since, now); err != nil {
			return o, err
		}
		o.Since = since.Format(time.RFC3339Nano)
	}
	if fl.until != "" {
		if until, err = journal.ParseTimeOrAge(fl.until, now); err != nil {
			return o, err
		}
		o.Until = until.Format(time.RFC3339Nano)
		if since.After(until) {
			return o, fmt.Errorf("--since %q is behind --until %q: nothing was logged in between", fl.since, fl.until)
		}
	}
	if _, err := journal.ParsePriorities(fl.priority); err != nil {
		return o, err
	}
	if _, err := journal.ParseGrep(fl.grep); err != nil {
		return o, err
	}
	if fl.follow && fl.until != "" {
		return o, errors.New("--follow goes on for ever and --until ends: leave one of them out")
	}
	if !slices.Contains(print.JournalForms, fl.output) {
		return o, fmt.Errorf("unknown output %q: choose short, cat, json or export", fl.output)
	}
	o.Fields = fl.output == "json" || fl.output == "export"
	return o, nil
}

// unitAndMachine splits web@1.service@n3: a machine can only stand behind the
// type, as an @ before it belongs to the unit.
func unitAndMachine(arg string) (unit, machine string) {
	if base := filepath.Base(arg); !unitfiles.IsGlob(base) {
		arg = base
	}
	if i := strings.LastIndexByte(arg, '@'); i > 0 {
		name, err := units.ParseName(arg[:i])
		if err == nil && name.Type() != "" || unitfiles.IsGlob(arg[:i]) && hasType(arg[:i]) {
			return arg[:i], arg[i+1:]
		}
	}
	return unitfiles.Name(arg), ""
}

func hasType(pattern string) bool {
	for _, t := range unitfiles.Types {
		if strings.HasSuffix(pattern, "."+t) {
			return true
		}
	}
	return false
}

func (a *app) journal(ctx context.Context, fl *journalFlags, args []string) error {
	a.streams = true
	o, err := fl.options(args, time.Now())
	if err != nil {
		return usageError{err}
	}
	c, err := a.env.client()
	if err != nil {
		return err
	}
	defer c.Close()
	zone := time.Local
	if fl.utc {
		zone = time.UTC
	}
	p, err := print.NewJournal(a.out, a.err, print.JournalOptions{Form: fl.output, Zone: zone, NoHostname: fl.noHostname,
		Colour: a.coloured(a.out), Terminal: print.IsTerminal(a.out),
		Several: len(o.Units) > 1 || unitfiles.IsGlob(o.Units[0]),
		Names:   func() map[string]string { return a.machineNames(ctx, c) }})
	if err != nil {
		return err
	}
	err = a.readJournal(ctx, c, o, p)
	if err2 := p.Flush(); err == nil {
		err = err2
	}
	if err == nil && !p.Wrote() {
		fmt.Fprintln(a.err, "-- No entries --")
		if fl.grep != "" {
			return errReported // as grep does it
		}
	}
	if errors.Is(err, syscall.EPIPE) {
		return errReported // the reader has closed the pipe
	}
	return err
}

// readJournal prints what a daemon tells. When it goes away while following,
// it is waited for, and goes on where it was.
func (a *app) readJournal(ctx context.Context, c *client.Client, o api.JournalOptions, p *print.Journal) error {
	o.Positions = o.Follow
	began, heard := time.Now(), time.Now()
	read := map[string]string{}
	for {
		var broken error
		err := c.JournalBatches(ctx, o, func(list []journal.Entry) error {
			heard = time.Now()
			for i := range list {
				l := &list[i]
				if l.Cursor != "" {
					read[l.Machine] = string(l.Cursor)
				}
				if l.Kind != journal.KindPosition {
					p.Print(l)
				}
			}
			broken = p.Flush()
			return broken
		})
		if broken != nil || err == nil || !o.Follow {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err() // whatever else ended the stream at that moment
		}
		if _, refused := err.(*api.Error); refused && len(read) == 0 || time.Since(heard) > a.timeout {
			return err
		}
		if len(read) > 0 {
			o.After = read
			if o.Since == "" {
				o.Since = began.Format(time.RFC3339Nano)
			}
		}
		if !retry.Pause(ctx, wait.AskAgain) {
			return ctx.Err()
		}
	}
}

// machineNames asks what the machines are called; without an answer they go by their IDs.
func (a *app) machineNames(ctx context.Context, c *client.Client) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	list, err := c.Machines(ctx)
	if err != nil {
		return nil
	}
	names := map[string]string{}
	for _, m := range list.Machines {
		names[m.ID] = m.Name
	}
	return names
}
