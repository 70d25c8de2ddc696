package etcdstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"fleettop/cluster"
	"fleettop/cluster/internal/feed"
)

const (
	pageSize = 500
	// watchGrace is how long a watch outlives its connection: etcd's client
	// resumes it if another member answers by then.
	watchGrace = time.Second
)

// Watch implements cluster.Store. Each etcd revision is within one change. A
// watch of everything sees revisions in order; a watch of one machine is one
// etcd watch for each of its keys' prefixes, each in order, and changes of two
// prefixes may come in either order.
func (s *Store) Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error) {
	prefixes := s.watched(scope)
	snap, err := s.snapshot(ctx, scope)
	if err != nil {
		return nil, nil, fmt.Errorf("read the cluster's state: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stopWithStore := context.AfterFunc(s.ctx, cancel)
	f := feed.New()
	strict := clientv3.WithRequireLeader(ctx)
	var pumps sync.WaitGroup
	for _, key := range prefixes {
		opts := []clientv3.OpOption{clientv3.WithRev(snap.Revision + 1), clientv3.WithProgressNotify()}
		if key[len(key)-1] == '/' {
			opts = append(opts, clientv3.WithPrefix())
		}
		responses := s.client.Watch(strict, key, opts...)
		pumps.Go(func() {
			defer cancel() // one that breaks ends them all
			s.pump(responses, scope, len(prefixes) == 1, f)
		})
	}
	pumps.Go(func() {
		defer cancel()
		awaitDisconnect(ctx, s.client.ActiveConnection())
	})
	finish := func() {
		pumps.Wait()
		stopWithStore()
		f.Close()
	}
	if !s.spawn(finish) {
		cancel()
		finish()
	}
	return snap, f.C(), nil
}

// watched returns the keys and, ending in a slash, prefixes of a scope.
func (s *Store) watched(scope cluster.Scope) []string {
	if scope.Machine == "" {
		return []string{s.keys.prefix}
	}
	list := []string{s.keys.machine(scope.Machine), s.keys.alive(scope.Machine),
		s.keys.assignments(scope.Machine), s.keys.leader()}
	if scope.Events {
		list = append(list, s.keys.event(""))
	}
	return list
}

// pump folds watch responses into changes until the watch ends or its reader is cut off.
func (s *Store) pump(responses clientv3.WatchChan, scope cluster.Scope, whole bool, f *feed.Feed) {
	for resp := range responses {
		if err := resp.Err(); err != nil {
			s.log.Debug("a watch on etcd ended", "error", err)
			return
		}
		var c cluster.Change
		for _, ev := range resp.Events {
			c.Revision = ev.Kv.ModRevision
			if ev.Type == mvccpb.DELETE {
				s.noteDelete(&c, string(ev.Kv.Key))
			} else {
				s.notePut(&c, ev.Kv)
			}
		}
		if resp.IsProgressNotify() && whole {
			c.Revision = resp.Header.Revision
		} else if !scope.Events {
			c.Events = nil
		}
		if c.Size() == 0 && !resp.IsProgressNotify() || c.Revision == 0 {
			continue
		}
		if !f.Offer(c) {
			return
		}
	}
}

// snapshot reads a scope at one revision.
func (s *Store) snapshot(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, error) {
	var c cluster.Change
	note := func(kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			s.notePut(&c, kv)
		}
	}
	if scope.Machine != "" {
		resp, err := s.commit(ctx, nil, []clientv3.Op{
			clientv3.OpGet(s.keys.machine(scope.Machine)),
			clientv3.OpGet(s.keys.alive(scope.Machine)),
			clientv3.OpGet(s.keys.assignments(scope.Machine), clientv3.WithPrefix()),
			clientv3.OpGet(s.keys.leader()),
		}, nil)
		if err != nil {
			return nil, err
		}
		for _, r := range resp.Responses {
			note(r.GetResponseRange().Kvs)
		}
		c.Revision = resp.Header.Revision
		return cluster.NewSnapshot(c.Revision).With(c), nil
	}
	// The timeline lies between the two ranges: it may be long and isn't part of the snapshot.
	events := s.keys.event("")
	for _, span := range [][2]string{
		{s.keys.prefix, events},
		{clientv3.GetPrefixRangeEnd(events), clientv3.GetPrefixRangeEnd(s.keys.prefix)},
	} {
		revision, err := s.pages(ctx, span[0], span[1], c.Revision, note)
		if err != nil {
			return nil, err
		}
		c.Revision = revision
	}
	return cluster.NewSnapshot(c.Revision).With(c), nil
}

// pages reads a range at a revision (0 for the newest, which it returns).
func (s *Store) pages(ctx context.Context, from, end string, revision int64,
	note func([]*mvccpb.KeyValue)) (int64, error) {
	for {
		resp, err := s.get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(pageSize), clientv3.WithRev(revision))
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = resp.Header.Revision
		}
		note(resp.Kvs)
		if !resp.More || len(resp.Kvs) == 0 {
			return revision, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// awaitDisconnect returns when the connection has been down for the grace, or
// ctx ends. Without it a watch would stay silent while etcd is away, as if
// nothing happened in the cluster.
func awaitDisconnect(ctx context.Context, conn *grpc.ClientConn) {
	for ctx.Err() == nil {
		if state := conn.GetState(); state == connectivity.Ready {
			conn.WaitForStateChange(ctx, state)
			continue
		}
		grace, cancel := context.WithTimeout(ctx, watchGrace)
		back := awaitReady(grace, conn)
		cancel()
		if !back {
			return
		}
	}
}

func awaitReady(ctx context.Context, conn *grpc.ClientConn) bool {
	for {
		state := conn.GetState()
		if state == connectivity.Ready {
			return true
		}
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return false
		}
	}
}
