// Package view keeps a warm copy of the cluster's state: one watch on the
// store, shared by the engine and every API reader of this daemon.
package view

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"fleettop/cluster"
)

// Store is the part of cluster.Store a View reads.
type Store interface {
	Watch(context.Context, cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
}

// ErrNotReady means that the view has not seen the store yet.
var ErrNotReady = errors.New("this daemon has not reached the cluster's store yet")

const (
	subscriberQueue = 256
	retryLeast      = 50 * time.Millisecond
	retryMost       = time.Second
)

// View is a warm copy of the store's state. It watches while Run runs and
// somebody holds it; the zero value is not usable, call New.
type View struct {
	store  Store
	log    *slog.Logger
	linger time.Duration

	mu       sync.Mutex // guards what follows
	snap     *cluster.Snapshot
	live     bool          // a watch is running
	lastSeen time.Time     // when live last ended
	lastErr  error         // why
	changed  chan struct{} // closed and replaced at every change of snap or live
	subs     map[*subscription]struct{}
	holders  int
	wanted   chan struct{} // capacity 1: wakes Run when the first holder comes
}

type subscription struct{ ch chan cluster.Change }

// New returns a View of a store. A watch without holders is kept for linger.
func New(store Store, log *slog.Logger, linger time.Duration) *View {
	return &View{store: store, log: log, linger: linger, changed: make(chan struct{}),
		subs: map[*subscription]struct{}{}, wanted: make(chan struct{}, 1)}
}

// Hold keeps the view warm until the returned function is called.
func (v *View) Hold() (release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.holders++
	select {
	case v.wanted <- struct{}{}:
	default:
	}
	return sync.OnceFunc(func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.holders--
		v.signal()
	})
}

// signal wakes whoever waits for a change; v.mu is held.
func (v *View) signal() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// Run watches the store while there are holders, and blocks until ctx ends.
func (v *View) Run(ctx context.Context) {
	retry := retryLeast
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-v.wanted:
		}
		for ctx.Err() == nil && v.held() {
			began := time.Now()
			err := v.follow(ctx)
			v.ended(err)
			if err == nil || ctx.Err() != nil {
				break
			}
			if time.Since(began) > time.Second {
				retry = retryLeast
			}
			v.log.Debug("the watch on the store ended; watching again", "error", err, "in", retry)
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
			retry = min(2*retry, retryMost)
		}
	}
}

func (v *View) held() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.holders > 0
}

// follow runs one watch: nil when nobody needs it any more.
func (v *View) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	snap, changes, err := v.store.Watch(ctx, cluster.Scope{Events: true})
	if err != nil {
		return err
	}
	v.begin(snap)
	idle := time.NewTimer(v.linger)
	defer idle.Stop()
	for {
		v.mu.Lock()
		held, changed := v.holders > 0, v.changed
		v.mu.Unlock()
		var expired <-chan time.Time
		if held {
			idle.Reset(v.linger)
		} else {
			expired = idle.C
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-expired:
			return nil
		case <-changed:
		case c, ok := <-changes:
			if !ok {
				return errors.New("the watch broke")
			}
			v.apply(c)
		}
	}
}

// begin takes a new snapshot; subscribers of the one before are cut off, to start over from it.
func (v *View) begin(snap *cluster.Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cutAll()
	v.snap, v.live, v.lastErr = snap, true, nil
	v.signal()
}

func (v *View) apply(c cluster.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.snap = v.snap.With(c)
	for s := range v.subs {
		select {
		case s.ch <- c:
		default:
			delete(v.subs, s)
			close(s.ch)
		}
	}
	v.signal()
}

func (v *View) ended(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		v.lastSeen = time.Now()
	}
	v.live, v.lastErr = false, err
	if err == nil {
		v.snap = nil
		v.cutAll()
	}
	v.signal()
}

// cutAll ends every subscription; v.mu is held.
func (v *View) cutAll() {
	for s := range v.subs {
		delete(v.subs, s)
		close(s.ch)
	}
}

// Latest returns the newest snapshot and a channel closed at the next change.
// The snapshot is nil before the first one; with live false it is the last
// known state, as of lastSeen.
func (v *View) Latest() (snap *cluster.Snapshot, live bool, lastSeen time.Time, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.snap, v.live, v.lastSeen, v.changed
}

// Snapshot waits for a live snapshot at or after a revision (0 for any) and
// returns it. Where ctx ends first it returns the last known snapshot, which
// may be nil, and an error wrapping ErrNotReady. The caller holds the view.
func (v *View) Snapshot(ctx context.Context, revision int64) (*cluster.Snapshot, error) {
	for {
		snap, live, _, changed := v.Latest()
		if live && snap.Revision >= revision {
			return snap, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			v.mu.Lock()
			err := errors.Join(ErrNotReady, v.lastErr)
			v.mu.Unlock()
			return snap, err
		}
	}
}

// Subscribe returns the newest snapshot and the changes after it, events
// included. The channel is closed when the caller is too slow, when the watch
// had to start over, or when ctx ends: call again. It waits for the first
// snapshot, and fails with an error wrapping ErrNotReady if ctx ends before.
func (v *View) Subscribe(ctx context.Context) (*cluster.Snapshot, <-chan cluster.Change, error) {
	release := v.Hold()
	if _, err := v.Snapshot(ctx, 0); err != nil {
		release()
		return nil, nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.snap == nil {
		go release()
		return nil, nil, ErrNotReady
	}
	s := &subscription{ch: make(chan cluster.Change, subscriberQueue)}
	v.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() {
		release()
		v.mu.Lock()
		defer v.mu.Unlock()
		if _, ok := v.subs[s]; ok {
			delete(v.subs, s)
			close(s.ch)
		}
	})
	return v.snap, s.ch, nil
}
