package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

// start runs a view of a store, and ends it with the test.
func start(t *testing.T, store Store, linger time.Duration) *View {
	t.Helper()
	v := New(store, slog.New(slog.DiscardHandler), linger)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); v.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return v
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
	errs, err := c.Open().PutUnits(within(t, 5*time.Second), []cluster.Unit{{Name: name, Generation: 1}})
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	return c.Snapshot().Revision
}

func TestSnapshotFollowsTheStore(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), time.Second)
	defer v.Hold()()
	for i := range 20 {
		name := fmt.Sprintf("u%d.service", i)
		revision := put(t, c, name)
		snap, err := v.Snapshot(within(t, 5*time.Second), revision)
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
	snap, changes, err := v.Subscribe(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		put(t, c, fmt.Sprintf("u%d.service", i))
	}
	last := c.Snapshot().Revision
	for snap.Revision < last {
		change, ok := <-changes
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
	_, changes, err := v.Subscribe(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	// One change at a time, so that the store can't fold them into one.
	for i := 0; i <= subscriberQueue; i++ {
		if _, err := v.Snapshot(within(t, 5*time.Second), put(t, c, fmt.Sprintf("u%d.service", i))); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for range changes {
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
	release := v.Hold()
	defer release()
	revision := put(t, c, "u.service")
	if _, err := v.Snapshot(within(t, 5*time.Second), revision); err != nil {
		t.Fatal(err)
	}
	_, changes, err := v.Subscribe(within(t, 30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	store.SetReachable(false)
	snap, live, lastSeen, changed := v.Latest()
	for live {
		<-changed
		snap, live, lastSeen, changed = v.Latest()
	}
	if len(snap.Units) != 1 || time.Since(lastSeen) > time.Minute {
		t.Errorf("%d units as of %s", len(snap.Units), lastSeen)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if snap, err := v.Snapshot(ctx, 0); !errors.Is(err, ErrNotReady) || snap == nil {
		t.Errorf("without the store: %v, %v; want the last known state and ErrNotReady", snap, err)
	}
	store.SetReachable(true)
	if _, err := v.Snapshot(within(t, 10*time.Second), put(t, c, "v.service")); err != nil {
		t.Errorf("when the store is back: %v", err)
	}
	for range changes { // the subscriber is told to start over
	}
}

func TestUnheldViewLetsGo(t *testing.T) {
	c := memstore.New()
	v := start(t, c.Open(), 10*time.Millisecond)
	for range 2 {
		release := v.Hold()
		if _, err := v.Snapshot(within(t, 5*time.Second), 0); err != nil {
			t.Fatal(err)
		}
		release()
		for {
			snap, _, _, changed := v.Latest()
			if snap == nil {
				break
			}
			<-changed
		}
	}
}
