package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units/retry"
)

// askAgain is how long a command waits before it asks a daemon again that it lost.
const askAgain = 200 * time.Millisecond

const (
	// settle is how long a unit must be unplaceable, or held, before it is
	// believed: machines may just be coming up.
	settle = 500 * time.Millisecond
	// filterMost is up to how many units a watch is limited to them.
	filterMost = 100
)

// await waits on the daemon's watch until each goal is reached, has failed or
// can't be reached, telling each as it is known, and returns the outcomes.
func (a *app) await(ctx context.Context, c *client.Client, goals []goal, fl *actFlags) ([]outcome, error) {
	limit := fl.wait
	if limit == 0 {
		limit = time.Duration(fl.attempts) * attempt
	}
	var deadline <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		deadline = t.C
	}
	watchCtx, endWatch := context.WithCancel(ctx)
	looks := make(chan []outcome)
	ended := make(chan error, 1)
	go func() { ended <- a.judgeAll(watchCtx, c, goals, looks) }()
	defer func() {
		endWatch()
		for range looks {
		}
	}()

	w := waiting{left: map[string]outcome{}, since: map[string]time.Time{}}
	for _, g := range goals {
		w.left[g.unit] = outcome{Unit: g.unit, Verdict: pending, Text: "nothing is known of it yet"}
	}
	tick := time.NewTicker(settle / 2)
	defer tick.Stop()
	for len(w.left) > 0 {
		select {
		case look := <-looks:
			w.take(look, time.Now())
		case <-tick.C:
		case <-deadline:
			for _, g := range goals {
				w.giveUp(g, limit)
			}
		case err := <-ended:
			if ctx.Err() != nil {
				fmt.Fprintf(a.err, "Interrupted. The cluster carries on; %d of %d units not done yet: `fleettop list-units` shows how they stand.\n", len(w.left), len(goals))
			}
			return append(w.done, w.unsettled(goals)...), err
		}
		if fl.wait == 0 {
			w.believeStuck(goals, time.Now())
		}
		for ; w.told < len(w.done); w.told++ {
			if err := a.tell(w.done[w.told]); err != nil {
				return append(w.done, w.unsettled(goals)...), err
			}
		}
	}
	return w.done, nil
}

// waiting is what is known of the goals.
type waiting struct {
	left  map[string]outcome   // those not decided, by unit
	since map[string]time.Time // since when a unit is unplaceable or held
	done  []outcome
	told  int // how many of done were printed
}

func (w *waiting) take(look []outcome, now time.Time) {
	for _, o := range look {
		if _, waits := w.left[o.Unit]; !waits {
			continue
		}
		w.left[o.Unit] = o
		if o.Verdict != unplaced && o.Verdict != held {
			delete(w.since, o.Unit)
		} else if _, known := w.since[o.Unit]; !known {
			w.since[o.Unit] = now
		}
		if o.Verdict == reached || o.Verdict == failed {
			w.finish(o)
		}
	}
}

// unsettled are the outcomes of what is still waited for, in the order of the goals.
func (w *waiting) unsettled(goals []goal) []outcome {
	var out []outcome
	for _, g := range goals {
		if o, waits := w.left[g.unit]; waits {
			out = append(out, o)
		}
	}
	return out
}

func (w *waiting) finish(o outcome) {
	delete(w.left, o.Unit)
	w.done = append(w.done, o)
}

func (w *waiting) believeStuck(goals []goal, now time.Time) {
	for _, g := range goals {
		if at, ok := w.since[g.unit]; ok && now.Sub(at) >= settle {
			if o, waits := w.left[g.unit]; waits {
				w.finish(o)
			}
		}
	}
}

// giveUp ends the wait for a goal that took too long.
func (w *waiting) giveUp(g goal, limit time.Duration) {
	o, waits := w.left[g.unit]
	if !waits {
		return
	}
	if o.Verdict == pending {
		o.Verdict = timedOut
		o.Text = fmt.Sprintf("Timed out after %s waiting for unit %s to %s: %s. The cluster carries on; `fleettop status %s` shows how it stands.", limit, g.unit, g.verb, o.Text, g.unit)
	}
	w.finish(o)
}

// judgeAll sends how the goals stand after each line of the watch, and closes
// looks when it ends. A daemon that went away is given the request timeout to
// come back.
func (a *app) judgeAll(ctx context.Context, c *client.Client, goals []goal, looks chan<- []outcome) error {
	defer close(looks)
	goals = slices.Clone(goals)
	var opts api.WatchOptions
	if len(goals) <= filterMost {
		for _, g := range goals {
			opts.Units = append(opts.Units, g.unit)
		}
	}
	heard := time.Now()
	for {
		err := c.Watch(ctx, opts, func(s *api.State, _ *api.Line) error {
			heard = time.Now()
			sc := newScene(s)
			look := make([]outcome, 0, len(goals))
			left := goals[:0]
			for _, g := range goals {
				o := g.judge(sc)
				look = append(look, o)
				if o.Verdict != reached && o.Verdict != failed {
					left = append(left, g)
				}
			}
			goals = left
			select {
			case looks <- look:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if refusal := (*api.Error)(nil); ctx.Err() != nil || errors.As(err, &refusal) && refusal.Code != api.CodeUnavailable || time.Since(heard) > a.timeout {
			return err
		}
		if !retry.Pause(ctx, askAgain) {
			return ctx.Err()
		}
	}
}
