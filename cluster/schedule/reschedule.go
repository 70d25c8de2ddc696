package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/wording"
)

// A unit with Reschedule=on-failure that failed on its machine, when systemd
// starts it no more, is tried on another one. What failed is kept in the
// assignment, so a new leader goes on where the last one was; a new generation
// of the unit begins anew. Each machine that fits is tried once, one right after
// the other, and then again, with a pause that doubles.

const (
	retrySoon  = time.Second // until the next machine is tried
	retryFirst = 15 * time.Second
	retryLast  = 5 * time.Minute
	// mostTries ends the tries, but for machines on which the unit was never tried;
	// and those end with triesKept.
	mostTries = 10
	triesKept = 50
	// namedTries is how many machines a sentence names.
	namedTries = 4
	reasonMost = 160 // bytes
)

// retryPause is the pause before a machine gets its next try, after so many.
func retryPause(times int) time.Duration {
	if times == 0 {
		return retrySoon
	}
	return min(retryLast, retryFirst<<min(times-1, 10))
}

// retry is what comes after a failure.
type retry struct {
	tries []cluster.Try
	on    []int32 // the machines that may be the next, one of which it is
	at    time.Time
	fit   int // machines that fit, tried or not
}

// failing returns why the unit of an assignment counts as failed on its machine;
// empty if it doesn't. One that is started again by its Restart= isn't.
func failing(a *cluster.Assignment, s *cluster.Snapshot) string {
	st, reported := s.Statuses[cluster.UnitOnMachine{Machine: a.Machine, Unit: a.Unit}]
	if !reported || st.Epoch != a.Epoch || st.Generation < a.Generation {
		return ""
	}
	ended := st.Active == "inactive" && st.Result != "" && st.Result != "success" && st.Result != units.ResultCondition
	if st.Active != "failed" && !ended && (st.Error == "" || st.Active != "inactive") {
		return ""
	}
	why := strings.TrimPrefix(strings.TrimPrefix(st.Error, "start "+a.Unit+": "), "restart "+a.Unit+": ")
	why = cmp.Or(why, st.Result, st.Sub)
	if len(why) > reasonMost {
		why = strings.ToValidUTF8(why[:reasonMost], "") + "…"
	}
	return why
}

// waits reports whether an assignment's last try has failed and the next one is to come.
func waits(a *cluster.Assignment) bool { return len(a.Tries) > a.Attempt }

// retries reports whether a unit is tried again when it fails, where it is.
func (u *unit) retries() bool {
	return u.parsed.req.Reschedule && u.rec.Desired == units.Launched && len(u.given) > 0 &&
		u.given[0].Generation == u.rec.Generation && !u.rec.ChangesHands()
}

// anyFailing reports whether a unit that is tried again when it fails has.
func (w *world) anyFailing(s *cluster.Snapshot) bool {
	return slices.ContainsFunc(w.retrying, func(i int32) bool {
		u := &w.units[i]
		return u.retries() && (waits(&u.given[0]) || failing(&u.given[0], s) != "")
	})
}

// reschedule takes units whose next try is due from their machines, and notes
// the failures of others.
func (p *plan) reschedule() {
	for _, i := range p.retrying {
		u := &p.units[i]
		if p.now.IsZero() || p.in.Hold != "" || u.at < 0 || !u.retries() || p.machines[u.at].state != cluster.Up ||
			len(u.given) > 1 || p.machines[u.at].rec.Schedule == cluster.Drained { // drain moves it, and takes it back
			continue
		}
		a, tries := &u.given[0], u.tries
		why := ""
		if !waits(a) {
			if why = failing(a, p.in.Snapshot); why == "" {
				continue
			}
			tries = append(slices.Clip(tries), cluster.Try{Machine: a.Machine, At: p.now, Reason: why})
		}
		r := p.nextTry(i, tries)
		if waits(a) && !r.at.IsZero() && !p.now.Before(r.at) {
			p.unassign(i, u.at)
			p.moved[i], p.again[i] = cause{kind: failed, detail: tries[len(tries)-1].Reason}, true
			p.placeOne(i)
			continue
		}
		if !r.at.IsZero() && (p.next.IsZero() || r.at.Before(p.next)) {
			p.next = r.at
		}
		to := *a
		to.Tries, to.RetryAt, to.Reason = tries, r.at, p.describeRetry(&r)
		if !a.Leaving && !to.Equal(*a) {
			p.recorded = append(p.recorded, p.move(u, a, &to, to.Reason))
		}
	}
}

