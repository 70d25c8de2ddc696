package etcdstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/units/retry"
)

const (
	lookEvery    = 200 * time.Millisecond // while waiting for another daemon's lease
	expiryMargin = 2 * time.Second        // etcd ends leases a little late
)

// errRaced means that somebody else registered at the same time.
var errRaced = errors.New("registered by another daemon at the same time")

// Register implements cluster.Store. ttl is rounded up to seconds, and etcd
// may lengthen it to half as much again as its election timeout. A run of the
// same address is replaced in three steps, so that its statuses never vanish:
// the new lease takes over its key, then its statuses, then the old lease is ended.
func (s *Store) Register(ctx context.Context, run cluster.Run, ttl time.Duration) (cluster.Session, error) {
	if run.Machine == "" || run.ID == "" || ttl <= 0 {
		return nil, fmt.Errorf("register run %q of machine %q for %v: all three are needed", run.ID, run.Machine, ttl)
	}
	for {
		n, err := s.register(ctx, run, ttl)
		if err == nil {
			return n, nil
		}
		if errors.Is(err, errRaced) && retry.Pause(ctx, lookEvery) {
			continue
		}
		return nil, fmt.Errorf("register with the cluster: %w", err)
	}
}

func (s *Store) register(ctx context.Context, run cluster.Run, ttl time.Duration) (*session, error) {
	old, err := s.predecessor(ctx, run)
	if err != nil {
		return nil, err
	}
	value, err := encode(run)
	if err != nil {
		return nil, err
	}
	limited, cancel := s.bounded(ctx)
	defer cancel()
	sent := time.Now()
	lease, err := s.client.Grant(limited, int64((ttl+time.Second-1)/time.Second))
	if err != nil {
		return nil, s.wrap(ctx, err)
	}
	inherited, err := s.takeOver(ctx, run.Machine, value, lease.ID, old)
	if err != nil {
		if rerr := s.revoke(context.WithoutCancel(ctx), lease.ID); rerr != nil {
			s.log.Debug("could not end an unused lease; it runs out", "error", rerr)
		}
		return nil, err
	}
	if old != nil && old.Lease != 0 {
		if err := s.revoke(ctx, clientv3.LeaseID(old.Lease)); err != nil {
			s.log.Warn("could not end the lease of this machine's previous run; it runs out", "error", err)
		}
	}
	return s.start(lease, run, sent, inherited), nil
}

// predecessor returns the key of the run to replace, nil if there is none. It
// waits for the end of a run from another address.
func (s *Store) predecessor(ctx context.Context, run cluster.Run) (*mvccpb.KeyValue, error) {
	for {
		resp, err := s.get(ctx, s.keys.alive(run.Machine))
		if err != nil || len(resp.Kvs) == 0 {
			return nil, err
		}
		kv := resp.Kvs[0]
		var old cluster.Run
		if err := json.Unmarshal(kv.Value, &old); err != nil {
			s.complain(string(kv.Key), err)
			return kv, nil
		}
		if old.Address == run.Address || kv.Lease == 0 {
			return kv, nil
		}
		old.Machine = run.Machine
		if err := s.awaitEnd(ctx, clientv3.LeaseID(kv.Lease), old); err != nil {
			return nil, err
		}
	}
}

// awaitEnd returns when a lease has run out, or *cluster.DuplicateError if somebody keeps it alive.
func (s *Store) awaitEnd(ctx context.Context, lease clientv3.LeaseID, run cluster.Run) error {
	began := time.Now()
	var seen renewals
	for {
		before := time.Now()
		limited, cancel := s.bounded(ctx)
		resp, err := s.client.TimeToLive(limited, lease)
		cancel()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			return nil
		case err != nil:
			return s.wrap(ctx, err)
		case resp.TTL < 0: // etcd says -1 for a lease it doesn't have
			return nil
		}
		// One renewal may be etcd's own doing: a new leader extends all leases.
		granted := time.Duration(resp.GrantedTTL) * time.Second
		if seen.observe(resp.TTL, before, time.Now()) >= 2 || time.Since(began) > granted+expiryMargin {
			return &cluster.DuplicateError{Run: run}
		}
		if !retry.Pause(ctx, lookEvery) {
			return s.wrap(ctx, ctx.Err())
		}
	}
}

// renewals counts the renewals of a lease that show in its remaining whole seconds.
type renewals struct {
	since time.Time // by then the lease had at most left+1 seconds
	left  int64
	count int
}

// observe takes in the seconds left, as answered between before and after.
func (r *renewals) observe(left int64, before, after time.Time) int {
	if r.since.IsZero() {
		r.since, r.left = after, left
		return 0
	}
	unrenewed := float64(r.left+1) - before.Sub(r.since).Seconds()
	if left >= 1 && float64(left) >= unrenewed {
		r.since, r.left = after, left
		r.count++
	}
	return r.count
}

// takeOver puts the run's key and the machine's statuses under a lease.
func (s *Store) takeOver(ctx context.Context, machine, value string, lease clientv3.LeaseID,
	old *mvccpb.KeyValue) ([]string, error) {
	revision := int64(0)
	if old != nil {
		revision = old.ModRevision
	}
	alive := s.keys.alive(machine)
	resp, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(alive), "=", revision)},
		[]clientv3.Op{clientv3.OpPut(alive, value, clientv3.WithLease(lease))}, nil)
	if err != nil {
		return nil, err
	}
	if !resp.Succeeded {
		return nil, errRaced
	}
	// From here on the old session can't write statuses: it no longer holds the run.
	for {
		inherited, done, err := s.takeOverStatuses(ctx, machine, lease)
		if done || err != nil {
			return inherited, err
		}
	}
}

// takeOverStatuses puts a machine's statuses under a lease. It isn't done if
// some vanished meanwhile.
func (s *Store) takeOverStatuses(ctx context.Context, machine string, lease clientv3.LeaseID) (
	units []string, done bool, err error) {
	prefix := s.keys.statuses(machine)
	resp, err := s.get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, false, err
	}
	for from := 0; from < len(resp.Kvs); from += mostOps {
		var guards []clientv3.Cmp
		var puts []clientv3.Op
		for _, kv := range resp.Kvs[from:min(from+mostOps, len(resp.Kvs))] {
			key := string(kv.Key)
			units = append(units, strings.TrimPrefix(key, prefix))
			guards = append(guards, clientv3.Compare(clientv3.CreateRevision(key), "=", kv.CreateRevision))
			puts = append(puts, clientv3.OpPut(key, "", clientv3.WithIgnoreValue(), clientv3.WithLease(lease)))
		}
		txn, err := s.commit(ctx, guards, puts, nil)
		if err != nil {
			return nil, false, err
		}
		if !txn.Succeeded {
			return nil, false, nil
		}
	}
	return units, true, nil
}

// Evict implements cluster.Store.
func (s *Store) Evict(ctx context.Context, machine, runID string) error {
	resp, err := s.get(ctx, s.keys.alive(machine))
	if err != nil {
		return fmt.Errorf("evict machine %s: %w", machine, err)
	}
	if len(resp.Kvs) == 0 || resp.Kvs[0].Lease == 0 {
		return nil
	}
	var run cluster.Run
	if err := json.Unmarshal(resp.Kvs[0].Value, &run); err != nil || run.ID != runID {
		return nil
	}
	if err := s.revoke(ctx, clientv3.LeaseID(resp.Kvs[0].Lease)); err != nil {
		return fmt.Errorf("evict machine %s: %w", machine, err)
	}
	return nil
}
