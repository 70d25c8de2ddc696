package agent

import "time"

// pace is how many starts may be in flight at once. Many at a time can take so
// much of a machine that its daemon doesn't get to renew its lease, and then
// the cluster takes the machine for dead. It begins low, grows as starts end
// and as renewals come in time, and is halved when one is late.
type pace struct {
	lease   time.Duration // how long a session lives without a renewal; zero where that isn't watched
	most    int           // at once, as it is now
	renewed time.Time     // the last renewal seen
	halved  bool          // the one after it was late
}

const (
	// startsFirst is how many starts go at once before it is known how the machine bears them.
	startsFirst = 16
	// startsAtOnce bounds the starts and restarts in flight.
	startsAtOnce = 256
)

// allow returns how many starts may be in flight, of which some are already.
// renewed is when the last renewal that was answered was sent. While one is
// late they go one by one.
func (p *pace) allow(inFlight int, renewed, now time.Time) int {
	if p.lease == 0 || renewed.IsZero() {
		return startsAtOnce
	}
	late := now.Sub(renewed) > p.lease/2 // they are sent at a third of the lease
	switch {
	case inFlight == 0:
		p.most, p.renewed, p.halved = startsFirst, renewed, false
	case !renewed.Equal(p.renewed):
		p.renewed, p.halved = renewed, false
		if !late {
			p.most = min(2*p.most, startsAtOnce)
		}
	}
	if !late {
		return p.most
	}
	if !p.halved {
		p.most, p.halved = max(1, p.most/2), true
	}
	return 1
}

// ended takes note of a start that ended, as one more may go then.
func (p *pace) ended() { p.most = min(p.most+1, startsAtOnce) }
