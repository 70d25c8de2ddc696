// Package retry paces what is tried again: delays that grow with each failure
// and carry jitter, so that many machines that lost the same peer don't come
// back in step.
package retry

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// spread is the share of a delay that is random, to both sides.
const spread = 0.5

// A Delay is the time to wait before the next try. It is for one goroutine.
type Delay struct{ b *backoff.ExponentialBackOff }

// NewDelay returns a Delay that begins around first and doubles up to around
// longest. A delay is between half of that and one and a half times it.
func NewDelay(first, longest time.Duration) *Delay {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = first, longest, 2, spread
	b.Reset()
	return &Delay{b}
}

// Next returns how long to wait before the next try, and grows the one after.
func (d *Delay) Next() time.Duration { return d.b.NextBackOff() }

// Reset begins anew, after a success.
func (d *Delay) Reset() { d.b.Reset() }

// Wait blocks for Next. It reports whether the time passed before ctx ended.
func (d *Delay) Wait(ctx context.Context) bool { return Pause(ctx, d.Next()) }

// Pause blocks for d, and reports whether the time passed before ctx ended.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
