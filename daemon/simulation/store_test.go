//go:build !race

package simulation

import (
	"context"
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

// lateStore is a machine's way to the store, which may be slow in both directions.
// A write whose answer is cut off on its way was made all the same.
type lateStore struct {
	*memstore.Store
	m *machine
}

// lateSession is a session of it.
type lateSession struct {
	cluster.Session
	of *lateStore
}

// way takes as long as a message does now.
func (l *lateStore) way(ctx context.Context) error {
	l.m.sim.mu.Lock()
	most := l.m.sim.late
	l.m.sim.mu.Unlock()
	if most == 0 {
		return nil
	}
	return pause(ctx, l.m.sim.within(time.Millisecond, most))
}

// answered is what the caller hears of a call that ended with err.
func (l *lateStore) answered(ctx context.Context, err error) error {
	if werr := l.way(ctx); werr != nil {
		return werr
	}
	if err == nil && !l.m.sim.reaches(l.m) {
		return fmt.Errorf("the answer was lost: %w", cluster.ErrUnavailable)
	}
	return err
}

// call makes a call on a way that takes its time.
func (l *lateStore) call(ctx context.Context, f func() error) error {
	if err := l.way(ctx); err != nil {
		return err
	}
	return l.answered(ctx, f())
}

func (l *lateStore) Apply(ctx context.Context, term int64, moves []cluster.Move, found cluster.Findings) (
	revision int64, errs []error, err error) {
	err = l.call(ctx, func() error {
		revision, errs, err = l.Store.Apply(ctx, term, moves, found)
		return err
	})
	return revision, errs, err
}

func (l *lateStore) Evict(ctx context.Context, machine, run string) error {
	return l.call(ctx, func() error { return l.Store.Evict(ctx, machine, run) })
}

func (l *lateStore) Record(ctx context.Context, events ...cluster.Event) error {
	return l.call(ctx, func() error { return l.Store.Record(ctx, events...) })
}

func (l *lateStore) Events(ctx context.Context, since time.Time, limit int) (list []cluster.Event, err error) {
	err = l.call(ctx, func() error {
		list, err = l.Store.Events(ctx, since, limit)
		return err
	})
	return list, err
}

func (l *lateStore) UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error {
	return l.call(ctx, func() error { return l.Store.UpdateMachine(ctx, id, f) })
}

func (l *lateStore) Register(ctx context.Context, run cluster.Run, ttl time.Duration) (cluster.Session, error) {
	if err := l.way(ctx); err != nil {
		return nil, err
	}
	s, err := l.Store.Register(ctx, run, ttl)
	if err != nil {
		return nil, err
	}
	return &lateSession{s, l}, nil
}

func (l *lateStore) Campaign(ctx context.Context, s cluster.Session) (cluster.Leader, error) {
	if late, ok := s.(*lateSession); ok {
		s = late.Session
	}
	leader, err := l.Store.Campaign(ctx, s)
	if err != nil {
		return leader, err
	}
	return leader, l.way(ctx)
}

func (s *lateSession) PutStatuses(ctx context.Context, puts []cluster.Status, deletes []string) error {
	return s.of.call(ctx, func() error { return s.Session.PutStatuses(ctx, puts, deletes) })
}

func (s *lateSession) RenewFence(ctx context.Context, lease time.Duration) error {
	return s.of.call(ctx, func() error { return s.Session.RenewFence(ctx, lease) })
}

func (s *lateSession) Confirm(ctx context.Context, a cluster.Assignment) error {
	return s.of.call(ctx, func() error { return s.Session.Confirm(ctx, a) })
}

// setLate has the store's answers take up to twice as long.
func (s *sim) setLate(most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = most
}

// dropHead has the store choose another leader of its own.
func (s *sim) dropHead() {
	s.mu.Lock()
	s.head = 0
	s.mu.Unlock()
	s.rewire()
}

// noteReach takes note of when a machine lost the store, and what that had then; mu is held.
func (s *sim) noteReach(m *machine, reaches bool) {
	switch {
	case reaches:
		delete(s.lost, m.n)
	case s.lost[m.n].at.IsZero():
		s.lost[m.n] = lostStore{at: time.Now(), snap: s.truth.Snapshot()}
	}
}

// lostStore is the store as it was when a machine lost it.
type lostStore struct {
	at   time.Time
	snap *cluster.Snapshot
}

// without is how long a machine has been without the store, and what that had last.
func (s *sim) without(m *machine) (time.Duration, lostStore) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost, ok := s.lost[m.n]
	if !ok {
		return 0, lost
	}
	return time.Since(lost.at), lost
}
