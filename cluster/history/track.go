package history

import (
	"slices"
	"time"
)

// slack is how far clocks may differ before a time of one machine is taken to be after one of another.
const slack = time.Second

// query is a moment that is asked for. It is covered if the timeline reaches back to it.
type query struct {
	at      time.Time
	covered bool
}

// track is one attribute over time. Each of its changes is a step: an attribute without a step
// in between didn't change.
type track[V comparable] struct {
	steps []step[V] // by at
	// restarts says that a value may be said to hold since a later time than it does: a new leader
	// finds machines as they are, without a change of them.
	restarts bool
}

// step is an event that says what an attribute was until then, or is from then on. One that
// says neither is a change from an unknown value to another one.
type step[V comparable] struct {
	at            time.Time
	before, after *V
	since         time.Time // before holds since then; zero where that isn't known
}

func (t *track[V]) add(s step[V]) { t.steps = append(t.steps, s) }

func (t *track[V]) sort() {
	slices.SortStableFunc(t.steps, func(a, b step[V]) int { return a.at.Compare(b.at) })
}

// next is the index of the first step after a moment.
func (t *track[V]) next(q query) int {
	n, _ := slices.BinarySearchFunc(t.steps, q.at, func(s step[V], at time.Time) int {
		if s.at.After(at) {
			return 1
		}
		return -1
	})
	return n
}

// last reports whether no step follows.
func (t *track[V]) last(q query) bool { return t.next(q) == len(t.steps) }

// at is the value at a moment, and since when it is that, where that is known; ok is false for
// an unknown value. now is the value after all steps, which it has since a time; both may be unknown.
func (t *track[V]) at(q query, now *V, since time.Time) (value V, from time.Time, ok bool) {
	n := t.next(q)
	before := now
	if n < len(t.steps) {
		before, since = t.steps[n].before, t.steps[n].since
	}
	if t.restarts && since.After(q.at) {
		since = time.Time{}
	}
	if n == 0 {
		switch {
		case before == nil:
			return value, from, false
		case !since.IsZero() && !since.After(q.at):
			return *before, since, true
		case since.IsZero() && q.covered:
			return *before, from, true
		case q.covered && since.Before(q.at.Add(slack)):
			return *before, since, true
		}
		return value, from, false // a change in between is not on the timeline
	}
	last := t.steps[n-1]
	switch {
	case before != nil && !since.IsZero() && !since.After(q.at):
		return *before, since, true
	case last.after == nil && before != nil && since.IsZero():
		return *before, last.at, true
	case last.after == nil:
		return value, from, false
	case before == nil || same(*last.after, *before):
		return *last.after, last.at, true
	}
	return value, from, false // they contradict each other: something isn't on the timeline
}

// same compares values; of places only the machine counts.
func same[V comparable](a, b V) bool {
	if x, ok := any(a).(place); ok {
		return x.machine == any(b).(place).machine
	}
	return a == b
}

// statuses are what is known of a unit's status over time. Most changes of it aren't on the
// timeline: one value holds only where it is proven.
type statuses struct {
	steps []statusStep // by at
}

// statusStep is an event that says of a unit's status what it was before, or is from then on;
// neither need be known. fresh says that the unit was started anew.
type statusStep struct {
	at            time.Time
	before, after Status
	fresh         bool
}

// at is the status at a moment; now is the last that is known.
func (s *statuses) at(q query, now Status) Status {
	n, _ := slices.BinarySearchFunc(s.steps, q.at, func(s statusStep, at time.Time) int {
		if s.at.After(at) {
			return 1
		}
		return -1
	})
	next := now
	if n < len(s.steps) {
		next = s.steps[n].before
	}
	began := !next.Since.IsZero() && next.Active != ""
	if began && !next.Since.After(q.at) {
		return next
	}
	if n == 0 {
		return Status{}
	}
	last := s.steps[n-1]
	switch {
	case last.after.Active == "failed", last.after.Active != "" && last.at.Equal(q.at):
		return last.after // a unit stays failed until it is told otherwise
	case last.after.Active != "" && began && next.Active == last.after.Active && next.Since.Sub(last.at).Abs() < slack:
		return next // the clocks differ by a little
	case last.fresh && n < len(s.steps) && s.steps[n].after.Active == "active":
		return Status{Active: "activating", Since: last.at} // until the leader saw it active
	case last.fresh && began && next.Active == "active" && next.Restarts == 0:
		return Status{Active: "activating", Since: last.at} // it was started once, and was active for the first time later
	}
	return Status{}
}
