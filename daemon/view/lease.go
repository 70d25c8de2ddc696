package view

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fleettop/cluster"
)

var (
	// ErrNotReady means that the view has never seen the store.
	ErrNotReady = errors.New("this daemon has not reached the cluster's store yet")
	// ErrLost means that the view has seen the store, and that it can't be reached now.
	ErrLost = errors.New("the cluster's store can't be reached now")
	// ErrBehind means that the view is live and has not come to a revision.
	ErrBehind = errors.New("this daemon has not seen the last change yet")
)

// Lease is the right to read a View as it changes: while one is held, the
// state is kept current. Its methods may be called from several goroutines,
// until Release.
type Lease struct {
	v       *View
	release func()
}

// Hold keeps the view current until the lease is released.
func (v *View) Hold() *Lease {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leases++
	select {
	case v.wanted <- struct{}{}:
	default:
	}
	v.changed.Notify()
	l := &Lease{v: v}
	l.release = sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.leases--
		for s := range v.subs {
			if s.lease == l {
				v.cut(s)
			}
		}
		v.changed.Notify()
	})
	return l
}

// Release ends the lease and its subscriptions. It may be called again.
func (l *Lease) Release() { l.release() }

// Latest is View.LastKnown.
func (l *Lease) Latest() (snap *cluster.Snapshot, live bool, asOf time.Time, changed <-chan struct{}) {
	return l.v.LastKnown()
}

// Snapshot waits for a live snapshot at or after a revision (0 for any) and
// returns it. Where ctx ends first it returns the last known snapshot and an
// error wrapping ErrLost or ErrBehind, or nil and one wrapping ErrNotReady.
func (l *Lease) Snapshot(ctx context.Context, revision int64) (*cluster.Snapshot, error) {
	for {
		snap, live, _, changed := l.Latest()
		if live && snap.Revision >= revision {
			return snap, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return snap, l.v.why(revision)
		}
	}
}

// why says what keeps the view from a snapshot.
func (v *View) why(revision int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	state := ErrLost
	switch {
	case v.snap == nil:
		state = ErrNotReady
	case v.live:
		return fmt.Errorf("%w (it is at revision %d, and %d was asked for)", ErrBehind, v.snap.Revision, revision)
	}
	if v.lastErr != nil {
		return fmt.Errorf("%w: %w", state, v.lastErr)
	}
	return state
}

// Events returns the newest limit events at or after since that the view
// knows, oldest first. It knows EventsKept at most.
func (l *Lease) Events(since time.Time, limit int) []cluster.Event {
	l.v.mu.Lock()
	defer l.v.mu.Unlock()
	list := l.v.events
	for len(list) > 0 && list[0].Time.Before(since) {
		list = list[1:]
	}
	return list[max(0, len(list)-limit):]
}

// Subscription hands on the changes after a snapshot, events included.
type Subscription struct {
	lease *Lease
	ch    chan cluster.Change
}

// C has the changes. It is closed when the reader is too slow, when the watch
// had to start over, and by Close or the lease's Release: subscribe again.
func (s *Subscription) C() <-chan cluster.Change { return s.ch }

// Close ends the subscription. It may be called again.
func (s *Subscription) Close() {
	s.lease.v.mu.Lock()
	defer s.lease.v.mu.Unlock()
	s.lease.v.cut(s)
}

// Subscribe waits for a live snapshot, and returns it and the changes after
// it. It fails as Snapshot does. The caller closes the subscription.
func (l *Lease) Subscribe(ctx context.Context) (*cluster.Snapshot, *Subscription, error) {
	for {
		if _, err := l.Snapshot(ctx, 0); err != nil {
			return nil, nil, err
		}
		if snap, s := l.subscribe(); s != nil {
			return snap, s, nil
		}
	}
}

// subscribe is nil where the view is not live any more.
func (l *Lease) subscribe() (*cluster.Snapshot, *Subscription) {
	l.v.mu.Lock()
	defer l.v.mu.Unlock()
	if !l.v.live {
		return nil, nil
	}
	s := &Subscription{lease: l, ch: make(chan cluster.Change, subscriberQueue)}
	l.v.subs[s] = struct{}{}
	return l.v.snap, s
}
