package engine

import (
	"context"
	"time"

	"fleettop/cluster"
)

// evictRetry is how long a daemon waits before it tries again to end a dead leader's lease.
const evictRetry = 100 * time.Millisecond

// WatchLeader keeps a dead leader from being waited for: when this daemon's
// own evidence says that the leader's machine is dead, it ends the leader's
// lease, so that the election goes on at once; but not while so many machines
// vanished that this one may be cut off. It holds the view, so that a new
// leader starts with a warm one, and runs until ctx ends. Every candidate runs it, leading or not.
func (e *Engine) WatchLeader(ctx context.Context) {
	lease := e.cfg.View.Hold()
	defer lease.Release()
	for ctx.Err() == nil {
		judged := e.cfg.Health.Changed()
		state := e.cfg.Health.State()
		snap, live, _, stored := lease.Latest()
		var retry <-chan time.Time
		if live && state.Hold == "" && leaderDead(snap.Leader, state.Health, e.cfg.Self) {
			err := e.cfg.Store.Evict(ctx, snap.Leader.Machine, snap.Leader.Run)
			if err != nil && ctx.Err() == nil {
				e.cfg.Log.Warn("could not end the lease of the dead leader; trying again", "machine", snap.Leader.Machine, "error",
					err)
				retry = time.After(evictRetry)
			}
		}
		select {
		case <-ctx.Done():
		case <-judged:
		case <-stored:
		case <-retry:
		}
	}
}

func leaderDead(l cluster.Leader, health map[string]cluster.Health, self string) bool {
	h, known := health[l.Machine]
	return l.Run != "" && l.Machine != self && known && !h.State.Runs()
}
