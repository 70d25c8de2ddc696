package view

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

// stuck is a store without a quorum: its calls end with their contexts, and its watches break.
type stuck struct {
	*memstore.Store
	on   atomic.Bool
	slow atomic.Int64 // how long a read of the state takes
}

func (s *stuck) Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error) {
	if s.on.Load() {
		<-ctx.Done()
		return nil, nil, fmt.Errorf("watch: %w", cluster.ErrUnavailable)
	}
	select {
	case <-time.After(time.Duration(s.slow.Load())):
	case <-ctx.Done():
	}
	return s.Store.Watch(ctx, scope)
}

func (s *stuck) Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error) {
	if s.on.Load() {
		<-ctx.Done()
		return nil, fmt.Errorf("events: %w", cluster.ErrUnavailable)
	}
	return s.Store.Events(ctx, since, limit)
}

// TestReach tells a store that is lost from a view that just isn't current.
func TestReach(t *testing.T) {
	c := memstore.New()
	store := &stuck{Store: c.Open()}
	put(t, c, "u.service")
	v := start(t, store, 10*time.Millisecond)
	l := v.Hold()
	if snap, asOf, err := l.Reach(t.Context(), 0); err != nil || !asOf.IsZero() || len(snap.Units) != 1 {
		t.Fatalf("a store that answers: %v, as of %v, %v", snap, asOf, err)
	}
	if _, _, err := l.Reach(within(t, 300*time.Millisecond), 1000); !errors.Is(err, ErrBehind) {
		t.Errorf("a revision that never comes: %v", err)
	}
	l.Release()
	letGo := func() {
		for ctx := within(t, 20*time.Second); ; {
			_, live, _, changed := v.LastKnown()
			if !live {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatal("the watch goes on without a lease")
			}
		}
	}

	// The state takes longer to read than a reader waits for a store that is lost.
	letGo()
	store.slow.Store(int64(3 * stalePatience))
	put(t, c, "v.service")
	l = hold(t, v)
	if snap, asOf, err := l.Reach(t.Context(), 0); err != nil || !asOf.IsZero() || len(snap.Units) != 2 {
		t.Errorf("a store that answers slowly: %v, as of %v, %v", snap, asOf, err)
	}

	store.on.Store(true)
	store.SetReachable(false) // breaks the watch
	letGo()
	if snap, asOf, err := l.Reach(t.Context(), 0); err != nil || asOf.IsZero() || len(snap.Units) != 2 {
		t.Errorf("a store that is lost: %v, as of %v, %v", snap, asOf, err)
	}
}
