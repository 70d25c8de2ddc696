package health

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/view"
)

var (
	_ Members = (*membership.Membership)(nil)
	_ View    = (*view.View)(nil)
)

const deadline = 20 * time.Second

// world is gossip and a view that a test sets.
type world struct {
	mu      sync.Mutex
	members map[string]membership.Member
	snap    *cluster.Snapshot
	cut     bool // from the store
	gossip  chan struct{}
	stored  chan struct{}
}

func (w *world) Members() []membership.Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []membership.Member
	for _, m := range w.members {
		list = append(list, m)
	}
	return list
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gossip
}

func (w *world) LastKnown() (*cluster.Snapshot, bool, time.Time, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap, !w.cut, time.Time{}, w.stored
}

// cutOff cuts the tracker's machine off from the store, or gives it a session there.
func (w *world) cutOff(cut bool, self string, session int) {
	w.mu.Lock()
	w.cut = cut
	w.mu.Unlock()
	w.store(cluster.Change{Runs: map[string]*cluster.Run{self: {Machine: self, ID: "run", Session: session}}})
}

func (w *world) hear(id string, state membership.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.members[id]
	m.ID, m.State, m.Since = id, state, time.Now()
	if state == membership.Alive {
		m.LastSeen, m.LastAck = m.Since, m.Since
	}
	w.members[id] = m
	close(w.gossip)
	w.gossip = make(chan struct{})
}

func (w *world) store(c cluster.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.Revision = w.snap.Revision + 1
	w.snap = w.snap.With(c)
	close(w.stored)
	w.stored = make(chan struct{})
}

// watched is a world with a Tracker looking at it.
type watched struct {
	*world
	t       *testing.T
	tracker *Tracker
	probes  atomic.Int64
	answer  atomic.Value // membership.Verdict
	late    atomic.Int64 // how long an answer takes, in nanoseconds
	// patience is what the last probe was allowed to take.
	patience atomic.Int64
	third    atomic.Value // membership.Verdict of probes of machines that are well
	// others is what another machine says that it sees: func(witness string) membership.Verdict.
	others atomic.Value
	asked  atomic.Int64
	told   chan string // each machine that is told of a doubt: its address, and whom of
	// decides is whether the machine does.
	decides atomic.Bool
}

func watch(t *testing.T, grace time.Duration, machines ...string) *watched {
	t.Helper()
	w := &watched{t: t, world: &world{members: map[string]membership.Member{}, snap: cluster.NewSnapshot(1),
		gossip: make(chan struct{}), stored: make(chan struct{})}, told: make(chan string, 100)}
	w.decides.Store(true)
	w.answer.Store(membership.Answered)
	w.third.Store(membership.Answered)
	for _, id := range machines {
		w.store(cluster.Change{Machines: map[string]*cluster.Machine{id: {ID: id, ProbeAddress: id + ":1"}},
			Runs: map[string]*cluster.Run{id: {Machine: id, ID: "run"}}})
		w.hear(id, membership.Alive)
	}
	probe := func(ctx context.Context, addr, id string, p membership.Patience, tell func(membership.Verdict)) {
		w.mu.Lock()
		well := w.members[id].State == membership.Alive && id != "victim"
		w.mu.Unlock()
		if well { // a look at another one
			tell(w.third.Load().(membership.Verdict))
			return
		}
		w.probes.Add(1)
		w.patience.Store(int64(p.Allowed))
		v := w.answer.Load().(membership.Verdict)
		if late := time.Duration(w.late.Load()); late > 0 {
			if p.Allowed < late {
				tell(membership.Silent)
			}
			select {
			case <-time.After(late):
			case <-ctx.Done():
				return
			}
		}
		if v == membership.Answered {
			tell(membership.Reached)
		}
		tell(v)
	}
	w.others.Store(func(string) membership.Verdict { return membership.Unknown })
	ask := func(_ context.Context, addr, witness, id string, _ time.Duration) membership.Verdict {
		if addr != witness+":1" || witness == id || witness == machines[0] {
			t.Errorf("%s is asked at %s about %s", witness, addr, id)
		}
		w.asked.Add(1)
		return w.others.Load().(func(string) membership.Verdict)(witness)
	}
	tell := func(_ context.Context, addr, id string, _ time.Duration) { w.told <- addr + " " + id }
	w.tracker = New(Config{Self: machines[0], Grace: grace, Probe: probe, Ask: ask, Tell: tell, Decides: w.decides.Load,
		Interval: 50 * time.Millisecond}, w, w)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.tracker.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, id := range machines {
		w.until(id, cluster.Up)
	}
	return w
}

