package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/wording"
)

// away is a unit that found no other place when its machine died.
type away struct {
	machine string    // the dead one
	silent  time.Time // its last sign of life
	verdict time.Time // the machine was found dead, as far as that is known
}

// strand notes a unit without a place, so that its return is told.
func (t *term) strand(unit, machine string, h cluster.Health, now time.Time) {
	a := away{machine: machine, silent: h.SilentSince, verdict: h.Since}
	if a.verdict.IsZero() {
		a.verdict = now
	}
	if a.silent.IsZero() || a.silent.After(a.verdict) {
		a.silent = a.verdict
	}
	t.away[unit] = a
}

// recallAway finds the units without a place that earlier leaders told of.
func (t *term) recallAway(timeline []cluster.Event) {
	told := map[string]away{}
	for _, e := range timeline {
		switch {
		case e.Unit == "":
		case e.Kind == cluster.EventMoved && e.Unplaced:
			a := away{machine: e.From, silent: e.Time, verdict: e.Time}
			if h := t.state.Health[e.From]; !h.SilentSince.IsZero() && h.SilentSince.Before(e.Time) && !h.State.Runs() {
				a.silent = h.SilentSince
			}
			told[e.Unit] = a
		case e.Kind == cluster.EventActive:
			delete(told, e.Unit)
		}
	}
	for unit, a := range told {
		if _, known := t.away[unit]; !known && t.homeless[unit] {
			t.away[unit] = a
		}
	}
}

// returned looks which units that had no place are active by now, and tells how long they were away.
func (t *term) returned(snap *cluster.Snapshot, now time.Time) {
	if snap == nil || len(t.away) == 0 || snap.Revision < t.caughtUp {
		return
	}
	for _, unit := range slices.Sorted(maps.Keys(t.away)) {
		if u, ok := snap.Units[unit]; !ok || u.Desired != units.Launched {
			delete(t.away, unit) // it isn't missed any more
		}
	}
	if len(t.away) == 0 {
		return
	}
	found := map[string]cluster.Status{}
	for k, s := range snap.Statuses {
		a, missed := t.away[k.Unit]
		given, assigned := snap.Assignments[k]
		if !missed || !assigned || s.Epoch != given.Epoch || k.Machine == a.machine && !t.runs(k.Machine) {
			continue
		}
		if s.Active == "active" || runsOnce(&given) && s.Active == "activating" {
			found[k.Unit] = s
		}
	}
	for _, unit := range slices.Sorted(maps.Keys(found)) {
		t.tellReturn(unit, t.away[unit], found[unit], now)
		delete(t.away, unit)
	}
}

// ranOn is how far clocks may differ before a unit's own start is taken to be after its machine's silence.
const ranOn = time.Second

// tellReturn puts a unit that is active again on the timeline. One that was
// active all the time on a machine that was only out of reach wasn't away.
func (t *term) tellReturn(unit string, a away, s cluster.Status, now time.Time) {
	e := cluster.Event{Kind: cluster.EventActive, Time: now, Unit: unit, Machine: s.Machine, From: a.machine, To: s.Machine}
	name := t.called(s.Machine)
	if s.Machine == a.machine && !s.Since.IsZero() && s.Since.Before(a.silent.Add(-ranOn)) {
		e.Text = fmt.Sprintf("%s ran on while %s didn't answer", unit, name)
		t.event(e)
		return
	}
	e.Outage = &cluster.Outage{Detect: max(0, a.verdict.Sub(a.silent)), Decide: max(0, now.Sub(a.verdict)), Units: 1}
	e.Text = fmt.Sprintf("%s is active on %s after %s without a place", unit, name, long(e.Outage.Total()))
	if s.Machine == a.machine {
		e.Text = fmt.Sprintf("%s is active on %s again after %s without a place", unit, name, long(e.Outage.Total()))
	}
	t.event(e)
}

// long is an outage that may take hours.
func long(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return wording.Age(d)
}
