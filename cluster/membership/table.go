package membership

import (
	"maps"
	"sort"
	"time"
)

// State is what gossip says of a member.
type State string

// States.
const (
	Alive   State = "alive"
	Suspect State = "suspect" // a member's probes of it went unanswered; it may still refute that
	Failed  State = "failed"  // it did not
	Left    State = "left"    // it said goodbye
)

// Member is one member of the cluster as this one sees it.
type Member struct {
	ID      string
	Address string // gossip, host:port
	State   State
	Since   time.Time // when this member learned of the state
	// LastSeen is the last sign of life known here: an answered probe of
	// ours or of the member that suspects it, or a message of the member itself.
	LastSeen time.Time
	// LastAck is when the member last answered a probe of ours in time.
	LastAck time.Time
	// LastPacket is when a packet last came from the member's address. It may
	// be an answer that came too late, and it is no proof: anyone can send one.
	LastPacket time.Time
	// Unanswered is since when our probes have had no answer in time, nor was
	// there another sign of life: the first hint of a doubt, and no more, as
	// packets get lost. Zero if there is none.
	Unanswered time.Time
	// OverTCP is since when our probes get through by TCP only; zero while
	// they do by UDP, or not at all.
	OverTCP time.Time
	Tags    map[string]string
	// witnessed is the last sign of life that wasn't another member's word.
	witnessed time.Time
}

// table turns what is heard into members. Every method takes the time, and
// reports whether members changed in a way worth telling; LastSeen alone isn't.
type table struct {
	self    string
	members map[string]*Member
	// expires is when an undecided suspicion is dropped.
	expires map[string]time.Time
	// accusations are this member's own.
	accusations accusations
}

func newTable(self string) *table {
	return &table{self: self, members: map[string]*Member{}, expires: map[string]time.Time{}}
}

// present records that gossip has the member as alive.
func (t *table) present(id, addr string, tags map[string]string, now time.Time) bool {
	m, ok := t.members[id]
	if !ok {
		m = &Member{ID: id}
		t.members[id] = m
	}
	changed := m.State != Alive || !m.Unanswered.IsZero() || m.Address != addr || !maps.Equal(m.Tags, tags)
	m.Address, m.Tags = addr, tags
	m.LastSeen, m.witnessed = now, now
	t.enter(m, Alive, now)
	return changed
}

// gone records that gossip has the member as failed or left.
func (t *table) gone(id string, state State, now time.Time) bool {
	m, ok := t.members[id]
	if !ok || m.State == state {
		return false
	}
	if state == Left && m.State != Failed {
		m.LastSeen = now // the goodbye of a failed member was said before it failed
	}
	t.enter(m, state, now)
	return true
}

// forgotten records that gossip dropped the member.
func (t *table) forgotten(id string) bool {
	_, ok := t.members[id]
	delete(t.members, id)
	delete(t.expires, id)
	return ok
}

// accuse notes that this member suspects id, and returns for how long it has
// had no sign of life of its own from it; false if it never had one.
func (t *table) accuse(id string, now time.Time) (silence time.Duration, ok bool) {
	m, known := t.members[id]
	if !known {
		return 0, false
	}
	t.accusations.accused(id)
	return now.Sub(m.witnessed), !m.witnessed.IsZero()
}

// unanswered records that a packet of ours had no answer in time.
func (t *table) unanswered(id string, now time.Time) bool {
	m, ok := t.members[id]
	if !ok || id == t.self || m.State != Alive || !m.Unanswered.IsZero() {
		return false
	}
	m.Unanswered = now
	return true
}

// suspected records that a member's probes of id went unanswered; the last
// one answered was at lastSeen, or never if that is zero. The suspicion is
// dropped at limit if nothing more is heard. Of a failed member it says
// nothing: the message may have been under way since before it failed.
func (t *table) suspected(id string, lastSeen, limit, now time.Time) bool {
	m, ok := t.members[id]
	if !ok || id == t.self || m.State == Failed || m.State == Left {
		return false
	}
	if lastSeen.After(m.LastSeen) {
		m.LastSeen = lastSeen
	}
	t.expires[id] = limit
	if m.State == Suspect {
		return false
	}
	m.State, m.Since = Suspect, now
	return true
}

// seen records a sign of life, which ends a suspicion. It does not bring back
// a failed member: that is gossip's to say.
func (t *table) seen(id string, now time.Time) bool {
	m, ok := t.members[id]
	if !ok || m.State == Failed || m.State == Left {
		return false
	}
	if now.After(m.LastSeen) {
		m.LastSeen = now
	}
	m.witnessed = now
	changed := m.State == Suspect || !m.Unanswered.IsZero()
	t.enter(m, Alive, now)
	return changed
}

// acked records an answered probe.
func (t *table) acked(id string, now time.Time) bool {
	changed := false
	if m, ok := t.members[id]; ok {
		changed = !m.OverTCP.IsZero()
		m.LastAck, m.OverTCP = now, time.Time{}
	}
	return t.seen(id, now) || changed
}

// overTCP records a probe that was answered by TCP, and by UDP not.
func (t *table) overTCP(id string, now time.Time) bool {
	changed := false
	if m, ok := t.members[id]; ok && m.OverTCP.IsZero() {
		m.OverTCP, changed = now, true
	}
	return t.seen(id, now) || changed
}

// expire drops suspicions that came to nothing, and returns when the next one
// will have; zero for none.
func (t *table) expire(now time.Time) (changed bool, next time.Time) {
	for id, at := range t.expires {
		switch {
		case !at.After(now):
			t.enter(t.members[id], Alive, now)
			changed = true
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	return changed, next
}

func (t *table) enter(m *Member, state State, now time.Time) {
	delete(t.expires, m.ID)
	m.Unanswered = time.Time{}
	t.accusations.ended(m.ID, state == Alive, now)
	if m.State != state {
		m.State, m.Since = state, now
	}
}

// list copies the members, sorted by ID.
func (t *table) list(now time.Time) []Member {
	out := make([]Member, 0, len(t.members))
	for _, m := range t.members {
		c := *m
		c.Tags = maps.Clone(m.Tags)
		if c.ID == t.self && c.State == Alive {
			c.LastSeen = now
		}
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}
