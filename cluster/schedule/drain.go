package schedule

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// A machine that is drained gives its units away a few at a time: the next one
// goes when the one before is active on its new machine. All that decides it is
// in the store, so another leader goes on where the last one was. A unit that
// no other machine takes, or that failed elsewhere, stays, with the reason.
// Global units end when no other is left. The units of a machine that doesn't
// run move at once, as after any failure.

// drainPatience is how long a unit may take to become active where it was moved to.
const drainPatience = 5 * time.Minute

// inMotion reports whether a plan depends on more than the records of machines, units and assignments.
func (w *world) inMotion() bool {
	for _, i := range w.moving {
		if len(w.units[i].given) > 1 {
			return true
		}
	}
	for k := range w.machines {
		if len(w.pendingSheds(&w.machines[k])) > 0 {
			return true
		}
	}
	return len(w.staying) > 0 || slices.ContainsFunc(w.machines, func(m machine) bool {
		return m.rec.Schedule == cluster.Drained && m.state.Runs() && len(m.residents) > 0
	})
}

// placeMoving takes note of a unit that was moved on request, or couldn't be.
// While it runs on two machines it counts on the first as a rival for others.
func (w *world) placeMoving(i int32, u *unit) {
	if u.given[0].Stay != (cluster.Stay{}) {
		w.staying = append(w.staying, i)
	}
	if u.given[0].MovedFrom == "" {
		return
	}
	w.moving = append(w.moving, i)
	if old := u.oldCopy(); old != nil {
		for _, c := range u.bound {
			c.count(u, w.byID[old.Machine], 1)
		}
	}
}

// oldCopy returns the assignment by which a unit runs on until it is active on
// its new machine; nil for none.
func (u *unit) oldCopy() *cluster.Assignment {
	if u.global() || len(u.given) < 2 || u.given[0].MovedFrom == "" {
		return nil
	}
	if k := u.givenTo(u.given[0].MovedFrom); k > 0 {
		return &u.given[k]
	}
	return nil
}

// statusOf is what the machine of an assignment reported of its unit.
func (p *plan) statusOf(a *cluster.Assignment) cluster.Status {
	return p.in.Snapshot.Statuses[cluster.UnitOnMachine{Machine: a.Machine, Unit: a.Unit}]
}

func (p *plan) stateAt(id string) cluster.HealthState { return p.machines[p.byID[id]].state }

// fallsBack has a unit go on where it ran before it was moved start-first, if
// it still runs there. The machine it was moved to doesn't run, and has lost it.
func (p *plan) fallsBack(i int32) bool {
	old := p.units[i].oldCopy()
	if old == nil || !p.stateAt(old.Machine).Runs() || p.units[i].rec.Desired != units.Launched {
		return false
	}
	p.back[i] = true
	p.assign(i, p.byID[old.Machine])
	return true
}

// handsOn adds the moves that end a start-first move, of which the unit has
// two assignments: the old one goes when the unit is active on its new machine,
// and the new one if it fails there. It reports whether there was anything to decide.
func (p *plan) handsOn(r *Result, i int32) bool {
	u := &p.units[i]
	old, to := u.oldCopy(), &u.given[0]
	_, moved := p.moved[i]
	if old == nil || moved || !p.stateAt(old.Machine).Runs() {
		return false
	}
	on, from := p.machines[p.byID[to.Machine]].name, p.machines[p.byID[old.Machine]]
	for k := range u.given[1:] {
		if a := &u.given[k+1]; a != old {
			r.Moves = append(r.Moves, p.move(u, a, nil, "assigned twice; only the latest assignment stands"))
		}
	}
	st := p.statusOf(to)
	failed := failure(to, &st)
	switch runs := p.stateAt(to.Machine).Runs(); {
	case p.back[i]:
		r.Moves = append(r.Moves, p.move(u, to, nil, "stays on "+from.name+": "+on+" "+p.describeOne(unhealthy(&p.machines[p.byID[to.Machine]]))))
	case u.rec.Desired != units.Launched:
		r.Moves = append(r.Moves, p.move(u, old, nil, "desired state "+string(u.rec.Desired)))
	case !runs:
	case u.isUp(to, &st):
		r.Moves = append(r.Moves, p.move(u, old, nil, "is active on "+on+" after "+took(p.now.Sub(to.Since))+", and stops on "+from.name))
	case failed == "" && p.now.Sub(to.Since) < drainPatience:
	default:
		why := cmp.Or(failed, "it isn't active after "+took(p.now.Sub(to.Since))) + " on " + on
		p.back[i] = true
		r.Moves = append(r.Moves, p.move(u, to, nil, "stays on "+from.name+": "+why))
		if from.rec.Schedule == cluster.Drained || len(from.rec.Sheds) > 0 {
			kept := *old
			kept.Stay = cluster.Stay{Reason: why, Attempt: from.rec.Drain.Attempt, Tried: true}
			r.Moves = append(r.Moves, p.move(u, old, &kept, why))
			r.Stays = append(r.Stays, Staying{u.name, old.Machine, why})
		}
	}
	return true
}

