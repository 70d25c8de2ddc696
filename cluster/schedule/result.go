package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// result returns the plan's changes as moves.
func (p *plan) result() Result {
	var r Result
	for _, i := range p.extra {
		p.withdrawExtra(&r, i)
	}
	for _, d := range p.gone {
		u := &p.units[d.unit]
		k := u.givenTo(p.machines[d.machine].id)
		r.Moves = append(r.Moves, p.move(u, &u.given[k], nil,
			"taken from "+p.machines[d.machine].name+": "+p.whyLeft(d.why)))
	}
	for _, d := range p.left {
		u := &p.units[d.unit]
		p.leave(&r, u, &u.given[u.givenTo(p.machines[d.machine].id)])
	}
	for _, i := range p.globals {
		p.globalMoves(&r, &p.units[i])
	}
	for i := range p.moved {
		p.changedMove(&r, i)
	}
	for i := range p.chosen {
		if _, ok := p.moved[i]; !ok {
			p.changedMove(&r, i)
		}
	}
	for _, i := range p.outdated {
		u := &p.units[i]
		if _, ok := p.moved[i]; !ok && !p.back[i] {
			r.Moves = append(r.Moves, p.update(u, &u.given[0]))
		}
	}
	p.markStays(&r)
	r.Moves, r.Next = append(r.Moves, p.recorded...), p.next
	p.finish(&r)
	p.handOver(&r)
	reasons := map[string]string{}
	for i := range p.failed {
		r.Unplaced = append(r.Unplaced, p.withoutPlace(i, p.unplacedLike(&p.units[i], reasons)+p.waitsFor(i)))
	}
	for _, i := range p.waiting {
		r.Unplaced = append(r.Unplaced, p.withoutPlace(i, p.in.WaitsFor))
	}
	slices.SortFunc(r.Moves, compareMoves)
	slices.SortFunc(r.Left, func(a, b cluster.UnitOnMachine) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Machine, b.Machine))
	})
	slices.SortFunc(r.Unplaced, func(a, b Unplaced) int { return cmp.Compare(a.Unit, b.Unit) })
	for k := range r.Moves {
		m := &r.Moves[k]
		if m.From != nil && m.To == nil {
			byUnit := func(u Unplaced, name string) int { return cmp.Compare(u.Unit, name) }
			if n, ok := slices.BinarySearchFunc(r.Unplaced, m.Unit, byUnit); ok {
				m.Reason += "; no other place for it: " + r.Unplaced[n].Reason
			}
		}
	}
	return r
}

// withoutPlace is a unit that has no place for a reason.
func (p *plan) withoutPlace(i int32, reason string) Unplaced {
	u := &p.units[i]
	done := p.isDone(u)
	if done {
		reason += "; it ran and finished"
	}
	return Unplaced{Unit: u.name, Reason: reason, Finished: done}
}

// unplacedLike is whyUnplaced, computed once for units that the same machines take.
func (p *plan) unplacedLike(u *unit, known map[string]string) string {
	key := u.peerKey()
	if u.parsed.err != "" || key == "" {
		return p.whyUnplaced(u)
	}
	if _, ok := known[key]; !ok {
		known[key] = p.whyUnplaced(u)
	}
	return known[key]
}

// kindOf orders moves by kind: withdrawals, moves, placements, updates.
func kindOf(m cluster.Move) int {
	switch {
	case m.To == nil:
		return 0
	case m.From == nil:
		return 2
	case m.From.Machine != m.To.Machine:
		return 1
	}
	return 3
}

func placeOf(m cluster.Move) string {
	if m.From != nil {
		return m.From.Machine
	}
	return m.To.Machine
}

func compareMoves(a, b cluster.Move) int {
	return cmp.Or(kindOf(a)-kindOf(b), cmp.Compare(a.Unit, b.Unit), cmp.Compare(placeOf(a), placeOf(b)))
}

func (p *plan) move(u *unit, from, to *cluster.Assignment, reason string) cluster.Move {
	return cluster.Move{Unit: u.name, From: from, To: to, Reason: reason, Generation: u.rec.Generation}
}

// withdrawExtra withdraws all assignments of a unit that isn't wanted, and all
// but the latest of a unit that isn't global.
func (p *plan) withdrawExtra(r *Result, i int32) {
	u := &p.units[i]
	extra, reason := u.given, ""
	switch {
	case u.rec.Name == "":
		reason = "the unit was destroyed"
	case !u.wanted:
		reason = "desired state " + string(u.rec.Desired)
	case u.global() || len(u.given) < 2:
		return
	case p.handsOn(r, i):
		return
	default:
		extra = u.given[1:]
		reason = "assigned twice; only the latest assignment stands"
	}
	for k := range extra {
		r.Moves = append(r.Moves, p.move(u, &extra[k], nil, reason))
	}
}

func (p *plan) globalMoves(r *Result, u *unit) {
	behind := false
	for m, k := range u.on {
		if k < 0 {
			r.Moves = append(r.Moves, p.move(u, nil, p.assignment(u, m, everywhere), everywhere))
		} else if u.given[k].Generation != u.rec.Generation {
			behind = true
		}
	}
	if behind {
		p.updateGlobal(r, u)
	}
}

const everywhere = "a global unit runs on every eligible machine"

