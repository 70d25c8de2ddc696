package health

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/units/retry"
)

const (
	// A look that sees nothing takes lookQuarters quarters of a probe interval,
	// with a probe in each: packets may be lost. The last is given three quarters.
	lookQuarters = 6
	lastQuarters = 3
	// silentIntervals is for how many probe intervals no machine that looked may
	// have had a sign of life, for them to convict. A look takes longer for it.
	silentIntervals = 3
	// aloneFor is which part of a probe interval this machine looks alone before it
	// asks others: nearly always the first answer comes at once.
	aloneFor = 10
	// Beside this machine so many are asked that those who look are most of a small cluster,
	// or askedMost; and askedLeast, if there are so many.
	askedLeast = 2
	askedMost  = 4
	// roundLasts is how long what witnesses said counts.
	roundLasts = time.Second
	// stalled is how late the timer of a look may be. On a machine that is starved
	// of CPU an answer waits as long as the timer, so after a late one it is
	// waited once more, and so on, at most lookDelays times.
	stalled    = 20 * time.Millisecond
	lookDelays = 4
)

// testimony is what one machine saw of a suspect.
type testimony struct {
	by  string // machine ID
	saw membership.Verdict
}

// round is one time that this machine and others looked at a suspect together.
type round struct {
	id    string
	of    *suspect
	began time.Time
	ended time.Time   // this machine's own look
	seen  []testimony // this machine's own is the first
	// needed is how many must have looked for their silence to say anything: a few that are
	// cut off together don't see the others either.
	needed int
}

// silent reports whether all who looked saw nothing.
func (r *round) silent() bool {
	return r != nil && len(r.seen) > 1 && len(r.seen) >= r.needed &&
		!slices.ContainsFunc(r.seen, func(s testimony) bool { return s.saw != membership.Silent })
}

// lives returns a testimony of another machine that had an answer of the
// suspect, if one had: its kernel's or, rather, its daemon's. That packets
// arrive there isn't enough: it may send without end and hear nothing.
func (r *round) lives(now time.Time) (best testimony, ok bool) {
	if r == nil || now.Sub(r.began) > 2*roundLasts {
		return testimony{}, false
	}
	for _, saw := range []membership.Verdict{membership.Answered, membership.Reached, membership.Hung,
		membership.Refused} {
		for _, s := range r.seen[1:] {
			if s.saw == saw {
				return s, true
			}
		}
	}
	return testimony{}, false
}

// takeRound notes what a round of looks found.
func (t *Tracker) takeRound(r round) {
	if s := t.suspects[r.id]; s != nil && s == r.of {
		for i := range r.seen {
			r.seen[i].by = t.machines[r.seen[i].by].Label()
		}
		s.looked = &r
		switch own := r.seen[0].saw; own {
		case membership.Answered, membership.Reached, membership.Refused, membership.Hung:
			s.saw(own, r.ended) // probes beside it may have been lost
		}
		t.cfg.Log.Debug("machines looked at a suspect", "machine", r.id, "seen", r.seen, "took", time.Since(r.began))
	}
}

// convicted judges a machine that gossip still doubts, and that this one and
// others looked at together. They convict where all of them saw nothing, and
// where it is that machine alone that is silent: one with a slow network, or a
// network in trouble, is left to gossip, which takes its time. So is one whose
// kernel or daemon answered this machine since.
func convicted(e evidence, now time.Time) (v verdict, ok bool) {
	if !e.looked.silent() || now.Sub(e.looked.began) > roundLasts || !e.clearView || e.sessionLives(now) ||
		e.excused() || e.answered.After(e.looked.began) {
		return verdict{}, false
	}
	last := e.heard()
	if e.lastPacket.After(last) {
		last = e.lastPacket
	}
	if due := last.Add(silentIntervals * e.interval); now.Before(due) {
		return because(cluster.Suspect, due, "gossip had no answer for %s", seconds(now.Sub(e.lastSeen))), true
	}
	return because(cluster.Failed, time.Time{}, "no answer for %s, probes by %s timed out", seconds(now.Sub(e.silence())),
		e.looked.names()), true
}

