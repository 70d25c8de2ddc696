package state

import "time"

// Anchor gives a time of another clock the monotonic reading that belongs to
// it, so that ages grow evenly whatever becomes of the clocks. A time that is
// ahead counts as now.
func Anchor(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return now.Add(-max(0, now.Round(0).Sub(t)))
}

// clocksAgree is how far the daemon's clock may seem to be off while it isn't:
// a line takes its time on the way.
const clocksAgree = time.Second

// aheadOf is how far a daemon's clock is ahead of the one here, by the time that a line was sent.
func aheadOf(sent, now time.Time) time.Duration {
	if ahead := sent.Sub(now.Round(0)); ahead.Abs() > clocksAgree {
		return ahead
	}
	return 0
}

// anchor is Anchor for a time by the clocks of the cluster.
func (r *Reducer) anchor(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return Anchor(t.Add(-r.last.Ahead), now)
}

// instant is a time of another clock, anchored when it was first heard of.
type instant struct{ said, at time.Time }

// set notes what is said now, and returns the time that it stands for; ahead
// is how far the other clock is before the one here.
func (i *instant) set(said, now time.Time, ahead time.Duration) time.Time {
	if !said.Equal(i.said) {
		if i.said = said; !said.IsZero() {
			said = said.Add(-ahead)
		}
		i.at = Anchor(said, now)
	}
	return i.at
}

const (
	crashReach = 3 * time.Minute  // restarts that are counted
	crashCalm  = 30 * time.Second // without a restart, after which a unit counts as well again
	crashFresh = 10 * time.Second // of an unknown past: it came up just now
	crashCount = 3
)

// follow goes on with what the row before knew of the same stay on a machine.
func (r *Row) follow(old *Row, now time.Time, ahead time.Duration) {
	if old != nil && old.Machine == r.Machine {
		r.since = old.since
		r.crashes = old.crashes
	}
	r.Since = r.since.set(r.Since, now, ahead)
	switch {
	case old == nil || old.Machine != r.Machine || r.Restarts < old.Restarts:
		r.crashes = nil
		if r.Restarts >= crashCount && r.Active != "" && now.Sub(r.Since) < crashFresh {
			r.crashes = repeat(r.Since, crashCount) // it came up just now, and not for the first time
		}
	case r.Restarts > old.Restarts:
		fresh := repeat(now, min(r.Restarts-old.Restarts, crashCount))
		all := append(r.crashes[:len(r.crashes):len(r.crashes)], fresh...)
		r.crashes = all[max(0, len(all)-crashCount):]
	}
}

func repeat(t time.Time, n int) []time.Time {
	list := make([]time.Time, n)
	for i := range list {
		list[i] = t
	}
	return list
}

// calmAt is when a row stops to be one that crashes again and again; zero if it is none.
func (r *Row) calmAt() time.Time {
	n := len(r.crashes)
	if n < crashCount {
		return time.Time{}
	}
	if r.crashes[n-1].Sub(r.crashes[n-crashCount]) >= crashReach {
		return time.Time{}
	}
	return r.crashes[n-1].Add(crashCalm)
}

// Next is when something changes without a word from the daemon; zero for never.
func (r *Reducer) Next() time.Time {
	var next time.Time
	for _, at := range r.calm {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// calmDown has the rows made anew that are well by now.
func (r *Reducer) calmDown(now time.Time) {
	for name, at := range r.calm {
		if !at.After(now) {
			delete(r.calm, name)
			if r.units[name] != nil {
				r.dirty[name] = struct{}{}
				r.touched = true
			}
		}
	}
}
