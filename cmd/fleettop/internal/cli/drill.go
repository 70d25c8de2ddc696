package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/drill"
	"fleettop/tui/draw"
	"fleettop/units/retry"
	"fleettop/units/wording"
)

const (
	drillDefault = 10 * time.Second
	// drillReady is how long after the time out the machine and its units may take to be back.
	drillReady = 90 * time.Second
	// drillEcho is for the timeline's last lines, which several machines write.
	drillEcho = time.Second
)

// drillOptions are the options of drill.
type drillOptions struct {
	yes, dryRun bool
	length      time.Duration
}

func (a *app) drillCommand() *cobra.Command {
	var o drillOptions
	cmd := &cobra.Command{
		Use:   "drill MACHINE",
		Short: "Take a machine out for a moment, as a loss of its power would, and measure what that does",
		Long: "Take a machine out for a moment, as a loss of its power would, and measure what that does.\n" +
			"First it is shown which units would move where and which have nowhere to go; --dry-run only shows that.\n" +
			"Then the machine's name is to be typed. Its daemon kills its units, without their ExecStop=, and is silent: to\n" +
			"the others it is a machine without power. After --for it comes back by itself as after a boot, whatever\n" +
			"became of this command. In the end the outage of each unit is printed. Units that have moved stay where they\n" +
			"are; `fleettop rebalance` brings them back.\n" +
			"It is refused where an exclusive unit is on the machine, where the store would lose its quorum, and while\n" +
			"something else goes on: a drill, a drain, a hold, another voter that is away or new.",
		Args: exactlyOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := drill.CheckLength(o.length); err != nil {
				return usageError{fmt.Errorf("--for: %w", err)}
			}
			return a.drill(cmd.Context(), args[0], o)
		},
		ValidArgsFunction: a.completeMachines,
	}
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "go on without asking, though units have no other place")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would happen, and do nothing")
	f.DurationVar(&o.length, "for", drillDefault, "how long the machine is out, from 5s to 5m")
	return cmd
}

func (a *app) drill(ctx context.Context, machine string, o drillOptions) error {
	c, err := a.env.client()
	if err != nil {
		return err
	}
	defer c.Close()
	limited, cancel := context.WithTimeout(ctx, a.timeout)
	plan, err := c.PlanDrill(limited, machine)
	cancel()
	switch {
	case err != nil:
		return err
	case o.dryRun && a.json():
		if err := print.JSON(a.out, plan); err != nil {
			return err
		}
	case o.dryRun:
		printDrillPlan(a.out, plan, o.length)
	default:
		printDrillPlan(a.err, plan, o.length)
	}
	switch {
	case plan.Refusal != nil:
		return plan.Refusal
	case o.dryRun:
		return nil
	}
	if err := a.mayDrill(ctx, plan, o.yes); err != nil {
		return err
	}
	limited, cancel = context.WithTimeout(ctx, a.timeout)
	defer cancel()
	reply, err := c.Drill(limited, plan.Machine, api.DrillRequest{Seconds: o.length.Seconds(), Nowhere: true})
	if err != nil {
		return err
	}
	report, err := a.followDrill(ctx, c, *reply)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(a.err, "Interrupted. The drill goes on and ends by itself, %s after it began: `fleettop events` tells the rest.\n",
				o.length)
		}
		return err
	}
	return a.tellDrill(report)
}

// printDrillPlan says what a drill would do.
func printDrillPlan(w io.Writer, p *api.DrillPlan, length time.Duration) {
	name := draw.Clean(p.MachineName)
	fmt.Fprintf(w, "If %s loses its power for %s:\n", name, wording.Age(length))
	if p.Leader {
		fmt.Fprintf(w, "  %s leads the cluster: another machine takes that over first.\n", name)
	}
	for _, m := range p.Moves {
		fmt.Fprintf(w, "  %s  %s -> %s\n", m.Unit, name, draw.Clean(m.ToName))
	}
	for _, u := range p.Nowhere {
		fmt.Fprintf(w, "  %s  has nowhere to go until %s is back: %s\n", u.Unit, name, draw.Clean(u.Reason))
	}
	if n := len(p.Global); n > 0 {
		verb := "are"
		if n == 1 {
			verb = "is"
		}
		fmt.Fprintf(w, "  %s  %s global, and away there for as long\n", strings.Join(p.Global, ", "), verb)
	}
	if len(p.Moves)+len(p.Nowhere)+len(p.Global) == 0 {
		fmt.Fprintln(w, "  no unit runs there.")
	}
}

// mayDrill asks for the machine's name; it returns an error where nothing is to be done.
func (a *app) mayDrill(ctx context.Context, plan *api.DrillPlan, yes bool) error {
	switch {
	case yes:
		return nil
	case a.json() || !print.IsTerminal(a.in) || !print.IsTerminal(a.err):
		return api.Refuse(api.CodeConflict, "add --yes to go on, or --dry-run to only see what would happen",
			"nothing was done: there is no terminal to ask on")
	}
	typed, err := a.ask(ctx, bufio.NewReader(a.in), fmt.Sprintf("Its units are killed. Type %s to go on:", plan.MachineName))
	switch {
	case err != nil:
		return err
	case typed != plan.MachineName:
		return errors.New("nothing was done")
	}
	return nil
}

