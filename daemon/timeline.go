package daemon

import (
	"context"
	"time"

	"fleettop/cluster"
	"fleettop/units/retry"
)

const (
	retryLeast = 50 * time.Millisecond
	retryMost  = 2 * time.Second
)

// timeline records in a store as soon as that can be reached.
type timeline struct {
	store interface {
		Record(ctx context.Context, e ...cluster.Event) error
	}
}

// Record writes to the timeline. It blocks until that is done, and returns the
// last error when ctx ends before.
func (t timeline) Record(ctx context.Context, e ...cluster.Event) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for {
		err := t.store.Record(ctx, e...)
		if err == nil || !delay.Wait(ctx) {
			return err
		}
	}
}
