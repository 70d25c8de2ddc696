package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/health"
)

const (
	// Machines that are drained, or begin to take units, within togetherQuiet of
	// each other are seen together, as one machine is drained or given back
	// after the other; and no later than togetherMost after the first of them.
	togetherQuiet = 400 * time.Millisecond
	togetherMost  = 2 * time.Second

	// A machine that failed oldFailure before the term began did so while no one
	// led, and what kept the cluster from a leader may be over for it too: it has
	// oldFailureWait to answer.
	oldFailure     = 5 * time.Second
	oldFailureWait = 3 * time.Second
)

// batch is changes that are seen together.
type batch struct{ first, last time.Time }

func (b *batch) add(now time.Time) {
	if now.Sub(b.last) > togetherQuiet {
		b.first = now
	}
	b.last = now
}

// end is when the changes are seen; in the past if there are none.
func (b *batch) end() time.Time {
	end := b.last.Add(togetherQuiet)
	if most := b.first.Add(togetherMost); most.Before(end) {
		end = most
	}
	return end
}

// capacity is which machines take units, and which of them changed that lately.
type capacity struct {
	begun    bool
	takes    map[string]bool
	drained  map[string]bool
	arrivals batch
	drains   batch
}

// see takes note of machines that began to take units, or were drained.
func (c *capacity) see(snap *cluster.Snapshot, state health.State, now time.Time) {
	takes, drained := map[string]bool{}, map[string]bool{}
	for id, m := range snap.Machines {
		h := state.Health[id]
		if takes[id] = h.State == cluster.Up && m.Schedule == cluster.Schedulable; takes[id] && !c.takes[id] {
			at := now
			if !c.begun {
				at = h.Since // it may have been up for long
			}
			if at.After(c.arrivals.last) {
				c.arrivals.add(at)
			}
		}
		if drained[id] = m.Schedule == cluster.Drained; drained[id] && c.begun && !c.drained[id] {
			c.drains.add(now)
		}
	}
	c.begun, c.takes, c.drained = true, takes, drained
}

// withDrains is the snapshot with those drained machines that have still to
// wait for others as cordoned ones: they take nothing and keep what they have.
func (c *capacity) withDrains(snap *cluster.Snapshot, before map[string]bool, now time.Time) (
	seen *cluster.Snapshot, end time.Time) {
	if end = c.drains.end(); !now.Before(end) {
		return snap, time.Time{}
	}
	s := *snap
	seen = &s
	seen.Machines = maps.Clone(snap.Machines)
	for id, m := range seen.Machines {
		if m.Schedule == cluster.Drained && !before[id] {
			m.Schedule = cluster.Cordoned
			seen.Machines[id] = m
		}
	}
	return seen, end
}

// withOldFailures is the health of machines with those that failed before the
// term, and may be about to answer, as suspect ones: they keep what they have.
func (t *term) withOldFailures(healths map[string]cluster.Health, now time.Time) (
	seen map[string]cluster.Health, end time.Time) {
	if end = t.leader.Since.Add(oldFailureWait); !now.Before(end) {
		return healths, time.Time{}
	}
	seen = maps.Clone(healths)
	for id, h := range seen {
		if h.State == cluster.Failed && t.leader.Since.Sub(h.Since) >= oldFailure {
			h.State = cluster.Suspect
			seen[id] = h
		}
	}
	return seen, end
}

// waits says why units that have no place don't get one yet, and until when:
// more machines may be about to take units, and the first shall not get them all.
func (t *term) waits(state health.State, now time.Time) (why string, end time.Time) {
	if now.Before(state.Gathering) {
		var missing []string
		for _, id := range state.Missing {
			missing = append(missing, t.called(id))
		}
		slices.Sort(missing)
		return fmt.Sprintf("waits up to %s for %s to come back, as the cluster has just begun",
			span(state.Gathering.Sub(now)), strings.Join(missing, ", ")), state.Gathering
	}
	if end := t.capacity.arrivals.end(); now.Before(end) {
		return "waits a moment for other machines that are about to take units", end
	}
	return "", time.Time{}
}
