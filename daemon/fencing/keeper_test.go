package fencing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
	"fleettop/units/fence"
)

const patience = 60 * time.Second

// manager has a real fence, without a service around it.
type manager struct {
	units.Manager
	dir   string
	mu    sync.Mutex // guards what follows
	ends  []time.Duration
	limit time.Duration // the last
	tasks sync.WaitGroup
}

func (m *manager) NoFence() string { return "" }

func (m *manager) RaiseFence(ctx context.Context, until func() time.Duration) (string, error) {
	if err := fence.Arm(m.dir, until()); err != nil {
		return "", err
	}
	ready := make(chan error, 2)
	m.tasks.Go(func() {
		err := fence.Serve(context.Background(), m.dir, func(state string) {
			if state == "READY=1" {
				ready <- nil
			}
		})
		m.mu.Lock()
		m.ends = append(m.ends, fence.Now())
		m.mu.Unlock()
		ready <- err
	})
	if err := <-ready; err != nil {
		return "", err
	}
	return fence.Extend(ctx, m.dir, until())
}

func (m *manager) FenceClock() time.Duration { return fence.Now() }

func (m *manager) ExtendFence(ctx context.Context, until time.Duration) (string, error) {
	return fence.Extend(ctx, m.dir, until)
}

func (m *manager) LimitFence(ctx context.Context, until time.Duration) (string, error) {
	m.mu.Lock()
	m.limit = until
	m.mu.Unlock()
	return fence.Limit(ctx, m.dir, until)
}

func (m *manager) LowerFence(ctx context.Context) error { return fence.Lower(ctx, m.dir) }

func (m *manager) ended() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ends)
}

// rig is a keeper on a memory store.
type rig struct {
	*Keeper
	t       *testing.T
	manager *manager
	store   *memstore.Store
	cluster *memstore.Cluster
	stop    func()
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, manager: &manager{dir: t.TempDir()}, cluster: memstore.New()}
	r.store = r.cluster.Open()
	t.Cleanup(func() { r.manager.tasks.Wait() })
	t.Cleanup(func() { r.stop(); _ = r.store.Close() })
	r.begin("run1")
	return r
}

// begin runs a keeper of another daemon.
func (r *rig) begin(run string) {
	r.Keeper = New(r.manager, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	r.stop = func() { cancel(); <-ended }
	r.register(run)
}

func (r *rig) register(run string) {
	r.t.Helper()
	s, err := r.store.Register(r.t.Context(), cluster.Run{Machine: "m1", ID: run, Address: "a"}, time.Minute)
	if err != nil {
		r.t.Fatal(err)
	}
	r.SetSession(s)
}

// await waits until the ID of the fence is as wanted, and returns it.
func (r *rig) await(what string, ok func(id string) bool) string {
	r.t.Helper()
	for limit := time.After(patience); ; {
		changed := r.Changed()
		if id := r.ID(); ok(id) {
			return id
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			r.t.Fatalf("the fence is not %s", what)
		}
	}
}

func stands(id string) bool { return id != "" }
func down(id string) bool   { return id == "" }

func TestFenceIsKeptAndEndsWithTheQuorum(t *testing.T) {
	r := newRig(t)
	r.Want(Needed, false)
	time.Sleep(2 * renewEvery) // it may not be raised, however long it is needed
	if id := r.ID(); id != "" || r.cluster.Snapshot().Fences["m1"].Lease != Lease {
		t.Fatalf("fence %q stands; the store has %+v", id, r.cluster.Snapshot().Fences)
	}
	r.Want(Needed, true)
	first := r.await("up", stands)
	for end := time.Now().Add(Lease + time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if id := r.ID(); id != first {
			t.Fatalf("the fence was %q and is %q, with the store there", first, id)
		}
	}
	last := r.cluster.Snapshot().Fences["m1"].Revision
	away := fence.Now()
	r.store.SetReachable(false)
	r.await("down", down)
	r.manager.tasks.Wait()
	if took := r.manager.ends[0] - away; took > Lease+time.Second || took < Lease-2*renewEvery {
		t.Errorf("the fence ended %v after the store went away", took)
	}
	time.Sleep(2 * renewEvery)
	if id := r.ID(); id != "" || r.cluster.Snapshot().Fences["m1"].Revision < last {
		t.Errorf("without the store fence %q stands", id)
	}
	r.store.SetReachable(true)
	r.register("run1")
	if again := r.await("up again", stands); again == first {
		t.Error("the fence that ended stands again")
	}
	r.Want(NotNeeded, true)
	r.await("lowered", down)
	r.manager.tasks.Wait()
}

func TestFenceOutlivesADaemon(t *testing.T) {
	r := newRig(t)
	r.Want(Needed, true)
	first := r.await("up", stands)
	r.stop()
	const away = time.Hour
	r.HoldFor(t.Context(), away)
	if f := r.cluster.Snapshot().Fences["m1"]; f.Lease != away {
		t.Errorf("the store has %+v", f)
	}
	time.Sleep(Lease + time.Second)
	if r.manager.ended() > 0 {
		t.Fatal("the fence ended while the daemon was away")
	}
	r.begin("run2")
	r.await("the one that stood", func(id string) bool { return id == first })
	r.manager.mu.Lock()
	limit := r.manager.limit
	r.manager.mu.Unlock()
	if limit > fence.Now()+Lease {
		t.Errorf("the store hears of %v, and the fence stands until %v", Lease, limit)
	}
	r.stop()
	r.manager.tasks.Wait() // no daemon is left to extend it
}

func TestNoFence(t *testing.T) {
	k := New(nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), renewEvery)
	defer cancel()
	k.Want(Needed, true)
	k.Run(ctx)
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || k.ID() != "" {
		t.Errorf("fence %q", k.ID())
	}
	k.HoldFor(t.Context(), time.Hour)
}
