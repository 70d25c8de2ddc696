package etcdstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"fleettop/cluster"
	"fleettop/units/retry"
)

const (
	renewRetry = 100 * time.Millisecond // after a renewal that failed
	renewTries = 3                      // renewals under way at a time
)

// session is a lease and the run it holds.
type session struct {
	store     *Store
	lease     clientv3.LeaseID
	run       cluster.Run
	ttl       time.Duration
	inherited []string

	ctx     context.Context // ends with the session
	end     context.CancelFunc
	stopped chan struct{} // closed when nothing renews the lease any more

	mu      sync.Mutex // guards renewed
	renewed time.Time
}

// start begins to renew a lease that was granted by a request sent at sent.
func (s *Store) start(lease *clientv3.LeaseGrantResponse, run cluster.Run, sent time.Time,
	inherited []string) *session {
	n := &session{store: s, lease: lease.ID, run: run, ttl: time.Duration(lease.TTL) * time.Second,
		inherited: inherited, stopped: make(chan struct{}), renewed: sent}
	n.ctx, n.end = context.WithCancel(s.ctx)
	renewing := s.spawn(func() {
		defer close(n.stopped)
		defer n.end()
		n.keepAlive(n.ctx)
	})
	if !renewing { // the store is closed, and n.ctx has ended with it
		close(n.stopped)
	}
	return n
}

// keepAlive renews the lease until ctx ends, the lease is gone, or it must
// have run out unrenewed. A renewal that isn't answered in time is left under
// way while another one is made: it may hang on a member that died, or etcd may
// only be slow, and then its answer is as good as any.
func (n *session) keepAlive(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan error, renewTries)
	var tries sync.WaitGroup
	defer tries.Wait()
	defer cancel()
	pending := 0
	next := time.NewTimer(time.Until(n.Renewed().Add(n.ttl / 3)))
	defer next.Stop()
	for {
		end := time.NewTimer(time.Until(n.Renewed().Add(n.ttl)))
		var err error
		select {
		case <-ctx.Done():
		case <-end.C:
			err = context.DeadlineExceeded
		case <-next.C:
			if pending < renewTries {
				pending++
				tries.Go(func() { results <- n.renew(ctx) })
			}
			next.Reset(n.ttl / 3)
		case tried := <-results:
			pending--
			switch {
			case tried == nil && pending == 0:
				next.Reset(time.Until(n.Renewed().Add(n.ttl / 3)))
			case errors.Is(tried, rpctypes.ErrLeaseNotFound):
				err = tried
			case tried != nil && ctx.Err() == nil:
				n.store.log.Debug("could not renew the session with etcd; trying again", "error", tried)
				next.Reset(renewRetry)
			}
		}
		end.Stop()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			n.store.log.Warn("the session with etcd is lost", "machine", n.run.Machine, "run", n.run.ID, "error", err)
			return
		}
	}
}

// renew is one renewal, on a stream of its own: one that hangs on a dead
// member is left behind.
func (n *session) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, n.ttl)
	defer cancel()
	stream, err := n.store.leases.LeaseKeepAlive(ctx, grpc.WaitForReady(true))
	if err != nil {
		return clientv3.ContextError(ctx, err)
	}
	sent := time.Now()
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(n.lease)}); err != nil {
		return clientv3.ContextError(ctx, err)
	}
	resp, err := stream.Recv()
	if err != nil {
		return clientv3.ContextError(ctx, err)
	}
	if resp.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if sent.After(n.renewed) {
		n.renewed = sent
	}
	return nil
}

// Done implements cluster.Session.
func (n *session) Done() <-chan struct{} { return n.ctx.Done() }

// Renewed implements cluster.Session.
func (n *session) Renewed() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.renewed
}

// Inherited implements cluster.Session.
func (n *session) Inherited() []string { return slices.Clone(n.inherited) }

// held guards a transaction with the session: its lease still holds the run.
func (n *session) held() clientv3.Cmp {
	return clientv3.Compare(clientv3.LeaseValue(n.store.keys.alive(n.run.Machine)), "=", n.lease)
}

