package health

import (
	"fmt"
	"net"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

const (
	// silentProbes is how many probes in a row must go unanswered before a machine
	// counts as dead: one can be lost on a busy network. They run while gossip
	// still doubts, so the second costs no time.
	silentProbes = 2
	// A machine whose packets still arrive isn't dead, only slow: it is given
	// heardFor to answer a probe. One that sends and never answers, as nothing
	// reaches it, is no use to anyone either.
	heardLately = 500 * time.Millisecond
	heardFor    = 2 * time.Second
	// leaseProof is how long a session must have outlasted the last sign of life
	// to have been renewed since: its length, and as much again for an etcd that
	// changes its leader, which gives every session its whole length anew.
	leaseProof = 6 * time.Second
	// Where doubts came to nothing lossyDoubts times within lossyLasts, packets are
	// lost or late, two probes in a row among them. Silence then says something
	// only after the kernel has sent again what begins a connection, twice: 1 and 2 s later.
	lossyDoubts  = 3
	lossyLasts   = time.Minute
	lossySilence = 3500 * time.Millisecond
	// hungSilence is how long the kernel must be silent of a machine whose daemon hung before: that
	// one's own silence, however long, says nothing of the machine.
	hungSilence = time.Second
	// slowLook is between looks whether the way to a machine is still slow.
	slowLook = 5 * time.Second
	// overTCPLasts is how long nothing must get through by UDP for its port to be blocked.
	overTCPLasts = 10 * time.Second
)

// evidence is what is known of a machine.
type evidence struct {
	self bool
	// registered: the store has a living run of its daemon, without a break
	// since registeredAt. With storeKnown false the store can't be seen and
	// registered means nothing.
	registered, storeKnown bool
	registeredAt           time.Time
	boot                   string // of that run; empty if there is none

	recorded     bool // the store has a record of it
	departure    cluster.Departure
	departedSeen time.Time // when the departure was first seen here: clocks of machines differ
	// departedBefore: the first thing this daemon saw of the machine was that it departed.
	departedBefore bool
	firstSeen      time.Time // when this machine was first heard of here, in any way
	began          time.Time // when this daemon began to look at machines

	gossip     membership.State // empty: gossip never had it, or has forgotten it
	since      time.Time        // of gossip
	lastSeen   time.Time        // last sign of life gossip knows of
	lastPacket time.Time        // last packet from its address
	overTCP    time.Time        // since when gossip gets through by TCP only; zero if by UDP

	probe      membership.Verdict // the last probe's since gossip began to doubt; empty before the first
	silent     int                // unanswered probes in a row, up to the last
	lastAnswer time.Time          // last time its daemon answered a probe
	answered   time.Time          // the same of its daemon or its kernel
	looked     *round             // the last round of looks since gossip began to doubt; nil before the first
	unanswered bool               // gossip has had no answer in time, which is a hint and no doubt yet
	clearView  bool               // see Tracker.clearView
	lossy      bool               // machines were doubted lately that then answered
	interval   time.Duration      // of gossip's probes
	roundTrip  time.Duration      // of the last probes that were answered; 0 before

	gossipAddr, probeAddr string

	// unheard: its last sign of life is from before this machine's own session with the store, or
	// it was taken for dead without the store. This side was cut off then, or stopped, as likely as the other.
	unheard   bool
	witnessed bool // when it was taken for dead without the store, others looked too and saw nothing
	// others is how many other machines with a session this one doesn't hear.
	others int

	failures  int       // since it booted
	failedFor string    // the last time
	clear     time.Time // since when it is back without a doubt; zero if it isn't
}

// verdict is what evidence leads to.
type verdict struct {
	state cluster.HealthState
	why   string    // the kind of evidence: text before times and counts were put in
	text  string    // the evidence for people
	again time.Time // when to judge again if no new evidence comes before that; zero for never
	back  time.Time // when a failed machine that answers again will count as back; zero if it doesn't answer
	deaf  bool      // its session lives, and gossip doesn't hear it
	// blocked names a port that gets no answer, of a machine that is up.
	blocked string
}

func because(state cluster.HealthState, again time.Time, format string, args ...any) verdict {
	return verdict{state: state, why: format, text: fmt.Sprintf(format, args...), again: again}
}

// judge returns the verdict. A machine that failed or went down stays so until
// its daemon is both heard by gossip and registered in the store: only then
// can its agent act on what it is given. One that failed must stay so for a
// time that grows with its failures, see returning.go.
func judge(e evidence, was cluster.HealthState, now time.Time, grace time.Duration) verdict {
	if e.self {
		return because(cluster.Up, time.Time{}, "this machine")
	}
	switch e.departure {
	case cluster.ShutDown:
		// All machines may have been off, and this one is the first that is back.
		switch end := e.began.Add(grace); {
		case e.departedBefore && now.Before(end):
			return because(cluster.Suspect, end,
				"it shut down before this daemon began; it has a moment to come back with the others")
		case e.departedBefore && e.gossip == membership.Alive: // it couldn't tell the store yet
		default:
			return because(cluster.Down, time.Time{}, "it said that it shuts down")
		}
	case cluster.Left:
		return because(cluster.Down, time.Time{}, "it left the cluster")
	case cluster.Restarting:
		return waiting(e.departedSeen, now, grace,
			"its daemon said that it restarts", "its daemon restarted and did not come back for %s")
	}
	if was == cluster.Failed || was == cluster.Down {
		if v, still := stillGone(e, was, now); still {
			return v
		}
	}
	switch e.gossip {
	case membership.Alive:
		return alive(e, now)
	case membership.Suspect:
		if v, ok := convicted(e, now); ok {
			return v
		}
		if silent := now.Sub(e.lastSeen); silent >= allowedLeast {
			return because(cluster.Suspect, time.Time{}, "gossip had no answer for %s%s", seconds(silent), e.slowness())
		}
		return because(cluster.Suspect, time.Time{}, "another machine's gossip had no answer%s", e.slowness())
	case membership.Failed:
		return lost(e, now, grace)
	case membership.Left:
		if e.storeKnown && !e.recorded {
			return because(cluster.Down, time.Time{}, "it left the cluster")
		}
		// It said goodbye to the others and could not tell the store why.
		if e.silent >= silentProbes {
			return because(cluster.Failed, time.Time{}, "its daemon stopped and now nothing answers")
		}
		return waiting(e.since, now, grace, "its daemon stopped", "its daemon stopped and did not come back for %s")
	}
	switch {
	case e.registered && e.storeKnown:
		return unheard(e, "gossip doesn't hear it")
	case now.Sub(e.firstSeen) < grace:
		return because(cluster.Suspect, e.firstSeen.Add(grace), "it has a record and gossip has not heard of it yet")
	}
	return because(cluster.Failed, time.Time{}, "gossip has not heard of it for %s", seconds(now.Sub(e.firstSeen)))
}

// alive judges a machine that gossip hears.
func alive(e evidence, now time.Time) verdict {
	if e.registered || !e.storeKnown {
		if slow := e.slowness(); slow != "" {
			return because(cluster.Up, now.Add(slowLook), "its daemon answers%s", slow)
		}
		if e.overTCP.IsZero() {
			return because(cluster.Up, time.Time{}, "its daemon answers")
		}
		if end := e.overTCP.Add(overTCPLasts); now.Before(end) {
			return because(cluster.Up, end, "its daemon answers") // packets may get lost
		}
		v := because(cluster.Up, time.Time{}, "its daemon answers%s", e.blocked())
		v.blocked = strings.TrimPrefix(e.blocked(), ": ")
		return v
	}
	// Its units run on. It gets no new ones: its agent would not hear of them.
	return because(cluster.DaemonGone, time.Time{}, "its daemon answers and is not connected to the store")
}

// unheard judges a machine whose session with the store lives and whose gossip
// isn't heard: its units run, and it is the way between that is broken.
func unheard(e evidence, text string) verdict {
	v := because(cluster.Suspect, time.Time{}, "%s, and its session with the store is alive%s", text, e.blocked())
	v.why, v.deaf = text, true
	return v
}

// lost judges a machine that gossip gave up.
func lost(e evidence, now time.Time, grace time.Duration) verdict {
	away := now.Sub(e.silence())
	switch e.probe {
	case membership.Silent:
		if e.silent < silentProbes {
			break
		}
		if w, ok := e.looked.lives(now); ok {
			return elsewhere(e, w, now, grace)
		}
		// Gossip's own time may be over before those who looked have told what they saw.
		if v, ok := convicted(e, now); ok && v.state == cluster.Failed {
			return v
		}
		if e.excused() {
			return unheard(e, "neither gossip nor probes have an answer since this machine is back at the store")
		}
		until := min(e.lastPacket.Add(heardLately).Sub(now), e.silence().Add(heardFor).Sub(now))
		switch {
		case (e.registered || !e.storeKnown || e.lossy) && until > 0:
			return because(cluster.Suspect, now.Add(until),
				"packets of it arrive and its answers don't, for %s: its network is slow", seconds(away))
		case e.sessionLives(now):
			return unheard(e, "neither gossip nor probes have an answer")
		case e.lossy && now.Sub(e.heard()) < lossySilence:
			return because(cluster.Suspect, e.heard().Add(lossySilence),
				"neither gossip nor probes have an answer for %s, on a network that loses packets", seconds(away))
		case e.heard().After(e.silence()) && now.Sub(e.heard()) < hungSilence:
			return because(cluster.Suspect, e.heard().Add(hungSilence),
				"its daemon has been silent for %s, and the machine for %s", seconds(away), seconds(now.Sub(e.heard())))
		}
		return because(cluster.Failed, time.Time{}, "no answer for %s, probe timed out", seconds(away))
	case membership.Reached:
		return because(cluster.Suspect, time.Time{},
			"gossip lost it; the machine answers probes, its daemon not yet%s", e.slowness())
	case membership.Answered:
		if e.registered && e.storeKnown {
			return unheard(e, "gossip lost it, its daemon answers probes")
		}
		return waiting(e.since, now, grace,
			"gossip lost it; its daemon answers probes", "gossip lost it for %s, though its daemon answers probes")
	case membership.Refused:
		if e.sessionLives(now) {
			return unheard(e, "gossip lost it, the probe was refused")
		}
		return waiting(e.unanswering(), now, grace,
			"the machine answers and its daemon doesn't: the probe was refused", "its daemon was away for %s")
	case membership.Hung:
		if e.sessionLives(now) {
			return unheard(e, "gossip lost it, the probe hung")
		}
		return waiting(e.unanswering(), now, grace, "the machine answers and its daemon hangs", "its daemon hung for %s")
	}
	// No probe could be made. Gossip alone convicts nobody at once.
	if now.Sub(e.since) >= grace {
		if e.registered && e.storeKnown {
			return unheard(e, "gossip lost it and it could not be probed")
		}
		return because(cluster.Failed, time.Time{},
			"gossip lost it %s ago and it could not be probed", seconds(now.Sub(e.since)))
	}
	return because(cluster.Suspect, e.since.Add(grace), "gossip had no answer for %s", seconds(away))
}

// waiting gives a daemon the grace to come back.
func waiting(since, now time.Time, grace time.Duration, text, over string) verdict {
	if gone := now.Sub(since); gone >= grace {
		return because(cluster.Failed, time.Time{}, over, seconds(gone))
	}
	return because(cluster.DaemonGone, since.Add(grace), "%s", text)
}

// silence is the last known sign of life of the daemon, and with it of the
// units: a kernel that refuses a probe says nothing of them.
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

// unanswering is since when a daemon that gossip lost hasn't answered: it may have answered probes for a while.
func (e evidence) unanswering() time.Time {
	if e.lastAnswer.After(e.since) {
		return e.lastAnswer
	}
	return e.since
}

// heard is the last known sign of life of the machine: of its daemon or its kernel.
func (e evidence) heard() time.Time {
	if last := e.silence(); last.After(e.answered) {
		return last
	}
	return e.answered
}

// sessionLives reports whether the machine's session with the store was
// certainly renewed since its last sign of life.
func (e evidence) sessionLives(now time.Time) bool {
	since := e.silence()
	if e.registeredAt.After(since) {
		since = e.registeredAt
	}
	return e.registered && e.storeKnown && now.Sub(since) >= leaseProof
}

// excused reports whether the silence of a machine says nothing: it began while this machine
// was cut off from the store, which has a session of the other. It says something where others
// look too and see nothing, and this machine hears all that have a session but that one:
// then the store was away because that machine died.
func (e evidence) excused() bool {
	return e.unheard && e.registered && e.storeKnown && (!e.looked.silent() && !e.witnessed || e.others > 0)
}

// doubtful reports whether probing helps.
func (e evidence) doubtful(state cluster.HealthState) bool {
	if e.self || e.departure != cluster.NotDeparted || !state.Runs() {
		return false
	}
	return e.gossip != membership.Alive || e.unanswered
}

// slowness says how slow the way to a machine is; empty if it isn't.
func (e evidence) slowness() string {
	if e.roundTrip < allowedLeast {
		return ""
	}
	return fmt.Sprintf("; its network is slow: probes take %s", seconds(e.roundTrip))
}

// blocked names the port that a firewall may block, where one gets an answer and another doesn't.
func (e evidence) blocked() string {
	_, gossip, err := net.SplitHostPort(e.gossipAddr)
	_, probe, err2 := net.SplitHostPort(e.probeAddr)
	switch {
	case err != nil || err2 != nil || e.roundTrip >= allowedLeast:
		return e.slowness()
	case e.gossip == membership.Alive && !e.overTCP.IsZero():
		return fmt.Sprintf(": %s/udp gets no answer, %s/tcp does: a firewall?", gossip, gossip)
	case e.probe == membership.Answered:
		return fmt.Sprintf(": %s/udp and tcp get no answer, %s/tcp does: a firewall?", gossip, probe)
	case e.probe == membership.Refused || e.probe == membership.Silent && e.silent >= silentProbes:
		return fmt.Sprintf(": %s/udp, %s/tcp and %s/tcp get no answer: a firewall?", gossip, gossip, probe)
	}
	return ""
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%.1f s", max(d, 0).Seconds())
}
