package engine

import (
	"context"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
	"fleettop/daemon/view"
	"fleettop/units/retry"
)

const (
	// warmPause is how long changes may wait for a planner that doesn't lead, and
	// warmRest how much longer it rests than it takes.
	warmPause = 250 * time.Millisecond
	warmRest  = 10
)

// evictRetry is how long a daemon waits before it tries again to end a dead leader's lease.
const evictRetry = 100 * time.Millisecond

// WatchLeader keeps a dead leader from being waited for: when this daemon's
// own evidence says that the leader's machine is dead, it ends the leader's
// lease, so that the election goes on at once; but not while so many machines
// vanished that this one may be cut off. A machine that leads again though it
// is still taken for dead lives, by the store's word: two that can't hear each
// other would else end each other's leadership again and again.
// It holds the view and keeps the planner
// warm, so that a new leader's first plan costs no more than a later one, and
// runs until ctx ends. Every candidate runs it, leading or not, one at a time.
func (e *Engine) WatchLeader(ctx context.Context) {
	lease := e.cfg.View.Hold()
	defer lease.Release()
	var planning sync.WaitGroup
	planning.Go(func() { e.keepWarm(ctx, lease) })
	defer planning.Wait()
	for ctx.Err() == nil {
		changed := e.cfg.Health.Changed()
		state := e.cfg.Health.State()
		snap, live, _, stored := lease.Latest()
		e.lapses.observe(snap, e.cfg.Now)
		var again <-chan time.Time
		if live && judged(snap, state, e.cfg.Self) && state.Hold == "" && e.deposed.dead(snap.Leader, state.Health, e.cfg.Self) {
			err := e.cfg.Store.Evict(ctx, snap.Leader.Machine, snap.Leader.Run)
			if err == nil {
				e.deposed.note(snap.Leader, state.Health)
			} else if ctx.Err() == nil {
				e.cfg.Log.Warn("could not end the lease of the dead leader; trying again", "machine", snap.Leader.Machine, "error",
					err)
				again = time.After(evictRetry)
			}
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-stored:
		case <-again:
		}
	}
}

// judged reports whether verdicts were made in the session that this machine has in a
// snapshot. What it judged in the one before, or without the store, rests on a time
// in which it was cut off itself, or stopped: it looks anew first.
func judged(snap *cluster.Snapshot, state health.State, self string) bool {
	own, registered := snap.Runs[self]
	return registered && own.Session == state.Session
}

// keepWarm has the planner see each snapshot while another machine leads, some
// time after it came. What it would do is of no interest: the planner keeps the
// files it parsed, and its index of the units.
func (e *Engine) keepWarm(ctx context.Context, lease *view.Lease) {
	for ctx.Err() == nil {
		snap, live, _, stored := lease.Latest()
		pause := warmPause
		if live && snap.Leader.Machine != e.cfg.Self {
			state, began := e.cfg.Health.State(), e.cfg.Now()
			e.cfg.Planner.Plan(schedule.Input{Snapshot: snap, Health: state.Health, Hold: state.Hold}, began)
			pause = max(pause, warmRest*e.cfg.Now().Sub(began))
		}
		select {
		case <-ctx.Done():
		case <-stored:
			retry.Pause(ctx, pause)
		}
	}
}

// deposed are the leaders whose lease was ended: by machine, since when it was taken for dead then.
type deposed map[string]time.Time

func (d deposed) note(l cluster.Leader, health map[string]cluster.Health) {
	d[l.Machine] = health[l.Machine].Since
}

// dead reports whether the leader's machine is dead by this machine's evidence.
func (d deposed) dead(l cluster.Leader, health map[string]cluster.Health, self string) bool {
	h, known := health[l.Machine]
	return l.Run != "" && l.Machine != self && known && !h.State.Runs() && h.BackAt.IsZero() &&
		!d[l.Machine].Equal(h.Since)
}
