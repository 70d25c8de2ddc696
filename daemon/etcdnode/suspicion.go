package etcdnode

import (
	"time"

	"fleettop/cluster/membership"
)

const (
	// suspectFor is how long a voter may be suspected before clients leave it.
	// It doubles with each suspicion that came to nothing, up to suspectMost, and
	// begins anew after suspectMemory without.
	suspectFor    = 150 * time.Millisecond
	suspectMost   = 5 * time.Second
	suspectMemory = time.Minute
)

// suspicions remembers how often each voter was suspected for nothing. Leaving one
// and coming back costs a TLS handshake, every watch and the requests under way,
// on each machine: where voters are only slow, that keeps them slow.
type suspicions map[string]*suspicion

type suspicion struct {
	suspected time.Time // since when; zero while it isn't
	wrong     int       // suspicions in a row that came to nothing
	last      time.Time // when the last of them ended
}

// observe takes in what gossip says of a voter, and reports whether it is to be
// taken for gone; if not yet, at says when.
func (s suspicions) observe(m membership.Member, now time.Time) (gone bool, at time.Time) {
	one := s[m.ID]
	if one == nil {
		one = &suspicion{}
		s[m.ID] = one
	}
	if m.State != membership.Suspect {
		if !one.suspected.IsZero() && m.State == membership.Alive {
			one.wrong++
			one.last = now
		}
		one.suspected = time.Time{}
		return m.State != membership.Alive, time.Time{}
	}
	if one.suspected.IsZero() {
		one.suspected = m.Since
		if now.Sub(one.last) > suspectMemory {
			one.wrong = 0
		}
	}
	if at = one.suspected.Add(min(suspectFor<<min(one.wrong, 10), suspectMost)); now.Before(at) {
		return false, at
	}
	return true, time.Time{}
}
