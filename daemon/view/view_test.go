package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

// start runs a view of a store, and ends it with the test.
func start(t *testing.T, store Store, linger time.Duration) *View {
	t.Helper()
	v := New(store, slog.New(slog.DiscardHandler), linger)
	run(t, v)
	return v
}

func run(t *testing.T, v *View) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// hold takes a lease until the test ends.
func hold(t *testing.T, v *View) *Lease {
	t.Helper()
	l := v.Hold()
	t.Cleanup(l.Release)
	return l
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// put submits a new unit and returns the revision after it.
func put(t *testing.T, c *memstore.Cluster, name string) int64 {
	t.Helper()
	errs, err := c.Open().PutUnits(within(t, 60*time.Second), []cluster.Unit{{Name: name, Generation: 1}})
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	return c.Snapshot().Revision
}

func TestSnapshotFollowsTheStore(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), time.Second)
	l := hold(t, v)
	for i := range 20 {
		name := fmt.Sprintf("u%d.service", i)
		revision := put(t, c, name)
		snap, err := l.Snapshot(within(t, 60*time.Second), revision)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := snap.Units[name]; !ok {
			t.Fatalf("revision %d lacks %s", snap.Revision, name)
		}
	}
}

func TestSubscribersSeeEveryChange(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), time.Second)
	snap, sub, err := hold(t, v).Subscribe(within(t, 60*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		put(t, c, fmt.Sprintf("u%d.service", i))
	}
	last := c.Snapshot().Revision
	for snap.Revision < last {
		change, ok := <-sub.C()
		if !ok {
			t.Fatal("cut off")
		}
		snap = snap.With(change)
	}
	if len(snap.Units) != 50 {
		t.Errorf("%d units, want 50", len(snap.Units))
	}
}

