// Package feed brings the daemon's stream to the console: one goroutine folds
// it into snapshots, at most ten a second but for what a person must see at
// once, and never gives up on a daemon that is gone.
package feed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/state"
	"fleettop/units/retry"
)

const (
	batchEvery  = 100 * time.Millisecond // ordinary changes
	urgentEvery = 30 * time.Millisecond  // those a person waits for
	heartbeat   = 800 * time.Millisecond // asked of the daemon
	noticed     = 2 * time.Second        // silence after which it is said
	patience    = 5 * time.Second        // and after which another daemon is tried
	alone       = 12 * time.Second       // the same, where there is no other
	hungFor     = 30 * time.Second       // a daemon that hung is tried last
	retryFirst  = 200 * time.Millisecond
	retryMost   = 3 * time.Second
	statsRetry  = 3 * time.Second
	statsNone   = time.Minute // a daemon without figures is asked again
	eventsAsked = 2000
	figuresWait = 64 // figures that are read before the first of them is taken
)

// Client is the part of client.Client the feed reads from.
type Client interface {
	Endpoint() string
	Watch(context.Context, api.WatchOptions, func(*api.State, *api.Line) error) error
	Stats(context.Context, func(api.Stats) error) error
	Events(ctx context.Context, since string, limit int) ([]cluster.Event, error)
}

// Config says where a feed reads from.
type Config[C Client] struct {
	Client C
	// Other returns a client of another machine's daemon, to be used while
	// Client's is away; nil if there is no way to others. The feed asks once
	// for each address of a machine, and not for one it can't reach. It closes
	// what it got, if that has a Close.
	Other func(api.Machine) (C, error)
	// Crashed is told, once, when the feed has ended by a panic; nil lets it panic.
	Crashed func(what string)
}

// Feed is a running feed. Its methods may be called from any goroutine.
type Feed[C Client] struct {
	cfg    Config[C]
	out    chan *state.Snapshot
	look   chan struct{} // has one when wanted changed
	older  chan struct{} // has one when older events are wanted
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards current and wanted
	current C
	wanted  bool // figures are

	// What follows belongs to the feed's goroutine.
	reducer   *state.Reducer
	conn      state.Conn
	looking   bool
	published time.Time
	waiting   bool // a snapshot is due
	due       *time.Timer
	others    map[string]other[C]  // by machine
	silent    map[string]time.Time // when a daemon was given up that hung, by endpoint
	snap      *state.Snapshot
}

// other is the way to another machine's daemon.
type other[C Client] struct {
	address string
	client  C
}

// Start starts a feed. Close ends it.
func Start[C Client](ctx context.Context, cfg Config[C]) *Feed[C] {
	ctx, cancel := context.WithCancel(ctx)
	f := &Feed[C]{cfg: cfg, out: make(chan *state.Snapshot, 1), look: make(chan struct{}, 1), older: make(chan struct{}, 1), cancel: cancel,
		done:    make(chan struct{}),
		current: cfg.Client, reducer: state.NewReducer(), others: map[string]other[C]{},
		silent: map[string]time.Time{}, due: time.NewTimer(time.Hour)}
	go f.run(ctx)
	return f
}

// Close ends the feed and returns when its goroutines have.
func (f *Feed[C]) Close() {
	f.cancel()
	<-f.done
}

// Snapshots yields the latest snapshot whenever there is a new one; a reader
// that is late gets only the last. It is closed with the feed.
func (f *Feed[C]) Snapshots() <-chan *state.Snapshot { return f.out }

// Look says whether figures of CPU and memory are looked at; they are asked for
// only then. It never blocks.
func (f *Feed[C]) Look(on bool) {
	f.mu.Lock()
	f.wanted = on
	f.mu.Unlock()
	select {
	case f.look <- struct{}{}:
	default:
	}
}

// LoadOlder has all events brought that the cluster keeps; a snapshot has them then. It never blocks.
func (f *Feed[C]) LoadOlder() {
	select {
	case f.older <- struct{}{}:
	default:
	}
}

func (f *Feed[C]) looked() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wanted
}

