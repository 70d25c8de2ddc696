package etcdstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

const (
	mostEvents = 10_000
	longestAge = 7 * 24 * time.Hour
	trimEvery  = 256 // events recorded by one store
)

// Record implements cluster.Store. Events of one call keep their order where
// their times are equal.
func (s *Store) Record(ctx context.Context, events ...cluster.Event) error {
	var salt [4]byte
	rand.Read(salt[:])
	for from := 0; from < len(events); from += mostOps {
		batch := events[from:min(from+mostOps, len(events))]
		ops := make([]clientv3.Op, len(batch))
		for i, e := range batch {
			if e.Time.IsZero() {
				e.Time = s.now()
			}
			e.ID = fmt.Sprintf("%s-%05x%s", sortable(e.Time), from+i, hex.EncodeToString(salt[:]))
			value, err := encode(e)
			if err != nil {
				return err
			}
			ops[i] = clientv3.OpPut(s.keys.event(e.ID), value)
		}
		if _, err := s.commit(ctx, nil, ops, nil); err != nil {
			return fmt.Errorf("record %d events: %w", len(events), err)
		}
	}
	s.mu.Lock()
	s.recorded += len(events)
	due := s.recorded >= trimEvery
	if due {
		s.recorded = 0
	}
	s.mu.Unlock()
	if due {
		if err := s.trim(ctx); err != nil {
			s.log.Debug("could not trim the timeline; trying again later", "error", err)
		}
	}
	return nil
}

// sortable writes a time so that later ones sort later.
func sortable(t time.Time) string {
	nanos := t.UnixNano()
	if t.Before(time.Unix(0, 0)) {
		nanos = 0
	} else if t.After(time.Unix(0, math.MaxInt64)) {
		nanos = math.MaxInt64
	}
	return fmt.Sprintf("%020d", nanos)
}

// trim deletes events that are too old or too many.
func (s *Store) trim(ctx context.Context) error {
	first, end := s.keys.event(""), clientv3.GetPrefixRangeEnd(s.keys.event(""))
	cut := s.keys.event(sortable(s.now().Add(-longestAge)))
	resp, err := s.get(ctx, cut, clientv3.WithRange(end), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if extra := resp.Count - mostEvents; extra > 0 {
		resp, err := s.get(ctx, cut, clientv3.WithRange(end), clientv3.WithKeysOnly(), clientv3.WithLimit(extra))
		if err != nil {
			return err
		}
		if n := len(resp.Kvs); n > 0 {
			cut = string(resp.Kvs[n-1].Key) + "\x00"
		}
	}
	_, err = s.commit(ctx, nil, []clientv3.Op{clientv3.OpDelete(first, clientv3.WithRange(cut))}, nil)
	return err
}

// Events implements cluster.Store. A limit of 0 or less means all that are kept.
func (s *Store) Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error) {
	if oldest := s.now().Add(-longestAge); since.Before(oldest) {
		since = oldest
	}
	if limit <= 0 || limit > mostEvents {
		limit = mostEvents
	}
	resp, err := s.get(ctx, s.keys.event(sortable(since)),
		clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.keys.event(""))),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read the timeline: %w", err)
	}
	var c cluster.Change
	for _, kv := range resp.Kvs {
		s.notePut(&c, kv)
	}
	slices.Reverse(c.Events)
	return c.Events, nil
}
