//go:build e2e

package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// role says which machine a fault prefers; what it is is known when the fault begins.
type role string

const (
	anyMachine  role = ""
	leading     role = "the leader"
	etcdLeading role = "etcd's leader"
)

// planned is a fault that a seed has chosen.
type planned struct {
	kind  *chaosKind
	at    time.Duration // after the beginning
	lasts time.Duration
	role  role
	order []int         // of the machines: the first ones that nothing else is done to are meant
	unit  int           // an operator's unit
	beats time.Duration // between what is done again and again
}

const (
	chaosMachines = 5
	chaosQuietMin = 5 * time.Second // between two rounds
	chaosQuietMax = 12 * time.Second
)

// planChaos returns the faults of a seed, in rounds: those of one may overlap,
// and the next one begins some time after they have ended.
func planChaos(seed uint64, length time.Duration) [][]planned {
	r := rand.New(rand.NewPCG(seed, 0))
	span := func(from, to time.Duration) time.Duration {
		return from + time.Duration(r.Int64N(int64(to-from)+1)).Truncate(100*time.Millisecond)
	}
	choose := func(kinds []*chaosKind) *chaosKind {
		sum := 0
		for _, k := range kinds {
			sum += k.weight
		}
		n := r.IntN(sum)
		i := slices.IndexFunc(kinds, func(k *chaosKind) bool { n -= k.weight; return n < 0 })
		return kinds[i]
	}
	draw := func(k *chaosKind, at time.Duration) planned {
		p := planned{kind: k, at: at, lasts: span(k.min, k.max), order: r.Perm(chaosMachines), unit: r.IntN(1 << 16),
			beats: span(300*time.Millisecond, 1500*time.Millisecond)}
		switch n := r.IntN(10); {
		case n < 3:
			p.role = leading
		case n < 5:
			p.role = etcdLeading
		}
		return p
	}
	var rounds [][]planned
	at := span(time.Second, 3*time.Second)
	for {
		first := draw(choose(chaosKinds), at)
		round, end := []planned{first}, at+first.lasts
		if !first.kind.alone && r.IntN(10) < 4 {
			others := slices.DeleteFunc(slices.Clone(chaosKinds), func(k *chaosKind) bool { return k.alone })
			second := draw(choose(others), at+span(0, first.lasts))
			round, end = append(round, second), max(end, second.at+second.lasts)
		}
		if end > length {
			return rounds
		}
		rounds = append(rounds, round)
		at = end + span(chaosQuietMin, chaosQuietMax)
	}
}

// TestChaosPlan: a seed gives the same faults each time, every kind comes up, and
// what is away at once is a minority, but for the faults that take the quorum away.
func TestChaosPlan(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(50) {
		plan, again := planChaos(seed, 30*time.Minute), planChaos(seed, 30*time.Minute)
		for i, round := range plan {
			for j, p := range round {
				q := again[i][j]
				if p.kind != q.kind || p.at != q.at || p.lasts != q.lasts || p.role != q.role || !slices.Equal(p.order, q.order) {
					t.Fatalf("seed %d isn't the same again: %+v, %+v", seed, p, q)
				}
				if len(round) > 1 && p.kind.alone {
					t.Errorf("seed %d: %s isn't alone", seed, p.kind.name)
				}
				seen[p.kind.name]++
			}
			if len(round) > 2 {
				t.Errorf("seed %d: %d faults at once", seed, len(round))
			}
		}
	}
	for _, k := range chaosKinds {
		if seen[k.name] == 0 {
			t.Errorf("%q never comes up", k.name)
		}
		if several := k.target == twoMachines || k.target == allVoters; several && !k.alone {
			t.Errorf("%q may take more than a minority away, together with another fault", k.name)
		}
	}
}
