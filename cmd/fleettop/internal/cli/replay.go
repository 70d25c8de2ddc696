package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/cluster"
	"fleettop/cluster/history"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/units/retry"
	"fleettop/units/wording"
)

const (
	replayed    = time.Hour // without --from
	fastest     = 1000.0
	clockFormat = "2006-01-02 15:04:05.000"
)

func (a *app) replayCommand() *cobra.Command {
	var from, to string
	var speed float64
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Print what happened between two moments, step by step, and sum it up",
		Long: "Print what happened between two moments: how the cluster was at the beginning, each step with the time since\n" +
			"the first, and in the end the machines that failed, the units that moved with their outages, and those\n" +
			"without a place. What the timeline doesn't prove is called not known.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			begin, end := now.Add(-replayed), now
			var err error
			if from != "" {
				if begin, err = journal.ParseTimeOrAge(from, now); err != nil {
					return usageError{fmt.Errorf("--from: %w", err)}
				}
			}
			if to != "" {
				if end, err = journal.ParseTimeOrAge(to, now); err != nil {
					return usageError{fmt.Errorf("--to: %w", err)}
				}
			}
			switch {
			case end.Before(begin):
				return usageError{fmt.Errorf("--to %s is before --from %s: exchange them",
					end.Local().Format(clockFormat), begin.Local().Format(clockFormat))}
			case speed < 0 || speed > fastest:
				return usageError{fmt.Errorf("--speed %g: give a number from 0 to %g; 1 is as fast as it happened, 0 prints at once",
					speed, fastest)}
			case speed > 0 && a.json():
				return usageError{errors.New("--output json prints at once: leave out --speed")}
			}
			r, err := a.readReplay(cmd.Context(), begin, end)
			if err != nil {
				return err
			}
			if a.json() {
				return print.JSON(a.out, r.rows())
			}
			return a.printReplay(cmd.Context(), r, speed)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "where it begins: 10:30, \"2026-01-31 10:30:05\", -15m, RFC 3339 (default an hour ago)")
	f.StringVar(&to, "to", "", "where it ends, in the same forms (default now)")
	for _, flag := range []string{"from", "to"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions([]string{"-15m", "-1h", "today", "yesterday"},
			cobra.ShellCompDirectiveNoFileComp))
	}
	_ = cmd.RegisterFlagCompletionFunc("speed", cobra.FixedCompletions([]string{"0", "1", "4", "16"},
		cobra.ShellCompDirectiveNoFileComp))
	f.Float64Var(&speed, "speed", 0, "how many times as fast as it happened; 0 prints at once")
	return cmd
}

// replay is a part of the cluster's past.
type replay struct {
	from, to time.Time
	history  *history.History
	start    history.Moment
	steps    []cluster.Event
	report   history.Report
	store    api.Store
	names    map[string]string // of machines, by ID
}

var errSnapshot = errors.New("the snapshot has come")

