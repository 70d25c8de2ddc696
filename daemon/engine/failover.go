package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/units"
	"fleettop/units/wording"
)

// startPatience is how long a moved unit may take to become active before its
// machine's failover is reported without it.
const startPatience = time.Minute

// failover times what became of the units of one dead machine.
type failover struct {
	machine  string
	verb     string // failed, went down
	verdict  time.Time
	detect   time.Duration
	begun    time.Time
	moved    int
	stranded int
	starting map[string]*start
	worst    cluster.Outage
	worstOf  string
	done     bool
}

// start is a unit that was given to a new machine and isn't active there yet.
type start struct {
	key     cluster.UnitOnMachine
	epoch   int64
	once    bool // it runs and ends
	decide  time.Duration
	fence   time.Duration // it waited for the fence of the machine that it came from
	applied time.Time
}

// track times a move off a dead machine, once it is written.
func (t *term) track(m cluster.Move, now time.Time) {
	if m.From == nil {
		return
	}
	h := t.state.Health[m.From.Machine]
	if h.State != cluster.Failed && h.State != cluster.Down || m.To != nil && m.To.Machine == m.From.Machine {
		return
	}
	f := t.failoverOf(m.From.Machine, h, now)
	if m.To == nil {
		if stranded(m) {
			f.stranded++
			t.strand(m.Unit, m.From.Machine, h, now)
		}
		return
	}
	f.moved++
	if m.To.Desired == units.Launched && !m.To.Finished {
		f.starting[m.Unit] = &start{
			key:   cluster.UnitOnMachine{Machine: m.To.Machine, Unit: m.Unit},
			epoch: m.To.Epoch, once: runsOnce(m.To), fence: t.fenceWaits[m.Unit], applied: now,
		}
		f.starting[m.Unit].decide = max(0, now.Sub(f.verdict)-t.fenceWaits[m.Unit])
		delete(t.fenceWaits, m.Unit)
	}
}

// leave counts the units that found no other place than their dead machine,
// and tells of each once. A global unit has its other places.
func (t *term) leave(r schedule.Result, now time.Time) {
	left := make(map[cluster.UnitOnMachine]bool, len(r.Left))
	for _, k := range r.Left {
		left[k] = true
		h := t.state.Health[k.Machine]
		if t.left[k] || h.State != cluster.Failed && h.State != cluster.Down {
			continue
		}
		n, unplaced := slices.BinarySearchFunc(r.Unplaced, k.Unit, func(u schedule.Unplaced, name string) int {
			return cmp.Compare(u.Unit, name)
		})
		if !unplaced {
			continue
		}
		t.failoverOf(k.Machine, h, now).stranded++
		t.strand(k.Unit, k.Machine, h, now)
		t.event(cluster.Event{Kind: cluster.EventMoved, Time: now, Unit: k.Unit, Machine: k.Machine, From: k.Machine,
			Unplaced: true, Text: k.Unit + " has no place: " + r.Unplaced[n].Reason,
			Record: cluster.Record{Kept: true, Reason: r.Unplaced[n].Reason, Was: t.wasLeft(k)}})
	}
	t.left = left
	if len(r.Moves) > 0 {
		return // the failovers end with these, at the earliest
	}
	for _, f := range t.failovers {
		t.finish(f, now)
	}
}

// stranded reports whether a unit is taken from its machine because that failed, and has no other place.
func stranded(m cluster.Move) bool {
	return m.To == nil && strings.Contains(m.Reason, "no other place")
}

// runsOnce reports whether an assignment is of a unit that ends by itself, and
// counts as activating for as long as it runs.
func runsOnce(a *cluster.Assignment) bool {
	name, err := units.ParseName(a.Unit)
	if err != nil {
		return false
	}
	file, err := units.ParseFile(a.Content)
	return err == nil && file.RunsOnce(name)
}