// changedMove adds the move of a unit that this plan took from a machine or placed.
func (p *plan) changedMove(r *Result, i int32) {
	u := &p.units[i]
	c, placed := p.chosen[i]
	left, had := p.moved[i]
	had = had && len(u.given) > 0
	switch {
	case !placed && !had:
	case p.isLeft[i]:
		p.leave(r, u, &u.given[0])
	case !placed:
		from := &u.given[0]
		why := "taken from " + p.machines[p.byID[from.Machine]].name + ": " + p.whyLeft(left)
		r.Moves = append(r.Moves, p.move(u, from, nil, why))
	case !had:
		why := p.why(u, c)
		r.Moves = append(r.Moves, p.move(u, nil, p.assignment(u, c.machine, why), why))
	case u.given[0].Machine == p.machines[c.machine].id && p.again[i]:
		why := fmt.Sprintf("tried again: %s", p.describeOne(left))
		r.Moves = append(r.Moves, p.move(u, &u.given[0], p.assignment(u, c.machine, why), why))
	case u.given[0].Machine == p.machines[c.machine].id:
		if u.given[0].Generation != u.rec.Generation {
			r.Moves = append(r.Moves, p.update(u, &u.given[0]))
		}
	default:
		from := &u.given[0]
		why := "moved from " + p.machines[p.byID[from.Machine]].name + ": " + p.whyLeft(left) + "; " + p.why(u, c)
		m := p.move(u, from, p.assignment(u, c.machine, why), why)
		if left.kind == notOpen {
			p.byRequest(u, &m)
		}
		r.Moves = append(r.Moves, m)
	}
}

// keepLeft finds the units, other than global ones, that no machine takes but
// their own, which doesn't run.
func (p *plan) keepLeft() {
	for i, why := range p.moved {
		if _, placed := p.chosen[i]; !placed && why.kind == notRunning {
			p.isLeft[i] = true
		}
	}
	p.leaveTogether()
}

// isLeftOn reports whether a unit is left with a machine that doesn't run.
func (p *plan) isLeftOn(machine string, i int32) bool {
	if i < 0 {
		return false
	}
	u := &p.units[i]
	if u.global() {
		return u.givenTo(machine) >= 0
	}
	return p.isLeft[i] && u.given[0].Machine == machine
}

// leave keeps an assignment with a machine that doesn't run, and updates it.
func (p *plan) leave(r *Result, u *unit, a *cluster.Assignment) {
	r.Left = append(r.Left, cluster.UnitOnMachine{Machine: a.Machine, Unit: a.Unit})
	if a.Generation != u.rec.Generation {
		r.Moves = append(r.Moves, p.update(u, a))
	}
}

// leftWith returns the IDs of the machines that a unit is left with.
func (p *plan) leftWith(i int32) []string {
	var ids []string
	if p.isLeft[i] {
		ids = append(ids, p.units[i].given[0].Machine)
	}
	for _, d := range p.left {
		if d.unit == i {
			ids = append(ids, p.machines[d.machine].id)
		}
	}
	return ids
}

// waitsFor says which machine an unplaced unit is left with; empty if with none.
func (p *plan) waitsFor(i int32) string {
	if !p.isLeft[i] {
		return ""
	}
	u := &p.units[i]
	name := p.machines[p.byID[u.given[0].Machine]].name
	if u.rec.Desired == units.Loaded {
		return "; it is loaded there when " + name + " is back"
	}
	return "; it goes on there when " + name + " is back"
}

func (p *plan) assignment(u *unit, m int32, reason string) *cluster.Assignment {
	return &cluster.Assignment{
		Machine: p.machines[m].id, Unit: u.name, Content: u.rec.Content, Hash: u.rec.Hash,
		Desired: u.rec.Desired, Generation: u.rec.Generation, Restart: u.rec.Restart, Finished: p.isDone(u),
		TakeOver: u.rec.TakesOver(p.machines[m].id),
		Tries:    u.tries, Attempt: len(u.tries),
		Epoch: p.in.Snapshot.Revision, Reason: reason, Since: p.now,
	}
}

// update brings an assignment up to date with its unit, on the same machine.
func (p *plan) update(u *unit, a *cluster.Assignment) cluster.Move {
	to := *a
	to.Content, to.Hash, to.Desired = u.rec.Content, u.rec.Hash, u.rec.Desired
	to.Generation, to.Restart, to.Finished = u.rec.Generation, u.rec.Restart, false
	to.Stay = cluster.Stay{}
	to.Tries, to.Attempt, to.RetryAt = nil, 0, time.Time{}
	to.TakeOver, to.Release = u.rec.TakesOver(a.Machine), u.rec.Released
	reason := "updated"
	switch {
	case to.Release && !a.Release:
		reason = "it is released to its host"
	case to.Hash != a.Hash:
		reason = "the unit file changed"
	case to.Desired != a.Desired:
		reason = fmt.Sprintf("desired state %s, was %s", to.Desired, a.Desired)
	case to.Restart != a.Restart:
		reason = "restart asked for"
	}
	return p.move(u, a, &to, reason)
}

// why says why a machine was chosen.
func (p *plan) why(u *unit, c choice) string {
	switch {
	case c.asked != "":
		return c.asked
	case u.rec.AdoptedFrom != "" && !u.global():
		return "adopted where it runs"
	case c.with >= 0:
		return "together with " + p.units[c.with].name
	case c.instead >= 0:
		return "takes the place of " + p.units[c.instead].name
	case c.eligible == 1:
		return fmt.Sprintf("the only eligible machine of %d", len(p.machines))
	case u.spread >= 0:
		return fmt.Sprintf("fewest instances of %s (%d), then fewest units (%d), of %d eligible machines",
			u.parsed.template, c.siblings, c.load, c.eligible)
	}
	return fmt.Sprintf("fewest units (%d) of %d eligible machines", c.load, c.eligible)
}
