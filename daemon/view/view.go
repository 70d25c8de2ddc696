// Package view keeps a copy of the cluster's state for all readers of one
// daemon. It is current while a lease holds it, and stays the last known state
// for as long as the daemon lives.
package view

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/broadcast"
	"fleettop/units/retry"
)

// Store is the part of cluster.Store a View reads.
type Store interface {
	Watch(context.Context, cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
	Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error)
}

const (
	subscriberQueue = 256
	retryLeast      = 50 * time.Millisecond
	retryMost       = time.Second
	// refreshLeast is about how often a view that is not held reads the state,
	// so that what it knows when the store is lost is not old. A state that
	// takes long to read is read less often: refreshShare times as long apart.
	refreshLeast = 15 * time.Second
	refreshShare = 500
	// EventsKept is how many of the newest events a View keeps.
	EventsKept = 1000
)

// View is a copy of the store's state. It is kept while Run runs; the zero
// value is not usable, call New.
type View struct {
	store   Store
	log     *slog.Logger
	linger  time.Duration
	refresh time.Duration

	silentAt atomic.Pointer[time.Time] // when the store was last asked and didn't answer

	mu      sync.Mutex // guards what follows
	snap    *cluster.Snapshot
	events  []cluster.Event  // the newest, oldest first
	live    bool             // a watch is running
	asOf    time.Time        // when live last ended
	lastErr error            // why; nil where the watch was let go
	changed broadcast.Signal // of snap or live
	subs    map[*Subscription]struct{}
	leases  int
	wanted  chan struct{} // capacity 1: wakes Run when a lease is taken
	own     map[string]units.Status
	ownID   string // the machine that own is of
}

// New returns a View of a store. A watch that no lease needs any more is kept for linger.
func New(store Store, log *slog.Logger, linger time.Duration) *View {
	return &View{store: store, log: log, linger: linger, refresh: refreshLeast,
		subs: map[*Subscription]struct{}{}, wanted: make(chan struct{}, 1)}
}

// LastKnown returns the newest snapshot that is known, without a lease: it may
// be old. It is nil before the first one. While live is false it was current
// at asOf. The channel is closed at the next change.
func (v *View) LastKnown() (snap *cluster.Snapshot, live bool, asOf time.Time, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.snap, v.live, v.asOf, v.changed.Changed()
}

// ShowOwn says what this machine's units do, by name. While the store can't be reached that is what the
// view shows of them, as the last known state may be one in which units ran that this machine
// stopped since, being cut off. The map must not be changed any more.
func (v *View) ShowOwn(machine string, own map[string]units.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.own, v.ownID = own, machine
	if !v.live && v.lastErr != nil && v.showOwn() {
		v.changed.Notify()
	}
}

// showOwn brings the last known state in line with what this machine's units do, and
// reports whether it changed; v.mu is held.
func (v *View) showOwn() bool {
	if v.snap == nil || v.own == nil {
		return false
	}
	c := cluster.Change{Revision: v.snap.Revision, Statuses: map[cluster.UnitOnMachine]*cluster.Status{}}
	for k, st := range v.snap.Statuses {
		if k.Machine != v.ownID {
			continue
		}
		now, held := v.own[k.Unit]
		if !held {
			now = units.Status{Name: k.Unit, Load: "not-found", Active: "inactive", Sub: "dead"}
		}
		if !st.Status.Equal(now) {
			st.Status = now
			c.Statuses[k] = &st
		}
	}
	if len(c.Statuses) > 0 {
		v.snap = v.snap.With(c)
	}
	return len(c.Statuses) > 0
}

