package api

import (
	"maps"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
)

const (
	// whatIfBudget is how long one look asks the planner about machines that
	// might die. A large cluster is looked through in several looks.
	whatIfBudget = 100 * time.Millisecond
	whatIfPause  = 500 * time.Millisecond
	whatIfNames  = 5
)

// WhatIf is what would become of a machine's units if it died now.
type WhatIf struct {
	Machine string   `json:"machine"`
	Strands int      `json:"strands"`         // units that no other machine could take
	Units   []string `json:"units,omitempty"` // the first few of them, by name
}

// whatIfs answers what would be stranded by the death of each machine. Its
// answers are shared by all watches and hold until something moves.
type whatIfs struct {
	mu     sync.Mutex // guards all below
	snap   *cluster.Snapshot
	states map[string]cluster.HealthState
	known  map[string]WhatIf // by machine
}

// look returns the answers for the machines that run units, as far as they
// are worked out within the budget, and whether that is all of them.
func (w *whatIfs) look(planner *schedule.Planner, snap *cluster.Snapshot, health map[string]cluster.Health) (answers map[string]WhatIf, complete bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	states := make(map[string]cluster.HealthState, len(snap.Machines))
	for id := range snap.Machines {
		states[id] = health[id].State
	}
	if w.snap == nil || !samePlaces(w.snap, snap) || !maps.Equal(states, w.states) {
		w.known = map[string]WhatIf{}
	}
	w.snap, w.states = snap, states
	busy := map[string]bool{}
	for k := range snap.Assignments {
		busy[k.Machine] = true
	}
	until := time.Now().Add(whatIfBudget)
	for _, id := range sortedKeys(snap.Machines) {
		if _, ok := w.known[id]; ok || !states[id].Runs() {
			continue
		}
		if !busy[id] {
			w.known[id] = WhatIf{Machine: id}
			continue
		}
		if time.Now().After(until) {
			return maps.Clone(w.known), false
		}
		names := planner.WhatIf(planned(snap, health), id)
		w.known[id] = WhatIf{Machine: id, Strands: len(names), Units: names[:min(len(names), whatIfNames)]}
	}
	return maps.Clone(w.known), true
}

// samePlaces tells whether two snapshots give a planner the same to go by.
// Snapshots share the maps that did not change between them.
func samePlaces(a, b *cluster.Snapshot) bool {
	c := diff(&cluster.Snapshot{Machines: a.Machines, Units: a.Units, Assignments: a.Assignments},
		&cluster.Snapshot{Machines: b.Machines, Units: b.Units, Assignments: b.Assignments})
	return len(c.Machines)+len(c.Units)+len(c.Assignments) == 0
}
