package agent

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
	"fleettop/units/process"
)

// guardedStore tells of a watch that begins before the machine is registered.
type guardedStore struct {
	Store
	t          *testing.T
	registered atomic.Bool
	watched    chan struct{}
}

func (s *guardedStore) Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error) {
	if !s.registered.Load() {
		s.t.Error("assignments were read before the machine was registered")
	}
	s.watched <- struct{}{}
	return s.Store.Watch(ctx, scope)
}

// watchedManager tells that it is watched, which the agent does last.
type watchedManager struct {
	units.Manager
	watched chan struct{}
}

func (m *watchedManager) Watch(ctx context.Context) ([]units.Status, <-chan []units.Status, error) {
	list, changes, err := m.Manager.Watch(ctx)
	close(m.watched)
	return list, changes, err
}

// TestNothingBeforeRegistered: a leader that took a machine for dead may move
// its units until it is registered again; what it had is not its own before.
func TestNothingBeforeRegistered(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	processes, err := process.New(process.Options{Dir: filepath.Join(dir, "run"), LogDir: filepath.Join(dir, "log"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer processes.Close()
	manager := &watchedManager{processes, make(chan struct{})}
	mem := memstore.New().Open()
	defer mem.Close()
	store := &guardedStore{Store: mem, t: t, watched: make(chan struct{}, 1)}
	a := New(Config{Machine: "m1", Name: "n1", Store: store, Manager: manager, NotesPath: filepath.Join(dir, "notes.json"), Log: log})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	<-manager.watched
	if err := a.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := mem.Register(ctx, cluster.Run{Machine: "m1", ID: "r1", Address: "a"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	store.registered.Store(true)
	a.SetSession(ctx, s)
	<-store.watched
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
