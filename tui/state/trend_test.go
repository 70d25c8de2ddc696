package state

import (
	"fmt"
	"math"
	"testing"
	"time"

	"fleettop/daemon/api"
)

// using is a snapshot of a machine that uses some cores, and its units with it.
func using(cores float64, units ...string) *Snapshot {
	use := &Use{Stats: api.Stats{Machine: "m1", CPU: cores, Memory: 1 << 30}}
	for _, u := range units {
		use.Units = append(use.Units, api.UnitStats{Name: u, CPU: cores / 2, Memory: 10 << 20})
	}
	return &Snapshot{Machines: []*Machine{{Machine: api.Machine{}, Use: use}}}
}

func TestTrends(t *testing.T) {
	var tr Trends
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if (*Trends)(nil).Of("", "") != nil || tr.Of("", "") != nil {
		t.Error("something is known before anything was noted")
	}
	tr.Note(using(1, "a"), now)
	tr.Note(using(2, "a"), now.Add(trendEvery-time.Second)) // too soon
	snap := using(3, "a", "b")
	tr.Note(snap, now.Add(trendEvery))
	tr.Note(snap, now.Add(2*trendEvery)) // nothing new came
	own, a, b := tr.Of("", ""), tr.Of("", "a"), tr.Of("", "b")
	if len(own) != 2 || len(a) != 2 || len(b) != 1 || own[1].CPU != 3 || a[0].CPU != 0.5 || a[0].Memory != 10<<20 ||
		!own[0].At.Equal(now) || !own[1].At.Equal(now.Add(trendEvery)) {
		t.Errorf("%v, %v, %v", own, a, b)
	}
	for i := range 200 {
		tr.Note(using(1, "b"), now.Add(time.Duration(i+3)*trendEvery))
	}
	if own, a, b := tr.Of("", ""), tr.Of("", "a"), tr.Of("", "b"); len(own) != 121 || len(a) != 0 || len(b) != 121 {
		t.Errorf("after a long time there are %d, %d and %d", len(own), len(a), len(b))
	}
}

func TestColumns(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cpu := func(s Sample) float64 { return s.CPU }
	got := Columns([]Sample{{At: now.Add(-2 * time.Hour), CPU: 9}, {At: now.Add(-59 * time.Minute), CPU: 1},
		{At: now.Add(-50 * time.Minute), CPU: 3}, {At: now, CPU: 7}, {At: now.Add(time.Second), CPU: 9}}, now, 4, cpu)
	if len(got) != 4 || got[0] != 2 || !math.IsNaN(got[1]) || !math.IsNaN(got[2]) || got[3] != 8 {
		t.Errorf("%v", got)
	}
}

// BenchmarkTrends notes 1,000 machines of 10 units each.
func BenchmarkTrends(b *testing.B) {
	now := time.Unix(0, 0)
	var snap Snapshot
	for i := range 1000 {
		u := using(1, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j").Machines[0]
		u.ID = fmt.Sprint(i)
		snap.Machines = append(snap.Machines, u)
	}
	var tr Trends
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tr.Note(&snap, now.Add(time.Duration(i)*time.Second/2))
	}
}
