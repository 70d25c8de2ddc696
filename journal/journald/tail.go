package journald

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"fleettop/journal"
)

const (
	// lookEvery is how often the files are asked for new entries while
	// somebody follows: reading two hundred bytes, where journald would let
	// its readers wait for 250 ms.
	lookEvery = 20 * time.Millisecond
	// scanEvery is the longest time between two looks at the directories;
	// most changes show in their modification times.
	scanEvery = 2 * time.Second
	// nextMost is how many entries of a file Next looks at in one call.
	nextMost = 4096
)

// tail follows the files that are written to. It implements journal.Tail.
type tail struct {
	src     *Source
	wake    chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup
	watcher *dirWatcher // nil without one

	files   map[[16]byte]*activeFile
	passed  position // files that are done with, or that were full already
	dirs    []time.Time
	scanned time.Time
	// lastVolatile is the last entry that was read from memory: what turns up on
	// disk with an earlier one's time is a copy.
	lastVolatile entry
}

// activeFile is a file that may get more entries.
type activeFile struct {
	d        *decoder
	inMemory bool
	done     uint64 // entries that were looked at
	last     uint64 // the offset of the last of them
	rest     bool   // it was replaced: when all is read it is done with
	offsets  []uint64
}

// Tail implements journal.Source.
func (s *Source) Tail() (journal.Tail, error) {
	t := &tail{src: s, wake: make(chan struct{}, 1), stop: make(chan struct{}), watcher: newDirWatcher(),
		files: map[[16]byte]*activeFile{}, passed: position{}}
	if t.watcher != nil {
		t.done.Go(func() { t.watcher.listen(t.again) })
	}
	t.done.Go(t.look)
	if err := t.scan(true); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// look asks for new entries, over and over.
func (t *tail) look() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-tick.C:
			t.again()
		}
	}
}

func (t *tail) again() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Wake implements journal.Tail.
func (t *tail) Wake() <-chan struct{} { return t.wake }

// Close implements journal.Tail.
func (t *tail) Close() error {
	close(t.stop)
	if t.watcher != nil {
		t.watcher.close()
	}
	t.done.Wait()
	for _, g := range t.files {
		g.d.close()
	}
	return nil
}

// Position implements journal.Tail. It is the same for all units.
func (t *tail) Position([]string) journal.Position {
	p := maps.Clone(t.passed)
	for id, g := range t.files {
		p[id] = g.last
	}
	return p
}

// scan looks for files. What is there at first counts as read.
func (t *tail) scan(first bool) error {
	if t.watcher != nil {
		t.watcher.watch(t.src.opts.Dirs)
	}
	t.dirs, t.scanned = t.src.changed(), time.Now()
	files, making, err := t.src.open()
	if err != nil {
		return err
	}
	if making {
		t.scanned = time.Time{} // soon again: this doesn't show in the directory's time
	}
	seen := map[[16]byte]string{}
	for _, f := range files {
		_, passed := t.passed[f.fileID]
		_, growing := t.files[f.fileID]
		if !passed {
			seen[f.fileID] = f.path
		}
		if passed || growing {
			f.close()
			continue
		}
		t.take(f, first)
	}
	for id, g := range t.files {
		if path, ok := seen[id]; !ok || path != g.d.f.path {
			g.rest = true // archived under another name, or vacuumed
		}
	}
	return nil
}

// take begins with a file.
func (t *tail) take(f *file, first bool) {
	if first && f.state == stateArchived {
		t.passed[f.fileID] = f.lastOffset()
		f.close()
		return
	}
	g := &activeFile{d: newDecoder(f, &t.src.opts), rest: f.state == stateArchived, inMemory: t.src.inMemory(f.path)}
	if first {
		g.done, g.last = f.entries, f.lastOffset()
		if g.inMemory && g.last != 0 {
			t.remember(g, g.last)
		}
	}
	t.files[f.fileID] = g
}

// remember notes the last entry read from memory.
func (t *tail) remember(g *activeFile, offset uint64) {
	var e entry
	if _, err := g.d.f.entryHead(offset, &e); err == nil {
		e.items = nil
		t.lastVolatile = e
	}
}

// stale reports whether the directories have changed.
func (t *tail) stale() bool {
	return time.Since(t.scanned) > scanEvery || !slices.EqualFunc(t.dirs, t.src.changed(), time.Time.Equal)
}

// Next implements journal.Tail.
func (t *tail) Next(wanted journal.Wanted) (list []journal.Entry, lost int, err error) {
	changed := t.stale()
	var got []found
	more := false
	for _, id := range slices.SortedFunc(maps.Keys(t.files), func(a,
		b [16]byte) int {
		return slices.Compare(a[:], b[:])
	}) {
		g := t.files[id]
		if err := g.d.f.refresh(); err != nil {
			t.drop(id, g)
			continue
		}
		archived := g.d.f.state == stateArchived
		got = t.read(g, &wanted, got)
		switch left := g.done < g.d.f.entries; {
		case left:
			more = true
		case g.rest:
			t.drop(id, g)
		case archived:
			g.rest, changed = true, true // its successor is there, or will be
		}
	}
	if changed {
		if err := t.scan(false); err != nil {
			return nil, 0, err
		}
		more = true
	}
	if more {
		t.again()
	}
	slices.SortStableFunc(got, func(a, b found) int { return compare(a.f, &a.head, b.f, &b.head) })
	for _, e := range got {
		list = append(list, e.Entry)
	}
	return list, 0, nil
}

// found is an entry wanted, with what it is ordered by.
type found struct {
	f    *file
	head entry
	journal.Entry
}

// read looks at the new entries of a file.
func (t *tail) read(g *activeFile, wanted *journal.Wanted, got []found) []found {
	f := g.d.f
	var err error
	if g.offsets, err = f.all(g.offsets[:0], g.done, min(f.entries-min(g.done, f.entries), nextMost)); err != nil &&
		len(g.offsets) == 0 {
		return got // damaged, or not written yet
	}
	for _, o := range g.offsets {
		if o == 0 {
			break
		}
		g.done, g.last = g.done+1, o
		e, ok := g.d.decode(o, wanted)
		if !ok || !g.inMemory && t.copied(&g.d.e) {
			continue
		}
		head := g.d.e
		head.items = nil
		got = append(got, found{f, head, e})
	}
	if g.inMemory && g.last != 0 && len(g.offsets) > 0 {
		t.remember(g, g.last)
	}
	return got
}

// copied reports whether an entry on disk is one that was read from memory.
func (t *tail) copied(e *entry) bool {
	return e.boot == t.lastVolatile.boot && e.monotonic <= t.lastVolatile.monotonic
}

// drop lets go of a file; where it ended stays known.
func (t *tail) drop(id [16]byte, g *activeFile) {
	t.passed[id] = g.last
	g.d.close()
	delete(t.files, id)
}
