package logs

import (
	"slices"
	"strings"

	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/state"
)

const (
	kept      = 100000   // lines remembered
	bytesKept = 64 << 20 // of messages remembered
	together  = 64       // entries in one piece of memory
	viewMost  = 16 << 10 // bytes of a message that are shown and searched; saving has all
)

// entry is a line of a log. It is immutable but for what only drawing uses.
type entry struct {
	journal.Entry
	view   string // what is shown of it: safe for a terminal, and not too long
	hues   []hue  // the colours its writer gave it
	urgent bool   // an error: by its priority, or by its words where the writer set none

	// For the goroutine that draws.
	width int // the lines below are broken for
	lines []string
}

func newEntry(l journal.Entry) *entry {
	e := &entry{}
	e.fill(l)
	return e
}

// fill makes an entry that of a line.
func (e *entry) fill(l journal.Entry) {
	e.Entry = l
	text := l.Message
	if l.Kind != "" {
		text = l.Text
	}
	if len(text) > viewMost {
		text = strings.ToValidUTF8(text[:viewMost], "") + " …"
	}
	text, e.hues = takeColours(text)
	e.view = draw.Clean(text)
	if len(e.hues) > 0 && e.view != text { // what is shown of it is longer: the colours would be at other places
		e.hues = moved(text, e.hues)
	}
	e.urgent = l.Kind == "" && journal.IsError(l.Priority, e.view)
}

// textBytes is how much text an entry has.
func textBytes(e *journal.Entry) int { return len(e.Message) + len(e.Text) }

// broken is the text in lines of at most w columns.
func (e *entry) broken(w int) []string {
	if e.width != w || e.lines == nil {
		e.width, e.lines = w, draw.Wrap(e.view, w)
	}
	return e.lines
}

// hasFold reports whether text has a word in it, which is in lower case.
func hasFold(text, word string) bool {
	if word == "" {
		return true
	}
	first := word[0]
	for i := 0; i+len(word) <= len(text); i++ {
		switch c := text[i]; {
		case c >= 0x80 || first >= 0x80:
			return strings.Contains(strings.ToLower(text[i:]), word)
		case c == first || c >= 'A' && c <= 'Z' && c|0x20 == first:
			if strings.EqualFold(text[i:i+len(word)], word) {
				return true
			}
		}
	}
	return false
}

// page is what a lineBuffer has at one moment. It is immutable and safe to share.
type page struct {
	all     []*entry // by time
	shown   []*entry // those that pass the filter
	filter  state.Query
	passed  uint64 // entries that ever passed this filter
	dropped int    // older ones that there was no room for

	histogram histogram // of those shown
}

// lineBuffer collects a bounded number of entries by time, and those of them that
// pass a filter. It belongs to one goroutine; its pages do not.
type lineBuffer struct {
	page
	bytes   int
	called  func(id string) string
	counted bool // the histogram isn't that of the last page handed out
	last    histogram
}

// publish returns the page to be shared.
func (b *lineBuffer) publish() page {
	if b.counted {
		b.last, b.counted = b.histogram.clone(), false
	}
	p := b.page
	p.histogram = b.last
	return p
}

// add puts lines in, in one pass however many and however old they are. Slices
// of pages that were handed out are only appended to behind their ends.
func (b *lineBuffer) add(lines []journal.Entry) {
	if len(lines) == 0 {
		return
	}
	fresh := make([]*entry, len(lines))
	sorted := true
	var room []entry // for some of them, as one piece of memory
	for i, l := range lines {
		if len(room) == 0 {
			room = make([]entry, min(together, len(lines)-i))
		}
		fresh[i], room = &room[0], room[1:]
		fresh[i].fill(l)
		b.bytes += textBytes(&fresh[i].Entry)
		sorted = sorted && (i == 0 || !l.Time.Before(lines[i-1].Time))
	}
	if !sorted {
		slices.SortStableFunc(fresh, func(a, b *entry) int { return a.Time.Compare(b.Time) })
	}
	fresh = b.trim(fresh)
	b.all = merge(b.all, fresh)
	passing := fresh
	if !b.filter.Empty() {
		passing = nil
		for _, e := range fresh {
			if b.passes(e) {
				passing = append(passing, e)
			}
		}
	}
	b.passed += uint64(len(passing))
	b.histogram.add(passing)
	b.counted = true
	if b.filter.Empty() {
		b.shown = b.all
	} else {
		b.shown = merge(b.shown, passing)
	}
}

