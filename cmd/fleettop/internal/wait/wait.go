package wait

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

// AskAgain is how long a command waits before it asks a daemon again that it lost.
const AskAgain = 200 * time.Millisecond

const (
	// Settle is how long a unit must be unplaceable, or held, before it is
	// believed: machines may just be coming up.
	Settle = 500 * time.Millisecond
	// filterMost is up to how many units a watch is limited to them.
	filterMost = 100
)

// Options say how long units are waited for, and who is told.
type Options struct {
	Limit   time.Duration // in all; 0 for as long as it takes
	Patient bool          // waits also for units that no machine can take now
	Silence time.Duration // that a daemon may be away
	Tell    func(Outcome) error
}

// Until waits on the daemon's watch until each goal is reached, has failed or
// can't be reached, and tells each as it is known. It returns the outcomes, and
// how many goals are not decided: those are there with an error alone, which is
// the context's, the daemon's or that of Tell.
func Until(ctx context.Context, c *client.Client, goals []Goal, o Options) (outcomes []Outcome, left int, err error) {
	var deadline <-chan time.Time
	if o.Limit > 0 {
		t := time.NewTimer(o.Limit)
		defer t.Stop()
		deadline = t.C
	}
	watchCtx, endWatch := context.WithCancel(ctx)
	looks := make(chan []Outcome)
	ended := make(chan error, 1)
	go func() { ended <- judgeAll(watchCtx, c, goals, o.Silence, looks) }()
	defer func() {
		endWatch()
		for range looks {
		}
	}()

	w := waiting{left: map[string]Outcome{}, since: map[string]time.Time{}}
	for _, g := range goals {
		w.left[g.Unit] = Outcome{Unit: g.Unit, Verdict: Pending, Text: "nothing is known of it yet"}
	}
	tick := time.NewTicker(Settle / 2)
	defer tick.Stop()
	for len(w.left) > 0 {
		select {
		case look := <-looks:
			w.take(look, time.Now())
		case <-tick.C:
		case <-deadline:
			for _, g := range goals {
				w.giveUp(g, o.Limit)
			}
		case err := <-ended:
			return append(w.done, w.unsettled(goals)...), len(w.left), err
		}
		if !o.Patient {
			w.believeStuck(goals, time.Now())
		}
		for ; w.told < len(w.done); w.told++ {
			if err := o.Tell(w.done[w.told]); err != nil {
				return append(w.done, w.unsettled(goals)...), len(w.left), err
			}
		}
	}
	return w.done, 0, nil
}

// waiting is what is known of the goals.
type waiting struct {
	left  map[string]Outcome   // those not decided, by unit
	since map[string]time.Time // since when a unit is unplaceable or held
	done  []Outcome
	told  int // how many of done were printed
}

func (w *waiting) take(look []Outcome, now time.Time) {
	for _, o := range look {
		if _, waits := w.left[o.Unit]; !waits {
			continue
		}
		w.left[o.Unit] = o
		if o.Verdict != Unplaced && o.Verdict != Held {
			delete(w.since, o.Unit)
		} else if _, known := w.since[o.Unit]; !known {
			w.since[o.Unit] = now
		}
		if o.Verdict == Reached || o.Verdict == Failed {
			w.finish(o)
		}
	}
}

// unsettled are the outcomes of what is still waited for, in the order of the goals.
func (w *waiting) unsettled(goals []Goal) []Outcome {
	var out []Outcome
	for _, g := range goals {
		if o, waits := w.left[g.Unit]; waits {
			out = append(out, o)
		}
	}
	return out
}

func (w *waiting) finish(o Outcome) {
	delete(w.left, o.Unit)
	w.done = append(w.done, o)
}

func (w *waiting) believeStuck(goals []Goal, now time.Time) {
	for _, g := range goals {
		if at, ok := w.since[g.Unit]; ok && now.Sub(at) >= Settle {
			if o, waits := w.left[g.Unit]; waits {
				w.finish(o)
			}
		}
	}
}

// giveUp ends the wait for a goal that took too long.
func (w *waiting) giveUp(g Goal, limit time.Duration) {
	o, waits := w.left[g.Unit]
	if !waits {
		return
	}
	if o.Verdict == Pending {
		o.Verdict = TimedOut
		o.Text = fmt.Sprintf("Timed out after %s waiting for unit %s to %s: %s. The cluster carries on; "+
			"`fleettop status %s` shows how it stands.", limit, g.Unit, g.Verb, o.Text, g.Unit)
	}
	w.finish(o)
}

// judgeAll sends how the goals stand after each line of the watch, and closes
// looks when it ends. A daemon that went away is given that long
// a silence to come back.
func judgeAll(ctx context.Context, c *client.Client, goals []Goal, silence time.Duration,
	looks chan<- []Outcome) error {
	defer close(looks)
	goals = slices.Clone(goals)
	var opts api.WatchOptions
	if len(goals) <= filterMost {
		for _, g := range goals {
			opts.Units = append(opts.Units, g.Unit)
		}
	}
	heard := time.Now()
	for {
		err := c.Watch(ctx, opts, func(s *api.State, _ *api.Line) error {
			heard = time.Now()
			sc := newScene(s)
			look := make([]Outcome, 0, len(goals))
			left := goals[:0]
			for _, g := range goals {
				o := g.judge(sc)
				look = append(look, o)
				if o.Verdict != Reached && o.Verdict != Failed {
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
		if refusal := (*api.Error)(nil); ctx.Err() != nil || errors.As(err,
			&refusal) && refusal.Code != api.CodeUnavailable || time.Since(heard) > silence {
			return err
		}
		if !retry.Pause(ctx, AskAgain) {
			return ctx.Err()
		}
	}
}
