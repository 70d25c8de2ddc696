package logs

import (
	"time"

	"fleettop/journal"
)

const (
	behindFrom = 2 * time.Second // from here on it is said, and can be left out
	lagWindow  = time.Second     // the shortest lag of this long counts
	lagFresh   = 2 * time.Second // after so long without lines nothing is known to wait
)

// lagMeter measures how far a follower is behind: how much longer than the quickest of its machine a line took from
// its time in the journal to here. What a machine's clock is off by is in both, and so in neither. Lines of the past
// are ever quicker the newer they are, and never behind.
type lagMeter struct {
	machines map[string]*machineLag
}

type machineLag struct {
	least time.Duration // from a line's time to its receipt
	now   lagSpan
	was   lagSpan // the one before
}

// lagSpan is the shortest lag of a while.
type lagSpan struct {
	began, last time.Time
	least       time.Duration
}

// note takes in that a line was received.
func (m *lagMeter) note(l *journal.Entry, received time.Time) {
	if l.Kind != "" {
		return
	}
	took := received.Sub(l.Time)
	of := m.machines[l.Machine]
	if of == nil {
		if m.machines == nil {
			m.machines = map[string]*machineLag{}
		}
		of = &machineLag{least: took}
		m.machines[l.Machine] = of
	}
	of.least = min(of.least, took)
	lag := took - of.least
	if of.now.began.IsZero() || received.Sub(of.now.began) >= lagWindow {
		of.was, of.now = of.now, lagSpan{began: received, least: lag}
	}
	of.now.last, of.now.least = received, min(of.now.least, lag)
}

// behind is how far the machine that is most behind is.
func (m *lagMeter) behind(now time.Time) (most time.Duration) {
	for _, of := range m.machines {
		if now.Sub(of.now.last) > lagFresh {
			continue
		}
		lag := of.now.least
		if now.Sub(of.was.last) <= lagFresh {
			lag = min(lag, of.was.least)
		}
		most = max(most, lag)
	}
	return most
}

// reset forgets all, for a stream that begins anew.
func (m *lagMeter) reset() { m.machines = nil }

// recent are the places of the newest lines that were received.
type recent struct {
	places [256]place
	n      int
}

func (r *recent) add(l *journal.Entry) {
	r.places[r.n%len(r.places)] = placeOf(l)
	r.n++
}

func (r *recent) set() map[place]bool {
	known := map[place]bool{}
	for _, p := range r.places[:min(r.n, len(r.places))] {
		known[p] = true
	}
	return known
}
