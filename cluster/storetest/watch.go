package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"fleettop/cluster"
)

var watchCases = []testCase{
	{"changes after the snapshot leave no gap", watchNoGap},
	{"a watch of one machine sees only what is its own", watchScope},
	{"a reader that doesn't read misses nothing", watchSlow},
	{"a watch ends with its context", watchEnds},
	{"an ended context ends calls", callsEnd},
}

// script is what one writer does, as numbers that choose among few things so
// that writers meet.
type script []struct{ Verb, Thing int }

// watchNoGap: whatever several writers do while a watch begins, its snapshot
// with its changes comes to be what a fresh snapshot says.
func watchNoGap(t *testing.T, open func() cluster.Store) {
	stores := []cluster.Store{open(), open(), open()}
	term := lead(t, stores[0], "m0").Term
	sessions := make([]cluster.Session, len(stores))
	for i, s := range stores {
		sessions[i] = register(t, s, runOf(fmt.Sprintf("w%d", i), "run"), ttl)
	}
	rapid.Check(t, func(r *rapid.T) {
		var scripts []script
		for i := range stores {
			scripts = append(scripts, rapid.SliceOfN(rapid.Custom(func(r *rapid.T) struct{ Verb, Thing int } {
				return struct{ Verb, Thing int }{rapid.IntRange(0, 6).Draw(r, "verb"), rapid.IntRange(0, 3).Draw(r, "thing")}
			}), 1, 8).Draw(r, fmt.Sprintf("writer %d", i)))
		}
		begin := make(chan struct{})
		var writers sync.WaitGroup
		for i, s := range stores {
			writers.Go(func() {
				<-begin
				play(t, s, sessions[i], fmt.Sprintf("w%d", i), term, scripts[i])
			})
		}
		close(begin)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		snap, changes, err := stores[0].Watch(ctx, cluster.Scope{})
		must(t, err)
		f := &follower{t: t, snap: snap, changes: changes}
		writers.Wait()
		fresh := snapshot(t, stores[1])
		f.until("the fresh snapshot's state", func(s *cluster.Snapshot) bool {
			now := *s
			now.Revision = fresh.Revision
			return reflect.DeepEqual(&now, fresh)
		})
	})
}

// play does what a script says. Conflicts between writers are part of it.
func play(t *testing.T, s cluster.Store, n cluster.Session, machine string, term int64, steps script) {
	ctx := context.Background()
	for _, step := range steps {
		u := unit(fmt.Sprintf("u%d.service", step.Thing))
		var err error
		switch step.Verb {
		case 0:
			_, err = s.PutUnits(ctx, []cluster.Unit{u})
		case 1:
			u.Generation = 2
			_, err = s.PutUnits(ctx, []cluster.Unit{unit("more.service"), u})
		case 2:
			_, err = s.DeleteUnits(ctx, []string{u.Name})
		case 3:
			_, _, err = s.Apply(ctx, term, []cluster.Move{
				{Unit: u.Name, To: assignment(machine, u), Generation: 1},
				{Unit: u.Name, To: assignment("elsewhere", u)}}, cluster.Findings{})
		case 4:
			_, _, err = s.Apply(ctx, term, []cluster.Move{
				{Unit: u.Name, From: assignment(machine, u), To: assignment("elsewhere", u), Generation: 1},
				{Unit: u.Name, From: assignment("elsewhere", u)}}, cluster.Findings{})
		case 5:
			err = n.PutStatuses(ctx, []cluster.Status{status(u.Name, fmt.Sprint(step.Thing))}, []string{"u0.service"})
		case 6:
			err = s.UpdateMachine(ctx, fmt.Sprintf("m%d", step.Thing), func(m *cluster.Machine) error {
				m.Version += "."
				return nil
			})
		}
		if err != nil {
			t.Errorf("verb %d: %v", step.Verb, err)
		}
	}
}

