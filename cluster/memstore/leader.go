package memstore

import (
	"context"
	"fmt"

	"fleettop/cluster"
)

// Campaign implements cluster.Store. While the store is cut off it waits.
func (s *Store) Campaign(ctx context.Context, held cluster.Session) (cluster.Leader, error) {
	own, ok := held.(*session)
	if !ok || own.store.cluster != s.cluster {
		return cluster.Leader{}, fmt.Errorf("campaign: the session is of another store")
	}
	for {
		leader, changed, err := s.tryLead(ctx, own)
		if changed == nil || err != nil {
			return leader, err
		}
		select {
		case <-changed:
		case <-own.done:
		case <-ctx.Done():
		}
	}
}

// tryLead takes the leadership if it is free, or returns what to wait for.
func (s *Store) tryLead(ctx context.Context, own *session) (leader cluster.Leader, changed <-chan struct{}, err error) {
	c := s.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return leader, nil, ctx.Err()
	case own.lost || own.gone && s.reachable:
		own.finish()
		return leader, nil, fmt.Errorf("campaign: %w", cluster.ErrSessionLost)
	case !s.reachable || c.leader != nil && c.leader != own:
		return leader, c.changed.Changed(), nil
	case c.leader == nil:
		c.leader = own
		c.commit(cluster.Change{Leader: &cluster.Leader{
			Machine: own.run.Machine, Run: own.run.ID, Term: c.snap.Revision + 1, Since: c.clock.Now()}})
	}
	return c.snap.Leader, nil, nil
}

// Resign implements cluster.Store.
func (s *Store) Resign(ctx context.Context, l cluster.Leader) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if c := s.cluster; c.leader != nil && c.snap.Leader.Term == l.Term {
		c.leader = nil
		c.commit(cluster.Change{Leader: &cluster.Leader{}})
	}
	return nil
}

// Apply implements cluster.Store.
func (s *Store) Apply(ctx context.Context, term int64, moves []cluster.Move,
	found cluster.Findings) (int64, []error, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer leave()
	c := s.cluster
	errs := make([]error, len(moves))
	if c.leader == nil || c.snap.Leader.Term != term {
		for i := range errs {
			errs[i] = cluster.ErrNotLeader
		}
		return 0, errs, fmt.Errorf("apply %d moves in term %d: %w", len(moves), term, cluster.ErrNotLeader)
	}
	change := cluster.Change{Assignments: map[cluster.UnitOnMachine]*cluster.Assignment{},
		Units:    map[string]*cluster.Unit{},
		Findings: found}
	if found.Hold != nil {
		l := c.snap.Leader
		l.Hold = *found.Hold
		change.Leader, change.Hold = &l, nil
	}
	generation := func(unit string) int64 {
		if u, written := change.Units[unit]; written {
			if u == nil {
				return 0
			}
			return u.Generation
		}
		return c.snap.Units[unit].Generation
	}
	current := func(k cluster.UnitOnMachine) *cluster.Assignment {
		if a, written := change.Assignments[k]; written {
			return a
		}
		if a, ok := c.snap.Assignments[k]; ok {
			return &a
		}
		return nil
	}
	for i, m := range moves {
		if generation(m.Unit) != m.Generation || !c.lapsed(m.Fenced) || !applicable(m, current) {
			errs[i] = fmt.Errorf("move %s: %w", m.Unit, cluster.ErrConflict)
			continue
		}
		if m.From != nil && !m.Keep {
			change.Assignments[keyOf(m.From)] = nil
		}
		if m.To != nil {
			to := *m.To
			change.Assignments[keyOf(&to)] = &to
		}
		if m.Becomes != nil {
			unit := *m.Becomes
			change.Units[m.Unit] = &unit
		} else if m.Forget {
			change.Units[m.Unit] = nil
		}
	}
	if change.Size() == 0 {
		return 0, errs, nil
	}
	return c.commit(change), errs, nil
}

// lapsed reports whether a machine still has no run, nor a later renewal of its fence; nil is no machine.
func (c *Cluster) lapsed(f *cluster.Fence) bool {
	return f == nil || c.runs[f.Machine] == nil && c.snap.Fences[f.Machine].Revision == f.Revision
}

// applicable reports whether the assignments are as the move takes them to be.
func applicable(m cluster.Move, current func(cluster.UnitOnMachine) *cluster.Assignment) bool {
	if m.From != nil {
		now := current(keyOf(m.From))
		if now == nil || !now.Equal(*m.From) {
			return false
		}
	}
	if m.To != nil && (m.From == nil || keyOf(m.From) != keyOf(m.To)) {
		return current(keyOf(m.To)) == nil
	}
	return true
}

func keyOf(a *cluster.Assignment) cluster.UnitOnMachine {
	return cluster.UnitOnMachine{Machine: a.Machine, Unit: a.Unit}
}
