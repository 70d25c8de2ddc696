package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
)

var sessionCases = []testCase{
	{"a session holds the run and its statuses until it is revoked", sessionRevoked},
	{"what a session held runs out with its lease", sessionRunsOut},
	{"a session is renewed", sessionRenewed},
	{"a restarted daemon takes over its statuses", sessionTakeover},
	{"a second daemon with the same machine-id is refused by name", sessionDuplicate},
	{"a machine may come back with another address", sessionMoved},
	{"an evicted run is gone at once", sessionEvicted},
}

func gone(machine string) func(*cluster.Snapshot) bool {
	return func(s *cluster.Snapshot) bool { _, ok := s.Runs[machine]; return !ok && len(s.Statuses) == 0 }
}

func sessionRevoked(t *testing.T, open func() cluster.Store) {
	s := open()
	f := follow(t, s, cluster.Scope{})
	n := register(t, s, runOf("m1", "run"), ttl)
	if len(n.Inherited()) != 0 {
		t.Errorf("inherited %v from nobody", n.Inherited())
	}
	must(t, n.PutStatuses(t.Context(), []cluster.Status{status("a.service", "active"), status("b.service", "failed")},
		nil))
	must(t, n.PutStatuses(t.Context(), []cluster.Status{status("c.service", "active")},
		[]string{"a.service", "never.service"}))
	f.until("the statuses", func(snap *cluster.Snapshot) bool {
		return len(snap.Statuses) == 2 && snap.Statuses[on("m1", "b.service")].Active == "failed" &&
			snap.Statuses[on("m1", "c.service")].Machine == "m1" && snap.Runs["m1"].ID == "run"
	})
	must(t, n.Close(t.Context(), true))
	closed(t, "Done", n.Done())
	f.until("the end of the run", gone("m1"))
	err := n.PutStatuses(t.Context(), []cluster.Status{status("a.service", "active")}, nil)
	if !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("a status after the end: %v", err)
	}
	if !gone("m1")(snapshot(t, s)) {
		t.Error("a status was written after the end")
	}
}

func sessionRunsOut(t *testing.T, open func() cluster.Store) {
	s := open()
	f := follow(t, s, cluster.Scope{})
	n := register(t, s, runOf("m1", "run"), shortTTL)
	must(t, n.PutStatuses(t.Context(), []cluster.Status{status("a.service", "active")}, nil))
	must(t, n.Close(t.Context(), false))
	closed(t, "Done", n.Done())
	if _, ok := snapshot(t, s).Runs["m1"]; !ok {
		t.Error("the run ended with the session, not with its lease")
	}
	f.until("the status", func(snap *cluster.Snapshot) bool { return len(snap.Statuses) == 1 })
	f.until("the end of the lease", gone("m1"))
}

func sessionRenewed(t *testing.T, open func() cluster.Store) {
	s := open()
	before := time.Now()
	n := register(t, s, runOf("m1", "run"), 2*time.Second)
	first := n.Renewed()
	if first.Before(before) || first.After(time.Now()) {
		t.Errorf("renewed at %v, registered after %v", first, before)
	}
	deadline := time.Now().Add(patience)
	for n.Renewed().Sub(first) < 2*time.Second {
		select {
		case <-n.Done():
			t.Fatal("the session was lost")
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("not renewed")
		}
	}
	if _, ok := snapshot(t, s).Runs["m1"]; !ok {
		t.Error("the lease ran out though it was renewed")
	}
}

func sessionTakeover(t *testing.T, open func() cluster.Store) {
	old := register(t, open(), runOf("m1", "old"), ttl)
	var reports []cluster.Status
	var all []string
	for i := range 130 {
		all = append(all, fmt.Sprintf("u%03d.service", i))
		reports = append(reports, status(all[i], "active"))
	}
	must(t, old.PutStatuses(t.Context(), reports, nil))

	s := open()
	f := follow(t, s, cluster.Scope{})
	n := register(t, s, runOf("m1", "new"), ttl)
	if got := n.Inherited(); !slices.Equal(got, all) {
		t.Errorf("inherited %v", got)
	}
	f.until("the new run", func(snap *cluster.Snapshot) bool {
		if len(snap.Statuses) != len(all) {
			t.Fatalf("%d statuses during the takeover", len(snap.Statuses))
		}
		return snap.Runs["m1"].ID == "new"
	})
	closed(t, "the old session", old.Done())
	if err := old.PutStatuses(t.Context(), []cluster.Status{status("u000.service", "failed")},
		all); !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("the old session writes: %v", err)
	}
	must(t, s.Evict(t.Context(), "m1", "old"))
	must(t, n.PutStatuses(t.Context(), []cluster.Status{status("u001.service", "inactive")}, []string{"u002.service"}))
	snap := snapshot(t, s)
	if len(snap.Statuses) != len(all)-1 || snap.Statuses[on("m1", "u000.service")].Active != "active" ||
		snap.Statuses[on("m1", "u001.service")].Active != "inactive" || snap.Runs["m1"].ID != "new" {
		t.Errorf("after the takeover: %d statuses, run %+v", len(snap.Statuses), snap.Runs["m1"])
	}
	must(t, n.Close(t.Context(), true))
	f.until("the end of what was taken over", gone("m1"))
}

func sessionDuplicate(t *testing.T, open func() cluster.Store) {
	first := register(t, open(), runOf("m1", "first"), 2*time.Second)
	other := runOf("m1", "second")
	other.Address = "192.0.2.2:7946"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := open().Register(ctx, other, ttl)
	var duplicate *cluster.DuplicateError
	if !errors.As(err, &duplicate) || duplicate.Run.ID != "first" || !strings.Contains(err.Error(), "192.0.2.1:7946") {
		t.Errorf("the second daemon got: %v", err)
	}
	if id := snapshot(t, open()).Runs["m1"].ID; id != "first" {
		t.Errorf("the run is %q", id)
	}
	select {
	case <-first.Done():
		t.Error("the first daemon's session ended")
	default:
	}
}

func sessionMoved(t *testing.T, open func() cluster.Store) {
	crashed := register(t, open(), runOf("m1", "crashed"), shortTTL)
	must(t, crashed.Close(t.Context(), false))
	back := runOf("m1", "back")
	back.Address = "192.0.2.2:7946"
	s := open()
	register(t, s, back, ttl)
	if id := snapshot(t, s).Runs["m1"].ID; id != "back" {
		t.Errorf("the run is %q", id)
	}
}

func sessionEvicted(t *testing.T, open func() cluster.Store) {
	s := open()
	n := register(t, open(), runOf("m1", "run"), ttl)
	must(t, n.PutStatuses(t.Context(), []cluster.Status{status("a.service", "active")}, nil))
	must(t, s.Evict(t.Context(), "m1", "another run"))
	must(t, s.Evict(t.Context(), "m2", "run"))
	if gone("m1")(snapshot(t, s)) {
		t.Fatal("evicted the wrong run")
	}
	must(t, s.Evict(t.Context(), "m1", "run"))
	if snap := snapshot(t, s); !gone("m1")(snap) {
		t.Errorf("still there: %+v", snap)
	}
	closed(t, "Done", n.Done())
	if err := n.PutStatuses(t.Context(), nil, []string{"a.service"}); !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("a status after the eviction: %v", err)
	}
	if _, err := s.Campaign(t.Context(), n); !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("an evicted run campaigns: %v", err)
	}
}