func (w *watched) until(id string, state cluster.HealthState) cluster.Health {
	w.t.Helper()
	timeout := time.After(deadline)
	for {
		changed := w.tracker.Changed()
		h := w.tracker.Health()[id]
		if h.State == state {
			return h
		}
		select {
		case <-changed:
		case <-timeout:
			w.t.Fatalf("%s is %+v, want %s", id, h, state)
		}
	}
}

func TestTrackerSeesAMachineDie(t *testing.T) {
	w := watch(t, time.Minute, "n1", "n2", "n3")
	if n := w.probes.Load(); n != 0 {
		t.Errorf("%d probes at rest", n)
	}
	w.answer.Store(membership.Silent)
	w.hear("n2", membership.Suspect)
	w.until("n2", cluster.Suspect)
	w.hear("n2", membership.Failed)
	h := w.until("n2", cluster.Failed)
	if h.SilentSince.IsZero() || h.SilentSince.After(h.Since) {
		t.Errorf("silent since %s, failed at %s", h.SilentSince, h.Since)
	}
	if w.tracker.State().Hold != "" {
		t.Error("held for one of three")
	}
	w.hear("n3", membership.Failed)
	w.until("n3", cluster.Failed)
	if hold := w.tracker.State().Hold; !strings.HasPrefix(hold, "2 of 3 machines vanished at once") {
		t.Error("not held for two of three")
	}
	w.answer.Store(membership.Answered)
	w.hear("n2", membership.Alive)
	w.until("n2", cluster.Up)
	if w.tracker.State().Hold == "" {
		t.Error("n3 got no time to come back, too")
	}
	w.hear("n3", membership.Alive)
	w.until("n3", cluster.Up)
	if w.tracker.State().Hold != "" {
		t.Error("held still")
	}
}

func TestTrackerEndsAHoldByItself(t *testing.T) {
	w := watch(t, 200*time.Millisecond, "n1", "n2", "n3")
	w.answer.Store(membership.Silent)
	for _, id := range []string{"n2", "n3"} {
		w.hear(id, membership.Failed)
		w.until(id, cluster.Failed)
	}
	w.hear("n2", membership.Alive)
	w.until("n2", cluster.Up)
	timeout := time.After(deadline)
	for {
		changed := w.tracker.Changed()
		if w.tracker.State().Hold == "" {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatal("held still")
		}
	}
}

func TestTrackerGivesADaemonItsGrace(t *testing.T) {
	w := watch(t, 300*time.Millisecond, "n1", "n2", "n3")
	w.answer.Store(membership.Refused)
	w.hear("n2", membership.Failed)
	began := w.until("n2", cluster.DaemonGone)
	if h := w.until("n2", cluster.Failed); h.Since.Sub(began.Since) < 200*time.Millisecond {
		t.Errorf("its grace was %s", h.Since.Sub(began.Since))
	}
	w.hear("n3", membership.Failed)
	w.until("n3", cluster.DaemonGone)
	w.hear("n3", membership.Alive)
	w.until("n3", cluster.Up)
}

// TestTrackerLetsAMachineLeave: one that left for good and has no record any more
// doesn't come up or fail because gossip still has it; it counts again when it joins anew.
func TestTrackerLetsAMachineLeave(t *testing.T) {
	w := watch(t, 50*time.Millisecond, "n1", "n2", "n3", "n4")
	stillDown := func(id, when string) {
		t.Helper()
		for _, state := range []membership.State{membership.Suspect, membership.Alive} {
			w.hear("n4", state) // a look that began after what this test did before
			w.until("n4", map[membership.State]cluster.HealthState{
				membership.Suspect: cluster.Suspect, membership.Alive: cluster.Up}[state])
		}
		if h := w.tracker.Health()[id]; h.State != cluster.Down {
			t.Errorf("%s %s: %+v", id, when, h)
		}
	}
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n2": {ID: "n2", Departure: cluster.Left}}})
	w.until("n2", cluster.Down)
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n2": nil}})
	stillDown("n2", "without a record, and heard by gossip")
	w.store(cluster.Change{Runs: map[string]*cluster.Run{"n2": nil}})
	stillDown("n2", "without a session")
	w.hear("n2", membership.Left)
	time.Sleep(60 * time.Millisecond) // the grace
	stillDown("n2", "gone from gossip, too")

	// Both changes came at once.
	w.hear("n3", membership.Left)
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n3": nil}, Runs: map[string]*cluster.Run{"n3": nil}})
	w.until("n3", cluster.Down)
	time.Sleep(60 * time.Millisecond)
	stillDown("n3", "whose goodbye wasn't seen")

	w.hear("n2", membership.Alive)
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n2": {ID: "n2"}},
		Runs: map[string]*cluster.Run{"n2": {Machine: "n2", ID: "another"}}})
	w.until("n2", cluster.Up)
}

