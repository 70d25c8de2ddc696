package logs

import (
	"slices"
	"strings"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/state"
)

// entry is a line of a log, prepared for showing.
type entry struct {
	api.LogLine
	gone  bool     // fell out of the book
	hay   string   // in lower case, made when first searched
	width int      // the lines below are broken for
	lines []string // nil until shown
}

// low is the text in lower case.
func (e *entry) low() string {
	if e.hay == "" {
		e.hay = strings.ToLower(e.text())
	}
	return e.hay
}

func (e *entry) text() string {
	if e.Kind != "" {
		return e.Text
	}
	return e.Message
}

// broken is the text in lines of at most w columns.
func (e *entry) broken(w int) []string {
	if e.width != w || e.lines == nil {
		e.width, e.lines = w, draw.Wrap(e.text(), w)
	}
	return e.lines
}

// urgent tells whether an entry is an error: by its priority, or by its words
// where the writer set none.
func (e *entry) urgent() bool {
	if e.Kind != "" {
		return false
	}
	if e.Priority <= 3 {
		return true
	}
	low := e.low()
	return strings.Contains(low, "error") || strings.Contains(low, "fatal") || strings.Contains(low, "panic")
}

// book is a bounded number of entries by time, and those of them that pass a filter.
type book struct {
	all     []*entry
	shown   []*entry // a part of all, or the same without a filter
	filter  state.Query
	called  func(id string) string
	dropped int
	errors  int
}

// add puts lines in. What comes in order, as nearly all does, is only appended.
func (b *book) add(lines []api.LogLine) {
	for _, l := range lines {
		e := &entry{LogLine: l}
		b.all = insert(b.all, e)
		if b.passes(e) {
			b.shown = insert(b.shown, e)
		}
		if e.urgent() {
			b.errors++
		}
	}
	b.trim()
}

func insert(list []*entry, e *entry) []*entry {
	at := len(list)
	for at > 0 && list[at-1].Time.After(e.Time) {
		at--
	}
	if at == len(list) {
		return append(list, e)
	}
	return slices.Insert(list, at, e)
}

func (b *book) trim() {
	extra := len(b.all) - kept
	if extra <= 0 {
		return
	}
	for _, e := range b.all[:extra] {
		e.gone = true
	}
	b.dropped += extra
	b.all = b.all[extra:]
	n := 0
	for n < len(b.shown) && b.shown[n].gone {
		n++
	}
	b.shown = b.shown[n:]
}

// setFilter changes what is shown.
func (b *book) setFilter(q state.Query) {
	if b.filter.String() == q.String() {
		return
	}
	b.filter = q
	b.shown = nil
	for _, e := range b.all {
		if b.passes(e) {
			b.shown = append(b.shown, e)
		}
	}
}

var levels = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

func level(p int) string {
	if p >= 0 && p < len(levels) {
		return levels[p]
	}
	return ""
}

func (b *book) passes(e *entry) bool {
	if b.filter.Empty() || e.Kind != "" {
		return true
	}
	return b.filter.Match(e.low(), func(key string) (string, bool) {
		switch key {
		case "unit":
			return strings.ToLower(e.Unit), true
		case "machine":
			return strings.ToLower(b.called(e.Machine)) + " " + e.Machine, true
		case "priority":
			return level(e.Priority), true
		}
		v, ok := e.Fields[strings.ToUpper(key)]
		return strings.ToLower(v), ok
	})
}

// find is the nearest entry from an index on that holds, in a direction, or -1.
func (b *book) find(from, step int, holds func(*entry) bool) int {
	for i := from; i >= 0 && i < len(b.shown); i += step {
		if holds(b.shown[i]) {
			return i
		}
	}
	return -1
}
