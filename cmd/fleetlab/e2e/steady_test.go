//go:build e2e && figures

package e2e

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

var (
	steadyHours      = flag.Float64("hours", 0, "how long TestSteady runs, all conditions together; 0: by -minutes")
	steadyMinutes    = flag.Float64("minutes", 10, "how long TestSteady keeps each condition")
	steadyConditions = flag.String("conditions", "", "the conditions of TestSteady, by name; all if empty")
	steadyIntervals  = flag.String("intervals", "", "probe intervals to compare, such as 50ms,100ms; empty: the default one only")
	steadyDeaths     = flag.Int("deaths", 3, "power-offs at the end of each condition, to see how long a death takes to be found")
)

// TestSteady keeps a cluster of five in one condition after another, in which
// every machine lives, and counts what is done as if one had died. At the end of
// each, machines lose their power, so that it shows how fast a death is found then.
func TestSteady(t *testing.T) {
	chosen := chosenConditions(t)
	each := time.Duration(*steadyMinutes * float64(time.Minute))
	intervals := chosenIntervals(t)
	if *steadyHours > 0 {
		each = time.Duration(*steadyHours * float64(time.Hour) / float64(len(chosen)*len(intervals)))
	}
	var tallies []*outcome
	for _, interval := range intervals {
		for _, c := range chosen {
			tl := &outcome{condition: c.name, interval: interval}
			tallies = append(tallies, tl)
			name := c.name
			if interval > 0 {
				name += "/" + interval.String()
			}
			t.Run(name, func(t *testing.T) { keepSteady(t, c, each, tl) })
			for _, line := range tl.evidence {
				t.Logf("%s: %s", name, line)
			}
			t.Logf("\n%s", table(tallies))
		}
	}
	if len(intervals) > 1 {
		t.Logf("\n%s", curve(tallies))
	}
	fails := 0
	for _, tl := range tallies {
		fails += tl.falseOnes()
	}
	t.Logf("figure: %d false failovers, at most 0: %s", fails, verdict(fails == 0))
	if fails > 0 && len(intervals) == 1 { // a comparison has intervals that are too short
		t.Error("a machine was taken for dead that lived, or a unit was touched")
	}
}

// keepSteady boots a cluster, keeps it in a condition, counts, and then takes power away.
func keepSteady(t *testing.T, c condition, d time.Duration, tl *outcome) {
	f := newFleet(t, 5, setup{disk: c.disk, limit: d + 3*testLimit + time.Duration(*steadyDeaths)*testLimit,
		options: func(*lab.Machine) string {
			flags := "--log-level=debug" // it tells of suspicions
			if tl.interval > 0 {
				flags += " --probe-interval=" + tl.interval.String()
			}
			return flags
		}})
	units := named("steady%d.service", 10)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)
	before := f.procs.snapshot()
	s := startStress(f, c)
	began := time.Now() // a cable is out for a moment when it is changed
	var idle []*growth
	if c.name == idleName {
		idle = f.growths()
	}
	f.throughout(c.name, d, s.check(idle, d))
	tl.hours = time.Since(began).Hours() * float64(len(f.machines))
	for p, pid := range before {
		if now := f.procs.snapshot()[p]; now != pid {
			tl.touched++
			tl.evidence = append(tl.evidence, fmt.Sprintf("%s on %s was process %d and is %d", p.unit, p.machine, pid, now))
		}
	}
	f.judge(tl, began, nil)
	t.Logf("%s for %s: %s; load %s", c.what, d.Round(time.Second), tl, loadAverage(t))
	report(t, idle)

	for i := range *steadyDeaths {
		victim := f.leaderWithin(2 * time.Minute) // with a bad network there is none at times
		if i%2 == 0 {
			victim = f.others(victim)[i/2%4]
		}
		s.relieve(victim)
		died, err := victim.Kill()
		f.must(err)
		found := f.foundDead(victim, died)
		tl.detect = append(tl.detect, found)
		t.Logf("%s lost its power and was found dead %.3f s later", victim.Name, found.Seconds())
		f.judge(tl, died, []death{{victim.MachineID, died, died.Add(time.Hour)}}) // it is off till it is booted, below
		s.stop()
		f.must(victim.Boot(f.ctx))
		f.must(victim.WaitBooted(f.ctx))
		f.settledWithin(2*time.Minute, f.machines...)
		if i < *steadyDeaths-1 {
			s = startStress(f, c)
			f.throughout(c.name, 10*time.Second, s.check(nil, 0))
		}
	}
	f.procs.neverTwice(t)
	tl.finished = true
}

