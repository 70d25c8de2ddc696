package etcdstore

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

// Apply implements cluster.Store.
func (s *Store) Apply(ctx context.Context, term int64, moves []cluster.Move) (int64, []error, error) {
	errs := make([]error, len(moves))
	steps := make([]*step, 0, len(moves))
	for i, m := range moves {
		st, err := s.moveStep(i, m)
		if err != nil {
			errs[i] = fmt.Errorf("move %s: %w", m.Unit, err)
			continue
		}
		steps = append(steps, st)
	}
	leader := s.keys.leader()
	revision, err := s.take(ctx, steps, &fence{
		guard: clientv3.Compare(clientv3.CreateRevision(leader), "=", term),
		read:  clientv3.OpGet(leader, clientv3.WithKeysOnly()),
		holds: func(kv *mvccpb.KeyValue) bool { return kv != nil && kv.CreateRevision == term },
	}, errs)
	if err != nil {
		return revision, errs, fmt.Errorf("apply %d moves in term %d: %w", len(moves), term, err)
	}
	return revision, errs, nil
}

// moveStep guards a move: the unit's generation, the assignment it starts from
// unchanged, and nothing where it goes to. The assignment is compared by value
// once, and by its revision in the transaction.
func (s *Store) moveStep(i int, m cluster.Move) (*step, error) {
	unit := s.keys.unit(m.Unit)
	generation := clientv3.Compare(clientv3.Version(unit), "=", m.Generation)
	st := &step{index: i, reads: []clientv3.Op{clientv3.OpGet(unit, clientv3.WithKeysOnly())}}

	var from, to string
	if m.From != nil {
		from = s.keys.assignment(m.From)
		st.blind = true
		st.reads = append(st.reads, clientv3.OpGet(from))
	}
	if m.To != nil {
		to = s.keys.assignment(m.To)
		value, err := encode(m.To)
		if err != nil {
			return nil, err
		}
		st.writes = append(st.writes, clientv3.OpPut(to, value))
		st.size = len(to) + len(value)
	}
	if from != "" && from != to {
		st.writes = append(st.writes, clientv3.OpDelete(from))
	}
	st.guards = []clientv3.Cmp{generation}
	if to != "" && to != from {
		st.guards = append(st.guards, clientv3.Compare(clientv3.CreateRevision(to), "=", 0))
		st.reads = append(st.reads, clientv3.OpGet(to, clientv3.WithKeysOnly()))
	}
	fixed := st.guards
	st.judge = func(st *step, found []*mvccpb.KeyValue) error {
		conflict := fmt.Errorf("move %s: %w", m.Unit, cluster.ErrConflict)
		var version int64
		if found[0] != nil {
			version = found[0].Version
		}
		if version != m.Generation || to != "" && to != from && found[len(found)-1] != nil {
			return conflict
		}
		if m.From == nil {
			return nil
		}
		var now cluster.Assignment
		if found[1] == nil || json.Unmarshal(found[1].Value, &now) != nil || !now.Equal(*m.From) {
			return conflict
		}
		st.guards = append(fixed[:len(fixed):len(fixed)],
			clientv3.Compare(clientv3.ModRevision(from), "=", found[1].ModRevision))
		return nil
	}
	return st, nil
}
