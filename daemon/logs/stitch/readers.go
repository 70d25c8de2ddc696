package stitch

import (
	"fmt"
	"slices"
	"time"

	"fleettop/journal"
)

const (
	// answerWithin is how long a machine may take to tell its past before the others go on without it.
	answerWithin = 5 * time.Second
	// linger is how long a machine is followed after its unit has gone.
	linger = 5 * time.Second
	// planEvery is how often readers that ended are started again.
	planEvery = time.Second
)

// Reader is one reading of one machine's log, up to its end or following it. The
// fields are for the caller; a Reader is known by its address.
type Reader struct {
	Machine      string
	Units        []string
	Follow       bool
	Lines        int
	Since, Until time.Time
	After        journal.Cursor // where it goes on; empty for the beginning

	key      string    // of the merger's stream
	began    time.Time // to be given up waiting for
	live     bool      // has told its past, or is not waited for
	answered bool      // has told its past
	stopped  bool      // nothing it reads counts any more
	again    bool      // is read again if it fails
	late     bool      // what it could not tell when its machine went is still to be announced
	left     time.Time // when the units were gone from it
	lines    int       // that it has read and Next has not returned
	bytes    int       // of them
}

// Room reports whether a reader is to read on. It has room again at the latest
// when Next has returned all there is.
func (s *Stitcher) Room(r *Reader) bool { return r.lines < roomLines && r.bytes < roomBytes }

// Plan returns the readers to start and those to stop. The first call starts one
// on each machine that can be asked. Later, when following, they come and go
// with units and machines.
func (s *Stitcher) Plan(now time.Time) (start, stop []*Reader) {
	switch {
	case s.planAt.IsZero():
		on := present(s.snap, s.Names)
		for _, id := range s.alive() {
			r := &Reader{Machine: id, Follow: s.Follow && on[id], Lines: s.Lines, Since: s.Since}
			if len(s.After) > 0 {
				r.Lines = 0
			}
			s.open(r, now)
		}
	case s.Follow && (s.dirty || !now.Before(s.planAt)):
		s.replan(now)
	}
	if s.dirty || !now.Before(s.planAt) {
		s.dirty, s.planAt = false, now.Add(planEvery)
	}
	start, stop, s.started, s.stopped = s.started, s.stopped, nil, nil
	return start, stop
}

// replan starts and stops readers as units and machines have come and gone.
func (s *Stitcher) replan(now time.Time) {
	units := known(s.snap, s.Names)
	more := !slices.Equal(units, s.units)
	s.units = units
	wanted := present(s.snap, s.Names)
	alive := s.alive()
	for _, id := range sortedKeys(s.readers) {
		r := s.readers[id]
		switch {
		case !slices.Contains(alive, id):
			s.drop(r)
			s.lost[id] = true
		case !r.Follow || wanted[id]:
			r.left = time.Time{}
			if more && r.Follow && r.answered {
				s.drop(r)
			}
		case r.left.IsZero():
			r.left = now
		case now.Sub(r.left) > linger && r.answered:
			// It reads once more to the end: what it has read may still be on the way.
			s.openLater(id, false, now)
		}
	}
	for _, id := range alive {
		r := s.readers[id]
		switch {
		case r != nil && (r.Follow || !wanted[id] || !r.answered):
		case r == nil && !wanted[id] && !s.lost[id]:
		default:
			s.openLater(id, wanted[id], now)
		}
	}
}

// openLater starts a reader behind what is known of the machine, or with what
// it has logged since the viewer came.
func (s *Stitcher) openLater(id string, follow bool, now time.Time) {
	if r := s.readers[id]; r != nil {
		s.drop(r)
	}
	r := &Reader{Machine: id, Follow: follow, late: s.lost[id], again: s.lost[id] || !follow}
	if _, known := s.positions[id]; !known {
		r.Since = s.Began
	}
	delete(s.lost, id)
	s.open(r, now)
}

func (s *Stitcher) open(r *Reader, now time.Time) {
	s.opened++
	r.key, r.began, r.Units, r.Until = fmt.Sprintf("%s#%d", r.Machine, s.opened), now, s.units, s.Until
	if at := s.positions[r.Machine]; at != "" {
		r.After = journal.Cursor(at)
	}
	s.merger.Open(r.key)
	if !s.backfill.open {
		s.setLive(r)
	}
	s.readers[r.Machine] = r
	s.started = append(s.started, r)
}

// drop has a reader stopped; what it has read stays.
func (s *Stitcher) drop(r *Reader) {
	r.stopped, r.live = true, true
	s.merger.End(r.key)
	delete(s.readers, r.Machine)
	s.stopped = append(s.stopped, r)
}

func (s *Stitcher) setLive(r *Reader) {
	if !r.live {
		r.live = true
		s.merger.Live(r.key)
	}
}

// alive are the machines that can be asked, sorted.
func (s *Stitcher) alive() []string {
	var ids []string
	for id := range s.snap.Machines {
		h, known := s.health[id]
		if (s.Machine == "" || s.Machine == id) && (id == s.Self || known && h.State.Runs()) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
