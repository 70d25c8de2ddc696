package health

import (
	"cmp"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

const (
	backLeast = 2 * time.Second
	backMost  = time.Minute
	// forgiven is how long a machine must not have failed for its failures to be forgotten.
	forgiven = 10 * time.Minute
)

// backAfter is how long a machine that failed this often since it booted must
// be without a doubt to count as back. A slow machine would else come and go
// with every packet that is late, and its units with it.
func backAfter(failures int) time.Duration {
	switch {
	case failures <= 0:
		return 0
	case failures > 5:
		return backMost
	}
	return backLeast << (failures - 1)
}

// absences counts a machine's failures. Its zero value is ready.
type absences struct {
	failures int
	last     time.Time // of the last one
	reason   string    // for the last one
	boot     string    // in which they were
	clear    time.Time // see evidence
	excused  bool      // the last one was this side's
	blind    bool      // the last one was seen without the store, and led to nothing
	// witnessed: others saw it, too.
	witnessed bool
}

// before puts into evidence what was counted, and notes since when it is without a doubt.
func (a *absences) before(e *evidence, now time.Time) {
	if e.boot != "" && a.boot != e.boot {
		*a = absences{boot: e.boot} // it was off, or is another one
	}
	switch {
	case e.gossip != membership.Alive || e.storeKnown && !e.registered:
		a.clear = time.Time{}
	case a.clear.IsZero():
		a.clear = now
	}
	e.failures, e.failedFor, e.clear = a.failures, a.reason, a.clear
	switch {
	case a.blind:
		e.failures, e.unheard, e.witnessed = 0, true, a.witnessed
		a.blind = a.clear.IsZero()
	case a.excused:
		e.failures = min(e.failures, 1)
	}
}

// after counts a verdict. One that is made without the store isn't counted:
// it is this machine that was cut off, or stopped, as likely as the other. It
// may come to lead as soon as it reaches the store, and must not act on it then.
func (a *absences) after(was cluster.HealthState, v verdict, e evidence, now time.Time) {
	if v.state != cluster.Failed || was == cluster.Failed {
		return
	}
	if a.blind = !e.storeKnown; a.blind {
		a.reason, a.clear, a.witnessed = v.text, time.Time{}, e.looked.silent()
		return
	}
	if now.Sub(a.last) > forgiven {
		a.failures = 0
	}
	if !a.excused {
		a.failures++
	}
	a.last, a.reason, a.clear, a.excused = now, v.text, time.Time{}, false
}

// excuse doesn't count the failure of a machine that vanished together with so
// many others that this side is more likely the one that was cut off.
func (a *absences) excuse() { a.excused = true }

// stillGone judges a machine that failed or went down as long as it isn't back.
// One that failed while this machine was cut off, and has a session, is judged anew.
func stillGone(e evidence, was cluster.HealthState, now time.Time) (v verdict, still bool) {
	if was == cluster.Failed && e.excused() {
		return verdict{}, false
	}
	wait := backAfter(e.failures)
	if was == cluster.Down {
		wait = 0
	}
	if e.clear.IsZero() {
		// Gossip may never hear it again. Its session alone says that it lives,
		// when it has lasted.
		if was == cluster.Failed && e.sessionLives(now) && !now.Before(e.proven(wait)) {
			return verdict{}, false
		}
		v = because(was, time.Time{}, "no sign of its daemon")
		v.text = cmp.Or(e.failedFor, v.text)
		switch {
		case was == cluster.Failed && e.registered && e.storeKnown:
			v.again = e.proven(wait)
		case was == cluster.Failed && e.gossip == membership.Alive:
			v = because(was, time.Time{}, "%s; its daemon answers again and is not connected to the store", e.failedFor)
		}
		return v, true
	}
	until := e.clear.Add(wait)
	if !now.Before(until) {
		return verdict{}, false
	}
	v = because(was, until, "%s; it answers again, and counts as back after %s without a doubt "+
		"(failure %d since it booted)", e.failedFor, seconds(wait), e.failures)
	v.back = until
	return v, true
}

// proven is when a session alone will say that a failed machine lives.
func (e evidence) proven(wait time.Duration) time.Time {
	since := e.silence()
	if e.registeredAt.After(since) {
		since = e.registeredAt
	}
	return since.Add(max(wait, leaseProof))
}
