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
		resp, err := s.get(ctx, key)
		if err != nil {
			return fmt.Errorf("read machine %s: %w", id, err)
		}
		m, revision := cluster.Machine{}, int64(0)
		if len(resp.Kvs) > 0 {
			revision = resp.Kvs[0].ModRevision
			if err := json.Unmarshal(resp.Kvs[0].Value, &m); err != nil {
				s.complain(key, err) // written anew below
				m = cluster.Machine{}
			}
		}
		m.ID = id
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

// DeleteMachine implements cluster.Store.
func (s *Store) DeleteMachine(ctx context.Context, id string) error {
	resp, err := s.commit(ctx, nil, []clientv3.Op{clientv3.OpDelete(s.keys.machine(id))}, nil)
	if err == nil && resp.Responses[0].GetResponseDeleteRange().Deleted == 0 {
		err = cluster.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete machine %s: %w", id, err)
	}
	return nil
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
