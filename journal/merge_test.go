package journal

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Unix(1_700_000_000, 0)

type line struct {
	stream string
	n      int
	at     time.Time
}

// drain takes all that can be told at a moment.
func drain(m *Merger[line], now time.Time) (out []line) {
	for {
		l, ok, _ := m.Next(now)
		if !ok {
			return out
		}
		out = append(out, l)
	}
}

func TestMergePast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMerger[line](time.Second)
		var all, got []line
		streams := rapid.IntRange(1, 5).Draw(t, "streams")
		for s := range streams {
			m.Open(fmt.Sprint(s))
		}
		left := map[string]int{}
		times := map[string]time.Time{}
		for s := range streams {
			left[fmt.Sprint(s)] = rapid.IntRange(0, 30).Draw(t, "lines")
			times[fmt.Sprint(s)] = epoch
		}
		for len(left) > 0 {
			name := rapid.SampledFrom(slices.Sorted(keys(left))).Draw(t, "next")
			if left[name] == 0 {
				delete(left, name)
				m.End(name)
			} else {
				times[name] = times[name].Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "pause")) * time.Millisecond)
				l := line{name, left[name], times[name]}
				left[name]--
				all = append(all, l)
				m.Add(name, l, l.at, epoch)
			}
			got = append(got, drain(m, epoch)...)
		}
		slices.SortStableFunc(all, func(a, b line) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.stream, b.stream), cmp.Compare(b.n, a.n))
		})
		if !slices.Equal(got, all) {
			t.Fatalf("got %v, want %v", got, all)
		}
	})
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestMergeLive checks that of live streams each line comes once, in its
// stream's order, within the window, and in order of time where none was later than that.
func TestMergeLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 20 * time.Millisecond
		m := NewMerger[line](window)
		names := []string{"a", "b", "c"}
		for _, n := range names {
			m.Open(n)
			m.Live(n)
		}
		now := epoch
		late := rapid.Bool().Draw(t, "late")
		added, got := []line{}, []line{}
		when := map[line]time.Time{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "pause")) * time.Millisecond)
			got = append(got, drain(m, now)...)
			name := rapid.SampledFrom(names).Draw(t, "stream")
			delay := rapid.IntRange(0, 4).Draw(t, "delay")
			if late && rapid.IntRange(0, 9).Draw(t, "jump") == 0 {
				delay = 5000 // its clock went back, or the network was slow
			}
			l := line{name, i, now.Add(-time.Duration(delay) * time.Millisecond)}
			added = append(added, l)
			when[l] = now
			m.Add(name, l, l.at, now)
			if len(m.heads) > 0 {
				head := m.heads[0]
				if q := head.queue[head.first]; now.Sub(q.arrived) > window+15*time.Millisecond {
					t.Fatalf("%v has waited since %v, and it is %v", q.item, q.arrived, now)
				}
			}
		}
		got = append(got, drain(m, now.Add(window))...)
		if len(got) != len(added) {
			t.Fatalf("%d came of %d", len(got), len(added))
		}
		last := map[string]int{"a": -1, "b": -1, "c": -1}
		for i, l := range got {
			if l.n <= last[l.stream] {
				t.Fatalf("stream %s: %d after %d", l.stream, l.n, last[l.stream])
			}
			last[l.stream] = l.n
			if !late && i > 0 && l.at.Before(got[i-1].at) && l.stream != got[i-1].stream {
				// Only a stream's own disorder, of less than the delay, may show.
				if got[i-1].at.Sub(l.at) > 4*time.Millisecond {
					t.Fatalf("%v after %v", l, got[i-1])
				}
			}
		}
	})
}

func TestMergeWaitsForThePast(t *testing.T) {
	m := NewMerger[line](10 * time.Millisecond)
	m.Open("a")
	m.Open("b")
	m.Add("a", line{"a", 1, epoch}, epoch, epoch)
	m.Live("a")
	if _, ok, wait := m.Next(epoch.Add(time.Hour)); ok || wait != 0 {
		t.Fatal("it did not wait for a stream that is still told of its past")
	}
	m.Live("b")
	if _, ok, wait := m.Next(epoch.Add(4 * time.Millisecond)); ok || wait != 6*time.Millisecond {
		t.Fatalf("it is to wait for 6ms: %v %v", ok, wait)
	}
	m.End("b")
	if l, ok, _ := m.Next(epoch.Add(4 * time.Millisecond)); !ok || l.n != 1 {
		t.Fatal("alone, a stream waits for nobody")
	}
}
