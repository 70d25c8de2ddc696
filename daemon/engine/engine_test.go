package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/daemon/health"
	"fleettop/daemon/view"
	"fleettop/units"
)

var _ Health = (*health.Tracker)(nil)

const deadline = 60 * time.Second

// verdicts is a Health that a test sets.
type verdicts struct {
	mu      sync.Mutex
	state   health.State
	changed chan struct{}
}

func (v *verdicts) State() health.State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

func (v *verdicts) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

func (v *verdicts) set(id string, state cluster.HealthState, silent time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next := map[string]cluster.Health{}
	for k, h := range v.state.Health {
		next[k] = h
	}
	now := time.Now()
	next[id] = cluster.Health{State: state, Since: now, SilentSince: now.Add(-silent), Evidence: "the test says so"}
	v.state.Health = next
	close(v.changed)
	v.changed = make(chan struct{})
}

// in says in which session of this machine's the verdicts were made.
func (v *verdicts) in(session int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.Session = session
	close(v.changed)
	v.changed = make(chan struct{})
}

// hold says that failovers are held, or not, where why is empty.
func (v *verdicts) hold(why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.Hold = why
	close(v.changed)
	v.changed = make(chan struct{})
}

// rig is a cluster in memory with machines and an engine to lead it.
type rig struct {
	t       *testing.T
	ctx     context.Context
	cluster *memstore.Cluster
	store   *memstore.Store
	health  *verdicts
	view    *view.View
	engine  *Engine
	session map[string]cluster.Session
}

