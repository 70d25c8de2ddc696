package witness

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Kind is what faults of one kind did.
type Kind struct {
	Name     string
	Count    int
	Failed   int             // machines that were called failed for them
	Outages  []time.Duration // of units that they ended
	Overlaps []time.Duration // of units that aren't exclusive, as they explain
}

// Report is what became of the units.
type Report struct {
	Story      Story
	Kinds      []Kind          // by name
	Outages    []time.Duration // of units that aren't exclusive, while they could be placed
	Exclusive  []time.Duration // the same of exclusive units
	Thawed     []time.Duration // overlaps of exclusive units after a freeze
	Violations []Violation     // by time
}

// Clock is a moment of the story, for people.
func (s Story) Clock(at time.Duration) string {
	at = max(0, at-s.From)
	return fmt.Sprintf("%02d:%04.1f", int(at.Minutes()), (at % time.Minute).Seconds())
}

// String returns the table of faults, outages, overlaps and violations.
func (r Report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "fault\tcount\tfailed\toutages\tmedian\tp99\tlongest\toverlaps\tlongest\t")
	all := Kind{Name: "all"}
	row := func(k Kind) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t%d\t%s\t\n", k.Name, k.Count, k.Failed, len(k.Outages), quantile(k.Outages, 0.5),
			quantile(k.Outages, 0.99), quantile(k.Outages, 1), len(k.Overlaps), quantile(k.Overlaps, 1))
	}
	for _, k := range r.Kinds {
		row(k)
		all.Count += k.Count
		all.Failed += k.Failed
		all.Outages = append(all.Outages, k.Outages...)
		all.Overlaps = append(all.Overlaps, k.Overlaps...)
	}
	row(all)
	w.Flush()
	line := func(what string, list []time.Duration) {
		fmt.Fprintf(&b, "%s: %d", what, len(list))
		if len(list) > 0 {
			fmt.Fprintf(&b, ", median %s, p99 %s, longest %s", quantile(list, 0.5), quantile(list, 0.99), quantile(list, 1))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "machines called failed: %d; failovers: %d\n", len(r.Story.Verdicts), r.Story.Failovers)
	line("outages, ordinary units", r.Outages)
	line("outages, exclusive units", r.Exclusive)
	line("overlaps, ordinary units", all.Overlaps)
	line("overlaps, exclusive units, after their machine was frozen", r.Thawed)
	fmt.Fprintf(&b, "violations: %d\n", len(r.Violations))
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  %s  %s\n", r.Story.Clock(v.At), v.Text)
		for _, f := range v.Faults {
			fmt.Fprintf(&b, "      %s\n", r.Story.Tell(f))
		}
	}
	return b.String()
}

// Tell says a fault for people.
func (s Story) Tell(f Fault) string {
	about := strings.Join(slices.Concat(f.Machines, f.Units), ", ")
	end := "until " + s.Clock(f.To)
	if f.To == 0 {
		end = "and goes on"
	}
	return fmt.Sprintf("%s  %s: %s, %s (voters %s)", s.Clock(f.From), f.Kind, about, end, strings.Join(f.Voters, ", "))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// quantile returns the smallest duration that a share of the list doesn't exceed, for people.
func quantile(list []time.Duration, share float64) string {
	if len(list) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(list))
	return seconds(sorted[max(0, min(len(sorted)-1, int(share*float64(len(sorted))+0.999999)-1))])
}
