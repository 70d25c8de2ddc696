// Package stitch makes one log of the logs of several machines: in order of
// time, with a divider where a unit moved, and a sentence where something is
// missing. It is pure: it starts no goroutine, reads no clock and does no I/O.
// The caller tells a Stitcher facts (the cluster's state, verdicts, lines, ends of
// readers), each with the time, and asks it which machines to read and what to show.
package stitch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/journal"
)

const (
	// window is how long a live line waits for an earlier one of another machine.
	window = 25 * time.Millisecond
	// nextMost is how many lines Next returns at once, or a few more.
	nextMost = 256
	// A reader has room for about so many lines, and so much text, that Next did not return yet.
	roomLines = 16 << 10
	roomBytes = 16 << 20
)

// Request is what a viewer asked for.
type Request struct {
	Names        []string          // units and globs
	Machine      string            // whose lines alone are wanted, by ID; empty for all
	Self         string            // the machine that stitches, which can always be read
	Lines        int               // only so many of the newest; 0 for all, less for none
	Since, Until time.Time         // zero for no bound
	Follow       bool              // go on with what comes
	Positions    bool              // with entries of KindPosition
	After        map[string]string // cursors to go on behind, by machine; Lines doesn't count then
	Began        time.Time         // when it was asked
}

// Stitcher stitches the log for one viewer. It is for one goroutine.
type Stitcher struct {
	Request
	snap      *cluster.Snapshot
	health    map[string]cluster.Health
	units     []string          // that are meant, at present
	positions map[string]string // how far each machine was read
	lost      map[string]bool   // machines that died while they were read
	failures  map[string]string // of each machine, what was last said of why it can't be read

	readers map[string]*Reader // by machine
	opened  int
	started []*Reader
	stopped []*Reader
	dirty   bool      // the facts have changed since readers were planned
	planAt  time.Time // when they are planned in any case

	merger   *journal.Merger[item]
	backfill backfill
	moves    moves
	out      []journal.Entry
}

// item is a line in the merger.
type item struct {
	journal.Entry
	from   *Reader // nil for a divider of the past
	past   bool
	passed time.Time // when it began to wait for a divider
}

// New returns a Stitcher that knows the cluster's state, what is held true of
// its machines, and the timeline whose moves are to be told, oldest first.
func New(r Request, snap *cluster.Snapshot, health map[string]cluster.Health, timeline []cluster.Event) *Stitcher {
	s := &Stitcher{Request: r, snap: snap, health: health, positions: map[string]string{}, lost: map[string]bool{},
		failures: map[string]string{}, readers: map[string]*Reader{}, merger: journal.NewMerger[item](window),
		moves: newMoves()}
	maps.Copy(s.positions, r.After)
	s.units = known(snap, r.Names)
	s.backfill.open = true
	if len(r.After) == 0 {
		s.backfill.lines = max(0, r.Lines)
	}
	s.addHistory(timeline)
	return s
}

// Known reports whether the cluster knows one of the units.
func (s *Stitcher) Known() bool {
	return len(present(s.snap, s.Names)) > 0 || slices.ContainsFunc(s.units, func(unit string) bool {
		_, defined := s.snap.Units[unit]
		return defined
	})
}

// Cluster tells of a newer state of the cluster, and of what was recorded on the
// way to it, in order. Events that were told before do no harm.
func (s *Stitcher) Cluster(snap *cluster.Snapshot, events []cluster.Event, now time.Time) {
	before := s.snap
	s.snap, s.dirty = snap, true
	if b := &s.backfill; b.open { // moves are of the present, and wait with its lines
		if b.before == nil {
			b.before = before
		}
		b.events = append(b.events, events...)
		return
	}
	s.follow(before, events, now)
}

// Health tells what is held true of the machines now.
func (s *Stitcher) Health(health map[string]cluster.Health) { s.health, s.dirty = health, true }

// Add tells what a reader read. What a reader that was stopped read doesn't count.
func (s *Stitcher) Add(r *Reader, list []journal.Entry, now time.Time) {
	if r.stopped {
		return
	}
	for i := range list {
		e := &list[i]
		if e.Cursor != "" {
			s.positions[r.Machine] = string(e.Cursor)
		}
		it := item{Entry: *e, from: r, past: !r.live}
		if it.past {
			s.backfill.queued++
		}
		r.lines++
		r.bytes += e.Size()
		s.merger.Add(r.key, it, e.Time, now)
		if e.Kind == journal.KindPosition {
			r.answered = true
			s.setLive(r)
		}
	}
}

// End tells that a reader has ended, and why; nil if it has read all.
func (s *Stitcher) End(r *Reader, err error, now time.Time) {
	if r.stopped {
		return
	}
	s.drop(r)
	switch {
	case err == nil:
	case r.again:
		s.lost[r.Machine] = true
	case s.failures[r.Machine] != err.Error():
		s.failures[r.Machine] = err.Error()
		s.note(s.snap.Label(r.Machine)+" can't be asked for its lines: "+err.Error(), now)
	}
}

// Next returns what is to be shown next, in pieces: the caller asks until there
// is none. Then wait is how long until there may be more without a new fact; 0
// where only a fact helps.
func (s *Stitcher) Next(now time.Time) (list []journal.Entry, wait time.Duration) {
	for len(s.out) < nextMost {
		it, ok, left := s.merger.Next(now)
		if !ok {
			wait = sooner(wait, left)
			if s.backfill.open {
				wait = sooner(wait, s.giveUp(now))
				s.closeBackfill(now)
			}
			wait = sooner(wait, s.expire(now))
			break
		}
		if s.backfill.open {
			s.keep(it)
		} else {
			s.pass(it, now)
		}
	}
	list, s.out = s.out, nil
	return list, wait
}

// Done reports whether there will be no more, which is never so when following.
func (s *Stitcher) Done() bool {
	return !s.Follow && !s.planAt.IsZero() && len(s.readers) == 0 && !s.backfill.open
}

// pass hands on a line of the present, unless it waits for a divider.
func (s *Stitcher) pass(it item, now time.Time) {
	if it.from.late && it.Kind == "" {
		it.from.late = false
		s.note(s.snap.Label(it.Machine)+" is back: what it had logged and could not tell", now)
	}
	if !s.wait(it, now) {
		s.emit(it)
	}
}

// emit hands on a line.
func (s *Stitcher) emit(it item) {
	if r := it.from; r != nil {
		r.lines--
		r.bytes -= it.Size()
	}
	if it.Kind != journal.KindPosition || s.Positions {
		s.out = append(s.out, it.Entry)
	}
}

// note adds a sentence, now or behind the past.
func (s *Stitcher) note(text string, now time.Time) {
	e := journal.Entry{Kind: journal.KindDivider, Time: now, Text: text}
	if s.backfill.open {
		s.backfill.notes = append(s.backfill.notes, e)
		return
	}
	s.out = append(s.out, e)
}

// sooner is the shorter of two times to wait, of which 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

func sortedKeys[V any, K cmp.Ordered](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
