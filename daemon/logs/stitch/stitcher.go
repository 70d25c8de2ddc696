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
	units     []string             // that are meant, at present
	positions map[string]string    // how far each machine was read
	untold    map[string]bool      // machines whose past was not told yet
	newest    map[string]time.Time // time of the last line of each machine
	live      map[string]bool      // machines whose lines are of the present
	on        map[string]bool      // machines that have one of the units
	had       map[string]time.Time // when each machine had one of the units last
	owed      map[string]bool      // machines to read once more when they can be; true where that is announced
	failures  map[string]string    // of each machine, what was last said of why it can't be read

	readers map[string]*Reader // by machine
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
	s := &Stitcher{
		Request:   r,
		snap:      snap,
		health:    health,
		positions: map[string]string{},
		owed:      map[string]bool{},
		live:      map[string]bool{},
		had:       map[string]time.Time{},
		newest:    map[string]time.Time{},
		untold:    map[string]bool{},
		failures:  map[string]string{},
		readers:   map[string]*Reader{},
		merger:    journal.NewMerger[item](window),
		moves:     newMoves(),
	}
	maps.Copy(s.positions, r.After)
	s.units = known(snap, r.Names)
	s.backfill.open = true
	if len(r.After) > 0 {
		s.Lines = 0
	}
	s.backfill.lines = max(0, s.Lines)
	for id := range snap.Machines {
		s.untold[id] = s.Lines >= 0 && s.positions[id] == ""
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
		if e.Kind == journal.KindPosition {
			r.answered = true
			if r.older {
				s.setLive(r)
				continue // it is behind what this reader reads
			}
		}
		if e.Cursor != "" {
			s.positions[r.Machine] = string(e.Cursor)
		}
		it := item{Entry: *e, from: r, past: !r.live}
		if it.past {
			s.backfill.queued++
		}
		r.lines++
		r.bytes += e.Size()
		if e.Kind == "" { // what is said between lines has the time it was said at, and holds up no line
			s.newest[r.Machine] = e.Time
		}
		s.merger.Add(r.Machine, it, s.newest[r.Machine], now)
		if e.Kind == journal.KindPosition {
			s.untold[r.Machine] = false
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
	if err == nil {
		if r.older {
			s.untold[r.Machine], s.owed[r.Machine], s.dirty = false, false, true
		}
		return
	}
	s.owed[r.Machine] = true
	if text := err.Error(); !r.again && s.failures[r.Machine] != text {
		s.failures[r.Machine] = text
		s.note(s.snap.Label(r.Machine)+" can't be asked for its lines: "+text, now)
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
		if it.past {
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

// emit hands on a line, or keeps it until the past is told.
func (s *Stitcher) emit(it item) {
	if s.backfill.open && !it.past {
		s.backfill.later = append(s.backfill.later, it)
		return
	}
	it.release()
	if it.Kind != journal.KindPosition || s.Positions {
		s.out = append(s.out, it.Entry)
	}
}

// release gives an item's room back to its reader.
func (it *item) release() {
	if r := it.from; r != nil {
		r.lines--
		r.bytes -= it.Size()
	}
}

// note adds a sentence.
func (s *Stitcher) note(text string, now time.Time) {
	s.emit(item{Entry: journal.Entry{Kind: journal.KindDivider, Time: now, Text: text}})
}

// sooner is the shorter of two times to wait, of which 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

func sortedKeys[V any, K cmp.Ordered](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
