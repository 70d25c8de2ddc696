package etcdserver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A member that is told that the leader's machine is dead leads without waiting for
// raft's timeout. This one lives, so that it is no timeout that elects the other:
// it makes way, and nothing is lost.
func TestSucceed(t *testing.T) {
	f, _, _ := grow(t)
	leader := f.leader(t)
	for name, s := range f.servers {
		if name == leader {
			continue
		}
		if err := s.Succeed(limit(t), "another", 0); err != nil { // it doesn't lead
			t.Error(err)
		}
		if got := f.leader(t); got != leader {
			t.Errorf("%s leads, though the dead machine did not", got)
		}
		for end := time.Now().Add(30 * time.Second); !s.IsLeader(); time.Sleep(10 * time.Millisecond) {
			if err := s.Succeed(limit(t), s.Leader(), 0); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(end) {
				t.Fatalf("%s doesn't lead, but %s", name, s.Leader())
			}
		}
		if _, err := clientOf(t, s).Put(limit(t), "a", "b"); err != nil {
			t.Error(err)
		}
		return
	}
}

// A leader that died is known after its term, too: another member may have stood in
// vain, and by that ended it.
func TestTheLastLeaderIsKnown(t *testing.T) {
	f, _, _ := grow(t)
	leader := f.leader(t)
	var left *Server
	for name, s := range f.servers {
		if name != leader {
			left = s
		}
	}
	for end := time.Now().Add(30 * time.Second); left.Leader() != leader; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the leader is %q, want %s", left.Leader(), leader)
		}
	}
	for _, s := range f.servers {
		if s != left {
			s.Close()
		}
	}
	for end := time.Now().Add(30 * time.Second); left.etcd.Server.Leader() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has a leader still")
		}
	}
	if left.Leader() == "" { // it may have been any, as one that ends hands over
		t.Error("the last leader isn't known")
	}
}

// Requests wait while another leader is elected, and no longer than their client does.
func TestRequestsWaitForTheElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{term: newRaftTerm(), electing: make(chan struct{})}
		handled := 0
		ask := func(ctx context.Context) {
			_, _ = s.withinTerm(ctx, nil, nil, func(context.Context, any) (any, error) { handled++; return nil, nil })
		}
		gone, leave := context.WithCancel(t.Context())
		go ask(t.Context())
		synctest.Wait()
		if handled != 0 {
			t.Error("a request was handled during the election")
		}
		go ask(gone)
		synctest.Wait()
		leave()
		synctest.Wait()
		if handled != 1 {
			t.Errorf("%d were handled when the second one's client left", handled)
		}
		close(s.electing)
		synctest.Wait()
		if handled != 2 {
			t.Errorf("%d were handled after the election", handled)
		}
		s.term.end()
	})
}