// followDrill prints what happens until the machine is back and the units run,
// and returns the report. The daemon that is asked may be the one that is out.
func (a *app) followDrill(ctx context.Context, c *client.Client, d api.DrillReply) (*api.DrillReport, error) {
	length := time.Duration(d.Seconds * float64(time.Second))
	ctx, cancel := context.WithTimeout(ctx, length+drillReady)
	defer cancel()
	if !a.json() {
		fmt.Fprintf(a.err, "%s is out for %s. Ctrl-C ends only this command.\n", draw.Clean(d.MachineName), wording.Age(length))
	}
	since := d.Began.Add(-time.Minute).Format(time.RFC3339Nano)
	var events []cluster.Event
	seen, names := map[string]bool{}, map[string]string{}
	called := func(id string) string { return machineName(names, id) }
	for {
		if len(names) == 0 {
			if list, err := c.Machines(ctx); err == nil {
				for _, m := range list.Machines {
					names[m.ID] = m.Label()
				}
			}
		}
		// When all is there, the last lines are waited for a moment.
		reading, stop := context.WithCancel(ctx)
		var broken error
		err := c.FollowEvents(reading, since, drillEvents, func(e cluster.Event) error {
			if seen[e.ID] || e.Drill != d.ID {
				return nil
			}
			seen[e.ID] = true
			events = append(events, e)
			if !a.json() {
				broken = a.printEvent(e)
			}
			if api.NewDrillReport(d, events, called).Complete() {
				time.AfterFunc(drillEcho, stop)
			}
			return broken
		})
		stop()
		report := api.NewDrillReport(d, events, called)
		switch {
		case broken != nil:
			return nil, broken
		case report.Complete():
			return report, nil
		case ctx.Err() != nil && report.Over:
			return report, nil // some unit takes long to start
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return nil, fmt.Errorf("%s isn't back %s after the drill: see `fleettop list-machines --all`, and its daemon's log",
				d.MachineName, drillReady)
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if !retry.Pause(ctx, wait.AskAgain) {
			continue
		}
	}
}

// drillEvents is how many of the timeline's newest events are read again when a daemon is back.
const drillEvents = 10000

func machineName(names map[string]string, id string) string {
	if name, known := names[id]; known {
		return name
	}
	return cluster.Machine{ID: id}.Label()
}

// tellDrill prints the report.
func (a *app) tellDrill(r *api.DrillReport) error {
	if a.json() {
		if err := print.JSON(a.out, r); err != nil || !r.NotOut {
			return err
		}
		return errReported
	}
	if r.NotOut {
		return errors.New(strings.TrimPrefix(r.End, "drill: "))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nDrill of %s, %s, out for %s:\n", draw.Clean(r.MachineName),
		r.Began.Local().Format("2006-01-02 15:04:05"), wording.Age(time.Duration(r.Seconds*float64(time.Second))))
	width := 4
	for _, u := range r.Units {
		width = max(width, draw.Width(u.Unit))
	}
	for _, u := range r.Units {
		fmt.Fprintf(&b, "  %s%s  %s\n", u.Unit, strings.Repeat(" ", width-draw.Width(u.Unit)), drillLine(u))
	}
	if len(r.Units) == 0 {
		b.WriteString("  No unit moved.\n")
	}
	if len(r.Global) > 0 {
		fmt.Fprintf(&b, "  Away with it, as global units run on every machine: %s\n", strings.Join(r.Global, ", "))
	}
	if r.Summary != "" {
		fmt.Fprintf(&b, "%s\n", draw.Clean(strings.TrimPrefix(r.Summary, "drill: ")))
	}
	if r.End != "" {
		fmt.Fprintf(&b, "%s\n", draw.Clean(strings.TrimPrefix(r.End, "drill: ")))
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// drillLine says what became of a unit.
func drillLine(u api.DrillUnit) string {
	from, to := draw.Clean(u.From), draw.Clean(u.To)
	phases := ""
	if o := u.Outage; o != nil {
		phases = fmt.Sprintf("detect %.2f + decide %.2f + start %.2f", o.Detect.Seconds(), o.Decide.Seconds(), o.Start.Seconds())
	}
	switch {
	case u.Nowhere && u.Outage == nil:
		return "had nowhere to go, and isn't back"
	case u.Nowhere:
		return fmt.Sprintf("had nowhere to go until %s, then on %s: outage %.2f s", u.Until.Local().Format("15:04:05"), to,
			u.OutageSeconds)
	case u.Outage == nil && to == "":
		return draw.Clean(u.Text)
	case u.Outage == nil:
		return fmt.Sprintf("%s -> %s, not active yet", from, to)
	}
	return fmt.Sprintf("%s -> %s  outage %.2f s = %s", from, to, u.OutageSeconds, phases)
}
