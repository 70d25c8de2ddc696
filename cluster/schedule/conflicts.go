package schedule

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// conflicts: no other unit is on the machine whose name the unit's Conflicts=
// matches, or whose Conflicts= matches the unit's name.
type conflicts struct{ unconstrained }

func (conflicts) link(w *world) {
	for i := range w.units {
		u := &w.units[i]
		for _, g := range u.parsed.req.Conflicts {
			u.conflicts = append(u.conflicts, w.patterns.intern(g))
		}
	}
	for i := range w.units {
		if u := &w.units[i]; u.wanted {
			u.matching = w.patterns.matching(u.name)
		}
	}
}

func (conflicts) concerns(u *unit) bool { return len(u.conflicts)+len(u.matching) > 0 }

func (conflicts) count(u *unit, m, by int32) {
	for _, p := range u.conflicts {
		bump(p.owners, m, by)
	}
	for _, p := range u.matching {
		bump(p.matched, m, by)
	}
}

func (conflicts) filter(p *plan, u *unit, able, _ []int32) []int32 {
	p.mark++
	for _, pt := range u.conflicts {
		for m := range pt.matched {
			p.marks[m] = p.mark
		}
	}
	for _, pt := range u.matching {
		for m := range pt.owners {
			p.marks[m] = p.mark
		}
	}
	return p.keep(able, func(m int32) bool { return p.marks[m] != p.mark })
}

func (conflicts) excludes(w *world, u *unit, m int32) cause {
	if blocked(u, m) {
		return cause{kind: conflicting, unit: w.rival(u, m)}
	}
	return cause{}
}

func (c conflicts) keeps(w *world, u *unit, m int32) cause { return c.excludes(w, u, m) }

func (conflicts) incompatible(w *world, i, j int32) bool { return conflict(&w.units[i], &w.units[j]) }

func (conflicts) writePeers(b *strings.Builder, u *unit) bool {
	for _, list := range [][]*pattern{u.conflicts, u.matching} {
		b.WriteByte(2)
		for _, p := range list {
			b.WriteString(strconv.Itoa(p.id))
			b.WriteByte(3)
		}
	}
	return true
}

func (conflicts) describe(w *world, why cause) (one, several string) {
	with := cmp.Or(why.detail, w.unitName(why.unit))
	return "conflicts with " + with, "conflict with " + with
}

// blocked reports whether a unit that is not on a machine conflicts with one that is.
func blocked(u *unit, m int32) bool {
	for _, p := range u.conflicts {
		if p.matched[m] > 0 {
			return true
		}
	}
	for _, p := range u.matching {
		if p.owners[m] > 0 {
			return true
		}
	}
	return false
}

// rival returns the first unit on a machine that a unit conflicts with, or -1.
func (w *world) rival(u *unit, m int32) int32 {
	first := int32(-1)
	for _, i := range w.machines[m].residents {
		if o := &w.units[i]; o != u && (first < 0 || i < first) && conflict(u, o) {
			first = i
		}
	}
	return first
}

// mostRivals is the number of conflicting units that a summary names.
const mostRivals = 3

// excludedOn counts machines by the cause that excludes a unit. All conflicts
// are one cause, which names the first few units.
func (w *world) excludedOn(u *unit, machines []int32) map[cause]int {
	counts := map[cause]int{}
	var rivals []string
	count, others := 0, false
	for _, m := range machines {
		if others && blocked(u, m) { // enough names, and each costs a search
			count++
			continue
		}
		why := w.excluded(u, m)
		if why.kind != conflicting {
			counts[why]++
			continue
		}
		count++
		if name := w.unitName(why.unit); slices.Contains(rivals, name) {
			continue
		} else if len(rivals) < mostRivals {
			rivals = append(rivals, name)
		} else {
			others = true
		}
	}
	if count > 0 {
		slices.Sort(rivals)
		names := strings.Join(rivals, ", ")
		if others {
			names += " and others"
		}
		counts[cause{kind: conflicting, detail: names}] = count
	}
	return counts
}