func newRig(t *testing.T, machines ...string) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := memstore.New()
	r := &rig{t: t, ctx: ctx, cluster: c, store: c.Open(), session: map[string]cluster.Session{},
		health: &verdicts{changed: make(chan struct{}), state: health.State{Health: map[string]cluster.Health{}}}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	r.view = view.New(r.store, log, time.Second)
	var running sync.WaitGroup
	running.Go(func() { r.view.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, id := range machines {
		r.must(r.store.UpdateMachine(ctx, id, func(m *cluster.Machine) error { m.Name = id; return nil }))
		s, err := c.Open().Register(ctx, cluster.Run{Machine: id, ID: "run-" + id, Address: id + ":1"}, time.Hour)
		r.must(err)
		r.session[id] = s
		r.health.set(id, cluster.Up, 0)
	}
	r.engine = New(Config{Self: machines[0], Store: r.store, View: r.view, Health: r.health, Log: log})
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// lead makes the first machine lead, and returns how to end that and what Lead returns.
func (r *rig) lead(id string) (stop func() error) {
	r.t.Helper()
	l, err := r.store.Campaign(r.ctx, r.session[id])
	r.must(err)
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() { done <- r.engine.Lead(ctx, l) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	r.t.Cleanup(func() { _ = stop() })
	return stop
}

func (r *rig) put(names ...string) {
	r.t.Helper()
	for _, name := range names {
		u := cluster.Unit{Name: name, Content: "[Service]\nExecStart=/bin/true\n", Hash: "h", Desired: units.Launched,
			Generation: r.cluster.Snapshot().Units[name].Generation + 1}
		errs, err := r.store.PutUnits(r.ctx, []cluster.Unit{u})
		r.must(err)
		r.must(errs[0])
	}
}

// until waits for a condition on the cluster.
func (r *rig) until(what string, ok func(*cluster.Snapshot) bool) {
	r.t.Helper()
	end := time.Now().Add(deadline)
	for !ok(r.cluster.Snapshot()) {
		if time.Now().After(end) {
			r.t.Fatalf("not within %s: %s", deadline, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// run reports every unit a machine was given as active.
func (r *rig) run(id string) {
	r.t.Helper()
	var puts []cluster.Status
	for k, a := range r.cluster.Snapshot().Assignments {
		if k.Machine == id {
			puts = append(puts, cluster.Status{Machine: id, Epoch: a.Epoch, Generation: a.Generation,
				Status: units.Status{Name: a.Unit, Hash: a.Hash, Load: "loaded", Active: "active", Sub: "running"}})
		}
	}
	r.must(r.session[id].PutStatuses(r.ctx, puts, nil))
}

func (r *rig) event(kind cluster.EventKind, contains string) cluster.Event {
	r.t.Helper()
	var found cluster.Event
	r.until(string(kind)+" event with "+contains, func(*cluster.Snapshot) bool {
		events, err := r.store.Events(r.ctx, time.Time{}, 1000)
		r.must(err)
		for _, e := range events {
			if e.Kind == kind && strings.Contains(e.Text, contains) {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func placed(n int) func(*cluster.Snapshot) bool {
	return func(s *cluster.Snapshot) bool { return len(s.Assignments) == n }
}

func TestFailover(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	r.lead("n1")
	r.put("a.service", "b.service", "c.service")
	r.until("three units placed", placed(3))
	for _, id := range []string{"n1", "n2", "n3"} {
		r.run(id)
	}
	r.event(cluster.EventLeader, "n1 leads the cluster")
	r.event(cluster.EventPlaced, "a.service placed on n1: fewest units (0) of 3 eligible machines")

	r.health.set("n3", cluster.Failed, 700*time.Millisecond)
	r.until("n3's unit is elsewhere", func(s *cluster.Snapshot) bool {
		for k := range s.Assignments {
			if k.Machine == "n3" {
				return false
			}
		}
		return len(s.Assignments) == 3
	})
	r.until("n3's run is evicted", func(s *cluster.Snapshot) bool { _, ok := s.Runs["n3"]; return !ok })
	r.event(cluster.EventMachine, "n3 failed: the test says so")
	r.run("n1")
	r.run("n2")
	e := r.event(cluster.EventFailover, "n3 failed · 1 unit moved · worst outage ")
	if e.Outage == nil || e.Outage.Units != 1 || e.Outage.Detect != 700*time.Millisecond || e.Outage.Decide <= 0 {
		t.Errorf("outage %+v", e.Outage)
	}
	e = r.event(cluster.EventMoved, "c.service n3 -> n1: moved from n3: machine failed; fewest units")
	if e.From != "n3" || e.To != "n1" || e.Unit != "c.service" {
		t.Errorf("moved event %+v", e)
	}
	r.event(cluster.EventActive, "c.service is active on n1, outage ")
}

// TestFailureWhileNobodyLed: a machine that failed while the store was away, and
// had no unit, is told of by the next leader, and by that one alone.
func TestFailureWhileNobodyLed(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	stop := r.lead("n1")
	r.health.set("n3", cluster.Suspect, 0)
	r.health.set("n3", cluster.DaemonGone, 0)
	r.event(cluster.EventMachine, "n3 lost its daemon")
	r.must(stop())
	r.must(r.store.Evict(r.ctx, "n3", "run-n3"))
	r.health.set("n3", cluster.Failed, time.Second)
	stop = r.lead("n1")
	r.event(cluster.EventMachine, "n3 failed: the test says so")
	r.must(stop())
	r.lead("n1")
	r.put("a.service")
	r.until("placed", placed(1))
	events, err := r.store.Events(r.ctx, time.Time{}, 1000)
	r.must(err)
	told := 0
	for _, e := range events {
		if strings.Contains(e.Text, "n3 failed") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("it was told %d times", told)
	}
}

func TestUnplacedIsPlacedWhenItCanBe(t *testing.T) {
	r := newRig(t, "n1")
	r.health.set("n1", cluster.DaemonGone, 0)
	stop := r.lead("n1")
	r.put("a.service")
	r.until("a reason", func(s *cluster.Snapshot) bool { return s.WhyUnplaced("a.service") != "" })
	if got, want := r.cluster.Snapshot().WhyUnplaced("a.service"), "1 machine: 1 has lost its daemon"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.health.set("n1", cluster.Up, 0)
	r.until("placed", placed(1))
	if err := stop(); err != nil {
		t.Error(err)
	}
	r.until("no reason", func(s *cluster.Snapshot) bool { return len(s.Unplaced) == 0 })
}

// TestVerdictsAreInTheStore: what the leader holds true of each machine is
// there for all, with the machine that saw it, and what the death of each would do.
func TestVerdictsAreInTheStore(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	stop := r.lead("n1")
	r.demand("id.service", "MachineID=n3")
	verdict := func(id string, state cluster.HealthState) func(*cluster.Snapshot) bool {
		return func(s *cluster.Snapshot) bool { return s.Verdicts[id].State == state && s.Verdicts[id].By == "n1" }
	}
	r.until("n2 is up", verdict("n2", cluster.Up))
	r.until("n3's death would strand its unit", func(s *cluster.Snapshot) bool {
		return s.WhatIf["n3"].Strands == 1 && s.WhatIf["n3"].Units[0] == "id.service" && len(s.WhatIf) == 3
	})
	r.health.set("n3", cluster.Failed, 700*time.Millisecond)
	r.until("n3 failed", verdict("n3", cluster.Failed))
	r.until("a dead machine strands nothing more", func(s *cluster.Snapshot) bool { return len(s.WhatIf) == 2 })
	r.must(r.store.DeleteMachine(r.ctx, "n3"))
	r.until("the verdict on a forgotten machine is gone", func(s *cluster.Snapshot) bool { return len(s.Verdicts) == 2 })
	r.must(stop())
}

// TestADeposedLeaderTellsNothing: a leader that was replaced and doesn't know
// it yet puts no verdict of its own on the timeline.
func TestADeposedLeaderTellsNothing(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	l, err := r.store.Campaign(r.ctx, r.session["n1"])
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- r.engine.Lead(r.ctx, l) }()
	r.until("n3 is up", func(s *cluster.Snapshot) bool { return s.Verdicts["n3"].State == cluster.Up })
	r.must(r.store.Evict(r.ctx, "n1", "run-n1"))
	_, err = r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	r.health.set("n3", cluster.Failed, 700*time.Millisecond)
	select {
	case err := <-ended:
		if !errors.Is(err, cluster.ErrNotLeader) {
			t.Error(err)
		}
	case <-time.After(deadline):
		t.Fatal("it still leads")
	}
	events, err := r.store.Events(r.ctx, time.Time{}, 0)
	r.must(err)
	for _, e := range events {
		if e.Machine == "n3" && e.State == cluster.Failed {
			t.Errorf("told: %s", e.Text)
		}
	}
}

// TestADeposedLeaderTellsOfNoHold: a line that comes with no verdict, and with
// nothing else to write, is as little told as one that does.
func TestADeposedLeaderTellsOfNoHold(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	l, err := r.store.Campaign(r.ctx, r.session["n1"])
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- r.engine.Lead(r.ctx, l) }()
	r.until("all is written", func(s *cluster.Snapshot) bool { return len(s.Verdicts) == 3 && len(s.WhatIf) == 3 })
	r.must(r.store.Evict(r.ctx, "n1", "run-n1"))
	_, err = r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	r.health.hold("too many vanished")
	select {
	case err := <-ended:
		if !errors.Is(err, cluster.ErrNotLeader) {
			t.Error(err)
		}
	case <-time.After(deadline):
		t.Fatal("it still leads")
	}
	events, err := r.store.Events(r.ctx, time.Time{}, 0)
	r.must(err)
	for _, e := range events {
		if e.Kind == cluster.EventHold {
			t.Errorf("told: %s", e.Text)
		}
	}
}

func TestAnOldTermWritesNothing(t *testing.T) {
	r := newRig(t, "n1", "n2")
	l, err := r.store.Campaign(r.ctx, r.session["n1"])
	r.must(err)
	r.must(r.store.Evict(r.ctx, "n1", "run-n1"))
	next, err := r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	if next.Term <= l.Term {
		t.Fatal("the term did not grow")
	}
	r.put("a.service")
	if err := r.engine.Lead(r.ctx, l); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("leading an old term returned %v", err)
	}
	if n := len(r.cluster.Snapshot().Assignments); n > 0 {
		t.Errorf("an old term made %d assignments", n)
	}
}

// slowStore lets somebody else change a unit just before a move is written.
type slowStore struct {
	*memstore.Store
	before func()
}

func (s *slowStore) Apply(ctx context.Context, term int64, moves []cluster.Move,
	found cluster.Findings) (int64, []error, error) {
	if len(moves) > 0 {
		s.before()
	}
	return s.Store.Apply(ctx, term, moves, found)
}

func TestConflictIsPlannedAgain(t *testing.T) {
	r := newRig(t, "n1")
	once := sync.OnceFunc(func() { r.put("a.service") })
	r.engine.cfg.Store = &slowStore{r.store, once}
	r.put("a.service")
	r.lead("n1")
	r.until("placed at the second generation", func(s *cluster.Snapshot) bool {
		return s.Assignments[cluster.UnitOnMachine{Machine: "n1", Unit: "a.service"}].Generation == 2
	})
}

func TestUnknownOutcomeEndsTheTerm(t *testing.T) {
	r := newRig(t, "n1")
	r.engine.cfg.Store = &slowStore{r.store, func() { r.store.SetReachable(false) }}
	l, err := r.store.Campaign(r.ctx, r.session["n1"])
	r.must(err)
	r.put("a.service")
	if err := r.engine.Lead(r.ctx, l); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestDeadLeaderIsEvicted(t *testing.T) {
	r := newRig(t, "n1", "n2")
	_, err := r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	ctx, cancel := context.WithCancel(r.ctx)
	var running sync.WaitGroup
	running.Go(func() { r.engine.WatchLeader(ctx) })
	defer running.Wait()
	defer cancel()
	r.health.set("n2", cluster.Suspect, 0)
	r.health.set("n2", cluster.Failed, 0)
	r.until("nobody leads", func(s *cluster.Snapshot) bool { return s.Leader.Run == "" })
}

// What a machine judged in the session before, or without one, ends no leader's lease and places no unit.
func TestVerdictsOfAnotherSessionDecideNothing(t *testing.T) {
	r := newRig(t, "n1", "n2")
	l, err := r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	ctx, cancel := context.WithCancel(r.ctx)
	var running sync.WaitGroup
	running.Go(func() { r.engine.WatchLeader(ctx) })
	defer running.Wait()
	defer cancel()
	r.health.in(1)
	r.health.set("n2", cluster.Failed, 0)
	still := func(what string, ok func(*cluster.Snapshot) bool) {
		t.Helper()
		for range 10 {
			time.Sleep(5 * time.Millisecond)
			if !ok(r.cluster.Snapshot()) {
				t.Fatal(what)
			}
		}
	}
	still("the leader's lease was ended", func(s *cluster.Snapshot) bool { return s.Leader.Term == l.Term })
	r.health.in(0)
	r.until("nobody leads", func(s *cluster.Snapshot) bool { return s.Leader.Run == "" })

	r.health.in(1)
	r.lead("n1")
	r.put("a.service")
	still("a unit was placed", func(s *cluster.Snapshot) bool { return len(s.Assignments) == 0 })
	r.health.in(0)
	r.until("placed", placed(1))
}

// A machine that leads again though another one still takes it for dead is left to lead.
func TestALeaderThatCameBackLeads(t *testing.T) {
	r := newRig(t, "n1", "n2")
	_, err := r.store.Campaign(r.ctx, r.session["n2"])
	r.must(err)
	ctx, cancel := context.WithCancel(r.ctx)
	var running sync.WaitGroup
	running.Go(func() { r.engine.WatchLeader(ctx) })
	defer running.Wait()
	defer cancel()
	r.health.set("n2", cluster.Failed, 0)
	r.until("nobody leads", func(s *cluster.Snapshot) bool { return s.Leader.Run == "" })
	again, err := r.cluster.Open().Register(r.ctx, cluster.Run{Machine: "n2", ID: "run-n2", Address: "n2:1"}, time.Hour)
	r.must(err)
	l, err := r.store.Campaign(r.ctx, again)
	r.must(err)
	r.put("a.service") // what the engine sees next
	lease := r.view.Hold()
	defer lease.Release()
	_, err = lease.Snapshot(r.ctx, r.cluster.Snapshot().Revision)
	r.must(err)
	select {
	case <-again.Done():
		t.Error("its session was ended")
	case <-time.After(50 * time.Millisecond):
	}
	if now := r.cluster.Snapshot().Leader; now.Term != l.Term {
		t.Errorf("it led in term %d, now it is %+v", l.Term, now)
	}
}

// forgetful fails to write a hold for some times.
type forgetful struct {
	*memstore.Store
	failures int
}

func (s *forgetful) Apply(ctx context.Context, term int64, moves []cluster.Move,
	found cluster.Findings) (int64, []error, error) {
	if found.Hold != nil {
		if s.failures--; s.failures >= 0 {
			return 0, nil, cluster.ErrUnavailable
		}
	}
	return s.Store.Apply(ctx, term, moves, found)
}

func TestHoldIsTold(t *testing.T) {
	r := newRig(t, "n1", "n2")
	r.engine.cfg.Store = &forgetful{Store: r.store, failures: 2}
	r.lead("n1")
	r.put("a.service", "b.service")
	r.until("placed", placed(2))
	r.health.mu.Lock()
	r.health.state.Hold = "too many vanished"
	r.health.mu.Unlock()
	r.health.set("n2", cluster.Failed, 0)
	r.event(cluster.EventHold, "failovers are held for n2: too many vanished")
	r.until("every daemon can read of the hold",
		func(s *cluster.Snapshot) bool { return s.Leader.Hold == "too many vanished" })
	if _, ok := r.cluster.Snapshot().Assignments[cluster.UnitOnMachine{Machine: "n2", Unit: "b.service"}]; !ok {
		t.Error("a unit was moved in spite of the hold")
	}
	r.health.mu.Lock()
	r.health.state.Hold = ""
	r.health.mu.Unlock()
	r.health.set("n2", cluster.Up, 0)
	r.event(cluster.EventHold, "no longer held")
	r.until("the record says so", func(s *cluster.Snapshot) bool { return s.Leader.Run != "" && s.Leader.Hold == "" })
}
