package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"fleettop/cluster"
)

var leaderCases = []testCase{
	{"one leads and the next waits for its resignation", leaderResigns},
	{"an evicted leader's place is free at once", leaderEvicted},
	{"a leader's place is free when its lease runs out", leaderRunsOut},
	{"a campaign ends with its session or its context", campaignEnds},
	{"a leader that restarts loses its leadership", leaderRestarts},
	{"a past term writes nothing", leaderFenced},
	{"a hold is the leader's word and ends with its term", leaderHolds},
}

type won struct {
	leader cluster.Leader
	err    error
}

// campaign campaigns in the background.
func campaign(ctx context.Context, s cluster.Store, n cluster.Session) <-chan won {
	ch := make(chan won, 1)
	go func() {
		l, err := s.Campaign(ctx, n)
		ch <- won{l, err}
	}()
	return ch
}

func result(t testing.TB, ch <-chan won) won {
	t.Helper()
	select {
	case w := <-ch:
		return w
	case <-time.After(patience):
		t.Fatal("the campaign goes on")
		return won{}
	}
}

func stillWaits(t testing.TB, ch <-chan won) {
	t.Helper()
	select {
	case w := <-ch:
		t.Fatalf("the campaign ended: %+v", w)
	case <-time.After(50 * time.Millisecond):
	}
}

func leaderResigns(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	f := follow(t, a, cluster.Scope{Machine: "m9"})
	first := lead(t, a, "m1")
	if first.Machine != "m1" || first.Run != "run of m1" || first.Term == 0 || first.Since.IsZero() {
		t.Errorf("the leader is %+v", first)
	}
	next := campaign(t.Context(), b, register(t, b, runOf("m2", "run2"), ttl))
	stillWaits(t, next)
	f.until("the leader", func(s *cluster.Snapshot) bool {
		return s.Leader.Term == first.Term &&
			s.Leader.Run == first.Run
	})
	must(t, a.Resign(t.Context(), cluster.Leader{Term: first.Term + 1000}))
	stillWaits(t, next)
	must(t, a.Resign(t.Context(), first))
	second := result(t, next)
	must(t, second.err)
	if second.leader.Term <= first.Term || second.leader.Machine != "m2" {
		t.Errorf("after %+v came %+v", first, second.leader)
	}
	must(t, a.Resign(t.Context(), first)) // over already: nothing happens
	if got := snapshot(t, b).Leader; got.Term != second.leader.Term {
		t.Errorf("the leader is %+v", got)
	}
}

func leaderEvicted(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	lead(t, a, "m1")
	next := campaign(t.Context(), b, register(t, b, runOf("m2", "run2"), ttl))
	stillWaits(t, next)
	began := time.Now()
	must(t, b.Evict(t.Context(), "m1", "run of m1"))
	must(t, result(t, next).err)
	if took := time.Since(began); took > ttl/2 {
		t.Errorf("took %v", took)
	}
}

func leaderRunsOut(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	n := register(t, a, runOf("m1", "run1"), shortTTL)
	must(t, result(t, campaign(t.Context(), a, n)).err)
	next := campaign(t.Context(), b, register(t, b, runOf("m2", "run2"), ttl))
	must(t, n.Close(t.Context(), false))
	must(t, result(t, next).err)
}

func campaignEnds(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	lead(t, a, "m1")
	n := register(t, b, runOf("m2", "run2"), ttl)
	ctx, cancel := context.WithCancel(t.Context())
	canceled := campaign(ctx, b, n)
	stillWaits(t, canceled)
	cancel()
	if w := result(t, canceled); !errors.Is(w.err, context.Canceled) {
		t.Errorf("after its context: %v", w.err)
	}
	lost := campaign(t.Context(), b, n)
	stillWaits(t, lost)
	must(t, n.Close(t.Context(), true))
	if w := result(t, lost); !errors.Is(w.err, cluster.ErrSessionLost) {
		t.Errorf("after its session: %v", w.err)
	}
}

func leaderRestarts(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	first := lead(t, a, "m1")
	n := register(t, b, runOf("m1", "again"), ttl)
	w := result(t, campaign(t.Context(), b, n))
	must(t, w.err)
	if w.leader.Term <= first.Term || w.leader.Run != "again" {
		t.Errorf("after %+v came %+v", first, w.leader)
	}
}

func leaderHolds(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	f := follow(t, b, cluster.Scope{Machine: "m9"})
	first := lead(t, a, "m1")
	hold := func(why string) error {
		_, _, err := a.Apply(t.Context(), first.Term, nil, cluster.Findings{Hold: &why})
		return err
	}
	must(t, hold("too many vanished"))
	f.until("the hold", func(s *cluster.Snapshot) bool { return s.Leader.Hold == "too many vanished" })
	held := snapshot(t, b).Leader
	if held.Hold = ""; held.Term != first.Term || held.Run != first.Run || !held.Since.Equal(first.Since) {
		t.Errorf("the leader was %+v and is %+v", first, held)
	}
	must(t, hold(""))
	f.until("the end of the hold", func(s *cluster.Snapshot) bool {
		return s.Leader.Term == first.Term &&
			s.Leader.Hold == ""
	})
	must(t, hold("again"))

	// It is the lease's that it was: it goes when the run goes.
	must(t, b.Evict(t.Context(), "m1", "run of m1"))
	f.until("nobody leads", func(s *cluster.Snapshot) bool { return s.Leader == cluster.Leader{} })
	refused := func(why string) {
		t.Helper()
		if err := hold("too late"); !errors.Is(err, cluster.ErrNotLeader) {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused("nobody leads")
	lead(t, b, "m2")
	refused("another leads")
	if l := snapshot(t, b).Leader; l.Machine != "m2" || l.Hold != "" {
		t.Errorf("the next leader is %+v", l)
	}
}

func leaderFenced(t *testing.T, open func() cluster.Store) {
	a, b := open(), open()
	first := lead(t, a, "m1")
	list := many(200)
	put(t, a, list...)
	moves := make([]cluster.Move, len(list))
	for i, u := range list {
		moves[i] = cluster.Move{Unit: u.Name, To: assignment("m1", u), Generation: 1}
	}
	_, errs, err := a.Apply(t.Context(), first.Term, moves[:1], cluster.Findings{})
	want(t, errs, err, nil)
	refused := func(why string, list []cluster.Move) {
		t.Helper()
		revision, errs, err := a.Apply(t.Context(), first.Term, list, cluster.Findings{})
		if !errors.Is(err, cluster.ErrNotLeader) || revision != 0 || len(errs) != len(list) {
			t.Fatalf("%s: revision %d, %v", why, revision, err)
		}
		for i, e := range errs {
			if !errors.Is(e, cluster.ErrNotLeader) {
				t.Fatalf("%s: entry %d is %v", why, i, e)
			}
		}
		if n := len(snapshot(t, b).Assignments); n != 1 {
			t.Fatalf("%s: %d assignments", why, n)
		}
	}
	must(t, b.Evict(t.Context(), "m1", "run of m1"))
	refused("nobody leads", moves[1:])
	second := lead(t, b, "m2")
	refused("another leads", moves[1:])
	refused("another leads, and the move is a withdrawal",
		[]cluster.Move{{Unit: list[0].Name, From: assignment("m1", list[0]), Generation: 1}})
	revision, errs, err := b.Apply(t.Context(), second.Term, moves[1:], cluster.Findings{})
	want(t, errs, err, make([]error, len(moves)-1)...)
	if revision <= second.Term {
		t.Errorf("written at %d in term %d", revision, second.Term)
	}
}
