package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
	"fleettop/units"
)

// check checks what must hold at any time.
func (s *sim) check() {
	snap := s.truth.Snapshot()
	given := map[string][]cluster.Assignment{}
	for k, a := range snap.Assignments {
		if k.Unit != "g.service" {
			given[k.Unit] = append(given[k.Unit], a)
		}
	}
	for unit, list := range given {
		slices.SortFunc(list, func(a, b cluster.Assignment) int { return cmp.Compare(b.Epoch, a.Epoch) })
		to, was := list[0], s.newest[unit]
		if len(list) > 2 || len(list) == 2 && (to.MovedFrom != list[1].Machine || isExclusive(&to)) {
			s.t.Fatalf("%s is assigned to %s and %s", unit, to.Machine, list[1].Machine)
		}
		if to.Epoch < was.Epoch && to.Machine != was.MovedFrom {
			s.t.Fatalf("%s went back from epoch %d to %d", unit, was.Epoch, to.Epoch)
		}
		s.newest[unit] = to
	}
	s.checkExclusive()
}

// checkExclusive checks that no exclusive unit runs twice.
func (s *sim) checkExclusive() {
	copies := map[string]string{}
	for _, n := range s.nodes {
		for name := range n.running {
			if other, twice := copies[name]; twice && name[0] == 'x' {
				s.t.Fatalf("%s runs on %s and %s", name, other, n.id)
			}
			copies[name] = n.id
		}
	}
}

// settled tells what is not yet as it must end: everything wanted runs once,
// on a living machine, or is unplaced for a reason that a fresh look confirms.
func (s *sim) settled() error {
	snap := s.truth.Snapshot()
	live := map[string]*node{}
	st := health.State{}
	for _, n := range s.nodes {
		if n.on {
			live[n.id] = n
			n.view = snap
			st = s.judged(n)
		}
	}
	if live[snap.Leader.Machine] == nil {
		return fmt.Errorf("nobody leads")
	}
	r := schedule.New().Plan(schedule.Input{Snapshot: snap, Health: st.Health}, s.clock.Now())
	if len(r.Moves) > 0 {
		return fmt.Errorf("still to do: %s: %s", r.Moves[0].Unit, r.Moves[0].Reason)
	}
	copies := map[string]int{}
	for _, n := range live {
		for _, name := range slices.Sorted(maps.Keys(n.running)) {
			copies[name]++
			if a, ok := snap.Assignments[cluster.UnitOnMachine{Machine: n.id, Unit: name}]; !ok || a.Epoch != n.running[name] {
				return fmt.Errorf("%s runs %s, which is not its own", n.id, name)
			}
		}
	}
	for name, u := range snap.Units {
		unplaced := slices.ContainsFunc(r.Unplaced, func(x schedule.Unplaced) bool { return x.Unit == name })
		want := 1
		if u.Desired == units.Inactive || unplaced {
			want = 0
		}
		if name == "g.service" && want == 1 {
			want = max(1, copies[name])
		}
		if copies[name] != want {
			return fmt.Errorf("%s runs %d times, want %d", name, copies[name], want)
		}
	}
	return nil
}