// Current is the client of the daemon in use, or of the last one tried.
func (f *Feed[C]) Current() C {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

func (f *Feed[C]) run(ctx context.Context) {
	defer close(f.done)
	defer close(f.out)
	defer f.closeOthers(nil)
	defer func() {
		if f.cfg.Crashed == nil {
			return
		}
		if r := recover(); r != nil {
			f.cfg.Crashed(fmt.Sprint(r, "\n", string(debug.Stack())))
		}
	}()
	delay := retry.NewDelay(retryFirst, retryMost)
	f.conn = state.Conn{Endpoint: f.cfg.Client.Endpoint(), Since: time.Now()}
	f.publish(f.conn.Since)
	for ctx.Err() == nil {
		for _, c := range f.candidates() {
			began := time.Now()
			err := f.session(ctx, c)
			if ctx.Err() != nil {
				return
			}
			f.lost(c, err)
			if hung := (silence{}); errors.As(err, &hung) {
				f.silent[c.Endpoint()] = time.Now()
				break // those known by now that don't hang come first
			}
			delete(f.silent, c.Endpoint())
			if f.conn.Seen.After(began) {
				delay.Reset()
			}
		}
		pause := delay.Next()
		f.conn.Retry = time.Now().Add(pause)
		f.publish(f.conn.Retry.Add(-pause))
		for again := time.After(pause); again != nil; {
			select {
			case <-ctx.Done():
				return
			case <-f.look:
				f.looking = f.looked()
			case <-again:
				again = nil
			}
		}
	}
}

// candidates are the clients to try: the one in use first, and last those that
// hung not long ago.
func (f *Feed[C]) candidates() (list []C) {
	list = []C{f.Current()}
	defer func() {
		slices.SortStableFunc(list, func(a, b C) int { return f.hung(a) - f.hung(b) })
	}()
	add := func(c C) {
		for _, have := range list {
			if have.Endpoint() == c.Endpoint() {
				return
			}
		}
		list = append(list, c)
	}
	add(f.cfg.Client)
	if f.cfg.Other == nil || f.snap == nil {
		return list
	}
	addresses := map[string]string{}
	for _, m := range f.snap.Machines {
		addresses[m.ID] = m.APIAddress
	}
	f.closeOthers(addresses)
	for _, m := range f.snap.Machines {
		if !m.Health.State.Runs() {
			continue
		}
		o, ok := f.others[m.ID]
		if !ok {
			c, err := f.cfg.Other(m.Machine)
			if err != nil {
				continue
			}
			o = other[C]{m.APIAddress, c}
			f.others[m.ID] = o
		}
		add(o.client)
	}
	return list
}

// hung is 1 for a client whose daemon hung not long ago, and else 0.
func (f *Feed[C]) hung(c C) int {
	if at, ok := f.silent[c.Endpoint()]; ok && time.Since(at) < hungFor {
		return 1
	}
	return 0
}

// closeOthers closes and forgets the clients of machines that are not among
// those given, or not at that address any more.
func (f *Feed[C]) closeOthers(addresses map[string]string) {
	for id, o := range f.others {
		if at, ok := addresses[id]; ok && at == o.address {
			continue
		}
		if c, ok := any(o.client).(interface{ Close() }); ok {
			c.Close()
		}
		delete(f.others, id)
	}
}

// lost notes that a session ended. What is known stays.
func (f *Feed[C]) lost(c C, err error) {
	now := time.Now()
	if f.conn.Up || f.conn.Since.IsZero() {
		f.conn.Since = now
	}
	f.conn.Up, f.conn.Quiet, f.conn.Endpoint, f.conn.Err = false, false, c.Endpoint(), reason(err)
	f.publish(now)
}

func reason(err error) string {
	var away *client.UnreachableError
	var sys *os.SyscallError
	switch {
	case errors.As(err, &sys):
		return sys.Err.Error()
	case errors.As(err, &away):
		return away.Err.Error()
	}
	if err == nil {
		return "the stream ended"
	}
	return err.Error()
}

// take folds a line in and sees to it that it is shown in time.
func (f *Feed[C]) take(l *api.Line, c C, first bool) {
	now := time.Now()
	if first {
		f.conn = state.Conn{Up: true, Endpoint: c.Endpoint(), Since: now}
	}
	f.conn.Seen = now
	woke := f.conn.Quiet
	f.conn.Quiet = false
	if l.Kind == api.LineHeartbeat {
		if woke {
			f.schedule(urgentEvery)
		}
		return
	}
	if f.reducer.Apply(l, now) {
		f.schedule(urgentEvery)
	} else {
		f.schedule(batchEvery)
	}
}

// schedule publishes a snapshot so that it comes at least so long after the last.
func (f *Feed[C]) schedule(every time.Duration) {
	wait := time.Until(f.published.Add(every))
	if wait <= 0 {
		f.publish(time.Now())
		return
	}
	if !f.waiting || every == urgentEvery {
		f.waiting = true
		f.due.Reset(wait)
	}
}

// publish makes a snapshot and puts it in the place of one nobody took yet.
func (f *Feed[C]) publish(now time.Time) {
	f.waiting, f.published = false, now
	f.reducer.SetConn(f.conn)
	f.snap = f.reducer.Snapshot(now)
	if next := f.reducer.Next(); !next.IsZero() {
		f.due.Reset(max(batchEvery, next.Sub(now)))
	}
	select {
	case <-f.out:
	default:
	}
	f.out <- f.snap
}
