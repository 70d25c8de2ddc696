package view

import (
	"context"
	"time"

	"fleettop/cluster"
)

const (
	// readPatience is how long Reach waits for a store that was never seen or
	// that answers; stalePatience is how long it waits for the view before it
	// asks the store whether it answers, which may take askPatience.
	readPatience  = 5 * time.Second
	stalePatience = 200 * time.Millisecond
	askPatience   = 500 * time.Millisecond
	askAgain      = time.Second // a store that didn't answer isn't asked before
)

// Reach returns a live snapshot at or after a revision (0 for any). Where the
// store is lost it returns within a second the last one that is known, and
// when that was current; asOf is zero for a live one. It fails with an error
// wrapping ErrNotReady where the store was never seen, and with one wrapping
// ErrBehind where it is there and the view doesn't come to the revision.
func (l *Lease) Reach(ctx context.Context, revision int64) (snap *cluster.Snapshot, asOf time.Time, err error) {
	if snap, err = l.within(ctx, stalePatience, revision); err == nil {
		return snap, time.Time{}, nil
	}
	if last, live, asOf, _ := l.Latest(); last != nil && !live && !l.v.storeAnswers(ctx) {
		return last, asOf, nil
	}
	// The store answers, or was never seen, or the view is a little behind: that is worth waiting for.
	if snap, err = l.within(ctx, readPatience, revision); err == nil {
		return snap, time.Time{}, nil
	}
	if last, live, asOf, _ := l.Latest(); last != nil && !live {
		return last, asOf, nil
	}
	return nil, time.Time{}, err
}

func (l *Lease) within(ctx context.Context, patience time.Duration, revision int64) (*cluster.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.Snapshot(ctx, revision)
}

// storeAnswers reports whether the store answers a small question soon. A view
// that just isn't current yet must not be taken for a store that is lost.
func (v *View) storeAnswers(ctx context.Context) bool {
	if at := v.silentAt.Load(); at != nil && time.Since(*at) < askAgain {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	_, err := v.store.Events(limited, time.Now(), 1)
	if err != nil && ctx.Err() == nil {
		now := time.Now()
		v.silentAt.Store(&now)
	}
	return err == nil
}