func watchScope(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	touch := func(id string) {
		must(t, s.UpdateMachine(t.Context(), id, func(m *cluster.Machine) error { m.Version += "v"; return nil }))
	}
	place := func(machine, name string) {
		u := unit(name)
		put(t, s, u)
		_, errs, err := s.Apply(t.Context(), l.Term, []cluster.Move{{Unit: name, To: assignment(machine, u), Generation: 1}},
			cluster.Findings{})
		want(t, errs, err, nil)
	}
	touch("m1")
	touch("m2")
	place("m1", "before1.service")
	place("m2", "before2.service")
	_, err := s.ClusterID(t.Context())
	must(t, err)

	f := follow(t, s, cluster.Scope{Machine: "m1"})
	touch("m2")
	place("m10", "not.service")
	place("m2", "after2.service")
	n := register(t, s, runOf("m2", "run"), ttl)
	must(t, n.PutStatuses(t.Context(), []cluster.Status{status("before2.service", "active")}, nil))
	must(t, s.Record(t.Context(), cluster.Event{Text: "not to be seen"}))
	register(t, s, runOf("m1", "run1"), ttl)
	touch("m1")
	place("m1", "after1.service")
	must(t, s.Resign(t.Context(), l))
	f.until("what is m1's", func(snap *cluster.Snapshot) bool {
		return len(snap.Assignments) == 2 && snap.Runs["m1"].ID == "run1" && snap.Machines["m1"].Version == "vv" &&
			snap.Leader.Term == 0
	})
	if _, ok := f.snap.Assignments[on("m1", "after1.service")]; !ok || len(f.snap.Machines) != 1 ||
		len(f.snap.Runs) != 1 ||
		len(f.snap.Units) != 0 || len(f.snap.Statuses) != 0 || len(f.events) != 0 {
		t.Errorf("seen: %+v, events %v", f.snap, f.events)
	}
}

func watchSlow(t *testing.T, open func() cluster.Store) {
	s := open()
	f := follow(t, open(), cluster.Scope{Events: true})
	n := register(t, s, runOf("m1", "run"), ttl)
	const rounds = 100
	for i := range rounds {
		must(t, n.PutStatuses(t.Context(), []cluster.Status{status("u.service", fmt.Sprint(i)),
			status("v.service", "active")}, nil))
		must(t, s.Record(t.Context(), cluster.Event{Text: fmt.Sprint(i)}))
	}
	must(t, n.PutStatuses(t.Context(), nil, []string{"v.service"}))
	f.until("the last status", func(snap *cluster.Snapshot) bool {
		_, left := snap.Statuses[on("m1", "v.service")]
		return snap.Statuses[on("m1", "u.service")].Active == fmt.Sprint(rounds-1) && !left && len(f.events) == rounds
	})
	for i, e := range f.events {
		if e.Text != fmt.Sprint(i) {
			t.Fatalf("event %d is %q", i, e.Text)
		}
	}
}

func watchEnds(t *testing.T, open func() cluster.Store) {
	s := open()
	for _, scope := range []cluster.Scope{{}, {Machine: "m1", Events: true}} {
		ctx, cancel := context.WithCancel(t.Context())
		_, changes, err := s.Watch(ctx, scope)
		must(t, err)
		cancel()
		closed(t, "changes", changes)
	}
}

func callsEnd(t *testing.T, open func() cluster.Store) {
	s := open()
	n := register(t, s, runOf("m1", "run"), ttl)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Watch":         func() error { _, _, err := s.Watch(ctx, cluster.Scope{}); return err },
		"PutUnits":      func() error { _, err := s.PutUnits(ctx, many(1)); return err },
		"DeleteUnits":   func() error { _, err := s.DeleteUnits(ctx, []string{"a.service"}); return err },
		"UpdateMachine": func() error { return s.UpdateMachine(ctx, "m1", func(*cluster.Machine) error { return nil }) },
		"Register":      func() error { _, err := s.Register(ctx, runOf("m2", "run"), ttl); return err },
		"Campaign":      func() error { _, err := s.Campaign(ctx, n); return err },
		"Record":        func() error { return s.Record(ctx, cluster.Event{Text: "x"}) },
		"PutStatuses":   func() error { return n.PutStatuses(ctx, []cluster.Status{status("a.service", "active")}, nil) },
		"ClusterID":     func() error { _, err := s.ClusterID(ctx); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if snap := snapshot(t, s); len(snap.Units)+len(snap.Machines)+len(snap.Statuses) != 0 {
		t.Errorf("something was written: %+v", snap)
	}
}