// elsewhere judges a machine that this one has no answer of and another one has.
func elsewhere(e evidence, w testimony, now time.Time, grace time.Duration) verdict {
	switch {
	case w.saw != membership.Answered && w.saw != membership.Reached:
		return waiting(e.since, now, grace, "the machine answers "+w.by+" and its daemon doesn't",
			"its daemon was away for %s")
	case e.storeKnown && !e.registered:
		return waiting(e.since, now, grace, "its daemon answers "+w.by+" and is not connected to the store",
			"its daemon was not connected to the store for %s")
	}
	v := because(cluster.Suspect, time.Time{}, "it answers %s, and not this machine", w.by)
	v.deaf = true
	return v
}

// names are the machines that looked.
func (r *round) names() string {
	names := make([]string, len(r.seen))
	for i, s := range r.seen {
		names[i] = s.by
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// clearView reports whether the silence of a member, unanswered since a time, says
// anything: until lately this machine had its answers in time, and gossip doubts hardly another one.
func (t *Tracker) clearView(m membership.Member, unanswered time.Time, all []membership.Member) bool {
	lately := time.Duration(3*len(all))*t.cfg.Interval + time.Second // of three rounds of probes
	since := m.Since
	if m.State == membership.Alive {
		since = unanswered
	}
	doubted := 0
	for _, o := range all {
		if o.State == membership.Suspect {
			doubted++
		}
	}
	return !m.LastAck.IsZero() && since.Sub(m.LastAck) < lately && doubted <= fewOf(len(all))
}

// Look probes a machine for a moment, for this machine or for another one that
// asks, and returns what it saw: the first sign of life, or Silent, which says that
// this machine has had none for silentIntervals either. It is Unknown
// where this machine is no witness, as it doesn't know the other one, or has no
// prompt answer of a third one either: its own network is slow, or it is starved of CPU.
func (t *Tracker) Look(ctx context.Context, id string) membership.Verdict {
	snap, _, _, _ := t.view.LastKnown()
	if snap == nil || snap.Machines[id].ProbeAddress == "" {
		return membership.Unknown
	}
	began, quarter := time.Now(), t.cfg.Interval/4
	window := lookQuarters * quarter
	if silent := t.lastSign(id).Add(silentIntervals * t.cfg.Interval).Sub(began); silent > window {
		window = min(silent, silentIntervals*t.cfg.Interval)
	}
	ctx, cancel := context.WithCancel(ctx)
	var probing sync.WaitGroup
	defer probing.Wait()
	defer cancel()
	saw := make(chan membership.Verdict, 1)
	var sees, failed atomic.Bool // a third machine; a probe could not be made
	patience := membership.Patience{Allowed: window, Late: lookDelays * window}
	for after := time.Duration(0); after <= window-lastQuarters*quarter; after += quarter {
		probing.Go(func() {
			if !retry.Pause(ctx, after) {
				return
			}
			t.cfg.Probe(ctx, snap.Machines[id].ProbeAddress, id, patience, func(v membership.Verdict) {
				switch {
				case v == membership.Unknown && ctx.Err() == nil:
					failed.Store(true)
				case v != membership.Unknown && v != membership.Silent:
					select {
					case saw <- v:
					default: // the first says enough
					}
				}
			})
		})
	}
	for _, third := range t.others(snap, id, int(began.UnixNano()/int64(window)), 1) {
		probing.Go(func() {
			prompt := membership.Patience{Allowed: t.cfg.Interval}
			t.cfg.Probe(ctx, third.ProbeAddress, third.ID, prompt, func(v membership.Verdict) {
				if v != membership.Unknown && v != membership.Silent {
					sees.Store(true)
				}
			})
		})
	}
	onTime := false
	for wait, tries := window, 0; !onTime && tries <= lookDelays; wait, tries = t.cfg.Interval/2, tries+1 {
		due := time.Now().Add(wait)
		timer := time.NewTimer(wait)
		select {
		case v := <-saw:
			timer.Stop()
			return v
		case <-ctx.Done():
			timer.Stop()
			return membership.Unknown
		case <-timer.C:
			onTime = time.Since(due) < stalled
		}
	}
	switch {
	case len(saw) > 0:
		return <-saw
	case !onTime || failed.Load() || !sees.Load():
		return membership.Unknown
	case t.lastSign(id).After(began):
		return membership.Heard
	}
	return membership.Silent
}

// lastSign returns when a machine last gave a sign of life that gossip knows of: a
// packet, an answer, its word to another one.
func (t *Tracker) lastSign(id string) (last time.Time) {
	for _, m := range t.members.Members() {
		if m.ID == id {
			last = slices.MaxFunc([]time.Time{m.LastPacket, m.LastAck, m.LastSeen}, time.Time.Compare)
		}
	}
	return last
}

// keepLooking has this machine and others look at a suspect, round after round.
func (t *Tracker) keepLooking(ctx context.Context, s *suspect, id string) {
	for turn := 0; ctx.Err() == nil; turn++ {
		r := round{id: id, of: s, began: time.Now()}
		var asked []cluster.Machine
		if snap, _, _, _ := t.view.LastKnown(); snap != nil {
			asked = t.others(snap, id, turn, min(max(len(snap.Machines)/2, askedLeast), askedMost))
			r.needed = 1 + min(askedLeast, connected(snap, t.cfg.Self, id))
		}
		r.seen = make([]testimony, 1+len(asked))
		var looking sync.WaitGroup
		own := make(chan membership.Verdict, 1)
		looking.Go(func() {
			saw := t.Look(ctx, id)
			r.ended = time.Now()
			own <- saw
		})
		alone := time.NewTimer(t.cfg.Interval / aloneFor)
		select {
		case saw := <-own:
			own <- saw
			if saw != membership.Unknown || ctx.Err() != nil {
				r.seen, asked = r.seen[:1], nil
			}
		case <-alone.C:
		}
		alone.Stop()
		limit := silentIntervals*t.cfg.Interval + probeEvery
		for i, m := range asked {
			looking.Go(func() { r.seen[1+i] = testimony{m.ID, t.cfg.Ask(ctx, m.ProbeAddress, m.ID, id, limit)} })
		}
		looking.Wait()
		r.seen[0] = testimony{t.cfg.Self, <-own}
		select {
		case t.rounds <- r:
		case <-ctx.Done():
			return
		}
		retry.Pause(ctx, probeEvery-time.Since(r.began))
	}
}

// connected counts the machines that have a session with the store, but for two.
func connected(snap *cluster.Snapshot, but ...string) (n int) {
	for id := range snap.Runs {
		if !slices.Contains(but, id) {
			n++
		}
	}
	return n
}

// others returns up to n machines that can be asked about one, or probed beside
// it, others each turn; those in doubt only where there are not enough else.
func (t *Tracker) others(snap *cluster.Snapshot, than string, turn, n int) (some []cluster.Machine) {
	var fit, doubted []cluster.Machine
	for _, m := range t.members.Members() {
		machine := snap.Machines[m.ID]
		switch {
		case m.ID == t.cfg.Self || m.ID == than || m.State != membership.Alive || machine.ProbeAddress == "":
		case m.Unanswered.IsZero():
			fit = append(fit, machine)
		default:
			doubted = append(doubted, machine)
		}
	}
	if len(fit) < n {
		fit = append(fit, doubted...)
	}
	slices.SortFunc(fit, func(a, b cluster.Machine) int { return strings.Compare(a.ID, b.ID) })
	for i := range min(n, len(fit)) {
		some = append(some, fit[(turn*n+i)%len(fit)])
	}
	return some
}