// Run watches the store while a lease is held, reads it now and then while
// none is, and blocks until ctx ends.
func (v *View) Run(ctx context.Context) {
	held, unheld := retry.NewDelay(retryLeast, retryMost), retry.NewDelay(retryLeast, v.refresh)
	for ctx.Err() == nil {
		began := time.Now()
		took, err := v.follow(ctx)
		v.ended(err)
		if ctx.Err() != nil {
			return
		}
		if err == nil || time.Since(began) > retryMost {
			held.Reset()
			unheld.Reset()
		}
		if err != nil {
			v.log.Debug("the watch on the store ended; watching again", "error", err)
		}
		select {
		case <-v.wanted: // by a lease of before, or one that held() knows of
		default:
		}
		var pause time.Duration
		switch {
		case v.held() && err == nil:
			continue
		case v.held():
			held.Wait(ctx)
			continue
		case err == nil:
			pause = max(v.refresh, refreshShare*took)
			pause = retry.NewDelay(pause, pause).Next() // so that not all machines read at once
		default:
			pause = unheld.Next()
		}
		v.awaitLease(ctx, pause)
	}
}

// awaitLease waits for a lease, but no longer than the pause.
func (v *View) awaitLease(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-v.wanted:
	}
}

func (v *View) held() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.leases > 0
}

// follow runs one watch until it breaks, or returns nil when no lease needs it
// any more. took is how long it took to read the state.
func (v *View) follow(ctx context.Context) (took time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	snap, changes, err := v.store.Watch(ctx, cluster.Scope{Events: true})
	if err != nil {
		return 0, err
	}
	events, err := v.store.Events(ctx, v.lastEvent(), EventsKept)
	if err != nil {
		return 0, err
	}
	took = time.Since(began)
	v.begin(snap, events)
	idle := time.NewTimer(0) // a look that no lease asked for ends at once
	defer idle.Stop()
	for {
		v.mu.Lock()
		held, changed := v.leases > 0, v.changed.Changed()
		v.mu.Unlock()
		var expired <-chan time.Time
		if held {
			idle.Reset(v.linger)
		} else {
			expired = idle.C
		}
		select {
		case <-ctx.Done():
			return took, ctx.Err()
		case <-expired:
			return took, nil
		case <-changed:
		case c, ok := <-changes:
			if !ok {
				return took, errors.New("the watch broke")
			}
			v.apply(c)
		}
	}
}

// lastEvent is the time of the newest event known.
func (v *View) lastEvent() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.events); n > 0 {
		return v.events[n-1].Time
	}
	return time.Time{}
}

// begin takes a new snapshot; subscribers of the one before are cut off, to start over from it.
func (v *View) begin(snap *cluster.Snapshot, events []cluster.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cutAll()
	v.snap, v.live, v.lastErr = snap, true, nil
	v.keep(events)
	v.changed.Notify()
}

// keep adds events to those known; v.mu is held.
func (v *View) keep(events []cluster.Event) {
	for _, e := range events {
		n := len(v.events)
		if n > 0 && e.ID <= v.events[n-1].ID { // read twice, or recorded by a clock that is behind
			at, known := slices.BinarySearchFunc(v.events, e.ID, func(e cluster.Event,
				id string) int {
				return strings.Compare(e.ID, id)
			})
			if !known {
				v.events = slices.Insert(slices.Clone(v.events), at, e) // readers may have the old one
			}
			continue
		}
		v.events = append(v.events, e)
	}
	v.events = v.events[max(0, len(v.events)-EventsKept):]
}

func (v *View) apply(c cluster.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.snap = v.snap.With(c)
	v.keep(c.Events)
	for s := range v.subs {
		select {
		case s.ch <- c:
		default:
			v.cut(s)
		}
	}
	v.changed.Notify()
}

// ended notes that no watch runs any more. What is known stays.
func (v *View) ended(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		v.asOf = time.Now()
	}
	v.live, v.lastErr = false, err
	if err != nil {
		v.showOwn()
	}
	if err == nil {
		v.cutAll()
	}
	v.changed.Notify()
}

// cutAll ends every subscription; v.mu is held.
func (v *View) cutAll() {
	for s := range v.subs {
		v.cut(s)
	}
}

// cut ends a subscription; v.mu is held.
func (v *View) cut(s *Subscription) {
	if _, ok := v.subs[s]; ok {
		delete(v.subs, s)
		close(s.ch)
	}
}
