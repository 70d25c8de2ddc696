package etcdstore

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"fleettop/cluster"
	"fleettop/cluster/election"
	"fleettop/units"
	"fleettop/units/retry"
)

const patience = 30 * time.Second

func closes[T any](t *testing.T, what string, ch <-chan T) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatalf("%s: not closed", what)
		}
	}
}

// TestOutage stops etcd under a running daemon and starts it again.
func TestOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, address, err := serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := New(dial(t, address), Options{Timeout: time.Second, Logger: quiet(), OwnClient: true})
	defer s.Close()
	run := cluster.Run{Machine: "m1", ID: "before", Address: "192.0.2.1:1"}
	n, err := s.Register(t.Context(), run, 6*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	st := cluster.Status{Status: units.Status{Name: "a.service", Active: "active"}}
	if err := n.PutStatuses(t.Context(), []cluster.Status{st}, nil); err != nil {
		t.Fatal(err)
	}
	first, err := s.Campaign(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	_, changes, err := s.Watch(t.Context(), cluster.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	_, own, err := s.Watch(t.Context(), cluster.Scope{Machine: "m1"})
	if err != nil {
		t.Fatal(err)
	}

	server.Close()
	var calls sync.WaitGroup
	for name, call := range map[string]func() error{
		"Watch": func() error { _, _, err := s.Watch(t.Context(), cluster.Scope{}); return err },
		"PutUnits": func() error {
			_, err := s.PutUnits(t.Context(), []cluster.Unit{{Name: "a", Generation: 1}})
			return err
		},
		"DeleteUnits": func() error { _, err := s.DeleteUnits(t.Context(), []string{"a"}); return err },
		"Apply": func() error {
			_, _, err := s.Apply(t.Context(), first.Term, []cluster.Move{{Unit: "a"}}, cluster.Findings{})
			return err
		},
		"DeleteMachine": func() error { return s.DeleteMachine(t.Context(), "m1") },
		"Register":      func() error { _, err := s.Register(t.Context(), run, time.Second); return err },
		"Evict":         func() error { return s.Evict(t.Context(), "m1", "before") },
		"Resign":        func() error { return s.Resign(t.Context(), first) },
		"Record":        func() error { return s.Record(t.Context(), cluster.Event{}) },
		"Events":        func() error { _, err := s.Events(t.Context(), time.Time{}, 1); return err },
		"ClusterID":     func() error { _, err := s.ClusterID(t.Context()); return err },
	} {
		calls.Go(func() {
			began := time.Now()
			if err := call(); !errors.Is(err, cluster.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s took %v", name, took)
			}
		})
	}
	calls.Wait()
	closes(t, "the watch of everything", changes)
	closes(t, "the watch of one machine", own)
	closes(t, "the session", n.Done())

	server, _, err = serve(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	run.ID = "after"
	var again cluster.Session
	for deadline := time.Now().Add(patience); ; {
		again, err = s.Register(t.Context(), run, 2*time.Second)
		if err == nil {
			break
		}
		if !errors.Is(err, cluster.ErrUnavailable) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if got := again.Inherited(); !slices.Equal(got, []string{"a.service"}) {
		t.Errorf("after the outage the machine has the statuses %v", got)
	}
	second, err := s.Campaign(t.Context(), again)
	if err != nil || second.Term <= first.Term {
		t.Errorf("after %+v came %+v, %v", first, second, err)
	}
}

// TestQuorumLoss stops two of three members: what is left answers nothing
// wrong, breaks its watches, and changes nothing.
func TestQuorumLoss(t *testing.T) {
	t.Parallel()
	dir, members := t.TempDir(), map[string]url.URL{}
	for _, name := range []string{"a", "b", "c"} {
		l, err := net.Listen("tcp", "127.0.0.1:0") // members reach each other by TCP only
		if err != nil {
			t.Fatal(err)
		}
		members[name] = url.URL{Scheme: "http", Host: l.Addr().String()}
		if err := l.Close(); err != nil { // the port is free for a moment
			t.Fatal(err)
		}
	}
	var servers []*embed.Etcd
	for name := range members {
		server, err := embed.StartEtcd(config(dir, name, members))
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, server)
	}
	for _, server := range servers {
		if err := ready(server); err != nil {
			t.Fatal(err)
		}
	}
	defer servers[0].Close()
	client := dial(t, servers[0].Config().AdvertiseClientUrls[0].String())
	s := New(client, Options{Timeout: time.Second, Logger: quiet(), OwnClient: true})
	defer s.Close()
	n, err := s.Register(t.Context(), cluster.Run{Machine: "m1", ID: "run"}, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, changes, err := s.Watch(t.Context(), cluster.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	servers[1].Close()
	servers[2].Close()
	closes(t, "the watch", changes)
	if _, _, err := s.Watch(t.Context(), cluster.Scope{}); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a watch without a quorum: %v", err)
	}
	if _, err := s.PutUnits(t.Context(), []cluster.Unit{{Name: "a.service",
		Generation: 1}}); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a write without a quorum: %v", err)
	}
	closes(t, "the session", n.Done())
}

// TestElection runs an election on etcd: eviction ends a leader's context, and the next one leads.
func TestElection(t *testing.T) {
	t.Parallel()
	open := opener(t)
	ctx, cancel := context.WithCancel(t.Context())
	led := make(chan cluster.Leader, 10)
	results := make(chan error, 2)
	for _, machine := range []string{"m1", "m2"} {
		s := open()
		n, err := s.Register(ctx, cluster.Run{Machine: machine, ID: "run of " + machine}, 3*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			results <- election.Run(ctx, s, n, quiet(), func(ctx context.Context, l cluster.Leader) error {
				led <- l
				<-ctx.Done()
				return ctx.Err()
			})
		}()
	}
	wait := func() cluster.Leader {
		select {
		case l := <-led:
			return l
		case <-time.After(patience):
			t.Fatal("nobody leads")
			return cluster.Leader{}
		}
	}
	first := wait()
	if err := open().Evict(ctx, first.Machine, first.Run); err != nil {
		t.Fatal(err)
	}
	if second := wait(); second.Machine == first.Machine || second.Term <= first.Term {
		t.Errorf("after %+v came %+v", first, second)
	}
	if err := <-results; !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("the evicted one's election ended with %v", err)
	}
	cancel()
	if err := <-results; err != nil {
		t.Errorf("the other one's election ended with %v", err)
	}
}

// slowStream delays what a server answers.
type slowStream struct {
	grpc.ClientStream
	delay time.Duration
}

func (s *slowStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && !retry.Pause(s.Context(), s.delay) {
		return s.Context().Err()
	}
	return err
}

// An etcd that takes half of the lease to answer a renewal is slow and not gone.
func TestSlowRenewalsKeepTheSession(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	slow := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer,
		opts ...grpc.CallOption) (grpc.ClientStream, error) {
		stream, err := streamer(ctx, desc, cc, method, opts...)
		if err == nil && strings.HasSuffix(method, "/LeaseKeepAlive") {
			stream = &slowStream{stream, ttl / 2}
		}
		return stream, err
	}
	s := opener(t, grpc.WithChainStreamInterceptor(slow))()
	held, err := s.Register(t.Context(), cluster.Run{Machine: "m", ID: "r", Address: "a"}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	began := held.Renewed()
	deadline := time.After(30 * time.Second)
	for held.Renewed().Sub(began) < 2*ttl {
		select {
		case <-held.Done():
			t.Fatalf("lost %s after it was opened", time.Since(began).Round(time.Millisecond))
		case <-deadline:
			t.Fatalf("renewed until %s after it was opened", held.Renewed().Sub(began))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