// foundDead waits for the verdict on a machine and returns how long after its end it was reached.
func (f *fleet) foundDead(victim *lab.Machine, died time.Time) (took time.Duration) {
	f.t.Helper()
	witness := f.others(victim)[0]
	f.eventually("the verdict on "+victim.Name, time.Minute, func() error {
		for _, e := range f.events(witness, died) {
			if e.Machine == victim.MachineID && failure(e) {
				took = e.Time.Sub(died)
				return nil
			}
		}
		return fmt.Errorf("the timeline doesn't have it")
	})
	return took
}

// chosenIntervals are the intervals to compare; the zero one is the default.
func chosenIntervals(t *testing.T) []time.Duration {
	if *steadyIntervals == "" {
		return []time.Duration{0}
	}
	var list []time.Duration
	for text := range strings.SplitSeq(*steadyIntervals, ",") {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			t.Fatalf("-intervals: %q is no interval: give some, such as 50ms,100ms", text)
		}
		list = append(list, d)
	}
	return list
}

// table is what was counted, a line a condition.
func table(tallies []*outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %-9s %9s  %8s %6s %6s %6s %6s %11s  %s\n", "condition", "interval", "mach.-hrs", "failed", "seen",
		"moved", "procs", "holds", "susp./m.-h.", "found after, s: median, longest (deaths)")
	for _, c := range tallies {
		fmt.Fprintf(&b, "%-16s %-9s %9.2f  %8d %6d %6d %6d %6d %11.1f  %s\n", c.condition, c.pace(), c.hours, c.failed, c.seen,
			c.moved, c.touched, c.holds, float64(c.suspicions)/max(c.hours, 0.001), c.found())
	}
	return b.String()
}

// curve is the same by interval: what a shorter one gains, and what it costs.
func curve(tallies []*outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s %9s  %16s %11s  %s\n", "--probe-interval", "mach.-hrs", "false failovers", "susp./m.-h.",
		"found after, s: median, longest (deaths)")
	byInterval := slices.Clone(tallies)
	slices.SortStableFunc(byInterval, func(a, b *outcome) int { return cmp.Compare(a.interval, b.interval) })
	for len(byInterval) > 0 {
		sum := outcome{interval: byInterval[0].interval, finished: true}
		for len(byInterval) > 0 && byInterval[0].interval == sum.interval {
			c := byInterval[0]
			sum.hours, sum.suspicions = sum.hours+c.hours, sum.suspicions+c.suspicions
			sum.failed, sum.detect = sum.failed+c.failed, append(sum.detect, c.detect...)
			sum.finished = sum.finished && c.finished
			byInterval = byInterval[1:]
		}
		fmt.Fprintf(&b, "%-16s %9.2f  %16d %11.1f  %s\n", sum.pace(), sum.hours, sum.failed,
			float64(sum.suspicions)/max(sum.hours, 0.001), sum.found())
	}
	return b.String()
}

func (c *outcome) pace() string {
	if c.interval == 0 {
		return "default"
	}
	return c.interval.String()
}

// found is how long the deaths took to be found.
func (c *outcome) found() string {
	text := "-"
	if len(c.detect) > 0 {
		text = fmt.Sprintf("%.2f, %.2f (%d)", quantile(c.detect, 0.5).Seconds(), slices.Max(c.detect).Seconds(), len(c.detect))
	}
	if !c.finished {
		text += ", not finished"
	}
	return text
}
