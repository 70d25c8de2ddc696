package etcdstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

// Apply implements cluster.Store.
func (s *Store) Apply(ctx context.Context, term int64, moves []cluster.Move,
	found cluster.Findings) (int64, []error, error) {
	first, err := firstFindings(s.keys, found)
	if err != nil {
		return 0, make([]error, len(moves)), err
	}
	later, err := laterFindings(s.keys, found)
	if err != nil {
		return 0, make([]error, len(moves)), err
	}
	errs := make([]error, len(moves)+len(first)+len(later))
	steps := make([]*step, 0, len(errs))
	for _, st := range first {
		st.index = len(moves) + len(steps)
		steps = append(steps, st)
	}
	for i, m := range moves {
		st, err := s.moveStep(i, m)
		if err != nil {
			errs[i] = fmt.Errorf("move %s: %w", m.Unit, err)
			continue
		}
		steps = append(steps, st)
	}
	for i, st := range later {
		st.index = len(moves) + len(first) + i
		steps = append(steps, st)
	}
	leader := s.keys.leader()
	f := &fence{
		guard: clientv3.Compare(clientv3.CreateRevision(leader), "=", term),
		read:  clientv3.OpGet(leader, clientv3.WithKeysOnly()),
		holds: func(kv *mvccpb.KeyValue) bool { return kv != nil && kv.CreateRevision == term },
	}
	var revision int64
	if len(steps) > 0 {
		revision, err = s.take(ctx, steps, f, errs)
	} else { // nothing is written, so the revision is no write's
		_, err = s.takeBatch(ctx, nil, f, errs)
	}
	if err == nil { // a finding has no guard of its own, and can't be refused alone
		err = errors.Join(errs[len(moves):]...)
	}
	if err != nil {
		err = fmt.Errorf("apply %d moves and %d findings in term %d: %w", len(moves), found.Size(), term, err)
	}
	return revision, errs[:len(moves):len(moves)], err
}

// firstFindings are the steps of the findings that go before the moves: the hold
// and the verdicts that explain them, and the marks of finished units whose
// assignments they may remove.
func firstFindings(keys layout, found cluster.Findings) ([]*step, error) {
	verdicts, err := findings(keys.verdict, found.Verdicts)
	if err != nil {
		return nil, err
	}
	finished := maps.Clone(found.Unplaced)
	maps.DeleteFunc(finished, func(_ string, u *cluster.Unplaced) bool { return !marked(u) })
	marks, err := findings(keys.unplaced, finished)
	steps := append(verdicts, marks...)
	if found.Hold != nil {
		steps = append(steps, holdStep(keys.leader(), *found.Hold))
	}
	return steps, err
}

// holdStep writes the Hold into the leader's record, which it must read for the
// rest. The key stays under the lease of the run that leads.
func holdStep(key, why string) *step {
	return &step{reads: []clientv3.Op{clientv3.OpGet(key)}, blind: true,
		judge: func(st *step, found []*mvccpb.KeyValue) error {
			var l cluster.Leader // the fence has seen that the key is there
			if err := json.Unmarshal(found[0].Value, &l); err != nil {
				return err
			}
			l.Hold = why
			value, err := encode(l)
			st.writes = []clientv3.Op{clientv3.OpPut(key, value, clientv3.WithIgnoreLease())}
			return err
		}}
}

func marked(u *cluster.Unplaced) bool { return u != nil && u.Finished }

// laterFindings are the steps of the findings that no move waits for.
func laterFindings(keys layout, found cluster.Findings) ([]*step, error) {
	others := maps.Clone(found.Unplaced)
	maps.DeleteFunc(others, func(_ string, u *cluster.Unplaced) bool { return marked(u) })
	unplaced, err := findings(keys.unplaced, others)
	if err != nil {
		return nil, err
	}
	whatIf, err := findings(keys.whatIf, found.WhatIf)
	return append(unplaced, whatIf...), err
}

// findings are the steps that write or remove findings of a kind, by key.
func findings[V any](key func(string) string, found map[string]*V) ([]*step, error) {
	steps := make([]*step, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		st := &step{judge: func(*step, []*mvccpb.KeyValue) error { return nil }}
		if v := found[name]; v == nil {
			st.writes = []clientv3.Op{clientv3.OpDelete(key(name))}
		} else {
			value, err := encode(v)
			if err != nil {
				return nil, err
			}
			st.writes, st.size = []clientv3.Op{clientv3.OpPut(key(name), value)}, len(key(name))+len(value)
		}
		steps = append(steps, st)
	}
	return steps, nil
}

// moveStep guards a move: the unit's generation, the assignment it starts from
// unchanged, and nothing where it goes to. The assignment is compared by value
// once, and by its revision in the transaction.
func (s *Store) moveStep(i int, m cluster.Move) (*step, error) {
	unit := s.keys.unit(m.Unit)
	generation := clientv3.Compare(clientv3.Version(unit), "=", m.Generation)
	st := &step{index: i, reads: []clientv3.Op{clientv3.OpGet(unit, clientv3.WithKeysOnly())}}

	var from, to string
	var toRead int // where in st.reads
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
	if from != "" && from != to && !m.Keep {
		st.writes = append(st.writes, clientv3.OpDelete(from))
	}
	switch {
	case m.Becomes != nil:
		value, err := encode(m.Becomes)
		if err != nil {
			return nil, err
		}
		st.writes = append(st.writes, clientv3.OpPut(unit, value))
		st.size += len(unit) + len(value)
	case m.Forget:
		st.writes = append(st.writes, clientv3.OpDelete(unit))
	}
	st.guards = []clientv3.Cmp{generation}
	if to != "" && to != from {
		st.guards = append(st.guards, clientv3.Compare(clientv3.CreateRevision(to), "=", 0))
		toRead = len(st.reads)
		st.reads = append(st.reads, clientv3.OpGet(to, clientv3.WithKeysOnly()))
	}
	fenceRead := len(st.reads)
	if m.Fenced != nil {
		s.guardFence(st, *m.Fenced)
	}
	fixed := st.guards
	st.judge = func(st *step, found []*mvccpb.KeyValue) error {
		conflict := fmt.Errorf("move %s: %w", m.Unit, cluster.ErrConflict)
		var version int64
		if found[0] != nil {
			version = found[0].Version
		}
		if version != m.Generation || to != "" && to != from && found[toRead] != nil {
			return conflict
		}
		if f := m.Fenced; f != nil && (revisionOf(found[fenceRead]) != f.Revision || found[fenceRead+1] != nil) {
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

// guardFence guards a step with the end of a machine's fence: the machine has
// no run, without which it can't renew it, and hasn't renewed it since.
func (s *Store) guardFence(st *step, f cluster.Fence) {
	fence, alive := s.keys.fence(f.Machine), s.keys.alive(f.Machine)
	st.guards = append(st.guards, clientv3.Compare(clientv3.ModRevision(fence), "=", f.Revision),
		clientv3.Compare(clientv3.CreateRevision(alive), "=", 0))
	st.reads = append(st.reads, clientv3.OpGet(fence, clientv3.WithKeysOnly()),
		clientv3.OpGet(alive, clientv3.WithKeysOnly()))
}

// revisionOf is the revision at which a key was written last; 0 for none.
func revisionOf(kv *mvccpb.KeyValue) int64 {
	if kv == nil {
		return 0
	}
	return kv.ModRevision
}
