package health

import (
	"context"
	"slices"
	"time"

	"fleettop/cluster/membership"
)

const (
	probeEvery = 150 * time.Millisecond
	// A probe may take twice what the last ones took, within these bounds.
	allowedLeast = 150 * time.Millisecond
	allowedMost  = 4 * time.Second
	// lateAnswers is how much longer an answer is waited for, to learn how slow the network is.
	lateAnswers = 3 * time.Second
	// wayKept is how long a measured way is remembered: doubts about a slow machine come again.
	wayKept = time.Minute
	wayLast = 4
)

// way is what probes measured of the way to a machine. Nil is one that nothing is known of.
type way struct {
	last []time.Duration // round trips of the last probes
	at   time.Time       // of the last of them
}

// roundTrip is the least of the last round trips: one packet that had to be
// sent twice doesn't make a way slow. It is 0 where nothing was measured lately.
func (w *way) roundTrip(now time.Time) time.Duration {
	if w == nil || now.Sub(w.at) > wayKept {
		return 0
	}
	return slices.Min(w.last)
}

func (w *way) allowed(now time.Time) time.Duration {
	return min(max(2*w.roundTrip(now), allowedLeast), allowedMost)
}

func (w *way) took(d time.Duration, now time.Time) {
	if now.Sub(w.at) > wayKept {
		w.last = nil
	}
	w.last = append(w.last[max(0, len(w.last)-wayLast+1):], d)
	w.at = now
}

// suspect is a machine being probed.
type suspect struct {
	stop       context.CancelFunc
	allowed    chan time.Duration // for the next probe; capacity 1
	verdict    membership.Verdict
	silent     int
	lastAnswer time.Time // of its daemon
	answered   time.Time // when its kernel or its daemon last answered
	looked     *round
}

type result struct {
	id      string
	of      *suspect
	verdict membership.Verdict
	allowed time.Duration // what the probe was allowed to take
	took    time.Duration
	at      time.Time
}

// take notes a probe's result.
func (t *Tracker) take(r result) {
	s := t.suspects[r.id]
	if s != r.of || r.verdict == membership.Unknown {
		return
	}
	w := t.ways[r.id]
	switch r.verdict {
	case membership.Silent:
		if r.allowed < w.allowed(r.at) {
			return // it was sent before it was known how long an answer takes
		}
		s.silent++
		s.verdict = r.verdict
		return
	case membership.Reached, membership.Refused:
		if w == nil {
			w = &way{}
			t.ways[r.id] = w
		}
		w.took(r.took, r.at)
		replace(s.allowed, w.allowed(r.at))
	}
	s.saw(r.verdict, r.at)
}

// saw notes a sign of life that a probe or a look had.
func (s *suspect) saw(v membership.Verdict, at time.Time) {
	if v == membership.Answered {
		s.lastAnswer = at
	}
	s.answered = at
	s.silent = 0
	// What the daemon last did says more than that its kernel answers once more.
	if v != membership.Reached || s.verdict == "" || s.verdict == membership.Silent {
		s.verdict = v
	}
}

// probe starts or ends the probing of a machine.
func (t *Tracker) probe(ctx context.Context, id string, wanted bool) {
	s := t.suspects[id]
	if !wanted {
		if s != nil {
			s.stop()
			delete(t.suspects, id)
		}
		return
	}
	addr := t.machines[id].ProbeAddress
	if s != nil || addr == "" {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	s = &suspect{stop: stop, allowed: make(chan time.Duration, 1)}
	t.suspects[id] = s
	allowed := t.ways[id].allowed(time.Now())
	t.probing.Go(func() { t.keepProbing(ctx, s, id, addr, allowed) })
	if t.cfg.Decides() {
		t.probing.Go(func() { t.keepLooking(ctx, s, id) })
	}
}

// keepProbing sends one probe after the other, whether those before were answered or not.
func (t *Tracker) keepProbing(ctx context.Context, s *suspect, id, addr string, allowed time.Duration) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		select {
		case allowed = <-s.allowed:
		default:
		}
		// A slow way isn't filled with more probes than a few.
		next.Reset(max(probeEvery, allowed/4))
		began, patience := time.Now(), membership.Patience{Allowed: allowed, Late: lateAnswers}
		t.probing.Go(func() {
			t.cfg.Probe(ctx, addr, id, patience, func(v membership.Verdict) {
				at := time.Now()
				select {
				case t.results <- result{id: id, of: s, verdict: v, allowed: patience.Allowed, took: at.Sub(began), at: at}:
				case <-ctx.Done():
				}
			})
		})
	}
}

// replace puts a value into a channel of capacity 1 instead of the one that waits there.
func replace[T any](ch chan T, v T) {
	select {
	case <-ch:
	default:
	}
	ch <- v
}
