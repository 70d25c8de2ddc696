package server

import (
	"maps"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
)

const (
	// whatIfBudget is how long one look asks the planner about machines that
	// might die. A large cluster is looked through in several looks.
	whatIfBudget = 100 * time.Millisecond
	whatIfPause  = 500 * time.Millisecond
	whatIfNames  = 5
)

// whatIfs answers what would be stranded by the death of each machine. Its
// answers are shared by all watches and hold until something moves.
type whatIfs struct {
	asking sync.Mutex // held by the one look that asks the planner
	mu     sync.Mutex // guards all below, and is held for moments
	snap   *cluster.Snapshot
	states map[string]cluster.HealthState
	known  map[string]api.WhatIf // by machine
	turn   int                   // counts the times that known began anew
}

// look returns the answers for the machines that run units, as far as they
// are worked out, by this look within its budget or by others, and whether that
// is all of them. It doesn't wait for another look that is working them out.
func (w *whatIfs) look(planner *schedule.Planner, snap *cluster.Snapshot, health map[string]cluster.Health) (answers map[string]api.WhatIf, complete bool) {
	missing, turn := w.begin(snap, health)
	if len(missing) > 0 && w.asking.TryLock() {
		defer w.asking.Unlock()
		until := time.Now().Add(whatIfBudget)
		for len(missing) > 0 && time.Now().Before(until) {
			names := planner.WhatIf(planned(snap, health), missing[0])
			w.answered(turn, api.WhatIf{Machine: missing[0], Strands: len(names), Units: names[:min(len(names), whatIfNames)]})
			missing = missing[1:]
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.known), len(missing) == 0
}

// begin drops answers that hold no more, and returns the machines to ask about.
func (w *whatIfs) begin(snap *cluster.Snapshot, health map[string]cluster.Health) (missing []string, turn int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	states := make(map[string]cluster.HealthState, len(snap.Machines))
	for id := range snap.Machines {
		states[id] = health[id].State
	}
	if w.snap == nil || !samePlaces(w.snap, snap) || !maps.Equal(states, w.states) {
		w.known = map[string]api.WhatIf{}
		w.turn++
	}
	w.snap, w.states = snap, states
	busy := map[string]bool{}
	for k := range snap.Assignments {
		busy[k.Machine] = true
	}
	for _, id := range sortedKeys(snap.Machines) {
		if _, ok := w.known[id]; ok || !states[id].Runs() {
			continue
		}
		if busy[id] {
			missing = append(missing, id)
		} else {
			w.known[id] = api.WhatIf{Machine: id}
		}
	}
	return missing, w.turn
}

// answered keeps an answer, unless another look has seen the cluster change.
func (w *whatIfs) answered(turn int, a api.WhatIf) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.turn == turn {
		w.known[a.Machine] = a
	}
}

// samePlaces tells whether two snapshots give a planner the same to go by.
// Snapshots share the maps that did not change between them.
func samePlaces(a, b *cluster.Snapshot) bool {
	c := diff(&cluster.Snapshot{Machines: a.Machines, Units: a.Units, Assignments: a.Assignments},
		&cluster.Snapshot{Machines: b.Machines, Units: b.Units, Assignments: b.Assignments})
	return len(c.Machines)+len(c.Units)+len(c.Assignments) == 0
}
