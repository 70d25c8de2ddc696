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
	options := api.WatchOptions{WhatIf: true, Heartbeat: heartbeat,
		Alive: func() { alive.Store(int64(time.Since(began))) }}
	running.Go(func() {
		ended <- c.Watch(ctx, options, func(_ *api.State, l *api.Line) error {
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
	silent := time.NewTimer(noticed)
	defer silent.Stop()
	for first := true; ; {
		select {
		case err := <-ended:
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
					f.conn.Quiet = true
					f.publish(time.Now())
				}
				silent.Reset(heartbeat)
			default:
				silent.Reset(noticed - quiet)
			}
		case l := <-lines:
			silent.Reset(noticed)
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
			f.reducer.AddEvents(list, time.Now())
			f.schedule(batchEvery)
		case s := <-figures:
			f.reducer.PutStats(s)
			f.schedule(batchEvery)
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
