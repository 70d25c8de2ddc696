package schedule

import (
	"slices"
	"strconv"
	"strings"

	"fleettop/cluster"
)

// placeGroup places a group on one machine; where none takes it whole, each
// member goes where it can, targets first.
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
	if len(u.conflicts)+len(u.matching) > 0 && len(u.targets)+len(u.replaces)+len(u.replacers) == 0 {
		if key = u.sameRoom(); p.noRoom[key] {
			p.failed[i] = true
			return
		}
	}
	m, c, ok := p.chooseFor([]int32{i})
	if !ok {
		p.failed[i] = true
		if key != "" {
			p.noRoom[key] = true
		}
		return
	}
	c.machine = m
	for _, t := range u.targets {
		c.with = t
	}
	p.commit(i, c)
}

// sameRoom is equal for units that the same machines take: where one found none, nor will the next.
func (u *unit) sameRoom() string {
	var b strings.Builder
	b.WriteString(u.parsed.class)
	for _, list := range [][]*pattern{u.conflicts, u.matching} {
		b.WriteByte(2)
		for _, p := range list {
			b.WriteString(strconv.Itoa(p.id))
			b.WriteByte(3)
		}
	}
	return b.String()
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
	p.put(i, c.machine)
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

// hasPreference tells whether more than instances and load matters to a unit:
// it runs on a machine that may keep it, or replaces others.
func (p *plan) hasPreference(i int32) bool {
	u := &p.units[i]
	return len(u.replaces) > 0 || len(u.given) > 0 && p.machines[p.byID[u.given[0].Machine]].state == cluster.Up
}

// preference ranks a machine for a group before instances and load count; the
// least is the best. First comes staying where members run, then whom it would replace.
func (p *plan) preference(members []int32, m int32) uint64 {
	const least = 15
	stay, replaces, fresh := uint64(0), false, true
	for _, i := range members {
		u := &p.units[i]
		if len(u.given) > 0 {
			fresh = false
			if u.given[0].Machine == p.machines[m].id {
				stay++
			}
		}
		for _, r := range u.replaces {
			replaces = replaces || p.units[r].at == m
		}
	}
	rank := (least - min(stay, least)) << 60
	// A new unit takes the place of the one it replaces; one that had a place spares it if it can.
	if replaces != fresh {
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
			if conflict(&p.units[i], &p.units[j]) || slices.Contains(p.units[i].replaces, j) || slices.Contains(p.units[j].replaces, i) {
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

// intersect keeps of a what is in b; both are sorted.
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

// able returns the machines that take a unit, in order, supposing that the
// units in with are there too. The slice is good until the next call.
func (p *plan) able(i int32, with []int32) []int32 {
	u := &p.units[i]
	if u.parsed.err != "" {
		return nil
	}
	elsewhere := -1 // a machine that a target outside the group ties it to
	tied := false
	for _, t := range u.targets {
		if t < 0 {
			return nil
		}
		if slices.Contains(with, t) {
			continue
		}
		tied = true
		if o := &p.units[t]; !o.global() {
			if o.at < 0 || (elsewhere >= 0 && elsewhere != int(o.at)) {
				return nil
			}
			elsewhere = int(o.at)
		}
	}
	among := p.classOf(&u.parsed).able
	if elsewhere >= 0 {
		if p.machines[elsewhere].refuses(&u.parsed).kind != fits {
			return nil
		}
		among = []int32{int32(elsewhere)}
	}
	if !tied && len(u.conflicts)+len(u.matching)+len(u.replaces)+len(u.replacers) == 0 {
		return among
	}
	p.scratch = p.scratch[:0]
	p.markKeptOut(u)
	for _, m := range among {
		if p.marks[m] != p.mark && p.hostsAll(m, u.targets, with) && !p.spared(u, m) {
			p.scratch = append(p.scratch, m)
		}
	}
	return p.scratch
}

// markKeptOut marks the machines where another unit keeps this one out.
func (p *plan) markKeptOut(u *unit) {
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
	for _, r := range u.replacers {
		if m := p.units[r].at; m >= 0 {
			p.marks[m] = p.mark
		}
	}
}

func (p *plan) hostsAll(m int32, targets, with []int32) bool {
	for _, t := range targets {
		if !slices.Contains(with, t) && !p.hosts(m, t) {
			return false
		}
	}
	return true
}

// spared tells whether a machine runs a unit that would be replaced a second
// time by this plan: once is enough, or plans might not end.
func (p *plan) spared(u *unit, m int32) bool {
	for _, r := range u.replaces {
		if p.units[r].at == m && p.evicted[r] {
			return true
		}
	}
	return false
}