// PutStatuses implements cluster.Session. Up to 119 of them are one transaction.
func (n *session) PutStatuses(ctx context.Context, puts []cluster.Status, deletes []string) error {
	latest := map[string]clientv3.Op{}
	sizes := map[string]int{}
	var order []string
	add := func(unit string, op clientv3.Op, size int) {
		if _, ok := latest[unit]; !ok {
			order = append(order, unit)
		}
		latest[unit], sizes[unit] = op, size
	}
	for _, unit := range deletes {
		add(unit, clientv3.OpDelete(n.store.keys.status(n.run.Machine, unit)), 0)
	}
	for _, st := range puts {
		st.Machine = n.run.Machine
		value, err := encode(st)
		if err != nil {
			return err
		}
		add(st.Name, clientv3.OpPut(n.store.keys.status(st.Machine, st.Name), value, clientv3.WithLease(n.lease)), len(value))
	}
	for len(order) > 0 {
		var ops []clientv3.Op
		size := 0
		for len(ops) < len(order) && len(ops) < mostOps-1 && (len(ops) == 0 || size+sizes[order[len(ops)]] <= mostBytes) {
			size += sizes[order[len(ops)]]
			ops = append(ops, latest[order[len(ops)]])
		}
		order = order[len(ops):]
		if err := n.yield(ctx); err != nil {
			return fmt.Errorf("report the state of units: %w", err)
		}
		resp, err := n.store.commit(ctx, []clientv3.Cmp{n.held()}, ops, nil)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) || err == nil && !resp.Succeeded {
			n.end()
			err = cluster.ErrSessionLost
		}
		if err != nil {
			return fmt.Errorf("report the state of units: %w", err)
		}
	}
	return nil
}

// RenewFence implements cluster.Session.
func (n *session) RenewFence(ctx context.Context, lease time.Duration) error {
	value, err := encode(cluster.Fence{Machine: n.run.Machine, Run: n.run.ID, Lease: lease})
	if err != nil {
		return err
	}
	put := clientv3.OpPut(n.store.keys.fence(n.run.Machine), value)
	resp, err := n.store.commit(ctx, []clientv3.Cmp{n.held()}, []clientv3.Op{put}, nil)
	if err == nil && !resp.Succeeded {
		n.end()
		err = cluster.ErrSessionLost
	}
	if err != nil {
		return fmt.Errorf("renew the fence of this machine: %w", err)
	}
	return nil
}

// Confirm implements cluster.Session.
func (n *session) Confirm(ctx context.Context, a cluster.Assignment) error {
	resp, err := n.store.commit(ctx, []clientv3.Cmp{n.held()}, []clientv3.Op{clientv3.OpGet(n.store.keys.assignment(&a))}, nil)
	if err == nil && !resp.Succeeded {
		n.end()
		err = cluster.ErrSessionLost
	}
	if err == nil {
		var now cluster.Assignment
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 || json.Unmarshal(kvs[0].Value, &now) != nil || !now.Equal(a) {
			err = cluster.ErrConflict
		}
	}
	if err != nil {
		return fmt.Errorf("confirm that %s is this machine's: %w", a.Unit, err)
	}
	return nil
}

// yield waits while a renewal of the lease is late: what is reported would only
// delay it further, and without the lease there is nothing to report under.
func (n *session) yield(ctx context.Context) error {
	for time.Since(n.Renewed()) > n.ttl/2 {
		if n.ctx.Err() != nil {
			return cluster.ErrSessionLost
		}
		if !retry.Pause(ctx, renewRetry) {
			return n.store.wrap(ctx, ctx.Err())
		}
	}
	return nil
}

// Close implements cluster.Session.
func (n *session) Close(ctx context.Context, revoke bool) error {
	n.end()
	<-n.stopped
	if !revoke {
		return nil
	}
	return n.store.revoke(ctx, n.lease)
}

// revoke ends a lease and deletes what it holds; one that is gone already is fine.
func (s *Store) revoke(ctx context.Context, lease clientv3.LeaseID) error {
	limited, cancel := s.bounded(ctx)
	defer cancel()
	_, err := s.client.Revoke(limited, lease)
	for lost(err) {
		_, err = s.client.Revoke(limited, lease)
	}
	if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return fmt.Errorf("end a lease: %w", s.wrap(ctx, err))
}
