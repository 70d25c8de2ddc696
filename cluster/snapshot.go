package cluster

import (
	"maps"
	"reflect"
	"slices"
)

// Snapshot is the cluster's state at one revision. It is immutable once
// shared: With returns a changed copy. Its maps are never nil.
type Snapshot struct {
	Revision    int64
	ClusterID   string
	Leader      Leader
	Machines    map[string]Machine // by ID
	Runs        map[string]Run     // by machine ID; present while the daemon's lease lives
	Units       map[string]Unit    // by name
	Assignments map[UnitOnMachine]Assignment
	Statuses    map[UnitOnMachine]Status
	Fences      map[string]Fence // by machine ID; of every machine that ever had exclusive units
	// What the leader holds true; it stands while no one leads.
	Verdicts map[string]Health   // by machine ID
	Unplaced map[string]Unplaced // by unit
	WhatIf   map[string]WhatIf   // by machine ID
}

// NewSnapshot returns an empty snapshot at a revision.
func NewSnapshot(revision int64) *Snapshot {
	return &Snapshot{
		Revision:    revision,
		Machines:    map[string]Machine{},
		Runs:        map[string]Run{},
		Units:       map[string]Unit{},
		Assignments: map[UnitOnMachine]Assignment{},
		Statuses:    map[UnitOnMachine]Status{},
		Fences:      map[string]Fence{},
		Verdicts:    map[string]Health{},
		Unplaced:    map[string]Unplaced{},
		WhatIf:      map[string]WhatIf{},
	}
}

// Label is what people call a machine, whether its record is known or not.
func (s *Snapshot) Label(id string) string {
	m := s.Machines[id]
	m.ID = id
	return m.Label()
}

// SameMap reports whether two maps are one, without looking into them: With
// shares those that a change doesn't touch.
func SameMap[K comparable, V any](a, b map[K]V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// Change is one step from a snapshot to a later one: all that was written at
// one or several consecutive revisions. A nil value in a map is a deletion.
type Change struct {
	Revision    int64
	ClusterID   *string
	Leader      *Leader
	Machines    map[string]*Machine
	Runs        map[string]*Run
	Units       map[string]*Unit
	Assignments map[UnitOnMachine]*Assignment
	Statuses    map[UnitOnMachine]*Status
	Fences      map[string]*Fence
	Findings
	Events []Event // events recorded; not part of the snapshot
}

// With returns the snapshot after a change. Maps the change doesn't touch are shared.
func (s *Snapshot) With(c Change) *Snapshot {
	n := *s
	n.Revision = c.Revision
	if c.ClusterID != nil {
		n.ClusterID = *c.ClusterID
	}
	if c.Leader != nil {
		n.Leader = *c.Leader
	}
	n.Machines = patched(s.Machines, c.Machines)
	n.Runs = patched(s.Runs, c.Runs)
	n.Units = patched(s.Units, c.Units)
	n.Assignments = patched(s.Assignments, c.Assignments)
	n.Statuses = patched(s.Statuses, c.Statuses)
	n.Fences = patched(s.Fences, c.Fences)
	n.Verdicts = patched(s.Verdicts, c.Verdicts)
	n.Unplaced = patched(s.Unplaced, c.Unplaced)
	n.WhatIf = patched(s.WhatIf, c.WhatIf)
	return &n
}

// Then returns both changes as one: c, and next after it. Where both write the
// same thing next wins. Neither is altered.
func (c Change) Then(next Change) Change {
	n := Change{Revision: max(c.Revision, next.Revision), ClusterID: c.ClusterID, Leader: c.Leader}
	if next.ClusterID != nil {
		n.ClusterID = next.ClusterID
	}
	if next.Leader != nil {
		n.Leader = next.Leader
	}
	n.Machines = joined(c.Machines, next.Machines)
	n.Runs = joined(c.Runs, next.Runs)
	n.Units = joined(c.Units, next.Units)
	n.Assignments = joined(c.Assignments, next.Assignments)
	n.Statuses = joined(c.Statuses, next.Statuses)
	n.Fences = joined(c.Fences, next.Fences)
	n.Findings = Findings{Verdicts: joined(c.Verdicts, next.Verdicts), Unplaced: joined(c.Unplaced, next.Unplaced),
		WhatIf: joined(c.WhatIf, next.WhatIf)}
	n.Events = slices.Concat(c.Events, next.Events)
	return n
}

// Size is the number of things a change writes or removes.
func (c Change) Size() int {
	n := len(c.Machines) + len(c.Runs) + len(c.Units) + len(c.Assignments) + len(c.Statuses) + len(c.Fences) + len(c.Events) +
		c.Findings.Size()
	if c.ClusterID != nil {
		n++
	}
	if c.Leader != nil {
		n++
	}
	return n
}

func joined[K comparable, V any](old, next map[K]V) map[K]V {
	switch {
	case len(next) == 0:
		return old
	case len(old) == 0:
		return next
	}
	m := maps.Clone(old)
	maps.Copy(m, next)
	return m
}

func patched[K comparable, V any](old map[K]V, patch map[K]*V) map[K]V {
	if len(patch) == 0 {
		return old
	}
	m := maps.Clone(old)
	for k, v := range patch {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = *v
		}
	}
	return m
}
