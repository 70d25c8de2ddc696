package feed

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units/retry"
)

// silence is the end of a session with a daemon that hangs.
type silence struct{ after time.Duration }

func (s silence) Error() string { return "no sign of life for " + s.after.String() }

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
	began := time.Now()
	var alive atomic.Int64 // when anything came last, since began
	var hangs atomic.Bool  // it is said that the daemon doesn't answer
	options := api.WatchOptions{WhatIf: true, Heartbeat: heartbeat, LinesOnly: true,
		Alive: func() { alive.Store(int64(time.Since(began))) }}
	running.Go(func() {
		ended <- c.Watch(ctx, options, func(_ *api.State, l *api.Line) error {
			if l != nil && l.Kind == api.LineHeartbeat && !hangs.Load() {
				return nil // alive says all that it does
			}
			select {
			case lines <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	older := make(chan []cluster.Event)
	var figures chan api.Stats // nil while none are asked for
	var stopStats context.CancelFunc = func() {}
	defer func() { stopStats() }()
	setStats := func(on bool) {
		stopStats()
		stopStats = func() {}
		if on {
			statsCtx, stop := context.WithCancel(ctx)
			stopStats = stop
			fresh := make(chan api.Stats, figuresWait) // without those that came before they were looked away from
			figures = fresh
			running.Go(func() { askStats(statsCtx, c, fresh) })
		} else {
			figures = nil
			f.reducer.DropStats()
		}
	}
	silent := time.NewTimer(noticed)
	defer silent.Stop()
	for first := true; ; {
		select {
		case err := <-ended:
			if !first {
				f.conn.Seen = began.Add(time.Duration(alive.Load()))
			}
			if cause := (silence{}); errors.As(context.Cause(ctx), &cause) {
				return cause
			}
			return err
		case <-silent.C:
			// A line may take long to come whole; its parts are signs of life, too.
			last := time.Duration(alive.Load())
			quiet := time.Since(began) - last
			switch {
			case quiet >= alone, (quiet >= patience || first) && quiet >= noticed && len(f.candidates()) > 1:
				cancel(silence{quiet.Round(time.Second)})
			case quiet >= noticed:
				if f.conn.Up && !f.conn.Quiet {
					f.conn.Quiet, f.conn.Seen = true, began.Add(last)
					hangs.Store(true)
					f.publish(time.Now())
				}
				silent.Reset(heartbeat)
			default:
				if f.conn.Quiet { // it came just before that was said
					f.conn.Quiet = false
					hangs.Store(false)
					f.publish(time.Now())
				}
				silent.Reset(noticed - quiet)
			}
		case l := <-lines:
			silent.Reset(noticed)
			f.take(l, c, first)
			hangs.Store(false)
			if first {
				first = false
				setStats(f.looking)
				running.Go(func() { askEvents(ctx, c, eventsAsked, older) })
			}
		case <-f.older:
			running.Go(func() { askEvents(ctx, c, api.EventsMost, older) })
		case list := <-older:
			f.reducer.AddEvents(list, time.Now())
			f.schedule(batchEvery)
		case s := <-figures:
			f.reducer.PutStats(s)
			if !f.waiting { // they come many at once
				f.waiting = true
				f.due.Reset(batchEvery)
			}
		case <-f.look:
			if on := f.looked(); on != f.looking {
				f.looking = on
				setStats(on && !first)
			}
		case now := <-f.due.C:
			f.publish(now)
		}
	}
}

// askEvents asks once for the newest events, so many of them.
func askEvents[C Client](ctx context.Context, c C, limit int, events chan<- []cluster.Event) {
	list, err := c.Events(ctx, "", limit)
	if err != nil {
		return
	}
	select {
	case events <- list:
	case <-ctx.Done():
	}
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
		retry.Pause(ctx, pause)
	}
}
