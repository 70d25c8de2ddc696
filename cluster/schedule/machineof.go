package schedule

import (
	"slices"
	"strings"
)

// machineOf: the units that MachineOf= names are on the machine. Units that name
// each other and are placed at the same time form a group.
type machineOf struct{ unconstrained }

func (machineOf) link(w *world) {
	for i := range w.units {
		u := &w.units[i]
		for _, name := range u.parsed.req.MachineOf {
			target, ok := w.byName[name]
			if !ok {
				u.targets = append(u.targets, -1)
				continue
			}
			u.targets = append(u.targets, target)
			w.units[target].followers = append(w.units[target].followers, int32(i))
		}
	}
}

func (machineOf) concerns(u *unit) bool { return len(u.targets) > 0 }

func (machineOf) filter(p *plan, u *unit, able, with []int32) []int32 {
	for _, t := range u.targets {
		if t < 0 {
			return nil
		}
		if slices.Contains(with, t) {
			continue
		}
		o := &p.units[t]
		if o.global() {
			able = p.keep(able, func(m int32) bool { return p.hosts(m, t) })
			continue
		}
		k, found := slices.BinarySearch(able, o.at)
		if !found {
			return nil
		}
		able = able[k : k+1]
	}
	return able
}

func (machineOf) excludes(w *world, u *unit, m int32) cause {
	for _, t := range u.targets {
		if !w.hosts(m, t) {
			return cause{kind: apart, unit: t}
		}
	}
	return cause{}
}

func (c machineOf) evictStanding(w *world, standing []int32) {
	for again := true; again; {
		again = false
		for _, i := range standing {
			u := &w.units[i]
			if u.at < 0 {
				continue
			}
			if why := c.excludes(w, u, u.at); why.kind != fits {
				u.outOf = why
				w.remove(i, u.at)
				again = true
			}
		}
	}
}

func (machineOf) writePeers(*strings.Builder, *unit) bool { return false }

func (machineOf) describe(w *world, why cause) (one, several string) {
	return "does not run " + w.unitName(why.unit), "do not run " + w.unitName(why.unit)
}

func (machineOf) describeLeaving(w *world, why cause) string {
	return "follows " + w.unitName(why.unit)
}

func (machineOf) whyUnplaced(w *world, u *unit) string {
	for k, t := range u.targets {
		name := u.parsed.req.MachineOf[k]
		if t < 0 || (w.units[t].at < 0 && len(w.units[t].on) == 0) {
			return "MachineOf=" + name + ", which is on no machine"
		}
		m := w.units[t].at
		if m < 0 {
			continue
		}
		if why := w.verdict(u, m); why.kind != fits {
			on := w.machines[m].name
			return "MachineOf=" + name + ", which is on " + on + "; " + on + " " + w.describeOne(why)
		}
	}
	return ""
}

// tied returns the queued units that MachineOf= connects with one, in either
// direction, targets first.
func (p *plan) tied(start int32, queued, seen map[int32]bool) []int32 {
	reached := []int32{start}
	in := map[int32]bool{start: true}
	for k := 0; k < len(reached); k++ {
		u := &p.units[reached[k]]
		for _, list := range [][]int32{u.targets, u.followers} {
			for _, t := range list {
				if t >= 0 && queued[t] && !in[t] {
					in[t] = true
					reached = append(reached, t)
				}
			}
		}
	}
	slices.Sort(reached)
	var order []int32
	var visit func(int32)
	visit = func(i int32) {
		if seen[i] || !in[i] {
			return
		}
		seen[i] = true
		for _, t := range p.units[i].targets {
			visit(t)
		}
		order = append(order, i)
	}
	for _, i := range reached {
		visit(i)
	}
	return order
}

// leaveTogether removes from the units left with machines that don't run those
// whose targets aren't left there.
func (p *plan) leaveTogether() {
	for again := true; again; {
		again = false
		for i := range p.isLeft {
			away := func(t int32) bool { return !p.isLeftOn(p.units[i].given[0].Machine, t) }
			if !p.units[i].rec.ChangesHands() && slices.ContainsFunc(p.units[i].targets, away) {
				delete(p.isLeft, i)
				again = true
			}
		}
	}
}
