package etcdstore

import (
	"context"
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

// EventsAfter implements cluster.Store.
func (s *Store) EventsAfter(ctx context.Context, after, upTo int64) ([]cluster.Event, error) {
	resp, err := s.get(ctx, s.keys.event(""), clientv3.WithPrefix(), clientv3.WithMinModRev(after+1),
		clientv3.WithMaxModRev(upTo), clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend))
	if err != nil {
		return nil, fmt.Errorf("read the timeline after revision %d: %w", after, err)
	}
	var c cluster.Change
	for _, kv := range resp.Kvs {
		s.notePut(&c, kv)
	}
	return c.Events, nil
}

// Told implements cluster.Store.
func (s *Store) Told(ctx context.Context, receiver string) (int64, error) {
	revision, _, err := s.told(ctx, receiver)
	return revision, err
}

// told also returns the revision at which that was written.
func (s *Store) told(ctx context.Context, receiver string) (revision, written int64, err error) {
	resp, err := s.get(ctx, s.keys.told(receiver))
	if err != nil {
		return 0, 0, fmt.Errorf("read what %s was told: %w", receiver, err)
	}
	if len(resp.Kvs) == 0 {
		return 0, 0, nil
	}
	kv := resp.Kvs[0]
	if revision, err = strconv.ParseInt(string(kv.Value), 10, 64); err != nil {
		s.complain(string(kv.Key), err)
	}
	return revision, kv.ModRevision, nil
}

// SetTold implements cluster.Store.
func (s *Store) SetTold(ctx context.Context, receiver string, revision int64) error {
	for {
		told, written, err := s.told(ctx, receiver)
		if err != nil || told >= revision {
			return err
		}
		key := s.keys.told(receiver)
		resp, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", written)},
			[]clientv3.Op{clientv3.OpPut(key, strconv.FormatInt(revision, 10))}, nil)
		if err != nil {
			return fmt.Errorf("note what %s was told: %w", receiver, err)
		}
		if resp.Succeeded {
			return nil
		}
	}
}