func TestSlowSubscriberIsCutOff(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), time.Second)
	l := hold(t, v)
	_, sub, err := l.Subscribe(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	// One change at a time, so that the store can't fold them into one.
	for i := 0; i <= subscriberQueue; i++ {
		if _, err := l.Snapshot(within(t, 60*time.Second), put(t, c, fmt.Sprintf("u%d.service", i))); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for range sub.C() {
		n++
	}
	if n != subscriberQueue {
		t.Errorf("%d changes before the cut, want %d", n, subscriberQueue)
	}
}

func TestKeepsWhatItKnewWhenTheStoreIsLost(t *testing.T) {
	c := memstore.New()
	store := c.Open()
	v := start(t, store, time.Second)
	l := hold(t, v)
	revision := put(t, c, "u.service")
	if _, err := l.Snapshot(within(t, 60*time.Second), revision); err != nil {
		t.Fatal(err)
	}
	_, sub, err := l.Subscribe(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	store.SetReachable(false)
	snap, live, asOf, changed := l.Latest()
	for live {
		<-changed
		snap, live, asOf, changed = l.Latest()
	}
	if len(snap.Units) != 1 || time.Since(asOf) > time.Minute {
		t.Errorf("%d units as of %s", len(snap.Units), asOf)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if snap, err := l.Snapshot(ctx, 0); !errors.Is(err, ErrLost) || errors.Is(err, ErrNotReady) || snap == nil {
		t.Errorf("without the store: %v, %v; want the last known state and ErrLost", snap, err)
	}
	store.SetReachable(true)
	if _, err := l.Snapshot(within(t, 60*time.Second), put(t, c, "v.service")); err != nil {
		t.Errorf("when the store is back: %v", err)
	}
	for range sub.C() { // the subscriber is told to start over
	}
}

// TestNeverSeenIsSaidOnlySo: the sentence that the store was never reached is for a daemon that never did.
func TestNeverSeenIsSaidOnlySo(t *testing.T) {
	c := memstore.New()
	store := c.Open()
	store.SetReachable(false)
	v := start(t, store, time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if snap, err := hold(t, v).Snapshot(ctx, 0); !errors.Is(err, ErrNotReady) || snap != nil {
		t.Errorf("a store never reached: %v, %v", snap, err)
	}
}

// TestUnheldViewKnowsWhatItLastSaw: no lease, and still a state for when the
// store is lost: the one at the start, and not an old one later on.
func TestUnheldViewKnowsWhatItLastSaw(t *testing.T) {
	c := memstore.New()
	store := c.Open()
	put(t, c, "first.service")
	if err := store.Record(within(t, 60*time.Second), cluster.Event{Text: "before"}); err != nil {
		t.Fatal(err)
	}
	v := New(store, slog.New(slog.DiscardHandler), time.Minute)
	v.refresh = 10 * time.Millisecond
	run(t, v)
	knows := func(unit string) {
		t.Helper()
		for ctx := within(t, 20*time.Second); ; {
			snap, _, _, changed := v.LastKnown()
			if snap != nil {
				if _, ok := snap.Units[unit]; ok {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("%s never became known without a lease", unit)
			}
		}
	}
	knows("first.service")
	put(t, c, "second.service")
	if err := store.Record(within(t, 60*time.Second), cluster.Event{Text: "after"}); err != nil {
		t.Fatal(err)
	}
	knows("second.service")
	store.SetReachable(false)
	l := hold(t, v)
	for ctx := within(t, 20*time.Second); ; {
		list := l.Events(time.Time{}, 10)
		if len(list) == 2 && list[0].Text == "before" && list[1].Text == "after" {
			break
		}
		_, _, _, changed := l.Latest()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("events known: %v", list)
		}
	}
	if snap, _, _, _ := l.Latest(); len(snap.Units) != 2 {
		t.Errorf("%d units are known without the store, want 2", len(snap.Units))
	}
}

// TestUnheldViewLetsGo: a watch ends when no lease needs it, and what it brought stays.
func TestUnheldViewLetsGo(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), 10*time.Millisecond)
	for range 2 {
		l := v.Hold()
		if _, err := l.Snapshot(within(t, 60*time.Second), 0); err != nil {
			t.Fatal(err)
		}
		l.Release()
		for ctx := within(t, 20*time.Second); ; {
			snap, live, asOf, changed := v.LastKnown()
			if !live {
				if snap == nil || asOf.IsZero() {
					t.Errorf("after the watch was let go: %v as of %s", snap, asOf)
				}
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatal("the watch goes on without a lease")
			}
		}
	}
}

// TestReleaseEndsSubscriptions: what a lease began ends with it, and nothing is left of subscriptions that were closed.
func TestReleaseEndsSubscriptions(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), time.Minute)
	l := v.Hold()
	for range 5 {
		_, sub, err := l.Subscribe(within(t, 60*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		sub.Close()
		sub.Close()
		for range sub.C() {
		}
	}
	_, sub, err := l.Subscribe(within(t, 60*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
	l.Release()
	for range sub.C() {
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.leases != 0 || len(v.subs) != 0 {
		t.Errorf("%d leases and %d subscriptions are left", v.leases, len(v.subs))
	}
}

// TestKeepsTheNewestEvents in the order of their IDs, each once.
func TestKeepsTheNewestEvents(t *testing.T) {
	v := New(nil, nil, 0)
	id := func(n int) cluster.Event { return cluster.Event{ID: fmt.Sprintf("%06d", n)} }
	for n := range EventsKept + 10 {
		v.keep([]cluster.Event{id(2 * n), id(2 * n)})
	}
	seen := v.events
	v.keep([]cluster.Event{id(2*EventsKept + 1), id(2 * EventsKept)})
	if len(v.events) != EventsKept || len(seen) != EventsKept {
		t.Fatalf("%d events are kept, and %d were", len(v.events), len(seen))
	}
	if !slices.IsSortedFunc(v.events, func(a, b cluster.Event) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("they are out of order")
	}
	if !slices.ContainsFunc(v.events, func(e cluster.Event) bool { return e.ID == id(2*EventsKept+1).ID }) ||
		slices.ContainsFunc(seen, func(e cluster.Event) bool { return e.ID == id(2*EventsKept+1).ID }) {
		t.Error("a late one is missing, or was put into what a reader has")
	}
}
