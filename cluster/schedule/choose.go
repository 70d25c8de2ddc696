package schedule

import (
	"slices"

	"fleettop/cluster"
)

// placeGroup places a group on one machine. If no machine takes all members,
// each is placed by itself, targets first.
func (p *plan) placeGroup(g group) {
	if len(g.members) == 1 {
		p.placeOne(g.members[0])
		return
	}
	if m, c, ok := p.chooseFor(g.members); ok {
		for _, i := range g.members {
			ci := c
			ci.machine, ci.load, ci.siblings = m, p.loads[m], p.siblings(&p.units[i], m)
			if i != g.members[0] {
				ci.with = g.members[0]
			}
			p.commit(i, ci)
		}
		return
	}
	for _, i := range g.members {
		p.placeOne(i)
	}
}

func (p *plan) placeOne(i int32) {
	u := &p.units[i]
	key := ""
	if len(u.bound) > 0 {
		if key = u.peerKey(); p.unplaceable[key] {
			p.failed[i] = true
			return
		}
	}
	m, c, ok := p.chooseFor([]int32{i})
	if !ok {
		p.failed[i] = true
		if key != "" {
			p.unplaceable[key] = true
		}
		return
	}
	c.machine = m
	for _, t := range u.targets {
		c.with = t
	}
	p.commit(i, c)
}

// commit places a unit and evicts those it replaces.
func (p *plan) commit(i int32, c choice) {
	for _, r := range p.units[i].replaces {
		if p.units[r].at == c.machine {
			c.instead = r
			p.evict(r, c.machine, cause{kind: replaced, unit: i})
		}
	}
	delete(p.failed, i)
	p.chosen[i] = c
	p.assign(i, c.machine)
}

// chooseFor picks the machine for units that must be together.
func (p *plan) chooseFor(members []int32) (int32, choice, bool) {
	able := p.ableFor(members)
	if len(able) == 0 {
		return 0, choice{}, false
	}
	u := &p.units[members[0]]
	special := slices.ContainsFunc(members, p.hasPreference)
	var spreads [][]int32
	for _, i := range members {
		if n := p.units[i].spread; n >= 0 {
			spreads = append(spreads, p.spreads[n])
		}
	}
	best, bestKey := int32(-1), uint64(0)
	for _, m := range able {
		var siblings int32
		for _, counts := range spreads {
			siblings += counts[m]
		}
		key := uint64(siblings)<<28 | uint64(p.loads[m])
		if special {
			key |= p.preference(members, m)
		}
		if best < 0 || key < bestKey {
			best, bestKey = m, key
		}
	}
	return best, choice{machine: best, eligible: len(able), load: p.loads[best],
		siblings: p.siblings(u, best), with: -1, instead: -1}, true
}

func (p *plan) siblings(u *unit, m int32) int32 {
	if u.spread < 0 {
		return 0
	}
	return p.spreads[u.spread][m]
}

// hasPreference reports whether a unit prefers machines for more than their
// instances and load: it runs on a machine that may keep it, or replaces others.
func (p *plan) hasPreference(i int32) bool {
	u := &p.units[i]
	return len(u.replaces) > 0 || len(u.given) > 0 && p.machines[p.byID[u.given[0].Machine]].state == cluster.Up
}

// preference ranks a machine for a group, ahead of instances and load; the
// least is the best. Members' present machines come first, then machines of
// units to be replaced.
func (p *plan) preference(members []int32, m int32) uint64 {
	const least = 15
	stay, replacing, fresh := uint64(0), false, true
	for _, i := range members {
		u := &p.units[i]
		if len(u.given) > 0 {
			fresh = false
			if u.given[0].Machine == p.machines[m].id {
				stay++
			}
		}
		for _, r := range u.replaces {
			replacing = replacing || p.units[r].at == m
		}
	}
	rank := (least - min(stay, least)) << 60
	// A new unit goes to the machine of the unit it replaces; one that had a machine avoids that if it can.
	if replacing != fresh {
		rank |= 1 << 59
	}
	return rank
}

// ableFor returns the machines that take all of the members, in order.
func (p *plan) ableFor(members []int32) []int32 {
	if len(members) == 1 {
		return p.able(members[0], nil)
	}
	for k, i := range members {
		for _, j := range members[k+1:] {
			if p.incompatible(i, j) {
				return nil
			}
		}
	}
	common := p.common[:0]
	for k, i := range members {
		able := p.able(i, members)
		if k == 0 {
			common = append(common, able...)
		} else {
			common = intersect(common, able)
		}
	}
	p.common = common
	return common
}

// intersect returns the elements of a that are in b, in a's memory. Both are sorted.
func intersect(a, b []int32) []int32 {
	n := 0
	for _, m := range a {
		for len(b) > 0 && b[0] < m {
			b = b[1:]
		}
		if len(b) > 0 && b[0] == m {
			a[n] = m
			n++
		}
	}
	return a[:n]
}
