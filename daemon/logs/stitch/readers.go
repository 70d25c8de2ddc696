package stitch

import (
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

	began    time.Time // to be given up waiting for
	live     bool      // has told its past, or is not waited for
	answered bool      // has told its past
	stopped  bool      // nothing it reads counts any more
	again    bool      // reads what another could not, and may fail without a word
	older    bool      // reads the past that was not told in the beginning, and no more
	late     bool      // what it could not tell when its machine went is still to be announced
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
		on := s.wanted(now)
		for _, id := range s.alive() {
			s.open(
				&Reader{Machine: id, Follow: s.Follow && on[id], Lines: s.Lines, Since: s.Since, Until: s.Until},
				now,
			)
		}
		for id := range s.snap.Machines {
			if s.readers[id] == nil && (s.Machine == "" || s.Machine == id) {
				s.owed[id] = true
			}
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
	wanted := s.wanted(now)
	alive := s.alive()
	for _, id := range sortedKeys(s.readers) {
		r := s.readers[id]
		switch {
		case !slices.Contains(alive, id):
			s.drop(r)
			s.owed[id] = true
		case r.Follow && r.answered && !wanted[id]:
			// It reads once more to the end: what it has read may still be on the way.
			s.openLater(id, false, now)
		case r.Follow && r.answered && more:
			s.drop(r)
		}
	}
	for _, id := range alive {
		r := s.readers[id]
		announced, owed := s.owed[id]
		switch {
		case r == nil && (wanted[id] || owed), r != nil && !r.Follow && wanted[id] && r.answered:
			s.openLater(id, wanted[id], now)
		case r != nil && !r.Follow && wanted[id]: // what comes while it reads the past is read next
			s.owed[id] = announced
		}
	}
}

// openLater starts a reader behind what is known of the machine, or with its past
// where that was not told yet, or with what it has logged since the viewer came.
func (s *Stitcher) openLater(id string, follow bool, now time.Time) {
	if r := s.readers[id]; r != nil {
		s.drop(r)
	}
	announce, owed := s.owed[id]
	r := &Reader{Machine: id, Follow: follow, late: announce, again: owed || !follow}
	switch {
	case s.positions[id] != "":
	case s.untold[id]:
		r.Follow, r.again, r.older = false, true, true
		r.Lines, r.Since, r.Until = s.Lines, s.Since, s.Began.Add(-1)
	default:
		r.Since = s.Began
	}
	delete(s.owed, id)
	s.open(r, now)
}

func (s *Stitcher) open(r *Reader, now time.Time) {
	r.began, r.Units = now, s.units
	if at := s.positions[r.Machine]; at != "" {
		r.After = journal.Cursor(at)
	}
	s.merger.Open(r.Machine)
	if !s.backfill.open || s.live[r.Machine] {
		s.setLive(r)
	}
	s.readers[r.Machine] = r
	s.started = append(s.started, r)
}

// drop has a reader stopped; what it has read stays.
func (s *Stitcher) drop(r *Reader) {
	r.stopped, r.live = true, true
	s.merger.End(r.Machine)
	delete(s.readers, r.Machine)
	s.stopped = append(s.stopped, r)
}

func (s *Stitcher) setLive(r *Reader) {
	if !r.live {
		r.live, s.live[r.Machine] = true, true
		s.merger.Live(r.Machine)
	}
}

// wanted are the machines to follow: those that have one of the units, or had one a moment ago.
func (s *Stitcher) wanted(now time.Time) map[string]bool {
	was := s.on
	s.on = present(s.snap, s.Names)
	for _, on := range []map[string]bool{was, s.on} {
		for id := range on {
			s.had[id] = now
		}
	}
	on := map[string]bool{}
	for id, at := range s.had {
		on[id] = now.Sub(at) <= linger
	}
	return on
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