// readReplay reads what is known of the past.
func (a *app) readReplay(ctx context.Context, from, to time.Time) (*replay, error) {
	r := &replay{from: from, to: to, names: map[string]string{}}
	err := a.withClient(ctx, func(ctx context.Context, c *client.Client) error {
		var now history.Moment
		err := c.Watch(ctx, api.WatchOptions{}, func(s *api.State, l *api.Line) error {
			at := l.Time
			if at.IsZero() {
				at = time.Now()
			}
			now = s.Moment(at)
			return errSnapshot
		})
		if !errors.Is(err, errSnapshot) {
			return err
		}
		list, err := c.Timeline(ctx, "", api.EventsMost)
		if err != nil {
			return err
		}
		// What happened after the snapshot isn't in it.
		r.history, r.store = history.New(now, list.Events), list.Store
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.warnStale(r.store)
	r.steps = r.history.Between(from, to)
	if len(r.steps) > 0 {
		r.start = r.history.At(r.steps[0].Time.Add(-1))
	} else {
		r.start = r.history.At(from)
	}
	r.report = r.history.Report(from, to)
	for _, moment := range []history.Moment{r.history.Now(), r.start} {
		for _, m := range moment.Machines {
			r.names[m.ID] = m.Name
		}
	}
	return r, nil
}

// called is what people call a machine.
func (r *replay) called(id string) string {
	if name := r.names[id]; name != "" {
		return draw.Clean(name)
	}
	return cluster.Machine{ID: id}.Label()
}

// replayRows is a replay for programs.
type replayRows struct {
	From    time.Time      `json:"from"`
	To      time.Time      `json:"to"`
	Store   *api.Store     `json:"store,omitempty"` // where what happened since is not known
	Start   replayMoment   `json:"start"`
	Steps   []replayStep   `json:"steps"`
	Summary history.Report `json:"summary"`
}

// replayMoment is how the cluster was; machines and units that aren't known are in no count but Unknown.
type replayMoment struct {
	Leader     string `json:"leader,omitempty"` // machine ID
	MachinesUp int    `json:"machinesUp"`
	Machines   int    `json:"machines"`
	Placed     int    `json:"placed"`
	Unplaced   int    `json:"unplaced"`
	Unknown    int    `json:"unknown"` // units whose place isn't known
	Covered    bool   `json:"covered"` // the timeline names all that changed since
}

// replayStep is an event with the time since the first.
type replayStep struct {
	cluster.Event
	After float64 `json:"after"` // seconds
}

func (r *replay) rows() replayRows {
	out := replayRows{From: r.from, To: r.to, Store: stale(r.store), Start: startOf(r.start), Steps: []replayStep{},
		Summary: r.report}
	for _, e := range r.steps {
		out.Steps = append(out.Steps, replayStep{e, e.Time.Sub(r.steps[0].Time).Seconds()})
	}
	return out
}

func startOf(m history.Moment) replayMoment {
	out := replayMoment{Leader: m.Leader.Machine, Machines: len(m.Machines), Covered: m.Covered}
	for _, one := range m.Machines {
		if one.Health != "" && one.Health.Runs() {
			out.MachinesUp++
		}
	}
	for _, u := range m.Units {
		switch {
		case u.Unplaced != "":
			out.Unplaced++
		case len(u.Places) > 0:
			out.Placed++
		case u.PlacesUnknown:
			out.Unknown++
		}
	}
	return out
}

// printReplay prints the steps, at a speed, and what they add up to.
func (a *app) printReplay(ctx context.Context, r *replay, speed float64) error {
	on := a.coloured(a.out)
	if len(r.steps) == 0 {
		_, err := fmt.Fprintf(a.out, "Nothing happened between %s and %s.\n", r.from.Local().Format(clockFormat),
			r.to.Local().Format(clockFormat))
		return errors.Join(err, a.printSummary(r, on))
	}
	first := r.steps[0].Time
	if _, err := fmt.Fprintf(a.out, "%s\n%s\n\n", print.Paint(on, print.Bold, fmt.Sprintf("%s in %s, from %s on",
		wording.Count(len(r.steps), "step"), seconds(r.steps[len(r.steps)-1].Time.Sub(first)), first.Local().Format(clockFormat))),
		r.describeStart()); err != nil {
		return err
	}
	for i, e := range r.steps {
		if speed > 0 && i > 0 {
			gap := e.Time.Sub(r.steps[i-1].Time)
			if !retry.Pause(ctx, time.Duration(float64(gap)/speed)) {
				return ctx.Err()
			}
		}
		by := ""
		if e.By != "" {
			by = "  (by " + draw.Clean(e.By) + ")"
		}
		if _, err := fmt.Fprintf(a.out, "%10s  %s  %s  %s%s\n", "+"+seconds(e.Time.Sub(first)),
			print.Paint(on, print.Dim, e.Time.Local().Format("15:04:05.000")),
			print.Paint(on, eventColour(e.Kind), fmt.Sprintf("%-8s", e.Kind)), draw.Clean(e.Text), by); err != nil {
			return err
		}
	}
	return a.printSummary(r, on)
}

// describeStart says how the cluster was before the first step.
func (r *replay) describeStart() string {
	s := startOf(r.start)
	leader := "no leader"
	switch {
	case r.start.Leader.Unknown:
		leader = "leader not known"
	case s.Leader != "":
		leader = "leader " + r.called(s.Leader)
	}
	text := fmt.Sprintf("Before: %d of %s up, %s, %s on machines", s.MachinesUp, wording.Count(s.Machines, "machine"), leader,
		wording.Count(s.Placed, "unit"))
	if s.Unplaced > 0 {
		text += fmt.Sprintf(", %d without a place", s.Unplaced)
	}
	if s.Unknown > 0 {
		text += fmt.Sprintf(", %d of which it is not known where they were", s.Unknown)
	}
	if !s.Covered {
		text += "; the timeline doesn't reach back that far, so there may have been others"
	}
	return text + "."
}

// printSummary prints what the steps add up to.
func (a *app) printSummary(r *replay, on bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", print.Paint(on, print.Bold, "Summary"))
	line := func(what, text string) { fmt.Fprintf(&b, "  %-16s %s\n", what, text) }
	var failed []string
	for _, f := range r.report.Failed {
		text := r.called(f.Machine) + " at " + f.At.Local().Format("15:04:05")
		if f.State == cluster.Down {
			text += " (went down)"
		}
		if !f.Back.IsZero() {
			text += ", back after " + seconds(f.Back.Sub(f.At))
		}
		failed = append(failed, text)
	}
	line("failed machines", orNone(strings.Join(failed, "; ")))
	line("moved units", r.describeMoved())
	for _, m := range r.report.Moved {
		outage := "not active again by then"
		if m.Outage != nil {
			outage = "outage " + seconds(m.Outage.Total())
		}
		fmt.Fprintf(&b, "    %s  %s -> %s  %s\n", draw.Clean(m.Unit), r.called(m.From), r.called(m.To), outage)
	}
	if len(r.report.Unplaced) == 0 {
		line("without a place", "none")
	} else {
		line("without a place", wording.Count(len(r.report.Unplaced), "unit"))
	}
	for _, u := range r.report.Unplaced {
		since := ""
		if !u.Since.IsZero() {
			since = " since " + u.Since.Local().Format("15:04:05")
		}
		fmt.Fprintf(&b, "    %s%s: %s\n", draw.Clean(u.Unit), since, draw.Clean(u.Reason))
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

// describeMoved says how many units had to run elsewhere, and how long that took.
func (r *replay) describeMoved() string {
	n := len(r.report.Moved)
	switch {
	case n == 0:
		return "none"
	case r.report.WorstOf == "":
		return fmt.Sprintf("%d, no outage measured", n)
	}
	return fmt.Sprintf("%d, outage %s in the median, %s at worst (%s)", n, seconds(r.report.Median), seconds(r.report.Worst),
		draw.Clean(r.report.WorstOf))
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// seconds is a span as exact as outages are told.
func seconds(d time.Duration) string {
	if d >= time.Minute {
		return wording.Age(d)
	}
	return fmt.Sprintf("%.2fs", d.Seconds())
}
