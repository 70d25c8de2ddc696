package memstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
)

var start = time.Unix(1_700_000_000, 0)

func run(machine, id string) cluster.Run {
	return cluster.Run{Machine: machine, ID: id, Address: "address of " + id}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func over(n cluster.Session) bool {
	select {
	case <-n.Done():
		return true
	default:
		return false
	}
}

// TestPartition: a store cut off fails at once, its lease runs out in its
// time, and it comes back to a cluster that went on.
func TestPartition(t *testing.T) {
	clock := NewManualClock(start)
	c := NewWithClock(clock)
	a, b := c.Open(), c.Open()
	n, err := a.Register(t.Context(), run("m1", "one"), 3*time.Second)
	must(t, err)
	l, err := a.Campaign(t.Context(), n)
	must(t, err)
	must(t, n.PutStatuses(t.Context(), []cluster.Status{{Machine: "m1"}}, nil))
	_, changes, err := a.Watch(t.Context(), cluster.Scope{})
	must(t, err)

	clock.Advance(10 * time.Second)
	if got := n.Renewed(); !got.Equal(start.Add(10*time.Second)) || over(n) {
		t.Errorf("renewed at %v, over %v", got, over(n))
	}
	clock.Advance(500 * time.Millisecond)
	a.SetReachable(false)
	if _, open := <-changes; open {
		t.Error("the watch goes on")
	}
	for name, err := range map[string]error{
		"Watch":    func() error { _, _, err := a.Watch(t.Context(), cluster.Scope{}); return err }(),
		"PutUnits": func() error { _, err := a.PutUnits(t.Context(), nil); return err }(),
		"Apply":    func() error { _, _, err := a.Apply(t.Context(), l.Term, nil, cluster.Findings{}); return err }(),
		"Evict":    a.Evict(t.Context(), "m1", "one"),
		"Statuses": n.PutStatuses(t.Context(), nil, nil),
	} {
		if !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	clock.Advance(2499 * time.Millisecond)
	if snap := c.Snapshot(); over(n) || snap.Runs["m1"].ID != "one" || snap.Leader.Term != l.Term {
		t.Errorf("lost too early: %+v", snap)
	}
	clock.Advance(time.Millisecond)
	if snap := c.Snapshot(); !over(n) || len(snap.Runs) != 0 || len(snap.Statuses) != 0 || snap.Leader.Term != 0 {
		t.Errorf("still there: %+v", snap)
	}
	m, err := b.Register(t.Context(), run("m2", "two"), 3*time.Second)
	must(t, err)
	second, err := b.Campaign(t.Context(), m)
	must(t, err)
	a.SetReachable(true)
	if _, _, err := a.Apply(t.Context(), l.Term, []cluster.Move{{Unit: "a"}},
		cluster.Findings{}); !errors.Is(err, cluster.ErrNotLeader) {
		t.Errorf("the old leader: %v", err)
	}
	if second.Term <= l.Term {
		t.Errorf("after %+v came %+v", l, second)
	}
}

// TestEvictedUnawares: who is cut off learns of its eviction only by time, or
// by coming back.
func TestEvictedUnawares(t *testing.T) {
	for _, comesBack := range []bool{false, true} {
		clock := NewManualClock(start)
		c := NewWithClock(clock)
		a, b := c.Open(), c.Open()
		n, err := a.Register(t.Context(), run("m1", "one"), 3*time.Second)
		must(t, err)
		a.SetReachable(false)
		must(t, b.Evict(t.Context(), "m1", "one"))
		if over(n) || len(c.Snapshot().Runs) != 0 {
			t.Error("the evicted daemon knows, or the cluster doesn't")
		}
		clock.Advance(1500 * time.Millisecond)
		if over(n) {
			t.Error("knows before its time")
		}
		if comesBack {
			a.SetReachable(true)
			clock.Advance(time.Second)
		} else {
			clock.Advance(1500 * time.Millisecond)
		}
		if !over(n) {
			t.Errorf("comes back %v: still doesn't know", comesBack)
		}
	}
}

// TestWaitsForALease: another address may register when the lease of one that was cut off has run out.
func TestWaitsForALease(t *testing.T) {
	clock := NewManualClock(start)
	c := NewWithClock(clock)
	a, b := c.Open(), c.Open()
	_, err := a.Register(t.Context(), run("m1", "one"), 3*time.Second)
	must(t, err)
	var duplicate *cluster.DuplicateError
	if _, err := b.Register(t.Context(), run("m1", "two"), 3*time.Second); !errors.As(err, &duplicate) {
		t.Errorf("while the first is alive: %v", err)
	}
	a.SetReachable(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Register(ctx, run("m1", "two"), time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	registered := make(chan error, 1)
	go func() {
		_, err := b.Register(t.Context(), run("m1", "two"), 3*time.Second)
		registered <- err
	}()
	clock.Advance(3 * time.Second)
	must(t, <-registered)
	if id := c.Snapshot().Runs["m1"].ID; id != "two" {
		t.Errorf("the run is %q", id)
	}
}

func TestManualClockCallsInOrder(t *testing.T) {
	clock := NewManualClock(start)
	var calls []string
	at := func(d time.Duration, name string) func() bool {
		return clock.AfterFunc(d, func() { calls = append(calls, name+" "+clock.Now().Sub(start).String()) })
	}
	at(2*time.Second, "b")
	at(time.Second, "a")
	at(2*time.Second, "c")
	stop := at(time.Second, "never")
	at(5*time.Second, "later")
	clock.AfterFunc(1500*time.Millisecond, func() { at(100*time.Millisecond, "nested") })
	if !stop() || stop() {
		t.Error("stop tells wrong")
	}
	clock.Advance(3 * time.Second)
	if want := []string{"a 1s", "nested 1.6s", "b 2s", "c 2s"}; !slices.Equal(calls, want) ||
		clock.Now() != start.Add(3*time.Second) {
		t.Errorf("called %v, now %v", calls, clock.Now())
	}
}