// nextTry decides where and when a unit is tried next; at is zero for never.
func (p *plan) nextTry(i int32, tries []cluster.Try) retry {
	u, m := &p.units[i], p.units[i].at
	p.unassign(i, m)
	able := p.classOf(&u.parsed).able
	for _, c := range u.bound {
		if _, own := c.(notFailed); !own {
			able = c.filter(p, u, able, nil)
		}
	}
	able = slices.Clone(able)
	p.assign(i, m)
	r := retry{tries: tries, fit: len(able)}
	r.on = p.leastTried(able, tries)
	if len(r.on) == 0 || len(tries) == 0 {
		return r
	}
	times := timesTried(tries, p.machines[r.on[0]].id)
	if len(tries) < mostTries || times == 0 && len(tries) < triesKept {
		r.at = tries[len(tries)-1].At.Add(retryPause(times))
	}
	return r
}

func timesTried(tries []cluster.Try, machine string) (n int) {
	for _, t := range tries {
		if t.Machine == machine {
			n++
		}
	}
	return n
}

// leastTried returns those machines on which a unit was tried the fewest times,
// and of these not the last one, where there is another.
func (p *plan) leastTried(able []int32, tries []cluster.Try) []int32 {
	if len(tries) == 0 {
		return able
	}
	least := len(tries) + 1
	for _, m := range able {
		least = min(least, timesTried(tries, p.machines[m].id))
	}
	best := slices.DeleteFunc(slices.Clone(able), func(m int32) bool { return timesTried(tries, p.machines[m].id) > least })
	last := p.byID[tries[len(tries)-1].Machine]
	if len(best) > 1 {
		best = slices.DeleteFunc(best, func(m int32) bool { return p.machines[m].id == p.machines[last].id })
	}
	return best
}

// describeRetry says what was tried, and what comes next.
func (p *plan) describeRetry(r *retry) string {
	last := map[string]string{}
	var order []string // machines, the one tried last first
	for _, t := range slices.Backward(r.tries) {
		if _, known := last[t.Machine]; !known {
			last[t.Machine] = t.Reason
			order = append(order, t.Machine)
		}
	}
	var parts []string
	for _, id := range order[:min(namedTries, len(order))] {
		parts = append(parts, p.in.Snapshot.Label(id)+" ("+last[id]+")")
	}
	on := strings.Join(parts, ", ")
	if more := len(order) - len(parts); more > 0 {
		on += " and " + wording.Count(more, "other machine")
	}
	tried := "tried on " + on
	if len(r.tries) > len(order) {
		tried += ", " + wording.Count(len(r.tries), "try") + " in all"
	}
	if r.at.IsZero() {
		why := "no machine takes it now"
		if r.fit > 0 {
			why = fmt.Sprintf("it failed on all %d machines that fit; submit a better file, or start it again", r.fit)
			if r.fit == 1 {
				why = "it failed on the only machine that fits; submit a better file, or start it again"
			}
		}
		return why + ": " + tried
	}
	var names []string
	for _, m := range r.on {
		names = append(names, p.machines[m].name)
	}
	if len(names) > namedTries {
		return tried + "; next try on one of " + wording.Count(len(names), "machine")
	}
	return tried + "; next try on " + strings.Join(names, " or ")
}

// notFailed: a unit that is tried again when it fails goes where it was tried
// the fewest times.
type notFailed struct{ unconstrained }

func (notFailed) concerns(u *unit) bool { return u.parsed.req.Reschedule }

func (notFailed) filter(p *plan, u *unit, able, _ []int32) []int32 {
	return p.leastTried(able, u.tries)
}

// excludes is asked for what is shown: it counts a failure against a machine only
// where that isn't the one that the unit is on, waiting for its next try.
func (notFailed) excludes(w *world, u *unit, m int32) cause {
	for _, t := range slices.Backward(u.tries) {
		if t.Machine == w.machines[m].id {
			return cause{kind: failed, detail: t.Reason}
		}
	}
	return cause{}
}

func (notFailed) writePeers(*strings.Builder, *unit) bool { return false }

func (notFailed) describe(_ *world, c cause) (one, several string) {
	return "it failed there (" + c.detail + ")", "it failed there (" + c.detail + ")"
}
