package leadership

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/cluster/memstore"
	"fleettop/daemon/view"
	"fleettop/units/broadcast"
)

const patience = 60 * time.Second

// machine is a daemon that may lead, with what it sees.
type machine struct {
	id      string
	embeds  bool
	changed broadcast.Signal // of all below

	mu      sync.Mutex // guards what follows
	votes   bool
	session cluster.Session
	members []membership.Member
	called  []string // addresses that gossip was told to join
	leads   int      // how often it came to lead
	leading bool
	tasks   int // that run
}

// set changes what the machine sees.
func (m *machine) set(change func()) {
	m.mu.Lock()
	change()
	m.mu.Unlock()
	m.changed.Notify()
}

func (m *machine) Embedded() bool           { return m.embeds }
func (m *machine) Changed() <-chan struct{} { return m.changed.Changed() }
func (m *machine) Votes() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.votes
}

func (m *machine) Session() (cluster.Session, <-chan struct{}) {
	changed := m.changed.Changed()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session, changed
}

func (m *machine) Members() []membership.Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.members)
}

func (m *machine) Join(_ context.Context, addresses []string) error {
	m.set(func() { m.called = append(m.called, addresses...) })
	return nil
}

func (m *machine) Lead(ctx context.Context, _ cluster.Leader) error {
	m.set(func() { m.leads++; m.leading = true })
	<-ctx.Done()
	m.set(func() { m.leading = false })
	return nil
}

func (m *machine) WatchLeader(ctx context.Context) { <-ctx.Done() }

func (m *machine) task(ctx context.Context) error {
	m.set(func() { m.tasks++ })
	<-ctx.Done()
	m.set(func() { m.tasks-- })
	return nil
}

// until waits for a state of the machine.
func (m *machine) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		changed := m.changed.Changed()
		m.mu.Lock()
		ok := done()
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s: no %s within %s", m.id, what, patience)
		}
	}
}

// start opens a session and campaigns until the test ends.
func (m *machine) start(t *testing.T, c *memstore.Cluster) {
	t.Helper()
	store, log := c.Open(), slog.New(slog.DiscardHandler)
	m.register(t, store, "1")
	v := view.New(store, log, time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { v.Run(ctx) })
	running.Go(func() {
		if err := Run(ctx, Config{Self: m.id, Store: store, Sessions: m, Gossip: m, Etcd: m, View: v, Engine: m,
			Tasks: []func(context.Context) error{m.task}, Log: log}); err != nil {
			t.Errorf("%s ended with %v", m.id, err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func (m *machine) register(t *testing.T, store *memstore.Store, run string) {
	t.Helper()
	s, err := store.Register(t.Context(), cluster.Run{Machine: m.id, ID: m.id + run, Address: m.id + ":7370"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	m.set(func() { m.session = s })
}

// A voter leads, with its tasks, until it votes no more; then another voter does.
func TestVotersLead(t *testing.T) {
	c := memstore.New()
	a, b := &machine{id: "a", embeds: true}, &machine{id: "b", embeds: true}
	a.start(t, c)
	b.start(t, c)
	a.set(func() { a.votes = true })
	a.until(t, "leadership with its task", func() bool { return a.leading && a.tasks == 1 })
	b.set(func() { b.votes = true })
	a.set(func() { a.votes = false })
	a.until(t, "end of its leadership", func() bool { return !a.leading && a.tasks == 0 })
	b.until(t, "leadership", func() bool { return b.leading })
	if leader := c.Snapshot().Leader.Machine; leader != "b" {
		t.Errorf("the leader is %s", leader)
	}
}

// A leader whose session is lost stops, and campaigns with the next session.
func TestLostSessionEndsTheLeadership(t *testing.T) {
	c := memstore.New()
	a := &machine{id: "a", embeds: true, votes: true}
	a.start(t, c)
	a.until(t, "leadership", func() bool { return a.leading })
	if err := c.Open().Evict(t.Context(), "a", "a1"); err != nil {
		t.Fatal(err)
	}
	a.until(t, "end of its leadership", func() bool { return !a.leading })
	a.register(t, c.Open(), "2")
	a.until(t, "second leadership", func() bool { return a.leads == 2 && a.leading })
}

// Where etcd isn't embedded, the first five machines that gossip hears are candidates.
func TestCandidatesOfAnExternalEtcd(t *testing.T) {
	var members []membership.Member
	for i := range 8 {
		state := membership.Alive
		if i == 0 {
			state = membership.Failed
		}
		members = append(members, membership.Member{ID: fmt.Sprint("m", i), State: state})
	}
	for i, want := range []bool{false, true, true, true, true, true, false, false} {
		m := &machine{id: fmt.Sprint("m", i), members: members}
		if got := (&campaign{Config{Self: m.id, Gossip: m, Etcd: m}}).isCandidate(); got != want {
			t.Errorf("%s is a candidate: %v, expected %v", m.id, got, want)
		}
	}
}

// The leader calls machines that have a session and that gossip doesn't hear.
func TestLeaderCallsUnheardMachines(t *testing.T) {
	c := memstore.New()
	for _, id := range []string{"b", "c"} {
		(&machine{id: id}).register(t, c.Open(), "1")
	}
	a := &machine{id: "a", embeds: true, votes: true, members: []membership.Member{
		{ID: "a", State: membership.Alive}, {ID: "b", State: membership.Alive}}}
	a.start(t, c)
	a.until(t, "call", func() bool { return len(a.called) > 0 })
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.called, []string{"c:7370"}) {
		t.Errorf("called were %v, expected c alone", a.called)
	}
}
