package engine

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/units"
)

// crowd is a cluster with as many different units, one in a hundred of them on n2.
func crowd(n int) *cluster.Snapshot {
	snap := cluster.NewSnapshot(1)
	change := cluster.Change{Revision: 2, Units: map[string]*cluster.Unit{},
		Machines:    map[string]*cluster.Machine{"n1": {ID: "n1", Name: "n1"}, "n2": {ID: "n2", Name: "n2"}},
		Assignments: map[cluster.UnitOnMachine]*cluster.Assignment{}}
	for i := range n {
		name := fmt.Sprintf("u%05d.service", i)
		content := fmt.Sprintf("[Unit]\nDescription=%d\n[Service]\nExecStart=/bin/sleep %d\n", i, i)
		machine := "n1"
		if i%100 == 0 {
			machine = "n2"
		}
		change.Units[name] = &cluster.Unit{Name: name, Content: content, Hash: name, Desired: units.Launched, Generation: 1}
		change.Assignments[cluster.UnitOnMachine{Machine: machine, Unit: name}] = &cluster.Assignment{Unit: name,
			Machine: machine, Content: content, Hash: name, Desired: units.Launched, Generation: 1, Epoch: 1}
	}
	return snap.With(change)
}

// allocations is how often memory was taken while f ran: a measure of work that
// no other load of the test's machine changes.
func allocations(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// One that may lead has seen the units before it does.
func TestSuccessorIsWarm(t *testing.T) {
	const n = 2000
	r := newRig(t, "n1", "n2")
	_, err := r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	var batch []cluster.Unit
	for _, u := range crowd(n).Units {
		u.Generation = 1
		batch = append(batch, u)
	}
	errs, err := r.store.PutUnits(r.ctx, batch)
	r.must(err)
	for _, err := range errs {
		r.must(err)
	}
	seen := make(chan struct{}, 1)
	calls := 0
	var mu sync.Mutex // guards calls
	r.engine.cfg.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls%2 == 0 { // after a plan
			select {
			case seen <- struct{}{}:
			default:
			}
		}
		return time.Now()
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var running sync.WaitGroup
	running.Go(func() { r.engine.WatchLeader(ctx) })
	select {
	case <-seen:
	case <-time.After(deadline):
		t.Error("the planner sees nothing while another machine leads")
	}
	cancel()
	running.Wait()

	in := schedule.Input{Snapshot: r.cluster.Snapshot(), Health: r.health.State().Health}
	warm := allocations(func() { r.engine.cfg.Planner.Plan(in, noon) })
	cold := allocations(func() { schedule.New().Plan(in, noon) })
	if warm > cold/10 {
		t.Errorf("the first plan of %d units takes memory %d times, and %d times with a planner that has seen nothing", n, warm, cold)
	}
}

// BenchmarkFirstPlan is what a new leader's first plan costs, when the machine
// of the old one has died.
func BenchmarkFirstPlan(b *testing.B) {
	snap := crowd(10_000)
	up := map[string]cluster.Health{"n1": {State: cluster.Up}, "n2": {State: cluster.Up}}
	dead := map[string]cluster.Health{"n1": {State: cluster.Up}, "n2": {State: cluster.Failed}}
	run := func(b *testing.B, warm bool) {
		for b.Loop() {
			b.StopTimer()
			p := schedule.New()
			if warm {
				p.Plan(schedule.Input{Snapshot: snap, Health: up}, noon)
			}
			b.StartTimer()
			if r := p.Plan(schedule.Input{Snapshot: snap, Health: dead}, noon); len(r.Moves) != 100 {
				b.Fatal(len(r.Moves))
			}
		}
	}
	b.Run("cold", func(b *testing.B) { run(b, false) })
	b.Run("warm", func(b *testing.B) { run(b, true) })
}
