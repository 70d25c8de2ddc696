package stitch

import (
	"fmt"
	"time"

	"fleettop/journal"
)

// backfill is the time until every machine has told its past: lines of the
// present wait, and where only so many lines are wanted the newest are kept.
type backfill struct {
	open    bool
	lines   int             // wanted; 0 for all
	kept    []journal.Entry // the newest of the past
	entries int             // of kept, that are lines of a log
	later   []item          // lines of the present
	queued  int             // items of the past in the merger
}

// keep takes in a line of the past.
func (s *Stitcher) keep(it item) {
	b := &s.backfill
	b.queued--
	if b.lines == 0 {
		s.emit(it)
		return
	}
	it.release()
	b.kept = append(b.kept, it.Entry)
	if it.Kind == "" {
		b.entries++
	}
	if len(b.kept) > 4*b.lines+1024 {
		b.trim()
	}
}

// trim leaves the newest lines wanted with what lies between them, and all positions.
func (b *backfill) trim() {
	var positions []journal.Entry
	cut := 0
	for ; b.entries > b.lines; cut++ {
		switch b.kept[cut].Kind {
		case "":
			b.entries--
		case journal.KindPosition:
			positions = append(positions, b.kept[cut])
		}
	}
	b.kept = append(positions, b.kept[cut:]...)
}

// giveUp stops waiting for machines that don't answer, and returns how long the
// others have left.
func (s *Stitcher) giveUp(now time.Time) (left time.Duration) {
	for _, id := range sortedKeys(s.readers) {
		r := s.readers[id]
		if r.live {
			continue
		}
		wait := r.began.Add(answerWithin).Sub(now)
		if wait > 0 || s.merger.Queued(r.Machine) > 0 {
			left = sooner(left, wait)
			continue
		}
		s.setLive(r)
		s.note(s.snap.Label(id)+" does not answer: its lines come when it does", now)
		if !s.Follow {
			s.drop(r)
		}
	}
	return left
}

// closeBackfill ends the past once all machines have told theirs.
func (s *Stitcher) closeBackfill(now time.Time) {
	for _, r := range s.readers {
		if !r.live {
			return
		}
	}
	if s.planAt.IsZero() || s.backfill.queued > 0 {
		return
	}
	b := s.backfill
	s.backfill = backfill{}
	b.trim()
	for _, e := range b.kept {
		s.emit(item{Entry: e})
	}
	for _, id := range sortedKeys(present(s.snap, s.Names)) {
		h, judged := s.health[id]
		if s.Machine != "" && s.Machine != id || !judged || h.State.Runs() || id == s.Self {
			continue
		}
		s.note(fmt.Sprintf("%s is %s: what it had logged can be told when it is back", s.snap.Label(id), h.State), now)
	}
	for _, it := range b.later {
		s.emit(it)
	}
}
