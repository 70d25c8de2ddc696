package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"fleettop/units/retry"
)

func TestDelayGrowsWithJitterUpToItsLongest(t *testing.T) {
	d := retry.NewDelay(100*time.Millisecond, time.Second)
	seen := map[time.Duration]bool{}
	for round := range 50 {
		for _, around := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			around *= time.Millisecond
			got := d.Next()
			if got < around/2 || got > around*3/2 {
				t.Fatalf("round %d: a delay of %s, expected %s to %s", round, got, around/2, around*3/2)
			}
			seen[got] = true
		}
		d.Reset()
	}
	if len(seen) < 100 {
		t.Errorf("300 delays have %d different lengths: expected jitter", len(seen))
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if !retry.Pause(ctx, 500*time.Millisecond) {
			t.Error("a pause that is shorter than its context was cut")
		}
		if retry.Pause(ctx, time.Hour) {
			t.Error("a pause that is longer than its context was not cut")
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("both took %s, expected 1s", took)
		}
	})
}
