package health

import (
	"context"

	"fleettop/cluster"
	"fleettop/units/broadcast"
)

// Own is what a daemon sees itself: a Tracker.
type Own interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// Shown is what a daemon tells of the machines: the leader's verdicts as they
// are in the store, and where no leader is heard what the daemon sees itself,
// which then says so.
type Shown struct {
	self    string
	own     Own
	view    View
	changed broadcast.Signal
}

// NewShown returns what a machine's daemon shows.
func NewShown(self string, own Own, view View) *Shown {
	return &Shown{self: self, own: own, view: view}
}

// Of returns the health of each machine of a snapshot, by ID; snap may be nil.
// live says that the snapshot is current.
func (s *Shown) Of(snap *cluster.Snapshot, live bool) map[string]cluster.Health {
	if snap == nil {
		return map[string]cluster.Health{}
	}
	var seen map[string]cluster.Health // by this machine; looked at where it is needed
	out := make(map[string]cluster.Health, len(snap.Machines))
	led := live && snap.Leader.Run != ""
	for id, m := range snap.Machines {
		verdict, judged := snap.Verdicts[id]
		if led && judged {
			out[id] = verdict
			continue
		}
		if seen == nil {
			seen = s.own.Health()
		}
		h, known := seen[id]
		switch {
		case known:
			h.By = s.self
			if !led && id != s.self {
				h.Evidence = "as " + snap.Label(s.self) + " sees it: " + h.Evidence
			}
		case judged:
			h = verdict
		default:
			h = assumed(snap, m)
		}
		out[id] = h
	}
	return out
}

// Health returns the newest health of each machine, by ID.
func (s *Shown) Health() map[string]cluster.Health {
	snap, live, _, _ := s.view.LastKnown()
	return s.Of(snap, live)
}

// Changed returns a channel that is closed at the next change of Health. Get
// the channel first and the health after it, and no change is missed.
func (s *Shown) Changed() <-chan struct{} { return s.changed.Changed() }

// Run tells of changes until ctx ends.
func (s *Shown) Run(ctx context.Context) {
	var last cluster.Snapshot
	for ctx.Err() == nil {
		seen := s.own.Changed()
		snap, live, _, stored := s.view.LastKnown()
		led := live && snap.Leader.Run != ""
		if !led || !cluster.SameMap(snap.Verdicts, last.Verdicts) || !cluster.SameMap(snap.Machines, last.Machines) ||
			last.Leader.Run == "" {
			s.changed.Notify()
		}
		last = cluster.Snapshot{}
		if led {
			last = *snap
		}
		select {
		case <-ctx.Done():
		case <-seen:
			last = cluster.Snapshot{} // some machines may have no verdict yet
		case <-stored:
		}
	}
}

// assumed is the health of a machine of which no one has a verdict: what it
// said last, and whether its lease lives, must do.
func assumed(snap *cluster.Snapshot, m cluster.Machine) cluster.Health {
	run, running := snap.Runs[m.ID]
	switch {
	case m.Departure == cluster.ShutDown || m.Departure == cluster.Left:
		return cluster.Health{State: cluster.Down, Since: m.DepartureAt, Evidence: "it said goodbye: " + string(m.Departure)}
	case running:
		return cluster.Health{State: cluster.Up, Since: run.Since, Evidence: "its lease lives"}
	}
	return cluster.Health{State: cluster.Failed, Since: m.DepartureAt, Evidence: "no daemon of it is known"}
}
