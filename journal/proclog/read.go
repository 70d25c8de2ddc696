package proclog

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"

	"fleettop/journal"
	"fleettop/units/safefile"
)

// position is how far each unit's file counts, by unit.
type position map[string]place

type place struct {
	id  uint64
	end int64
}

// Read implements journal.Source.
func (s *Store) Read(ctx context.Context, units []string, q journal.Query, upTo journal.Position,
	f func(journal.Entry) error) (journal.Cursor, error) {
	var after *cursor
	if q.After != "" {
		c, err := parseCursor(q.After)
		if err != nil {
			return "", err
		}
		after = &c
	}
	at, bounded := upTo.(position)
	var open []*lines
	defer func() {
		for _, l := range open {
			l.f.Close()
		}
	}()
	s.mu.Lock()
	end := cursor{tick: s.tick}.text()
	for _, unit := range slices.Compact(slices.Sorted(slices.Values(units))) {
		l := s.logs[unit]
		if l == nil {
			continue
		}
		file, err := safefile.Open(s.path(unit))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			s.mu.Unlock()
			return "", err
		}
		in := s.lines(file, unit, l.index)
		in.partial = true
		open = append(open, in)
		if p, ok := at[unit]; bounded {
			in.partial = false
			if !ok || p.id != in.x.id {
				in.end = in.x.head
			} else {
				in.end = min(in.end, p.end)
			}
		}
	}
	s.mu.Unlock()
	var merged []*lines
	for _, in := range open {
		from := in.x.head
		if !q.Since.IsZero() {
			from = in.x.since(q.Since.UnixNano())
		}
		if after != nil && after.id != in.x.id {
			from = max(from, after.behind(in.x))
		}
		from = lineStart(in.f, in.x.head, from)
		if after != nil && after.id == in.x.id {
			from = max(from, after.end)
		}
		in.exactly(from)
		if !q.Until.IsZero() {
			if end := in.x.until(q.Until.UnixNano()); end < in.end {
				in.end, in.partial = end, false
			}
		}
		merged = append(merged, in)
	}
	switch {
	case q.Lines < 0:
		return end, nil
	case q.Lines > 0:
		return end, newest(ctx, merged, &q, f)
	}
	return end, forward(ctx, merged, &q, f)
}

// lines returns a reader of a unit's file; s.mu is held.
func (s *Store) lines(f *os.File, unit string, x *index) *lines {
	return &lines{f: f, x: x.clone(), unit: unit, machine: s.opts.Machine, end: x.end(), head: func() int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l := s.logs[unit]; l != nil && l.id == x.id {
			return l.head
		}
		return math.MaxInt64 // emptied, or another file
	}}
}

// since is the offset before which everything was noticed before a time.
func (x *index) since(ns int64) int64 {
	from := x.head
	for _, s := range x.stamps {
		if s.at >= ns {
			return from
		}
		from = s.end
	}
	return from
}

// until is the offset behind which everything was noticed after a time.
func (x *index) until(ns int64) int64 {
	for _, s := range slices.Backward(x.stamps) {
		if s.at <= ns {
			return s.end
		}
	}
	return x.head
}

// forward merges files by the order in which their lines were noticed.
func forward(ctx context.Context, list []*lines, q *journal.Query, f func(journal.Entry) error) error {
	heads := make([]journal.Entry, len(list))
	ticks := make([]int64, len(list))
	advance := func(i int) error {
		for n := 0; ; n++ {
			if n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			e, ok, err := list[i].next()
			if err != nil {
				return err
			}
			if !ok {
				list[i] = nil
				return nil
			}
			if q.Match(&e) {
				heads[i], ticks[i] = e, list[i].x.of(list[i].at).tick
				return nil
			}
		}
	}
	for i := range list {
		if err := advance(i); err != nil {
			return err
		}
	}
	for {
		least := -1
		for i, l := range list {
			if l != nil && (least < 0 || ticks[i] < ticks[least]) {
				least = i
			}
		}
		if least < 0 {
			return nil
		}
		if err := f(heads[least]); err != nil {
			return err
		}
		if err := advance(least); err != nil {
			return err
		}
	}
}

// newest calls f for the last so many lines of all files together. It looks
// at ever longer ends of each.
func newest(ctx context.Context, list []*lines, q *journal.Query, f func(journal.Entry) error) error {
	type found struct {
		tick int64
		journal.Entry
	}
	var all []found
	for _, in := range list {
		floor, end := in.at, in.end
		var got []found
		for span := int64(64 << 10); ; span *= 8 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			got = got[:0]
			if end-span <= floor {
				in.exactly(floor)
			} else {
				in.start(end - span)
			}
			for {
				e, ok, err := in.next()
				if err != nil {
					return err
				}
				if !ok {
					break
				}
				if q.Match(&e) {
					got = append(got, found{in.x.of(in.at).tick, e})
				}
			}
			if len(got) >= q.Lines || end-span <= floor {
				break
			}
		}
		all = append(all, got[max(0, len(got)-q.Lines):]...)
	}
	slices.SortStableFunc(all, func(a, b found) int {
		switch {
		case a.tick < b.tick:
			return -1
		case a.tick > b.tick:
			return 1
		}
		return 0
	})
	for _, e := range all[max(0, len(all)-q.Lines):] {
		if err := f(e.Entry); err != nil {
			return err
		}
	}
	return nil
}
