package presence

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

const (
	patience = 60 * time.Second
	someID   = "0123456789abcdef0123456789abcdef"
)

// etcd is a store that is admitted, and may be diagnosed.
type etcd struct {
	mu       sync.Mutex
	refusal  error // of the store
	usable   bool
	failures []error
}

func (e *etcd) EnterStore(context.Context) error { return e.refusal }
func (e *etcd) Admitted() bool                   { return e.refusal == nil }
func (e *etcd) MarkUsable() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.usable = true
}

func (e *etcd) Diagnose(_ context.Context, failed error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures = append(e.failures, failed)
	return nil
}

// agent has the sessions that it was given.
type agent struct{ sessions chan cluster.Session }

func (a *agent) SetSession(_ context.Context, s cluster.Session) { a.sessions <- s }

// machine is a Registration with its cluster.
type machine struct {
	*Registration
	cluster *memstore.Cluster
	store   *memstore.Store
	etcd    *etcd
	agent   *agent
	stop    func() error // ends Run and returns what it returned
}

func newMachine(t *testing.T, c *memstore.Cluster, runID string) *machine {
	t.Helper()
	m := &machine{cluster: c, store: c.Open(), etcd: &etcd{}, agent: &agent{make(chan cluster.Session, 8)}}
	own := cluster.Machine{Name: "n1", Address: "192.0.2.1", GossipAddress: "192.0.2.1:7370",
		Metadata: map[string]string{"disk": "ssd"}}
	m.Registration = New(Config{Run: cluster.Run{Machine: someID, ID: runID, Address: "192.0.2.1:7370"}, Machine: own,
		Keys: func() []string { return []string{"k1"} }, Store: m.store, Etcd: m.etcd, Agent: m.agent,
		Log: slog.New(slog.DiscardHandler)})
	return m
}

func (m *machine) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = m.stop() })
}

// session waits for the agent's next session.
func (m *machine) session(t *testing.T) cluster.Session {
	t.Helper()
	select {
	case s := <-m.agent.sessions:
		return s
	case <-time.After(patience):
		t.Fatal("no session")
		return nil
	}
}

func (m *machine) record() cluster.Machine { return m.cluster.Snapshot().Machines[someID] }

// A machine says who it is and keeps what others wrote; when its session is
// lost it opens another; and it says how it leaves.
func TestRegistrationIsKept(t *testing.T) {
	c := memstore.New()
	m := newMachine(t, c, "run1")
	if err := m.store.UpdateMachine(t.Context(), someID, func(r *cluster.Machine) error {
		r.SetSchedule(cluster.Cordoned, time.Now())
		r.Departure = cluster.ShutDown
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m.start(t)
	first := m.session(t)
	r := m.record()
	if r.Name != "n1" || r.Metadata["disk"] != "ssd" || !slices.Equal(r.Keys, []string{"k1"}) ||
		r.Departure != cluster.NotDeparted || r.Schedule != cluster.Cordoned {
		t.Errorf("the record is %+v; expected its own fields, the others' cordon, and no departure", r)
	}
	_, another := m.Session()
	if err := c.Open().Evict(t.Context(), someID, "run1"); err != nil {
		t.Fatal(err)
	}
	second := m.session(t)
	<-another
	if now, _ := m.Session(); first == second || now != second {
		t.Error("the newest session isn't the one that was opened last")
	}
	if err := m.stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	m.Announce(t.Context(), cluster.Restarting)
	m.Close(t.Context(), cluster.Restarting)
	if r := m.record(); r.Departure != cluster.Restarting || r.DepartureAt.IsZero() {
		t.Errorf("it left with %s at %s", r.Departure, r.DepartureAt)
	}
	for range 2 {
		if err := m.Remove(t.Context()); err != nil {
			t.Errorf("removed: %v", err)
		}
	}
	if _, known := m.cluster.Snapshot().Machines[someID]; known {
		t.Error("a machine that left for good is known")
	}
}

// A store that can't be reached is diagnosed and tried again.
func TestRegistrationWaitsForTheStore(t *testing.T) {
	m := newMachine(t, memstore.New(), "run1")
	m.store.SetReachable(false)
	m.start(t)
	failed := func() int {
		m.etcd.mu.Lock()
		defer m.etcd.mu.Unlock()
		return len(m.etcd.failures)
	}
	for deadline := time.Now().Add(patience); failed() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it isn't tried again")
		}
	}
	m.store.SetReachable(true)
	m.session(t)
	m.etcd.mu.Lock()
	defer m.etcd.mu.Unlock()
	if !m.etcd.usable || !errors.Is(m.etcd.failures[0], cluster.ErrUnavailable) {
		t.Errorf("usable %v after %v", m.etcd.usable, m.etcd.failures)
	}
}

// A store of another cluster ends the daemon, and is never written to.
func TestRegistrationIsRefused(t *testing.T) {
	m := newMachine(t, memstore.New(), "run1")
	m.etcd.refusal = errors.New("another cluster's")
	m.start(t)
	m.Announce(t.Context(), cluster.Restarting)
	if len(m.cluster.Snapshot().Machines) > 0 {
		t.Error("it was written to")
	}
	if err := m.stop(); !errors.Is(err, m.etcd.refusal) {
		t.Errorf("it ended with %v", err)
	}
}

// Of two daemons with one machine-id the one that is registered goes on, and the
// other one ends, leaving the record alone.
func TestConflictEndsTheSecond(t *testing.T) {
	c := memstore.New()
	first, second := newMachine(t, c, "run1"), newMachine(t, c, "run2")
	conflict := errors.New("another machine has this ID")
	conflicts := make(chan error, 1)
	conflicts <- conflict
	if err := second.WatchConflicts(t.Context(), conflicts); !errors.Is(err, conflict) {
		t.Errorf("the second ended with %v", err)
	}
	first.start(t)
	first.session(t)
	ctx, cancel := context.WithCancel(t.Context())
	conflicts <- conflict
	done := make(chan error, 1)
	go func() { done <- first.WatchConflicts(ctx, conflicts) }()
	for deadline := time.Now().Add(patience); len(conflicts) > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the first ended with %v", err)
	}
}
