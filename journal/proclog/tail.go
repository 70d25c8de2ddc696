package proclog

import (
	"maps"
	"slices"
	"time"

	"fleettop/journal"
	"fleettop/units/safefile"
)

const (
	nextMost = 4096 // lines that one call of Next returns of a unit
	// restless is how long the beginning of a line waits for its end.
	restless = time.Second
)

// tail follows units' files. It implements journal.Tail.
type tail struct {
	s    *Store
	wake chan struct{}

	// Guarded by s.mu.
	places  map[string]place
	changed map[string]bool
	lost    int
	reads   map[string]*reading // under way

	waiting map[string]time.Time // units whose last line has no end, and since when
	timer   *time.Timer
}

// reading is of a unit's file, and goes on without s.mu.
type reading struct {
	id   uint64
	head int64 // what is before it was counted as lost meanwhile
}

// Tail implements journal.Source.
func (s *Store) Tail() (journal.Tail, error) {
	t := &tail{s: s, wake: make(chan struct{}, 1), places: map[string]place{}, changed: map[string]bool{},
		reads: map[string]*reading{}, waiting: map[string]time.Time{}}
	t.timer = time.AfterFunc(time.Hour, t.again)
	t.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tails[t] = struct{}{}
	return t, nil
}

// Wake implements journal.Tail.
func (t *tail) Wake() <-chan struct{} { return t.wake }

func (t *tail) again() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Close implements journal.Tail.
func (t *tail) Close() error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	delete(t.s.tails, t)
	t.timer.Stop()
	return nil
}

// notice is told of a file that has grown; s.mu is held.
func (t *tail) notice(unit string) {
	if _, ok := t.places[unit]; ok {
		t.changed[unit] = true
		t.again()
	}
}

// behind returns where a tail is in a unit's file, if that is before head; s.mu is held.
func (t *tail) behind(unit string, id uint64, head int64) (from int64, ok bool) {
	p, ok := t.places[unit]
	return p.end, ok && p.id == id && p.end < head
}

// passed moves a tail on to the beginning of a file that was cut; s.mu is held.
func (t *tail) passed(unit string, head place, lost int) {
	t.lost += lost
	t.places[unit] = head
	if r := t.reads[unit]; r != nil && r.id == head.id {
		r.head = head.end
	}
}

// Position implements journal.Tail: units that are new begin where they end now.
func (t *tail) Position(units []string) journal.Position {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, unit := range units {
		if _, ok := t.places[unit]; ok {
			continue
		}
		p := place{}
		if l := t.s.logs[unit]; l != nil {
			p = place{l.id, t.lineStart(unit, l)}
		}
		t.places[unit] = p
	}
	return position(maps.Clone(t.places))
}

// lineStart is where the line that is being written begins.
func (t *tail) lineStart(unit string, l *unitLog) int64 {
	f, err := safefile.Open(t.s.path(unit))
	if err != nil {
		return l.end()
	}
	defer f.Close()
	return lineStart(f, l.head, l.end())
}

// Next implements journal.Tail.
func (t *tail) Next(wanted journal.Wanted) (list []journal.Entry, lost int, err error) {
	t.s.mu.Lock()
	lost, t.lost = t.lost, 0
	var open []*lines
	for unit := range t.places {
		if !wanted.Units[unit] {
			delete(t.places, unit)
			delete(t.changed, unit)
			delete(t.waiting, unit)
		}
	}
	now := t.s.now()
	for unit := range wanted.Units {
		p, known := t.places[unit]
		l := t.s.logs[unit]
		due := !t.waiting[unit].IsZero() && now.Sub(t.waiting[unit]) >= restless
		if l == nil || known && !t.changed[unit] && !due {
			if !known {
				t.places[unit] = place{}
			}
			continue
		}
		delete(t.changed, unit)
		if !known {
			p = place{l.id, l.end()}
		}
		if p.id != l.id { // the file is another now
			p = place{l.id, l.head}
		}
		t.places[unit] = p
		f, openErr := safefile.Open(t.s.path(unit))
		if openErr != nil {
			continue
		}
		in := t.s.lines(f, unit, l.index)
		in.partial = due
		in.exactly(p.end)
		open = append(open, in)
		t.reads[unit] = &reading{id: p.id}
	}
	t.s.mu.Unlock()

	type found struct {
		tick int64
		journal.Entry
	}
	var got []found
	more := false
	for _, in := range open {
		var begins []int64 // of the lines
		for n := 0; err == nil; n++ {
			if n == nextMost {
				more = true
				t.s.mu.Lock()
				t.changed[in.unit] = true
				t.s.mu.Unlock()
				break
			}
			var e journal.Entry
			var ok bool
			if e, ok, err = in.next(); err != nil || !ok {
				break
			}
			got = append(got, found{in.x.of(in.at).tick, e})
			begins = append(begins, in.began)
		}
		in.f.Close()
		t.arrived(in, begins, now)
	}
	if more {
		t.again()
	}
	slices.SortStableFunc(got, func(a, b found) int { return int(min(1, max(-1, a.tick-b.tick))) })
	for _, e := range got {
		list = append(list, e.Entry)
	}
	return list, lost, err
}

// arrived notes how far a file was read, and which lines were.
func (t *tail) arrived(in *lines, begins []int64, now time.Time) {
	t.s.mu.Lock()
	if r := t.reads[in.unit]; r != nil {
		// Lines that were read while they were cut away aren't lost.
		told, _ := slices.BinarySearch(begins, r.head)
		t.lost = max(0, t.lost-told)
		delete(t.reads, in.unit)
	}
	if p := t.places[in.unit]; p.id == in.x.id && p.end < in.at {
		t.places[in.unit] = place{in.x.id, in.at}
	}
	t.s.mu.Unlock()
	if in.at < in.end {
		if t.waiting[in.unit].IsZero() || in.partial {
			t.waiting[in.unit] = now
		}
		t.timer.Reset(restless)
	} else {
		delete(t.waiting, in.unit)
	}
}
