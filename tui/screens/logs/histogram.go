package logs

import (
	"time"

	"fleettop/journal"
)

// binsMost is how many spans of time a histogram tells apart.
const binsMost = 1024

// bin counts the lines of a span of time.
type bin struct{ errors, warnings, others uint32 }

func (b bin) total() int { return int(b.errors) + int(b.warnings) + int(b.others) }

// histogram counts lines by time and by how urgent they are. It is kept up to date line by line; when it covers too
// long a time, two bins become one.
type histogram struct {
	width time.Duration // of a bin
	first int64         // which multiple of the width list begins at
	list  []bin
}

func (h *histogram) clone() histogram {
	c := *h
	c.list = append([]bin(nil), h.list...)
	return c
}

// add counts lines, which are by time.
func (h *histogram) add(lines []*entry) {
	var from, to *entry
	for _, e := range lines {
		if e.Kind == "" {
			if from == nil {
				from = e
			}
			to = e
		}
	}
	if from == nil {
		return
	}
	h.cover(from.Time, to.Time)
	for _, e := range lines {
		if n := h.of(e); n != nil {
			*n++
		}
	}
}

// remove takes a line away that was counted.
func (h *histogram) remove(e *entry) {
	if n := h.of(e); n != nil {
		*n--
	}
	cut := 0
	for cut < len(h.list) && h.list[cut] == (bin{}) {
		cut++
	}
	h.list, h.first = h.list[cut:], h.first+int64(cut)
}

// of is the counter of a line; nil where it isn't counted.
func (h *histogram) of(e *entry) *uint32 {
	if e.Kind != "" || len(h.list) == 0 {
		return nil
	}
	i := int(multiple(e.Time, h.width) - h.first)
	if i < 0 || i >= len(h.list) {
		return nil
	}
	switch b := &h.list[i]; {
	case e.urgent:
		return &b.errors
	case e.Priority == journal.Warning:
		return &b.warnings
	default:
		return &b.others
	}
}

// multiple is which multiple of a width a time lies in.
func multiple(t time.Time, width time.Duration) int64 {
	ns, w := t.UnixNano(), int64(width)
	n := ns / w
	if ns%w < 0 {
		n--
	}
	return n
}

// cover makes room for all times between two.
func (h *histogram) cover(from, to time.Time) {
	if h.width == 0 {
		h.width = 10 * time.Millisecond
	}
	if len(h.list) == 0 {
		h.first = multiple(from, h.width)
	}
	first, last := h.bounds(from, to)
	for last-first >= binsMost {
		h.halve()
		first, last = h.bounds(from, to)
	}
	if before := int(h.first - first); before > 0 {
		h.list = append(make([]bin, before, before+len(h.list)), h.list...)
		h.first = first
	}
	if more := int(last-first) + 1 - len(h.list); more > 0 {
		h.list = append(h.list, make([]bin, more)...)
	}
}

// bounds are the first and the last multiple of the width, of what is there and two times.
func (h *histogram) bounds(from, to time.Time) (first, last int64) {
	first, last = multiple(from, h.width), multiple(to, h.width)
	if len(h.list) > 0 {
		first, last = min(first, h.first), max(last, h.first+int64(len(h.list))-1)
	}
	return first, last
}

// halve makes two bins one.
func (h *histogram) halve() {
	h.width *= 2
	was := h.first
	h.first = was >> 1
	var list []bin
	for i, b := range h.list {
		at := int((was+int64(i))>>1 - h.first)
		if at == len(list) {
			list = append(list, bin{})
		}
		list[at] = list[at].plus(b)
	}
	h.list = list
}

func (b bin) plus(o bin) bin {
	return bin{b.errors + o.errors, b.warnings + o.warnings, b.others + o.others}
}

// columns are so many spans of the time between two, with what was logged in each.
func (h *histogram) columns(from, to time.Time, n int) []bin {
	out := make([]bin, n)
	for i, b := range h.list {
		if b == (bin{}) {
			continue
		}
		middle := time.Unix(0, (h.first+int64(i))*int64(h.width)+int64(h.width)/2)
		at := column(middle, from, to, n)
		out[at] = out[at].plus(b)
	}
	return out
}

// column is which of n spans of the time between two a time is in, or the nearest.
func column(t, from, to time.Time, n int) int {
	whole := to.Sub(from)
	if whole <= 0 {
		return n - 1
	}
	return max(0, min(n-1, int(float64(t.Sub(from))/float64(whole)*float64(n))))
}