// TestTrackerWaitsForAMachineThatComesAndGoes: each failure makes it count as
// back later, it says so meanwhile, and its new session isn't ended for it.
func TestTrackerWaitsForAMachineThatComesAndGoes(t *testing.T) {
	w := watch(t, time.Minute, "n1", "n2", "n3")
	w.store(cluster.Change{Runs: map[string]*cluster.Run{"n2": {Machine: "n2", ID: "run", Boot: "one"}}})
	for failures, least := range []time.Duration{backLeast, 2 * backLeast} {
		w.answer.Store(membership.Silent)
		w.hear("n2", membership.Failed)
		w.until("n2", cluster.Failed)
		again := time.Now()
		w.hear("n2", membership.Alive)
		w.eventually("it says that it is coming back", func() bool {
			h := w.tracker.Health()["n2"]
			return !h.BackAt.IsZero() && strings.Contains(h.Evidence, fmt.Sprintf("failure %d since it booted", failures+1))
		})
		if h := w.until("n2", cluster.Up); h.Since.Sub(again) < least {
			t.Errorf("after failure %d it was back after %s", failures+1, h.Since.Sub(again))
		}
	}
	// It was switched off and on again: it begins anew.
	w.hear("n2", membership.Failed)
	w.until("n2", cluster.Failed)
	w.store(cluster.Change{Runs: map[string]*cluster.Run{"n2": {Machine: "n2", ID: "run2", Boot: "two"}}})
	again := time.Now()
	w.hear("n2", membership.Alive)
	if h := w.until("n2", cluster.Up); h.Since.Sub(again) >= 4*backLeast {
		t.Errorf("after a boot it was back after %s", h.Since.Sub(again))
	}
}

// TestTrackerLearnsHowSlowAMachineIs: answers that come late make later probes
// wait for as long, so that the machine is not taken for dead.
func TestTrackerLearnsHowSlowAMachineIs(t *testing.T) {
	w := watch(t, time.Minute, "n1", "n2", "n3")
	w.late.Store(int64(400 * time.Millisecond))
	w.hear("n2", membership.Suspect)
	w.eventually("probes are patient", func() bool { return w.patience.Load() >= int64(800*time.Millisecond) })
	w.hear("n2", membership.Failed)
	h := w.until("n2", cluster.Suspect)
	w.eventually("the evidence says why", func() bool {
		h = w.tracker.Health()["n2"]
		return h.State == cluster.Suspect && strings.Contains(h.Evidence, "its network is slow: probes take 0.4 s")
	})
	w.late.Store(0)
	w.answer.Store(membership.Silent)
	w.until("n2", cluster.Failed)
}

func (w *watched) eventually(what string, ok func() bool) {
	w.t.Helper()
	timeout := time.After(deadline)
	for {
		changed := w.tracker.Changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		case <-timeout:
			w.t.Fatalf("not within %s: %s: %+v", deadline, what, w.tracker.Health())
		}
	}
}

func TestTrackerReadsTheStore(t *testing.T) {
	w := watch(t, time.Minute, "n1", "n2", "n3")
	w.store(cluster.Change{Units: map[string]*cluster.Unit{"a.service": {Name: "a.service"}}}) // says nothing of machines
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n2": {ID: "n2", Departure: cluster.ShutDown}}})
	w.until("n2", cluster.Down)
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n2": {ID: "n2"}}})
	w.until("n2", cluster.Up)
	w.store(cluster.Change{Runs: map[string]*cluster.Run{"n3": nil}})
	w.until("n3", cluster.DaemonGone)
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n4": {ID: "n4"}}})
	w.until("n4", cluster.Suspect)
	w.store(cluster.Change{Machines: map[string]*cluster.Machine{"n4": nil}})
	w.until("n4", "")
}
