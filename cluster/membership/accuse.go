package membership

import "time"

const (
	// accusePause is how long a member accuses no other after it was wrong once. It
	// doubles each time, up to accuseMost, and begins anew after accuseMemory
	// without. A true death is gossiped all the same, by memberlist's own account.
	accusePause  = 200 * time.Millisecond
	accuseMost   = 5 * time.Second
	accuseMemory = 30 * time.Second
)

// accusations paces a member whose suspicions turn out wrong. On an overloaded
// machine probes go unanswered for want of CPU, and a suspicion costs every
// member work: words that are spread, a probe, an answer. Unpaced, that is the
// load which makes the next probe go unanswered.
type accusations struct {
	open  map[string]struct{} // accused, and neither answered nor failed since
	wrong int                 // in a row
	last  time.Time           // when it was last wrong
	until time.Time           // accuses no member before
}

// allowed reports whether the member may accuse another one now.
func (a *accusations) allowed(now time.Time) bool { return !now.Before(a.until) }

// accused notes an accusation.
func (a *accusations) accused(id string) {
	if a.open == nil {
		a.open = map[string]struct{}{}
	}
	a.open[id] = struct{}{}
}

// ended notes what came of a suspicion.
func (a *accusations) ended(id string, alive bool, now time.Time) {
	if _, mine := a.open[id]; !mine {
		return
	}
	delete(a.open, id)
	if !alive {
		return
	}
	if now.Sub(a.last) > accuseMemory {
		a.wrong = 0
	}
	a.last, a.until = now, now.Add(min(accusePause<<min(a.wrong, 10), accuseMost))
	a.wrong++
}
