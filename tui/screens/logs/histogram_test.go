package logs

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/journal"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// TestHistogramCounts adds and takes away lines of any times: each is counted once, by how urgent it is, in a bin of
// its time, and there are never too many bins.
func TestHistogramCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h histogram
		var have []*entry
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if n := len(have); n > 0 && rapid.Bool().Draw(t, "remove") {
				cut := rapid.IntRange(1, n).Draw(t, "removed")
				for _, e := range have[:cut] {
					h.remove(e)
				}
				have = have[cut:]
			}
			scale := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "scale")
			var fresh []*entry
			at := tuitest.Noon.Add(time.Duration(rapid.IntRange(-5000, 5000).Draw(t, "from")) * scale)
			for _, step := range rapid.SliceOfN(rapid.IntRange(0, 300), 0, 20).Draw(t, "times") {
				at = at.Add(time.Duration(step) * scale)
				kind := journal.Kind("")
				if step%13 == 0 {
					kind = journal.KindDivider
				}
				fresh = append(fresh, newEntry(journal.Entry{Kind: kind, Time: at, Priority: 2 + step%5}))
			}
			h.add(fresh)
			have = merge(have, fresh)
			if len(h.list) > binsMost {
				t.Fatalf("%d bins", len(h.list))
			}
			want := map[int64]bin{}
			for _, e := range have {
				if e.Kind != "" {
					continue
				}
				b := want[multiple(e.Time, h.width)]
				switch e.Priority {
				case 2, 3:
					b.errors++
				case 4:
					b.warnings++
				default:
					b.others++
				}
				want[multiple(e.Time, h.width)] = b
			}
			for i, b := range h.list {
				if at := h.first + int64(i); b != want[at] {
					t.Fatalf("bin %d has %+v, expected %+v", at, b, want[at])
				} else {
					delete(want, at)
				}
			}
			if len(want) > 0 {
				t.Fatalf("not counted: %+v", want)
			}
			if len(have) > 0 {
				sum := bin{}
				for _, c := range h.columns(have[0].Time, have[len(have)-1].Time, 60) {
					sum = sum.plus(c)
				}
				all := bin{}
				for _, b := range h.list {
					all = all.plus(b)
				}
				if sum != all {
					t.Fatalf("the columns have %+v, the bins %+v", sum, all)
				}
			}
		}
	})
}

// TestHistogramIsOfWhatIsShown: the line buffer keeps it up to date through filters and what is dropped.
func TestHistogramIsOfWhatIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := lineBuffer{called: func(id string) string { return id }}
		n := 0
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			var batch []journal.Entry
			for _, at := range rapid.SliceOfN(rapid.IntRange(0, 50), 0, 12).Draw(t, "times") {
				n++
				batch = append(batch, entryAt(at, []string{"odd", "even"}[n%2]))
			}
			if rapid.Bool().Draw(t, "long") {
				b.bytes += bytesKept // the older ones are dropped
				b.add(batch)
				b.bytes -= min(b.bytes, bytesKept)
			} else {
				b.add(batch)
			}
			if rapid.IntRange(0, 3).Draw(t, "filter") == 0 {
				b.setFilter(state.ParseQuery(rapid.SampledFrom([]string{"", "odd", "!odd"}).Draw(t, "query")))
			}
			p := b.publish()
			sum := 0
			for _, c := range p.histogram.list {
				sum += c.total()
			}
			if sum != len(p.shown) {
				t.Fatalf("%d of %d lines are counted", sum, len(p.shown))
			}
		}
	})
}
