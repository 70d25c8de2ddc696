package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
	"fleettop/daemon/view"
)

// Store is the part of cluster.Store the engine writes to.
type Store interface {
	Apply(ctx context.Context, term int64, moves []cluster.Move, found cluster.Findings) (revision int64, errs []error,
		err error)
	Evict(ctx context.Context, machine, runID string) error
	Record(ctx context.Context, events ...cluster.Event) error
	Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error)
}

// Health is the part of health.Tracker the engine asks.
type Health interface {
	State() health.State
	Changed() <-chan struct{}
}

// Config says what an engine works with.
type Config struct {
	Self    string // this machine's ID
	Store   Store
	View    *view.View
	Health  Health
	Planner *schedule.Planner // its own, if nil
	Log     *slog.Logger      // nowhere, if nil
	Now     func() time.Time  // time.Now, if nil

	Quiet   time.Duration // how long the store must be quiet before a look; 20 ms if zero
	Longest time.Duration // longest delay of a look by changes that go on; 250 ms if zero
	Every   time.Duration // a look without any change; a minute if zero
}

// Engine places units while it leads.
type Engine struct {
	cfg     Config
	deposed deposed // WatchLeader's
	lapses  lapses
}

// New returns an Engine. Nothing happens before Lead.
func New(cfg Config) *Engine {
	if cfg.Planner == nil {
		cfg.Planner = schedule.New()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	defaults := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	defaults(&cfg.Quiet, 20*time.Millisecond)
	defaults(&cfg.Longest, 250*time.Millisecond)
	defaults(&cfg.Every, time.Minute)
	return &Engine{cfg: cfg, deposed: deposed{}}
}

// Lead places units under a leadership until ctx ends, and returns when all it
// started has ended: nil when ctx ended, an error wrapping
// cluster.ErrNotLeader when the term is over, and any other error when a write's
// outcome is unknown; a new term then starts from what is in the store.
func (e *Engine) Lead(ctx context.Context, leader cluster.Leader) error {
	lease := e.cfg.View.Hold()
	defer lease.Release()
	ctx, cancel := context.WithCancel(ctx)
	out := newOutbox(ctx, e.cfg)
	defer out.wait()
	ahead := newForesight()
	var working sync.WaitGroup
	working.Go(func() { ahead.run(ctx) })
	defer working.Wait()
	defer cancel()

	t := newTerm(leader, e.cfg.Planner)
	t.lapses = &e.lapses
	err := e.lead(ctx, lease, t, out, ahead)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (e *Engine) lead(ctx context.Context, lease *view.Lease, t *term, out *outbox, ahead *foresight) error {
	for {
		// Channels before what they announce, so that no change is missed.
		changed := e.cfg.Health.Changed()
		state := e.cfg.Health.State()
		snap, live, _, stored := lease.Latest()
		if !live || !t.ready(snap) || !judged(snap, state, e.cfg.Self) {
			if live && snap.Leader.Term > t.leader.Term {
				return fmt.Errorf("term %d: %w", t.leader.Term, cluster.ErrNotLeader)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-stored:
			case <-changed:
			}
			continue
		}
		look := t.look(snap, state, e.cfg.Now())
		out.evict(look.evict)
		refused, err := e.write(ctx, t, look)
		if err != nil {
			return err
		}
		e.recall(ctx, t)
		out.record(t.events())
		if len(look.moves) > 0 && !refused {
			continue // the view must show these before anything else
		}
		ahead.ask(schedule.Input{Snapshot: snap, Health: state.Health, Hold: state.Hold})
		if !e.rest(ctx, lease, t, out, ahead, stored, changed, look.again, refused) {
			return nil
		}
	}
}

// write applies a look's findings and moves. Where there are none and lines for
// the timeline wait, it asks whether the term goes on, so that a deposed leader
// tells nothing. It reports whether some were not taken, mostly because another
// client was faster with a unit; another look follows soon.
func (e *Engine) write(ctx context.Context, t *term, look look) (refused bool, err error) {
	if len(look.moves)+look.found.Size()+len(t.pending) == 0 && !t.unwritten {
		return false, nil
	}
	revision, errs, err := e.cfg.Store.Apply(ctx, t.leader.Term, look.moves, look.found)
	if err != nil && len(look.moves) == 0 && !errors.Is(err, cluster.ErrNotLeader) {
		if ctx.Err() == nil { // to write them again does no harm
			e.cfg.Log.Debug("what the leader found is not in the store yet; trying again", "error", err)
		}
		t.unwritten = true
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("apply %d moves: %w", len(look.moves), err)
	}
	t.unwritten = false
	t.applied(look.moves, revision, errs, e.cfg.Now())
	for k, err := range errs {
		refused = refused || err != nil
		if err != nil && !errors.Is(err, cluster.ErrConflict) {
			e.cfg.Log.Error("a move was refused", "unit", look.moves[k].Unit, "reason", look.moves[k].Reason, "error", err)
		}
	}
	return refused, nil
}

// The timeline is read this far back, and no more events than these, for what it
// has of machines that failed before the term; and no longer than this, as moves wait.
const (
	recallReach = 24 * time.Hour
	recallMost  = 500
	recallLimit = 500 * time.Millisecond
)

// recall lets the term know what the timeline has of machines it isn't sure
// about and of units without a place, if there are such, or nothing where it can't be read.
func (e *Engine) recall(ctx context.Context, t *term) {
	if len(t.unsure) == 0 && !t.recalls || t.state.Hold != "" {
		return
	}
	limited, cancel := context.WithTimeout(ctx, recallLimit)
	defer cancel()
	timeline, err := e.cfg.Store.Events(limited, e.cfg.Now().Add(-recallReach), recallMost)
	if err != nil && ctx.Err() == nil {
		e.cfg.Log.Warn("could not read what was told of machines that failed", "error", err)
	}
	t.recall(timeline)
}

// rest waits for something to act on: a verdict ends it at once, so do new
// answers to what the death of a machine would do, changes in
// the store when they pause or have gone on for long, and at last the time
// again, if that isn't zero. It is false when ctx ends.
func (e *Engine) rest(ctx context.Context, lease *view.Lease, t *term, out *outbox, ahead *foresight,
	stored, judged <-chan struct{},
	again time.Time, refused bool) bool {
	every := e.cfg.Every
	if !again.IsZero() {
		every = min(every, max(0, again.Sub(e.cfg.Now())))
	}
	wake := time.NewTimer(every)
	defer wake.Stop()
	var latest time.Time // when the look is due at the latest, once there is something to look at
	if refused {
		latest = time.Now().Add(e.cfg.Longest)
		wake.Reset(min(every, e.cfg.Longest))
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-judged:
			return true
		case <-wake.C:
			return true
		case t.whatIf = <-ahead.answers:
			return true
		case <-stored:
			var snap *cluster.Snapshot
			snap, _, _, stored = lease.Latest()
			e.lapses.observe(snap, e.cfg.Now)
			t.started(snap, e.cfg.Now()) // how long a start took is measured as it is seen
			out.record(t.events())
			if latest.IsZero() {
				latest = time.Now().Add(e.cfg.Longest)
			}
			wake.Reset(max(0, min(e.cfg.Quiet, time.Until(latest))))
		}
	}
}
