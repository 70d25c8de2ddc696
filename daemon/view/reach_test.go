package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
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

// TestOwnUnitsAreShownWithoutTheStore: what this machine's own units do is shown as it is, while the state
// of all others is the last known one; and by the store again, when that answers.
func TestOwnUnitsAreShownWithoutTheStore(t *testing.T) {
	c := memstore.New()
	v := New(c.Open(), slog.New(slog.DiscardHandler), time.Second)
	status := func(machine, unit, active string) cluster.Status {
		return cluster.Status{Machine: machine, Epoch: 7, Status: units.Status{Name: unit, Active: active}}
	}
	snap := c.Snapshot()
	all := map[cluster.UnitOnMachine]*cluster.Status{}
	for _, s := range []cluster.Status{status("n1", "stopped.service", "active"), status("n1", "gone.service", "active"),
		status("n1", "runs.service", "active"), status("n2", "stopped.service", "active")} {
		all[cluster.UnitOnMachine{Unit: s.Name, Machine: s.Machine}] = &s
	}
	full := snap.With(cluster.Change{Revision: 9, Statuses: all})
	v.begin(full, nil)
	own := map[string]units.Status{"stopped.service": {Name: "stopped.service", Active: "inactive"},
		"runs.service": {Name: "runs.service", Active: "active"}, "foreign.service": {Name: "foreign.service", Active: "active"}}
	shows := func(what string, want ...string) {
		t.Helper()
		now, _, _, _ := v.LastKnown()
		var got []string
		for k, s := range now.Statuses {
			got = append(got, k.Machine+" "+k.Unit+" "+s.Active)
			if s.Epoch != 7 {
				t.Errorf("%s: %s has epoch %d", what, k.Unit, s.Epoch)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	stored := []string{"n1 gone.service active", "n1 runs.service active", "n1 stopped.service active", "n2 stopped.service active"}
	real := []string{"n1 gone.service inactive", "n1 runs.service active", "n1 stopped.service inactive", "n2 stopped.service active"}
	v.ShowOwn("n1", own)
	shows("with the store", stored...)
	v.ended(errors.New("no quorum"))
	shows("without it", real...)
	v.begin(full, nil)
	shows("with it again", stored...)
	v.ShowOwn("n1", nil)
	v.ended(errors.New("no quorum"))
	shows("before the machine's manager was asked", stored...)
	_, _, _, changed := v.LastKnown()
	v.ShowOwn("n1", own)
	select {
	case <-changed:
	default:
		t.Error("readers aren't told")
	}
	shows("told without the store", real...)
	v.begin(full, nil)
	v.ended(nil)
	shows("while no reader needs it", stored...)
}
