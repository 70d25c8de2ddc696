package membership

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// memberlist keeps its suspicions to itself. So a member that suspects another says
// so in an event of its own, with the age of the last answer it had, and the
// suspect, hearing that, says that it lives.
const (
	messageSuspect = "suspect" // payload: ID, and milliseconds since the last answer
	messageAlive   = "alive"   // payload: ID of the sender
)

// poorHealth is the score, by memberlist's measure, from which on a member's own
// network or CPU is to blame for what it doesn't hear.
const poorHealth = 2

// message is an event to be gossiped.
type message struct{ name, payload string }

// enqueue queues a message. A full queue drops it: probes repeat, and messages with them.
func (m *Membership) enqueue(msg message) {
	select {
	case m.outbox <- msg:
	default:
	}
}

// sendLoop gossips what was queued.
func (m *Membership) sendLoop() {
	for {
		select {
		case <-m.stop:
			return
		case msg := <-m.outbox:
			if err := m.serf.UserEvent(msg.name, []byte(msg.payload), false); err != nil {
				m.cfg.Logger.Debug("gossip: "+msg.name, "error", err)
			}
		}
	}
}

// unanswered is called, from within memberlist, when a packet of ours had no answer in time.
func (m *Membership) unanswered(id string) {
	m.update(func(t *table, now time.Time) bool { return t.unanswered(id, now) })
}

// doubt is called, from within memberlist, when a probe of ours failed.
func (m *Membership) doubt(id string) {
	var silence time.Duration
	var known bool
	m.mu.Lock()
	now := time.Now()
	allowed := m.table.accusations.allowed(now)
	if allowed {
		silence, known = m.table.accuse(id, now)
	}
	m.mu.Unlock()
	if !allowed {
		return
	}
	m.suspect(id, time.Time{})
	// One that hears nothing in time, whom it may ask, accuses no other: it is
	// its own network that is slow.
	if known && m.serf.Memberlist().GetHealthScore() < poorHealth {
		m.enqueue(message{messageSuspect, fmt.Sprintf("%s %d", id, silence.Milliseconds())})
	}
}

// overTCP is called, from within memberlist, when a probe of ours got through by TCP only.
func (m *Membership) overTCP(id string) {
	m.update(func(t *table, now time.Time) bool { return t.overTCP(id, now) })
}

func (m *Membership) suspect(id string, lastSeen time.Time) {
	if m.update(func(t *table, now time.Time) bool {
		return t.suspected(id, lastSeen, now.Add(m.cfg.suspicionLimit()), now)
	}) {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
}

// handleMessage takes in what a member sent. Anything malformed is ignored, as it
// comes from a daemon of another version.
func (m *Membership) handleMessage(name string, payload []byte) {
	switch name {
	case messageAlive:
		m.update(func(t *table, now time.Time) bool { return t.seen(string(payload), now) })
	case messageSuspect:
		id, ms, _ := strings.Cut(string(payload), " ")
		age, err := strconv.ParseUint(ms, 10, 32)
		if err != nil {
			return
		}
		if id == m.cfg.ID {
			m.refute()
			return
		}
		// The message was under way for up to two rounds of gossip.
		silence := time.Duration(age)*time.Millisecond + m.cfg.ProbeInterval
		m.suspect(id, time.Now().Add(-silence))
	}
}

// refute says that we live, once for several suspicions at a time.
func (m *Membership) refute() {
	m.mu.Lock()
	now := time.Now()
	due := now.Sub(m.refuted) >= m.cfg.ProbeInterval/2
	if due {
		m.refuted = now
	}
	m.mu.Unlock()
	if due {
		m.enqueue(message{messageAlive, m.cfg.ID})
	}
}

// pingDelegate is memberlist's PingDelegate: it notes every answered probe.
type pingDelegate struct{ m *Membership }

// AckPayload adds nothing to our answers.
func (pingDelegate) AckPayload() []byte { return nil }

// NotifyPingComplete notes a sign of life.
func (p pingDelegate) NotifyPingComplete(other *memberlist.Node, _ time.Duration, _ []byte) {
	p.m.update(func(t *table, now time.Time) bool { return t.acked(other.Name, now) })
}
