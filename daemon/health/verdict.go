package health

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

// silentProbes is how many probes in a row must go unanswered before a machine
// counts as dead: one can be lost on a busy network. They run while gossip
// still doubts, so the second costs no time.
const silentProbes = 2

// evidence is what is known of a machine.
type evidence struct {
	self bool
	// registered: the store has a living run of its daemon. With storeKnown
	// false the store can't be seen and registered means nothing.
	registered, storeKnown bool

	departure    cluster.Departure
	departedSeen time.Time // when the departure was first seen here: clocks of machines differ
	firstSeen    time.Time // when this machine was first heard of here, in any way

	gossip   membership.State // empty: gossip never had it, or has forgotten it
	since    time.Time        // of gossip
	lastSeen time.Time        // last sign of life gossip knows of

	probe      membership.Verdict // the last probe's since gossip began to doubt; empty before the first
	silent     int                // unanswered probes in a row, up to the last
	lastAnswer time.Time          // last time its kernel answered a probe
}

// judge returns the verdict, and when to judge again if no new evidence comes
// before that (zero for never). A machine that failed or went down stays so
// until its daemon is both heard by gossip and registered in the store: only
// then can its agent act on what it is given.
func judge(e evidence, was cluster.HealthState, now time.Time, grace time.Duration) (h cluster.Health, again time.Time) {
	state, text, again := decide(e, was, now, grace)
	h = cluster.Health{State: state, Since: now, Evidence: text}
	if state == cluster.Suspect || state == cluster.Failed {
		h.SilentSince = e.silence()
	}
	return h, again
}

func decide(e evidence, was cluster.HealthState, now time.Time, grace time.Duration) (cluster.HealthState, string, time.Time) {
	var never time.Time
	if e.self {
		return cluster.Up, "this machine", never
	}
	switch e.departure {
	case cluster.ShutDown:
		return cluster.Down, "it said that it shuts down", never
	case cluster.Left:
		return cluster.Down, "it left the cluster", never
	case cluster.Restarting:
		return waiting(e.departedSeen, now, grace, "its daemon said that it restarts", "its daemon restarted and did not come back for %s")
	}
	if back := e.gossip == membership.Alive && (e.registered || !e.storeKnown); !back && (was == cluster.Failed || was == cluster.Down) {
		return was, "no sign of its daemon", never
	}
	switch e.gossip {
	case membership.Alive:
		return alive(e)
	case membership.Suspect:
		return cluster.Suspect, fmt.Sprintf("gossip had no answer for %s", seconds(now.Sub(e.lastSeen))), never
	case membership.Failed:
		return lost(e, now, grace)
	case membership.Left:
		// It said goodbye to the others and could not tell the store why.
		if e.silent >= silentProbes {
			return cluster.Failed, "its daemon stopped and now nothing answers", never
		}
		return waiting(e.since, now, grace, "its daemon stopped", "its daemon stopped and did not come back for %s")
	}
	if now.Sub(e.firstSeen) < grace {
		return cluster.Suspect, "it has a record and gossip has not heard of it yet", e.firstSeen.Add(grace)
	}
	return cluster.Failed, fmt.Sprintf("gossip has not heard of it for %s", seconds(now.Sub(e.firstSeen))), never
}

// alive judges a machine that gossip hears.
func alive(e evidence) (cluster.HealthState, string, time.Time) {
	if e.registered || !e.storeKnown {
		return cluster.Up, "its daemon answers", time.Time{}
	}
	// Its units run on. It gets no new ones: its agent would not hear of them.
	return cluster.DaemonGone, "its daemon answers and is not connected to the store", time.Time{}
}

// lost judges a machine that gossip gave up.
func lost(e evidence, now time.Time, grace time.Duration) (cluster.HealthState, string, time.Time) {
	away := now.Sub(e.silence())
	switch e.probe {
	case membership.Silent:
		if e.silent < silentProbes {
			break
		}
		return cluster.Failed, fmt.Sprintf("no answer since %s, probe timed out", seconds(away)), time.Time{}
	case membership.Answered:
		if e.registered && e.storeKnown {
			return cluster.Suspect, "gossip lost it; its daemon answers probes and is connected to the store", time.Time{}
		}
		return waiting(e.since, now, grace, "gossip lost it; its daemon answers probes", "gossip lost it for %s, though its daemon answers probes")
	case membership.Refused:
		return waiting(e.since, now, grace, "the machine answers and its daemon doesn't: the probe was refused", "its daemon was away for %s")
	case membership.Hung:
		return waiting(e.since, now, grace, "the machine answers and its daemon hangs", "its daemon hung for %s")
	}
	// No probe could be made. Gossip alone convicts nobody at once.
	if now.Sub(e.since) >= grace {
		return cluster.Failed, fmt.Sprintf("gossip lost it %s ago and it could not be probed", seconds(now.Sub(e.since))), time.Time{}
	}
	return cluster.Suspect, fmt.Sprintf("gossip had no answer for %s", seconds(away)), e.since.Add(grace)
}

// waiting gives a daemon the grace to come back.
func waiting(since, now time.Time, grace time.Duration, text, over string) (cluster.HealthState, string, time.Time) {
	if gone := now.Sub(since); gone >= grace {
		return cluster.Failed, fmt.Sprintf(over, seconds(gone)), time.Time{}
	}
	return cluster.DaemonGone, text, since.Add(grace)
}

// silence is the last known sign of life.
func (e evidence) silence() time.Time {
	last := e.lastSeen
	if e.lastAnswer.After(last) {
		last = e.lastAnswer
	}
	if last.IsZero() {
		last = e.firstSeen
	}
	return last
}

// doubtful tells whether probing helps.
func (e evidence) doubtful(verdict cluster.HealthState) bool {
	if e.self || e.departure != cluster.NotDeparted || !verdict.Runs() {
		return false
	}
	return e.gossip == membership.Suspect || e.gossip == membership.Failed || e.gossip == membership.Left
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
}
