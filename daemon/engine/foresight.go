package engine

import (
	"context"
	"maps"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/units/retry"
)

const (
	// foresightQuiet is how long nothing may have changed before the leader
	// works out what the death of each machine would do.
	foresightQuiet = 250 * time.Millisecond
	whatIfNames    = 5
)

// foresight works out what the death of each machine would do to its units,
// beside the leader's own work and with a planner of its own.
type foresight struct {
	planner *schedule.Planner
	latest  schedule.Input      // asked last; ask alone uses it
	asked   chan schedule.Input // capacity 1: the newest
	answers chan map[string]cluster.WhatIf
}

func newForesight() *foresight {
	return &foresight{planner: schedule.New(), asked: make(chan schedule.Input, 1),
		answers: make(chan map[string]cluster.WhatIf, 1)}
}

// ask replaces the question, if it is another one: what units report changes
// all the time and no answer. It doesn't block.
func (f *foresight) ask(in schedule.Input) {
	if !samePlaces(in, f.latest) {
		f.latest = in
		replace(f.asked, in)
	}
}

// replace puts a value into a channel of capacity 1, in place of one that was
// not taken yet. Only one goroutine may send.
func replace[V any](c chan V, v V) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// run answers until ctx ends. A question that comes meanwhile takes the place
// of the one being answered.
func (f *foresight) run(ctx context.Context) {
	var in schedule.Input
	for {
		select {
		case <-ctx.Done():
			return
		case in = <-f.asked:
		}
		for waiting := true; waiting; {
			quiet := time.NewTimer(foresightQuiet)
			select {
			case <-ctx.Done():
				return
			case in = <-f.asked:
			case <-quiet.C:
				waiting = false
			}
			quiet.Stop()
		}
		if answers := f.work(ctx, in); answers != nil {
			replace(f.answers, answers)
		}
	}
}

// work asks the planner about each machine that runs, and rests after each as
// long as that took. It returns nil when another question has come, or ctx has ended.
func (f *foresight) work(ctx context.Context, in schedule.Input) map[string]cluster.WhatIf {
	busy := map[string]bool{}
	for k := range in.Snapshot.Assignments {
		busy[k.Machine] = true
	}
	answers := map[string]cluster.WhatIf{}
	for id := range in.Snapshot.Machines {
		if !in.Health[id].State.Runs() {
			continue
		}
		if answers[id] = (cluster.WhatIf{}); !busy[id] {
			continue
		}
		began := time.Now()
		names := f.planner.WhatIf(in, id)
		answers[id] = cluster.WhatIf{Strands: len(names), Units: names[:min(len(names), whatIfNames)]}
		if !retry.Pause(ctx, time.Since(began)) || len(f.asked) > 0 {
			return nil
		}
	}
	return answers
}

// samePlaces reports whether two inputs give a planner the same to go by.
func samePlaces(a, b schedule.Input) bool {
	if a.Snapshot == nil || b.Snapshot == nil || a.Hold != b.Hold {
		return false
	}
	states := func(h map[string]cluster.Health) map[string]cluster.HealthState {
		out := make(map[string]cluster.HealthState, len(h))
		for id, v := range h {
			out[id] = v.State
		}
		return out
	}
	return cluster.SameMap(a.Snapshot.Machines, b.Snapshot.Machines) &&
		cluster.SameMap(a.Snapshot.Units, b.Snapshot.Units) &&
		cluster.SameMap(a.Snapshot.Assignments, b.Snapshot.Assignments) && maps.Equal(states(a.Health), states(b.Health))
}