// trim drops the oldest entries of the line buffer and of those to come until all have
// room, and returns what is left of those to come.
func (b *lineBuffer) trim(fresh []*entry) []*entry {
	for n := len(b.all) + len(fresh); n > kept || b.bytes > bytesKept && n > 1; n-- {
		var e *entry
		if len(b.all) > 0 && (len(fresh) == 0 || !fresh[0].Time.Before(b.all[0].Time)) {
			e, b.all = b.all[0], b.all[1:]
			if len(b.shown) > 0 && b.shown[0] == e {
				b.shown = b.shown[1:]
				b.histogram.remove(e)
			}
		} else {
			e, fresh = fresh[0], fresh[1:]
		}
		b.bytes -= textBytes(&e.Entry)
		b.dropped++
	}
	return fresh
}

// merge is two lists by time as one; of the same time, the old ones come first.
func merge(old, fresh []*entry) []*entry {
	if len(old) == 0 || len(fresh) == 0 || !fresh[0].Time.Before(old[len(old)-1].Time) {
		return append(old, fresh...)
	}
	// What is older than all that is new stays as it is.
	at, _ := slices.BinarySearchFunc(old, fresh[0], func(e, first *entry) int {
		if e.Time.After(first.Time) {
			return 1
		}
		return -1
	})
	out := make([]*entry, 0, len(old)+len(fresh)+len(old)/8)
	out, old = append(out, old[:at]...), old[at:]
	for len(old) > 0 && len(fresh) > 0 {
		if fresh[0].Time.Before(old[0].Time) {
			out, fresh = append(out, fresh[0]), fresh[1:]
		} else {
			out, old = append(out, old[0]), old[1:]
		}
	}
	return append(append(out, old...), fresh...)
}

// setFilter changes what is shown.
func (b *lineBuffer) setFilter(q state.Query) {
	if b.filter.String() == q.String() {
		return
	}
	b.filter, b.shown = q, b.all
	if !q.Empty() {
		b.shown = nil
		for _, e := range b.all {
			if b.passes(e) {
				b.shown = append(b.shown, e)
			}
		}
	}
	b.passed = uint64(len(b.shown))
	b.histogram = histogram{}
	b.histogram.add(b.shown)
	b.counted = true
}

func (b *lineBuffer) passes(e *entry) bool {
	if b.filter.Empty() || e.Kind != "" {
		return true
	}
	return b.filter.Match(strings.ToLower(e.view), func(key string) (string, bool) {
		switch key {
		case "unit":
			return strings.ToLower(e.Unit), true
		case "machine":
			return strings.ToLower(b.called(e.Machine)) + " " + e.Machine, true
		case "priority":
			return journal.PriorityName(e.Priority), true
		}
		v, ok := e.Fields[strings.ToUpper(key)]
		return strings.ToLower(v), ok
	})
}

// find is the nearest entry from an index on that holds, in a direction, or -1.
func (p *page) find(from, step int, holds func(*entry) bool) int {
	for i := from; i >= 0 && i < len(p.shown); i += step {
		if holds(p.shown[i]) {
			return i
		}
	}
	return -1
}

// index of an entry among those shown; the nearest one if it isn't there.
func (p *page) index(e *entry) int {
	if e == nil || len(p.shown) == 0 {
		return 0
	}
	if i := slices.Index(p.shown, e); i >= 0 {
		return i
	}
	i, _ := slices.BinarySearchFunc(p.shown, e, func(a, b *entry) int { return a.Time.Compare(b.Time) })
	return min(i, len(p.shown)-1)
}