func (t *term) failoverOf(machine string, h cluster.Health, now time.Time) *failover {
	for _, f := range t.failovers {
		if f.machine == machine && f.verdict.Equal(h.Since) && !f.done {
			return f
		}
	}
	f := &failover{machine: machine, verb: "failed", verdict: h.Since, begun: now, starting: map[string]*start{}}
	if h.State == cluster.Down {
		f.verb = "went down"
	} else if !h.SilentSince.IsZero() {
		f.detect = max(0, h.Since.Sub(h.SilentSince))
	}
	t.failovers = append(t.failovers, f)
	return f
}

// started looks which moved units are active by now, and tells how long they were away.
func (t *term) started(snap *cluster.Snapshot, now time.Time) {
	if snap != nil {
		t.seeDrills(snap, now)
	}
	t.returned(snap, now)
	if snap == nil || len(t.failovers) == 0 {
		return
	}
	for _, f := range t.failovers {
		for _, unit := range slices.Sorted(maps.Keys(f.starting)) {
			t.startedOne(f, unit, snap, now)
		}
		if snap.Revision >= t.caughtUp {
			t.finish(f, now)
		}
	}
	t.failovers = slices.DeleteFunc(t.failovers, func(f *failover) bool { return f.done })
}

func (t *term) startedOne(f *failover, unit string, snap *cluster.Snapshot, now time.Time) {
	s := f.starting[unit]
	status, ok := snap.Statuses[s.key]
	switch a, assigned := snap.Assignments[s.key]; {
	case snap.Revision < t.caughtUp && !assigned:
		return // the view doesn't show the move yet
	case !assigned || a.Epoch != s.epoch:
		delete(f.starting, unit) // taken away again
		return
	case !ok || status.Epoch != s.epoch:
		return
	case status.Active == "failed" || status.Error != "":
		delete(f.starting, unit) // its agent tells of that
		return
	case status.Active == "inactive" && status.Generation > 0 && status.Generation >= a.Generation:
		delete(f.starting, unit) // it ran and ended, or was not to run
		return
	case status.Active != "active" && !(s.once && status.Active == "activating"):
		return
	}
	delete(f.starting, unit)
	o := cluster.Outage{Detect: f.detect, Decide: s.decide, Fence: s.fence, Start: max(0, now.Sub(s.applied))}
	if f.worstOf == "" || o.Total() > f.worst.Total() {
		f.worst, f.worstOf = o, unit
	}
	f.worst.Units++
	o.Units = 1
	t.event(cluster.Event{Kind: cluster.EventActive, Time: now, Unit: unit, Machine: s.key.Machine, From: f.machine,
		To:   s.key.Machine,
		Text: fmt.Sprintf("%s is active on %s, outage %s", unit, t.called(s.key.Machine), phases(o)), Outage: &o})
}

// finish tells of a failover when its last unit is active, or when that takes too long.
func (t *term) finish(f *failover, now time.Time) {
	if f.done || (len(f.starting) > 0 && now.Sub(f.begun) < startPatience) {
		return
	}
	f.done = true
	if f.moved+f.stranded == 0 {
		return
	}
	parts := []string{t.called(f.machine) + " " + f.verb, wording.Count(f.moved, "unit") + " moved"}
	if f.stranded > 0 {
		parts = append(parts, wording.Count(f.stranded, "unit")+" without a place")
	}
	if n := len(f.starting); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not active yet", n))
	}
	e := cluster.Event{Kind: cluster.EventFailover, Time: now, Machine: f.machine}
	if f.worstOf != "" {
		worst := f.worst
		e.Outage = &worst
		parts = append(parts, "worst outage "+phases(worst))
	}
	e.Text = strings.Join(parts, " · ")
	t.event(e)
}

// phases renders an outage: 1.12s = detect 0.71 + decide 0.02 + start 0.39.
func phases(o cluster.Outage) string {
	fence := ""
	if o.Fence > 0 {
		fence = fmt.Sprintf(" + fence %.2f", o.Fence.Seconds())
	}
	return fmt.Sprintf("%.2fs = detect %.2f + decide %.2f%s + start %.2f",
		o.Total().Seconds(), o.Detect.Seconds(), o.Decide.Seconds(), fence, o.Start.Seconds())
}
