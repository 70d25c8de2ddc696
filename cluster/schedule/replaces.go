package schedule

import (
	"slices"
	"strings"
)

// replaces: a unit whose name Replaces= matches leaves the machine to the unit
// with that option. Units that replace each other in a circle are left alone,
// because replacing would never end.
type replaces struct{ unconstrained }

func (replaces) link(w *world) {
	var replacing []int32
	for i := range w.units {
		u := &w.units[i]
		if !u.wanted || len(u.parsed.req.Replaces) == 0 || u.global() {
			continue
		}
		replacing = append(replacing, int32(i))
		for j := range w.units {
			o := &w.units[j]
			if i != j && o.wanted && !o.global() && !o.rec.ChangesHands() && matchesAny(u.parsed.req.Replaces, o.name) {
				u.replaces = append(u.replaces, int32(j))
			}
		}
	}
	circular := map[[2]int32]bool{}
	for _, i := range replacing {
		for _, j := range w.units[i].replaces {
			if w.reaches(j, i, map[int32]bool{}) {
				circular[[2]int32{i, j}] = true
			}
		}
	}
	for _, i := range replacing {
		u := &w.units[i]
		u.replaces = slices.DeleteFunc(u.replaces, func(j int32) bool { return circular[[2]int32{i, j}] })
		for _, j := range u.replaces {
			w.units[j].replacers = append(w.units[j].replacers, i)
		}
	}
}

func (w *world) reaches(from, to int32, seen map[int32]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, next := range w.units[from].replaces {
		if w.reaches(next, to, seen) {
			return true
		}
	}
	return false
}

func (replaces) concerns(u *unit) bool { return len(u.replaces)+len(u.replacers) > 0 }

// filter also leaves out the machines of units that this plan has replaced
// once, because plans might not end otherwise.
func (replaces) filter(p *plan, u *unit, able, _ []int32) []int32 {
	p.mark++
	for _, r := range u.replacers {
		if m := p.units[r].at; m >= 0 {
			p.marks[m] = p.mark
		}
	}
	for _, r := range u.replaces {
		if m := p.units[r].at; m >= 0 && p.evicted[r] {
			p.marks[m] = p.mark
		}
	}
	return p.keep(able, func(m int32) bool { return p.marks[m] != p.mark })
}

func (replaces) excludes(w *world, u *unit, m int32) cause {
	for _, r := range u.replacers {
		if w.units[r].at == m {
			return cause{kind: replaced, unit: r}
		}
	}
	return cause{}
}

func (c replaces) evictStanding(w *world, standing []int32) {
	for _, i := range standing {
		u := &w.units[i]
		if u.at < 0 {
			continue
		}
		if why := c.excludes(w, u, u.at); why.kind != fits {
			u.outOf = why
			w.remove(i, u.at)
		}
	}
}

func (replaces) incompatible(w *world, i, j int32) bool {
	return slices.Contains(w.units[i].replaces, j) || slices.Contains(w.units[j].replaces, i)
}

func (replaces) writePeers(*strings.Builder, *unit) bool { return false }

func (replaces) describe(w *world, why cause) (one, several string) {
	rest := w.unitName(why.unit) + ", which replaces it"
	return "runs " + rest, "run " + rest
}

func (replaces) describeLeaving(w *world, why cause) string {
	return "replaced by " + w.unitName(why.unit)
}

// evict takes a unit and its followers off a machine for the unit that replaces it.
func (p *plan) evict(i, m int32, why cause) {
	p.unassign(i, m)
	p.evicted[i] = true
	delete(p.chosen, i)
	if _, ok := p.moved[i]; !ok {
		p.moved[i] = why
	}
	p.queue = append(p.queue, i)
	for _, f := range p.units[i].followers {
		if p.units[f].at == m && !p.units[f].global() {
			p.evict(f, m, cause{kind: apart, unit: i})
		}
	}
}
