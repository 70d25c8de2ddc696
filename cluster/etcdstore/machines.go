package etcdstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

// UpdateMachine implements cluster.Store.
func (s *Store) UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error {
	key := s.keys.machine(id)
	for {
		m, revision, err := s.machine(ctx, id)
		if err == nil && revision == 0 {
			m.Overrides, err = s.keptOverrides(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("read machine %s: %w", id, err)
		}
		if err := f(&m); err != nil {
			return err
		}
		m.ID = id
		value, err := encode(m)
		if err != nil {
			return err
		}
		limited, cancel := s.bounded(ctx)
		written, err := s.client.Txn(limited).If(clientv3.Compare(clientv3.ModRevision(key), "=",
			revision)).Then(clientv3.OpPut(key, value)).Commit()
		cancel()
		switch {
		case lost(err): // records tell of no writer: f sees what it finds
		case err != nil:
			return fmt.Errorf("write machine %s: %w", id, s.wrap(ctx, err))
		case written.Succeeded:
			return nil
		}
	}
}

// machine reads a machine's record, and the revision it is of: 0 where there is none. What can't
// be read is taken for an empty record, which its machine writes anew.
func (s *Store) machine(ctx context.Context, id string) (m cluster.Machine, revision int64, err error) {
	resp, err := s.get(ctx, s.keys.machine(id))
	if err != nil {
		return m, 0, err
	}
	if len(resp.Kvs) > 0 {
		revision = resp.Kvs[0].ModRevision
		if err := json.Unmarshal(resp.Kvs[0].Value, &m); err != nil {
			s.complain(s.keys.machine(id), err)
			m = cluster.Machine{}
		}
	}
	m.ID = id
	return m, revision, nil
}

// keptOverrides reads what a machine had that left.
func (s *Store) keptOverrides(ctx context.Context, id string) (map[string]string, error) {
	key := s.keys.overrides(id)
	resp, err := s.get(ctx, key)
	if err != nil || len(resp.Kvs) == 0 {
		return nil, err
	}
	var kept map[string]string
	if err := json.Unmarshal(resp.Kvs[0].Value, &kept); err != nil {
		s.complain(key, err)
		return nil, nil
	}
	return kept, nil
}

// DeleteMachine implements cluster.Store.
func (s *Store) DeleteMachine(ctx context.Context, id string) error {
	for maybe := false; ; { // maybe deleted, by a request whose answer was lost
		m, revision, err := s.machine(ctx, id)
		if err == nil && revision == 0 {
			if maybe {
				return nil
			}
			err = cluster.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("delete machine %s: %w", id, err)
		}
		keep := clientv3.OpDelete(s.keys.overrides(id))
		if len(m.Overrides) > 0 {
			value, err := encode(m.Overrides)
			if err != nil {
				return err
			}
			keep = clientv3.OpPut(s.keys.overrides(id), value)
		}
		key := s.keys.machine(id)
		unchanged := clientv3.Compare(clientv3.ModRevision(key), "=", revision)
		limited, cancel := s.bounded(ctx)
		resp, err := s.client.Txn(limited).If(unchanged).Then(clientv3.OpDelete(key), keep).Commit()
		cancel()
		switch {
		case lost(err):
			maybe = true
		case err != nil:
			return fmt.Errorf("delete machine %s: %w", id, s.wrap(ctx, err))
		case resp.Succeeded:
			return nil
		}
	}
}

// ClusterID implements cluster.Store.
func (s *Store) ClusterID(ctx context.Context) (string, error) {
	s.mu.Lock()
	id := s.clusterID
	s.mu.Unlock()
	if id != "" {
		return id, nil
	}
	var raw [16]byte
	rand.Read(raw[:])
	id = hex.EncodeToString(raw[:])
	key := s.keys.cluster()
	resp, err := s.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)},
		[]clientv3.Op{clientv3.OpPut(key, id)}, []clientv3.Op{clientv3.OpGet(key)})
	if err != nil {
		return "", fmt.Errorf("read the cluster's identity: %w", err)
	}
	if !resp.Succeeded {
		id = string(resp.Responses[0].GetResponseRange().Kvs[0].Value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusterID = id
	return id, nil
}
