package journald

import (
	"bytes"
	"container/heap"
	"context"
	"slices"

	"fleettop/journal"
)

// reading is one Read at work.
type reading struct {
	src    *Source
	wanted journal.Wanted
	q      *journal.Query
	after  *cursor
	runs   runs
	ends   []*run // of each file, at its last entry
}

// run is what one file has for a reading, in order.
type run struct {
	d    *decoder
	list []uint64 // offsets of entries; those that are done are cut off
	head entry    // the next one
	back bool     // from the end
}

// add looks up what a file has up to its entry at last.
func (r *reading) add(f *file, last uint64) {
	d := newDecoder(f, &r.src.opts)
	end := &run{d: d}
	if _, err := f.entryHead(last, &end.head); err == nil {
		r.ends = append(r.ends, end)
	}
	if r.q.Lines < 0 {
		return
	}
	var list []uint64
	names := make([]string, 0, 4)
	for name, role := range d.roles {
		if role == roleUnit || role == roleAbout {
			names = append(names, name)
		}
	}
	found := 0
	for unit := range r.wanted.Units {
		for _, name := range names {
			some, _ := f.with(bytes.Join([][]byte{[]byte(name), []byte(unit)}, []byte{'='}), &d.unpack)
			if len(some) > 0 {
				found++
				list = append(list, some...)
			}
		}
	}
	if found > 1 {
		slices.Sort(list)
		list = slices.Compact(list)
	}
	// Entries lie in a file in the order they were logged.
	cut, whole := slices.BinarySearch(list, last)
	if whole {
		cut++
	}
	list = list[:cut]
	if !whole && last != 0 {
		// journald counts an entry before its fields know of it.
		if _, wanted := d.decode(last, &r.wanted); wanted {
			list = append(list, last)
		}
	}
	if !r.q.Since.IsZero() {
		since := uint64(max(0, r.q.Since.UnixMicro()))
		list = list[f.search(list, func(e *entry) bool { return e.realtime >= since }):]
	}
	if !r.q.Until.IsZero() {
		until := uint64(max(0, r.q.Until.UnixMicro()))
		list = list[:f.search(list, func(e *entry) bool { return e.realtime > until })]
	}
	if r.after != nil {
		list = list[f.search(list, func(e *entry) bool { return r.after.before(f, e) }):]
	}
	if len(list) > 0 {
		r.runs = append(r.runs, &run{d: d, list: list, back: r.q.Lines > 0})
	}
}

func (r *reading) close() {
	for _, run := range r.ends {
		run.d.unpack.close()
	}
}

// cursor is that of the newest entry of all.
func (r *reading) cursor() journal.Cursor {
	var last *run
	for _, e := range r.ends {
		if last == nil || compare(last.d.f, &last.head, e.d.f, &e.head) < 0 {
			last = e
		}
	}
	if last == nil {
		return ""
	}
	return journal.Cursor(last.d.f.cursor(&last.head).String())
}

// next is the offset of a run's next entry.
func (r *run) next() uint64 {
	if r.back {
		return r.list[len(r.list)-1]
	}
	return r.list[0]
}

func (r *run) advance() {
	if r.back {
		r.list = r.list[:len(r.list)-1]
	} else {
		r.list = r.list[1:]
	}
}

// load reads the head of the next entry, leaving out what can't be; false at the end.
func (r *run) load() bool {
	for len(r.list) > 0 {
		if _, err := r.d.f.entryHead(r.next(), &r.head); err == nil {
			return true
		}
		r.advance()
	}
	return false
}

// forward calls f for each entry wanted, oldest first.
func (r *reading) forward(ctx context.Context, f func(journal.Entry) error) error {
	return r.each(ctx, func(e journal.Entry) (bool, error) { return true, f(e) })
}

// newest calls f for the last so many entries wanted, oldest first.
func (r *reading) newest(ctx context.Context, f func(journal.Entry) error) error {
	var list []journal.Entry
	err := r.each(ctx, func(e journal.Entry) (bool, error) {
		list = append(list, e)
		return len(list) < r.q.Lines, nil
	})
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(list) {
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// each calls f for each entry wanted in the order of the runs, until it says
// that there are enough.
func (r *reading) each(ctx context.Context, f func(journal.Entry) (more bool, err error)) error {
	r.runs = slices.DeleteFunc(r.runs, func(run *run) bool { return !run.load() })
	heap.Init(&r.runs)
	var last entry
	for n := 0; len(r.runs) > 0; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		run := r.runs[0]
		offset, copied := run.next(), n > 0 && same(&last, &run.head)
		last = run.head
		last.items = nil
		if !copied {
			e, ok := run.d.decode(offset, &r.wanted)
			if ok && r.q.Match(&e) {
				if more, err := f(e); err != nil || !more {
					return err
				}
			}
		}
		run.advance()
		if run.load() {
			heap.Fix(&r.runs, 0)
		} else {
			heap.Pop(&r.runs)
		}
	}
	return nil
}

// runs is a heap by the next entry.
type runs []*run

func (h runs) Len() int { return len(h) }
func (h runs) Less(i, j int) bool {
	c := compare(h[i].d.f, &h[i].head, h[j].d.f, &h[j].head)
	if h[i].back {
		return c > 0
	}
	return c < 0
}
func (h runs) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runs) Push(x any)   { *h = append(*h, x.(*run)) }
func (h *runs) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}
