package etcdstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/units/retry"
)

const (
	campaignRetryLeast = 50 * time.Millisecond
	campaignRetryMost  = time.Second
)

// Campaign implements cluster.Store. It outlasts failures of etcd for as long
// as the session lives.
func (s *Store) Campaign(ctx context.Context, held cluster.Session) (cluster.Leader, error) {
	n, ok := held.(*session)
	if !ok || n.store.keys != s.keys {
		return cluster.Leader{}, errors.New("campaign: the session is of another store")
	}
	trying, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	delay := retry.NewDelay(campaignRetryLeast, campaignRetryMost)
	for {
		l, waitFrom, err := s.tryLead(trying, n)
		if err == nil && waitFrom == 0 {
			return l, nil
		}
		if err == nil {
			err = s.awaitVacancy(trying, waitFrom)
		}
		switch {
		case n.ctx.Err() != nil:
			return cluster.Leader{}, fmt.Errorf("campaign: %w", cluster.ErrSessionLost)
		case ctx.Err() != nil:
			return cluster.Leader{}, ctx.Err()
		}
		if err == nil {
			delay.Reset()
			continue
		}
		pause := delay.Next()
		s.log.Debug("campaigning failed; trying again", "error", err, "in", pause)
		retry.Pause(trying, pause)
	}
}

// tryLead takes the leadership if it is free, and otherwise returns the
// revision from which to wait for that.
func (s *Store) tryLead(ctx context.Context, n *session) (l cluster.Leader, waitFrom int64, err error) {
	l = cluster.Leader{Machine: n.run.Machine, Run: n.run.ID, Since: s.now()}
	value, err := encode(l)
	if err != nil {
		return l, 0, err
	}
	key := s.keys.leader()
	resp, err := s.commit(ctx,
		[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0), n.held()},
		[]clientv3.Op{clientv3.OpPut(key, value, clientv3.WithLease(n.lease))},
		[]clientv3.Op{clientv3.OpGet(key), clientv3.OpGet(s.keys.alive(n.run.Machine))})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		n.end()
		return l, 0, cluster.ErrSessionLost
	case err != nil:
		return l, 0, err
	case resp.Succeeded:
		l.Term = resp.Header.Revision
		return l, 0, nil
	}
	if alive := resp.Responses[1].GetResponseRange().Kvs; len(alive) == 0 || alive[0].Lease != int64(n.lease) {
		n.end()
		return l, 0, cluster.ErrSessionLost
	}
	now := resp.Responses[0].GetResponseRange().Kvs
	if len(now) > 0 && now[0].Lease == int64(n.lease) {
		// Already won, by an answer that got lost.
		if err := json.Unmarshal(now[0].Value, &l); err != nil {
			return l, 0, err
		}
		l.Term = now[0].CreateRevision
		return l, 0, nil
	}
	return l, resp.Header.Revision + 1, nil
}

// awaitVacancy returns nil when the leader's key has been deleted at or after a revision.
func (s *Store) awaitVacancy(ctx context.Context, revision int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range s.client.Watch(ctx, s.keys.leader(), clientv3.WithRev(revision), clientv3.WithFilterPut()) {
		if err := resp.Err(); err != nil {
			return s.wrap(ctx, err)
		}
		for _, ev := range resp.Events {
			if ev.Type == mvccpb.DELETE {
				return nil
			}
		}
	}
	return fmt.Errorf("watch the leader: %w", cluster.ErrUnavailable)
}

// Resign implements cluster.Store.
func (s *Store) Resign(ctx context.Context, l cluster.Leader) error {
	key := s.keys.leader()
	_, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", l.Term)},
		[]clientv3.Op{clientv3.OpDelete(key)}, nil)
	if err != nil {
		return fmt.Errorf("resign: %w", err)
	}
	return nil
}
