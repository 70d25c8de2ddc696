package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fleettop/cluster"
)

// session is a lease. Its fields are guarded by the cluster's mutex.
type session struct {
	store *Store
	run   cluster.Run
	ttl   time.Duration
	done  chan struct{}

	inherited []string // units

	renewed time.Time
	closed  bool // renewed no more
	gone    bool // the cluster has ended the lease, whether or not the holder knows
	lost    bool // done is closed
	stop    func() bool
}

// Register implements cluster.Store.
func (s *Store) Register(ctx context.Context, run cluster.Run, ttl time.Duration) (cluster.Session, error) {
	if run.Machine == "" || run.ID == "" || ttl <= 0 {
		return nil, fmt.Errorf("register run %q of machine %q for %v: all three are needed", run.ID, run.Machine, ttl)
	}
	c := s.cluster
	for {
		leave, err := s.enter(ctx)
		if err != nil {
			return nil, err
		}
		old := c.runs[run.Machine]
		if old == nil || old.run.Address == run.Address {
			n := s.open(run, ttl, old)
			leave()
			return n, nil
		}
		if old.store.reachable && !old.closed {
			leave()
			return nil, &cluster.DuplicateError{Run: old.run}
		}
		changed := c.changed.Changed()
		leave()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// open starts a session in place of an old one, which may be nil; c.mu is held.
func (s *Store) open(run cluster.Run, ttl time.Duration, old *session) *session {
	c := s.cluster
	n := &session{store: s, run: run, ttl: ttl, done: make(chan struct{}), renewed: c.clock.Now()}
	c.runs[run.Machine] = n
	c.commit(cluster.Change{Runs: map[string]*cluster.Run{run.Machine: &run}})
	if old != nil {
		for k := range c.snap.Statuses {
			if k.Machine == run.Machine {
				n.inherited = append(n.inherited, k.Unit)
			}
		}
		slices.Sort(n.inherited)
		c.endLease(old) // statuses stay: the new run holds them now
	}
	n.stop = c.clock.AfterFunc(ttl/3, n.tick)
	return n
}

// tick renews the lease, or lets it run out.
func (s *session) tick() {
	c := s.store.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	switch {
	case s.gone && (s.lost || s.store.reachable):
		s.finish()
		return
	case !s.gone && s.store.reachable && !s.closed:
		s.renewed = now
	case now.Sub(s.renewed) >= s.ttl:
		s.finish()
		c.endLease(s)
		return
	}
	s.stop = c.clock.AfterFunc(min(s.ttl/3, s.renewed.Add(s.ttl).Sub(now)), s.tick)
}

// finish tells the holder that the session is over; the cluster's mutex is held.
func (s *session) finish() {
	if !s.lost {
		s.lost = true
		close(s.done)
	}
}

// Done implements cluster.Session.
func (s *session) Done() <-chan struct{} { return s.done }

// Renewed implements cluster.Session.
func (s *session) Renewed() time.Time {
	s.store.cluster.mu.Lock()
	defer s.store.cluster.mu.Unlock()
	return s.renewed
}

// Inherited implements cluster.Session.
func (s *session) Inherited() []string { return slices.Clone(s.inherited) }

// PutStatuses implements cluster.Session.
func (s *session) PutStatuses(ctx context.Context, puts []cluster.Status, deletes []string) error {
	leave, err := s.hold(ctx)
	if err != nil {
		return fmt.Errorf("report the state of units: %w", err)
	}
	defer leave()
	c := s.store.cluster
	change := cluster.Change{Statuses: map[cluster.UnitOnMachine]*cluster.Status{}}
	for _, name := range deletes {
		k := cluster.UnitOnMachine{Machine: s.run.Machine, Unit: name}
		if _, ok := c.snap.Statuses[k]; ok {
			change.Statuses[k] = nil
		}
	}
	for _, st := range puts {
		st.Machine = s.run.Machine
		change.Statuses[cluster.UnitOnMachine{Machine: st.Machine, Unit: st.Name}] = &st
	}
	if change.Size() > 0 {
		c.commit(change)
	}
	return nil
}

// RenewFence implements cluster.Session.
func (s *session) RenewFence(ctx context.Context, lease time.Duration) error {
	leave, err := s.hold(ctx)
	if err != nil {
		return fmt.Errorf("renew the fence of this machine: %w", err)
	}
	defer leave()
	c := s.store.cluster
	c.commit(cluster.Change{Fences: map[string]*cluster.Fence{s.run.Machine: {Machine: s.run.Machine, Run: s.run.ID,
		Lease: lease, Revision: c.snap.Revision + 1}}})
	return nil
}

// Confirm implements cluster.Session.
func (s *session) Confirm(ctx context.Context, a cluster.Assignment) error {
	leave, err := s.hold(ctx)
	if err == nil {
		defer leave()
		if now, ok := s.store.cluster.snap.Assignments[keyOf(&a)]; !ok || !now.Equal(a) {
			err = cluster.ErrConflict
		}
	}
	if err != nil {
		return fmt.Errorf("confirm that %s is this machine's: %w", a.Unit, err)
	}
	return nil
}

// hold takes the lock for a call that the session guards.
func (s *session) hold(ctx context.Context) (leave func(), err error) {
	if leave, err = s.store.enter(ctx); err != nil {
		return nil, err
	}
	if s.gone || s.lost {
		s.finish()
		leave()
		return nil, cluster.ErrSessionLost
	}
	return leave, nil
}

// Close implements cluster.Session.
func (s *session) Close(ctx context.Context, revoke bool) error {
	c := s.store.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	s.closed = true
	s.finish()
	c.changed.Notify()
	if !revoke || s.gone {
		return nil
	}
	if err := s.store.usable(ctx); err != nil {
		return err
	}
	s.stop()
	c.endLease(s)
	return nil
}

// Evict implements cluster.Store.
func (s *Store) Evict(ctx context.Context, machine, runID string) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if old := s.cluster.runs[machine]; old != nil && old.run.ID == runID {
		s.cluster.endLease(old)
	}
	return nil
}
