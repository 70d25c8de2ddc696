// Package feed brings the daemon's stream to the console: one goroutine folds
// it into snapshots, at most ten a second but for what a person must see at
// once, and never gives up on a daemon that is gone.
package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/state"
)

const (
	batchEvery  = 100 * time.Millisecond // ordinary changes
	urgentEvery = 30 * time.Millisecond  // those a person waits for
	patience    = 12 * time.Second       // more than two heartbeats without a line
	retryFirst  = 200 * time.Millisecond
	retryMost   = 3 * time.Second
	statsRetry  = 3 * time.Second
	statsNone   = time.Minute // a daemon without figures is asked again
	eventsAsked = 2000
)

// Client is the part of api.Client the feed reads from.
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
	// for each machine, and not for one it can't reach.
	Other func(api.Machine) (C, error)
	// Crashed is told, once, when the feed has ended by a panic; nil lets it panic.
	Crashed func(what string)
}

// Feed is a running feed. Its methods may be called from any goroutine.
type Feed[C Client] struct {
	cfg    Config[C]
	out    chan *state.Snapshot
	look   chan bool
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards current
	current C

	// What follows belongs to the feed's goroutine.
	reducer   *state.Reducer
	conn      state.Conn
	looking   bool
	published time.Time
	waiting   bool // a snapshot is due
	due       *time.Timer
	others    map[string]C
	snap      *state.Snapshot
}

// Start starts a feed. Close ends it.
func Start[C Client](ctx context.Context, cfg Config[C]) *Feed[C] {
	ctx, cancel := context.WithCancel(ctx)
	f := &Feed[C]{cfg: cfg, out: make(chan *state.Snapshot, 1), look: make(chan bool), cancel: cancel, done: make(chan struct{}),
		current: cfg.Client, reducer: state.NewReducer(), others: map[string]C{}, due: time.NewTimer(time.Hour)}
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

// Look says whether somebody looks at figures of CPU and memory; they are
// asked for only then.
func (f *Feed[C]) Look(on bool) {
	select {
	case f.look <- on:
	case <-f.done:
	}
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
	defer func() {
		if f.cfg.Crashed == nil {
			return
		}
		if r := recover(); r != nil {
			f.cfg.Crashed(fmt.Sprint(r, "\n", string(debug.Stack())))
		}
	}()
	wait := retryFirst
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
			if f.conn.Seen.After(began) {
				wait = retryFirst
			}
		}
		pause := time.Duration(float64(wait) * (0.7 + 0.6*rand.Float64()))
		f.conn.Retry = time.Now().Add(pause)
		f.publish(f.conn.Retry.Add(-pause))
		wait = min(2*wait, retryMost)
		for again := time.After(pause); again != nil; {
			select {
			case <-ctx.Done():
				return
			case f.looking = <-f.look:
			case <-again:
				again = nil
			}
		}
	}
}

// candidates are the clients to try, the one in use first.
func (f *Feed[C]) candidates() []C {
	list := []C{f.Current()}
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
	for _, m := range f.snap.Machines {
		if !m.Health.State.Runs() {
			continue
		}
		c, ok := f.others[m.ID]
		if !ok {
			var err error
			if c, err = f.cfg.Other(m.Machine); err != nil {
				continue
			}
			f.others[m.ID] = c
		}
		add(c)
	}
	return list
}

// lost notes that a session ended. What is known stays.
func (f *Feed[C]) lost(c C, err error) {
	now := time.Now()
	if f.conn.Up || f.conn.Since.IsZero() {
		f.conn.Since = now
	}
	f.conn.Up, f.conn.Endpoint, f.conn.Err = false, c.Endpoint(), reason(err)
	f.publish(now)
}

func reason(err error) string {
	var away *api.UnreachableError
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

var errSilent = errors.New("no sign of life for " + patience.String())

// session watches one daemon until that fails or ctx ends.
func (f *Feed[C]) session(ctx context.Context, c C) error {
	f.mu.Lock()
	f.current = c
	f.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)

	lines, ended := make(chan *api.Line), make(chan error, 1)
	running.Go(func() {
		ended <- c.Watch(ctx, api.WatchOptions{WhatIf: true}, func(_ *api.State, l *api.Line) error {
			select {
			case lines <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	older := make(chan []cluster.Event, 1)
	figures := make(chan api.Stats)
	var stopStats context.CancelFunc = func() {}
	defer func() { stopStats() }()
	setStats := func(on bool) {
		stopStats()
		stopStats = func() {}
		if on {
			statsCtx, stop := context.WithCancel(ctx)
			stopStats = stop
			running.Go(func() { askStats(statsCtx, c, figures) })
		} else {
			f.reducer.DropStats()
		}
	}
	silent := time.NewTimer(patience)
	defer silent.Stop()
	for first := true; ; {
		select {
		case err := <-ended:
			if cause := context.Cause(ctx); cause == errSilent {
				return cause
			}
			return err
		case <-silent.C:
			cancel(errSilent)
		case l := <-lines:
			silent.Reset(patience)
			f.take(l, c, first)
			if first {
				first = false
				setStats(f.looking)
				running.Go(func() {
					if list, err := c.Events(ctx, "", eventsAsked); err == nil {
						older <- list
					}
				})
			}
		case list := <-older:
			f.reducer.AddEvents(list)
			f.schedule(batchEvery)
		case s := <-figures:
			f.reducer.PutStats(s)
			f.schedule(batchEvery)
		case on := <-f.look:
			if on != f.looking {
				f.looking = on
				setStats(on && !first)
			}
		case now := <-f.due.C:
			f.publish(now)
		}
	}
}

// take folds a line in and sees to it that it is shown in time.
func (f *Feed[C]) take(l *api.Line, c C, first bool) {
	now := time.Now()
	if first {
		f.conn = state.Conn{Up: true, Endpoint: c.Endpoint(), Since: now}
	}
	f.conn.Seen = now
	if l.Kind == api.LineHeartbeat {
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
	select {
	case <-f.out:
	default:
	}
	f.out <- f.snap
}

// askStats asks for figures again and again.
func askStats[C Client](ctx context.Context, c C, figures chan<- api.Stats) {
	for ctx.Err() == nil {
		err := c.Stats(ctx, func(s api.Stats) error {
			select {
			case figures <- s:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		pause := statsRetry
		var refused *api.Error
		if errors.As(err, &refused) && refused.Code == api.CodeNotFound {
			pause = statsNone
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