func took(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

// byRequest completes a move that an operator's word caused. A unit that runs
// starts on its new machine before it stops on the old one, but for those of
// which a second run would do harm: they stop first.
func (p *plan) byRequest(u *unit, m *cluster.Move) {
	m.To.MovedFrom = m.From.Machine
	st := p.statusOf(m.From)
	switch {
	case u.rec.Desired != units.Launched || m.To.Finished || st.Epoch != m.From.Epoch || !st.Runs():
	case u.parsed.req.Exclusive:
	case u.parsed.once || strings.HasSuffix(u.name, ".timer"):
		m.StopFirst = true
	default:
		m.Keep = true
	}
}

// onTheWay counts the units moved from a machine that aren't active yet where they went.
func (p *plan) onTheWay(m int32) (n int) {
	id := p.machines[m].id
	for _, i := range p.moving {
		if u := &p.units[i]; u.given[0].MovedFrom == id && u.at >= 0 && (u.oldCopy() != nil || !p.arrived(u)) {
			n++
		}
	}
	return n
}

// arrived reports whether a unit does on its machine what it is to do, or has failed to.
func (p *plan) arrived(u *unit) bool {
	a := &u.given[0]
	st := p.statusOf(a)
	return a.Desired != units.Launched || a.Finished || !p.stateAt(a.Machine).Runs() || u.isUp(a, &st) ||
		failure(a, &st) != "" || u.parsed.once && st.Epoch == a.Epoch && st.Active == "activating" ||
		p.now.Sub(a.Since) >= drainPatience
}

// drainAll has the next units leave the machines that are drained.
func (p *plan) drainAll() {
	clear(p.unplaceable)
	for k := range p.machines {
		if on := &p.machines[k]; on.known && on.rec.Schedule == cluster.Drained && on.state.Runs() {
			p.drain(int32(k), on)
		}
	}
	p.shedAll()
	p.placeAll() // what was replaced
}

func (p *plan) drain(m int32, on *machine) {
	room := max(1, on.rec.Drain.Parallel) - p.onTheWay(m)
	var ordinary, global []int32
	for _, i := range slices.Sorted(slices.Values(on.residents)) {
		if p.units[i].global() {
			global = append(global, i)
		} else {
			ordinary = append(ordinary, i)
		}
	}
	if len(ordinary) == 0 {
		p.drainGlobals(m, on, global)
		return
	}
	slices.SortStableFunc(ordinary, func(i, j int32) int { return p.leaves(j) - p.leaves(i) })
	done := map[int32]bool{}
	for _, i := range ordinary {
		if done[i] || p.back[i] {
			continue
		}
		g := p.companions(i, m)
		for _, j := range g {
			done[j] = true
		}
		room -= p.drainGroup(g, m, on, room)
	}
}

// leaves is 1 for a unit that was told to leave its machine.
func (p *plan) leaves(i int32) int {
	if u := &p.units[i]; len(u.given) > 0 && u.given[0].Leaving {
		return 1
	}
	return 0
}

// companions returns the units that MachineOf= ties to one on its machine, itself included, targets first.
func (p *plan) companions(i, m int32) []int32 {
	here := map[int32]bool{}
	for _, j := range p.machines[m].residents {
		here[j] = !p.units[j].global()
	}
	return p.tied(i, here, map[int32]bool{})
}

// drainGroup has units leave a machine together, if there is room for one more
// move, and returns how many do. Those that can't stay, or stop, as the drain says.
func (p *plan) drainGroup(members []int32, m int32, on *machine, room int) (leaving int) {
	for _, i := range members {
		u, stay := &p.units[i], p.units[i].given[0].Stay
		switch {
		case u.rec.ChangesHands(): // soon it doesn't any more
			return 0
		case stay.Tried && stay.Attempt == on.rec.Drain.Attempt && u.given[0].Generation == u.rec.Generation && !on.rec.Drain.Stop:
			p.stay(members, on, stay.Reason, true)
			return 0
		}
	}
	if room <= 0 && p.leaves(members[0]) == 0 {
		return 0
	}
	for _, i := range members {
		p.unassign(i, m)
		p.moved[i] = closedBy(on)
	}
	p.placeGroup(group{members: members})
	for _, i := range members {
		if p.units[i].at >= 0 || on.rec.Drain.Stop || p.isDone(&p.units[i]) {
			continue
		}
		why := p.whyUnplaced(&p.units[i])
		for _, j := range members {
			if at := p.units[j].at; at >= 0 {
				p.unassign(j, at)
			}
			p.assign(j, m)
			delete(p.moved, j)
			delete(p.chosen, j)
			delete(p.failed, j)
		}
		if p.units[i].name != p.units[members[0]].name || len(members) > 1 {
			why = p.units[i].name + ": " + why
		}
		p.stay(members, on, why, false)
		return 0
	}
	return len(members)
}

// stay notes why units don't leave a drained machine.
func (p *plan) stay(members []int32, on *machine, why string, tried bool) {
	for _, i := range members {
		was := p.units[i].given[0].Stay
		p.stays[i] = cluster.Stay{Reason: why, Attempt: on.rec.Drain.Attempt, Tried: tried && was.Tried}
	}
}

// drainGlobals ends global units on a drained machine, when all others have left it.
func (p *plan) drainGlobals(m int32, on *machine, global []int32) {
	for _, i := range p.moving {
		if old := p.units[i].oldCopy(); old != nil && old.Machine == on.id {
			return
		}
	}
	for _, i := range global {
		u := &p.units[i]
		if u.rec.ChangesHands() || u.on[m] < 0 {
			continue
		}
		p.unassign(i, m)
		p.gone = append(p.gone, departure{i, m, closedBy(on)})
		if len(u.on) == 0 {
			p.failed[i] = true
		}
	}
}

// markStays writes into assignments why units stay on drained machines, and
// takes it out where they needn't any more.
func (p *plan) markStays(r *Result) {
	for i, stay := range p.stays {
		u := &p.units[i]
		r.Stays = append(r.Stays, Staying{u.name, u.given[0].Machine, stay.Reason})
		p.markStay(r, u, stay)
	}
	for _, i := range p.staying {
		u := &p.units[i]
		_, moved := p.moved[i]
		on := &p.machines[p.byID[u.given[0].Machine]]
		sheds := len(on.rec.Sheds) > 0 && u.given[0].Stay.Attempt == on.rec.Drain.Attempt
		if _, stays := p.stays[i]; !stays && !moved && on.rec.Schedule != cluster.Drained && !sheds {
			p.markStay(r, u, cluster.Stay{})
		}
	}
	slices.SortFunc(r.Stays, func(a, b Staying) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Machine, b.Machine))
	})
}

func (p *plan) markStay(r *Result, u *unit, stay cluster.Stay) {
	from := &u.given[0]
	if from.Stay == stay || from.Generation != u.rec.Generation || u.parsed.once && u.endedWell(p.in.Snapshot) {
		return // the plan after the one that updates it does
	}
	to := *from
	to.Stay = stay
	r.Moves = append(r.Moves, p.move(u, from, &to, stay.Reason))
}
