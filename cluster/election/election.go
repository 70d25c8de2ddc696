// Package election keeps one daemon of the cluster leading: it campaigns,
// calls the leader's work with a context that ends with the leadership, and
// campaigns again. The fence is the term in every write; the context only
// spares the work of one that has already lost.
package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/units/retry"
)

const (
	retryLeast    = 50 * time.Millisecond
	retryMost     = 2 * time.Second
	resignTimeout = 2 * time.Second
)

// Store is the part of cluster.Store an election needs.
type Store interface {
	Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
	Campaign(ctx context.Context, s cluster.Session) (cluster.Leader, error)
	Resign(ctx context.Context, l cluster.Leader) error
}

// Run campaigns with the session and calls lead whenever it wins, with a
// context that ends when the leadership does: the session is lost, the
// leader in the store is gone or another one, or ctx ends. When lead
// returns, whatever its error, Run resigns and campaigns again. It returns nil
// when ctx has ended and an error wrapping cluster.ErrSessionLost when the
// session has; lead is never running then.
func Run(ctx context.Context, store Store, session cluster.Session, log *slog.Logger,
	lead func(ctx context.Context, l cluster.Leader) error) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for {
		l, err := store.Campaign(ctx, session)
		if err == nil {
			began := time.Now()
			err = serve(ctx, store, session, log, l, lead)
			if time.Since(began) > retryMost {
				delay.Reset()
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case ended(session):
			return fmt.Errorf("election: %w", cluster.ErrSessionLost)
		case err == nil:
			delay.Reset()
		}
		pause := delay.Next()
		if err != nil {
			log.Warn("leading the cluster failed; campaigning again", "error", err, "in", pause)
		}
		// Even after a success: another candidate gets the leadership now.
		wait(ctx, session, pause)
	}
}

// serve leads once, and resigns.
func serve(ctx context.Context, store Store, session cluster.Session, log *slog.Logger,
	l cluster.Leader, lead func(context.Context, cluster.Leader) error) error {
	log.Info("leading the cluster", "term", l.Term)
	leading, stop := context.WithCancel(ctx)
	var guards sync.WaitGroup
	guards.Go(func() {
		defer stop()
		select {
		case <-session.Done():
		case <-leading.Done():
		}
	})
	guards.Go(func() {
		defer stop()
		watchTerm(leading, store, session, l)
	})
	err := lead(leading, l)
	over := leading.Err() != nil
	stop()
	guards.Wait()

	resigning, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTimeout)
	defer cancel()
	if rerr := store.Resign(resigning, l); rerr != nil && !ended(session) {
		log.Warn("could not resign; the leadership ends with the session", "term", l.Term, "error", rerr)
	}
	log.Info("no longer leading the cluster", "term", l.Term)
	if over && (errors.Is(err, context.Canceled) || errors.Is(err, cluster.ErrNotLeader)) {
		return nil // it ended as it was told to
	}
	return err
}

// watchTerm returns when the term is over or ctx ends. A store that can't be
// reached says nothing about the term: the session's end decides then.
func watchTerm(ctx context.Context, store Store, session cluster.Session, l cluster.Leader) {
	delay := retry.NewDelay(retryLeast, retryLeast)
	for ctx.Err() == nil {
		snap, changes, err := store.Watch(ctx, cluster.Scope{Machine: l.Machine})
		if err == nil {
			if snap.Leader.Term != l.Term {
				return
			}
			for c := range changes {
				if c.Leader != nil && c.Leader.Term != l.Term {
					return
				}
			}
		}
		wait(ctx, session, delay.Next())
	}
}

// wait blocks for d, or until the session or ctx ends.
func wait(ctx context.Context, session cluster.Session, d time.Duration) {
	select {
	case <-time.After(d):
	case <-session.Done():
	case <-ctx.Done():
	}
}

func ended(session cluster.Session) bool {
	select {
	case <-session.Done():
		return true
	default:
		return false
	}
}
