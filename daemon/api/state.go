package api

import (
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// WatchOptions limits a watch; the zero value is everything.
type WatchOptions struct {
	Units    []string // names or globs
	Machines []string // IDs
	WhatIf   bool     // tell for each machine what its death would strand
	// Heartbeat is the longest silence the caller wants of a daemon that is
	// well; 0 is the daemon's own. Alive, if it is set, is called whenever
	// anything of the stream has arrived, also a part of a line.
	Heartbeat time.Duration
	Alive     func()
	// LinesOnly is for a caller that folds the lines itself: the State it is called with is nil.
	LinesOnly bool
}

// EventsKept is how many recent events a State keeps.
const EventsKept = 500

// State is what the lines of a watch add up to. Apply changes it in place;
// it belongs to whoever applies.
type State struct {
	Revision    int64
	ClusterID   string
	Self        string
	Version     string
	Leader      cluster.Leader
	Store       Store
	Machines    map[string]Machine // by ID
	Units       map[string]Unit    // by name
	Assignments map[Placement]Assignment
	Statuses    map[Placement]cluster.Status
	Unplaced    map[string]string // reason, by unit
	WhatIf      map[string]WhatIf // by machine
	Events      []cluster.Event   // oldest first, at most EventsKept
}

// Apply folds a line into the state. The first line must be a snapshot.
func (s *State) Apply(l *Line) {
	if l.Kind == LineSnapshot {
		*s = State{
			Machines:    make(map[string]Machine, len(l.Machines)),
			Units:       make(map[string]Unit, len(l.Units)),
			Assignments: make(map[Placement]Assignment, len(l.Assignments)),
			Statuses:    make(map[Placement]cluster.Status, len(l.Statuses)),
			Unplaced:    make(map[string]string, len(l.Unplaced)),
			WhatIf:      make(map[string]WhatIf, len(l.WhatIf)),
			Self:        l.Self,
			Version:     l.Version,
		}
	}
	s.Revision = max(s.Revision, l.Revision)
	if l.ClusterID != "" {
		s.ClusterID = l.ClusterID
	}
	if l.Leader != nil {
		s.Leader = *l.Leader
	}
	if l.Store != nil {
		s.Store = *l.Store
	}
	if g := l.Gone; g != nil {
		s.drop(g)
	}
	for _, m := range l.Machines {
		s.Machines[m.ID] = m
	}
	for _, u := range l.Units {
		s.Units[u.Name] = u
	}
	for _, a := range l.Assignments {
		s.Assignments[Placement{a.Machine, a.Unit}] = a
	}
	for _, st := range l.Statuses {
		s.Statuses[Placement{st.Machine, st.Name}] = st
	}
	for _, u := range l.Unplaced {
		s.Unplaced[u.Unit] = u.Reason
	}
	for _, w := range l.WhatIf {
		s.WhatIf[w.Machine] = w
	}
	s.Events = append(s.Events, l.Events...)
	if extra := len(s.Events) - EventsKept; extra > 0 {
		s.Events = append([]cluster.Event(nil), s.Events[extra:]...)
	}
}

func (s *State) drop(g *Gone) {
	for _, id := range g.Machines {
		delete(s.Machines, id)
	}
	for _, name := range g.Units {
		delete(s.Units, name)
	}
	for _, p := range g.Assignments {
		delete(s.Assignments, p)
	}
	for _, p := range g.Statuses {
		delete(s.Statuses, p)
	}
	for _, name := range g.Unplaced {
		delete(s.Unplaced, name)
	}
	for _, id := range g.WhatIf {
		delete(s.WhatIf, id)
	}
}

// Current is fleet's current state of a unit on a machine: see cluster.Current.
func (p UnitPlacement) Current() units.DesiredState {
	if p.Assignment == nil {
		return units.Inactive
	}
	a := cluster.Assignment{Desired: p.Assignment.Desired, Generation: p.Assignment.Generation, Epoch: p.Assignment.Epoch}
	return cluster.Current(&a, p.Status)
}
