package engine

import (
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
)

// freshDoubt is how long a suspicion of a machine that was suspect before in
// the last moments must last to be written: where the network is slow it comes
// and goes every second.
const freshDoubt = 500 * time.Millisecond

// findings are what the leader holds true now and the store doesn't say yet,
// and when there may be more.
func (t *term) findings(snap *cluster.Snapshot, state health.State, r schedule.Result, now time.Time) (
	f cluster.Findings, again time.Time) {
	f.Verdicts, again = t.newVerdicts(snap, state, now)
	unplaced := make(map[string]cluster.Unplaced, len(r.Unplaced))
	for _, u := range r.Unplaced {
		unplaced[u.Unit] = cluster.Unplaced{Reason: u.Reason, Finished: u.Finished}
	}
	for unit, d := range t.departing {
		if d.reason != "" {
			unplaced[unit] = cluster.Unplaced{Reason: d.reason}
		}
	}
	f.Unplaced = snap.NewUnplaced(unplaced)
	f.WhatIf = snap.NewWhatIf(t.whatIf, state.Health)
	if state.Hold != snap.Leader.Hold {
		f.Hold = &state.Hold
	}
	return f, again
}

// newVerdicts are the verdicts on machines that the store doesn't have yet.
func (t *term) newVerdicts(snap *cluster.Snapshot, state health.State, now time.Time) (
	found map[string]*cluster.Health, again time.Time) {
	found = map[string]*cluster.Health{}
	for id := range snap.Machines {
		h, judged := state.Health[id]
		was := snap.Verdicts[id]
		if !judged || h.State == "" || sameVerdict(h, was) {
			continue
		}
		if d := t.doubts[id]; h.State == cluster.Suspect && was.State == cluster.Up && d != nil && d.count > 1 {
			if lasting := h.Since.Add(freshDoubt); now.Before(lasting) {
				again = sooner(again, lasting)
				continue
			}
		}
		if h.By = t.leader.Machine; h.State == was.State && was.Since.Before(h.Since) {
			h.Since = was.Since // another leader saw it first
		}
		found[id] = &h
	}
	for id := range snap.Verdicts {
		if _, known := snap.Machines[id]; !known {
			found[id] = nil
		}
	}
	return found, again
}

// sameVerdict reports whether a verdict says what the one written does. Since
// when, and who saw it, differ from one leader to the next.
func sameVerdict(h, written cluster.Health) bool {
	return h.State == written.State && h.Evidence == written.Evidence && h.Blocked == written.Blocked &&
		h.BackAt.Equal(written.BackAt) && h.SilentSince.IsZero() == written.SilentSince.IsZero()
}
