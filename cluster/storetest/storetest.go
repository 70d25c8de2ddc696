// Package storetest is the suite every cluster.Store passes: what the
// contract promises, tried from outside.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

const (
	patience = 20 * time.Second // for what must happen soon
	ttl      = 4 * time.Second  // of leases that must not run out, on a slow machine too
	shortTTL = time.Second      // of leases that are to run out
)

// Run runs the suite. open makes an empty cluster, and the function it returns
// opens one more client of it each time it is called; both clean up after
// themselves with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) func() cluster.Store) {
	for _, c := range slices.Concat(unitCases, watchCases, machineCases, sessionCases, leaderCases, applyCases, fenceCases,
		findingCases, eventCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, open func() cluster.Store)
}

// unit returns a unit as first submitted.
func unit(name string) cluster.Unit {
	return cluster.Unit{Name: name, Content: "[Service]\nExecStart=/bin/sleep <&> " + name + "\n", Hash: "hash of " + name,
		Desired: units.Launched, Generation: 1, By: "the suite", At: time.Unix(1_700_000_000, 5)}
}

func assignment(machine string, u cluster.Unit) *cluster.Assignment {
	return &cluster.Assignment{Machine: machine, Unit: u.Name, Content: u.Content, Hash: u.Hash, Desired: u.Desired,
		Generation: u.Generation, Epoch: 7, Reason: "the suite says so", Since: time.Unix(1_700_000_100, 9)}
}

func runOf(machine, id string) cluster.Run {
	return cluster.Run{Machine: machine, ID: id, Address: "192.0.2.1:7946", Boot: "boot",
		Since: time.Unix(1_700_000_000, 0)}
}

func status(name, active string) cluster.Status {
	return cluster.Status{Status: units.Status{Name: name, Load: "loaded", Active: active,
		Since: time.Unix(1_700_000_200, 3)},
		Epoch: 7, Generation: 1}
}

func on(machine, unit string) cluster.UnitOnMachine {
	return cluster.UnitOnMachine{Machine: machine, Unit: unit}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// want checks that each entry is the error wanted, nil for success.
func want(t testing.TB, errs []error, err error, wanted ...error) {
	t.Helper()
	must(t, err)
	if len(errs) != len(wanted) {
		t.Fatalf("%d entries for %d things: %v", len(errs), len(wanted), errs)
	}
	for i := range wanted {
		if !errors.Is(errs[i], wanted[i]) {
			t.Errorf("entry %d is %v, want %v", i, errs[i], wanted[i])
		}
	}
}

// put submits units that are expected to be taken.
func put(t testing.TB, s cluster.Store, list ...cluster.Unit) {
	t.Helper()
	errs, err := s.PutUnits(t.Context(), list)
	want(t, errs, err, make([]error, len(list))...)
}

func register(t testing.TB, s cluster.Store, run cluster.Run, ttl time.Duration) cluster.Session {
	t.Helper()
	n, err := s.Register(t.Context(), run, ttl)
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return n
}

// lead registers a machine and makes it the leader.
func lead(t testing.TB, s cluster.Store, machine string) cluster.Leader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := s.Campaign(ctx, register(t, s, runOf(machine, "run of "+machine), ttl))
	must(t, err)
	return l
}

// snapshot is the state now.
func snapshot(t testing.TB, s cluster.Store) *cluster.Snapshot {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	snap, _, err := s.Watch(ctx, cluster.Scope{})
	must(t, err)
	return snap
}

// follower folds a watch's changes into its snapshot.
type follower struct {
	t       testing.TB
	snap    *cluster.Snapshot
	changes <-chan cluster.Change
	events  []cluster.Event
}

func follow(t testing.TB, s cluster.Store, scope cluster.Scope) *follower {
	t.Helper()
	snap, changes, err := s.Watch(t.Context(), scope)
	must(t, err)
	return &follower{t: t, snap: snap, changes: changes}
}

// until takes changes until the state is as wanted.
func (f *follower) until(what string, ok func(*cluster.Snapshot) bool) {
	f.t.Helper()
	deadline := time.After(patience)
	for !ok(f.snap) {
		select {
		case c, open := <-f.changes:
			if !open {
				f.t.Fatalf("the watch ended before %s", what)
			}
			f.take(c)
		case <-deadline:
			f.t.Fatalf("waited too long for %s; the state is %+v", what, f.snap)
		}
	}
}

func (f *follower) take(c cluster.Change) {
	f.t.Helper()
	if c.Revision < f.snap.Revision {
		f.t.Fatalf("a change of revision %d after revision %d", c.Revision, f.snap.Revision)
	}
	f.snap = f.snap.With(c)
	f.events = append(f.events, c.Events...)
}

// closed waits for a channel to be closed.
func closed[T any](t testing.TB, what string, ch <-chan T) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatalf("%s: still not closed", what)
		}
	}
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func many(n int) []cluster.Unit {
	list := make([]cluster.Unit, n)
	for i := range list {
		list[i] = unit(fmt.Sprintf("web@%04d.service", i))
	}
	return list
}
