package state

import (
	"math"
	"slices"
	"time"
)

const (
	// TrendFor is how far back trends go, and trendEvery how far their samples are apart.
	TrendFor   = time.Hour
	trendEvery = 30 * time.Second
)

// Sample is what a machine or a unit used at a time.
type Sample struct {
	At     time.Time
	CPU    float64 // cores
	Memory int64   // bytes
}

// Trends is what the console itself saw machines and units use during the last hour: it has that
// still when a machine is gone that could have told it. It belongs to one goroutine.
type Trends struct {
	began    time.Time
	machines map[string]*machineTrend
}

type machineTrend struct {
	noted time.Time
	use   *Use // that was noted last
	own   []kept
	units map[string][]kept
}

// kept is a Sample in few bytes, as there may be a million of them.
type kept struct {
	at     uint32 // seconds since the first one
	cpu    float32
	memory uint32 // KiB
}

// Note takes in what a snapshot has, as of now, where trendEvery has passed since the last time.
func (t *Trends) Note(snap *Snapshot, now time.Time) {
	if t.machines == nil {
		t.began, t.machines = now, map[string]*machineTrend{}
	}
	for _, m := range snap.Machines {
		mt := t.machines[m.ID]
		if m.Use == nil || mt != nil && (mt.use == m.Use || now.Sub(mt.noted) < trendEvery) {
			continue
		}
		if mt == nil {
			mt = &machineTrend{units: map[string][]kept{}}
			t.machines[m.ID] = mt
		}
		mt.noted, mt.use = now, m.Use
		at := uint32(max(0, now.Sub(t.began)) / time.Second)
		mt.own = fresh(mt.own, at)
		mt.own = append(mt.own, keep(at, m.Use.CPU, m.Use.Memory))
		for name, list := range mt.units {
			if list = fresh(list, at); len(list) == 0 {
				delete(mt.units, name)
			} else {
				mt.units[name] = list
			}
		}
		for _, u := range m.Use.Units {
			mt.units[u.Name] = append(mt.units[u.Name], keep(at, u.CPU, u.Memory))
		}
	}
}

func keep(at uint32, cpu float64, memory int64) kept {
	return kept{at, float32(cpu), uint32(min(memory>>10, math.MaxUint32))}
}

// fresh is a list without what is too old.
func fresh(list []kept, now uint32) []kept {
	old := 0
	for old < len(list) && now-list[old].at > uint32(TrendFor/time.Second) {
		old++
	}
	return slices.Delete(list, 0, old)
}

// Of returns what is known of a machine, or of a unit on it where one is named, the oldest first.
func (t *Trends) Of(machine, unit string) []Sample {
	if t == nil || t.machines[machine] == nil {
		return nil
	}
	list := t.machines[machine].own
	if unit != "" {
		list = t.machines[machine].units[unit]
	}
	out := make([]Sample, len(list))
	for i, k := range list {
		out[i] = Sample{t.began.Add(time.Duration(k.at) * time.Second), float64(k.cpu), int64(k.memory) << 10}
	}
	return out
}

// Columns are samples of the last hour as n averages of equal parts of it, the newest last; a part
// of which nothing is known is NaN.
func Columns(samples []Sample, now time.Time, n int, value func(Sample) float64) []float64 {
	sums, counts := make([]float64, n), make([]int, n)
	for _, s := range samples {
		ago := max(0, now.Sub(s.At))
		if i := n - 1 - int(int64(ago)*int64(n)/int64(TrendFor)); i >= 0 {
			sums[i] += value(s)
			counts[i]++
		}
	}
	for i := range sums {
		sums[i] /= float64(counts[i]) // 0/0 is NaN
	}
	return sums
}
