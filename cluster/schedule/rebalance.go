package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
)

// A healthy unit is moved to balance the load only where an operator asks for
// it: Rebalance plans, the machines' records keep what is asked for, and every
// plan lets the next of these moves begin, as with a machine that is drained.

// Balance says how far to go.
type Balance struct {
	MostMoves int  // 0 for as many as it takes
	Exclusive bool // exclusive units move too, which stops them for a while
}

// Asked is a move for a rebalance to ask for.
type Asked struct {
	From string // machine ID
	cluster.Shed
}

// Rebalance returns the moves after which the machines that take units have as
// many as each other, within one, and the instances of a template are spread, as far as
// requirements allow. Units that MachineOf= or Replaces= ties to others, that run once,
// or change hands aren't moved, nor are exclusive ones unless b says so.
func (p *Planner) Rebalance(in Input, b Balance) []Asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync(in)
	p.settled = nil
	pl := p.plan(in, time.Time{})
	defer pl.undo()
	return pl.balance(b)
}

// movesFreely reports whether a rebalance may move a unit.
func (p *plan) movesFreely(i int32, b Balance) bool {
	u := &p.units[i]
	_, fresh := p.chosen[i]
	return u.wanted && !u.global() && !fresh && !p.back[i] && len(u.given) == 1 && !u.given[0].Leaving && p.arrived(u) &&
		u.parsed.err == "" && !u.parsed.once && !u.rec.ChangesHands() && (b.Exclusive || !u.parsed.req.Exclusive) &&
		len(u.targets)+len(u.followers)+len(u.replaces)+len(u.replacers) == 0
}

// balance moves one unit after the other from a machine with more to one with less.
// Each step makes the loads more equal, or leaves them and spreads a template, so it ends.
func (p *plan) balance(b Balance) []Asked {
	var open []int32
	for k := range p.machines {
		if p.machines[k].closed.kind == fits {
			open = append(open, int32(k))
		}
	}
	asked, order := map[int32]Asked{}, []int32{}
	for b.MostMoves == 0 || len(asked) < b.MostMoves {
		i, from, to, why := p.bestStep(open, b)
		if i < 0 {
			break
		}
		p.unassign(i, from)
		p.assign(i, to)
		origin := p.units[i].given[0]
		order = slices.DeleteFunc(order, func(o int32) bool { return o == i })
		if origin.Machine == p.machines[to].id {
			delete(asked, i) // it is better off where it was, after all
			continue
		}
		order = append(order, i)
		asked[i] = Asked{origin.Machine, cluster.Shed{Unit: origin.Unit, Epoch: origin.Epoch, To: p.machines[to].id, Reason: why}}
	}
	list := make([]Asked, 0, len(order))
	for _, i := range order {
		list = append(list, asked[i])
	}
	return list
}

// bestStep returns the next unit to move; -1 for none. The machines with the
// greatest difference come first, then the unit that spreads its template most.
func (p *plan) bestStep(open []int32, b Balance) (best, from, to int32, why string) {
	best = -1
	var gain, spread int32
	for _, m := range open {
		for _, i := range slices.Sorted(slices.Values(p.machines[m].residents)) {
			if !p.movesFreely(i, b) {
				continue
			}
			u := &p.units[i]
			p.unassign(i, m)
			for _, n := range p.able(i, nil) {
				load := p.loads[m] + 1 - p.loads[n]
				var s int32
				if u.spread >= 0 {
					s = p.spreads[u.spread][m] + 1 - p.spreads[u.spread][n]
				}
				if n == m || load < 1 || load == 1 && s < 2 || best >= 0 && (load < gain || load == gain && s <= spread) {
					continue
				}
				best, from, to, gain, spread = i, m, n, load, s
			}
			p.assign(i, m)
		}
	}
	if best < 0 {
		return best, 0, 0, ""
	}
	a, z := p.machines[from].name, p.machines[to].name
	if gain > 1 {
		why = fmt.Sprintf("%s has %d units, %s has %d", a, p.loads[from], z, p.loads[to])
	} else {
		n := p.spreads[p.units[best].spread]
		why = fmt.Sprintf("%s has %d instances of %s, %s has %d", a, n[from], p.units[best].parsed.template, z, n[to])
	}
	return best, from, to, why
}

// pendingSheds returns what a machine is asked to give away and has still as it was when that was asked for.
func (w *world) pendingSheds(on *machine) (list []cluster.Shed) {
	for _, s := range on.rec.Sheds {
		i, known := w.byName[s.Unit]
		if !known || !w.units[i].wanted || len(w.units[i].given) == 0 {
			continue
		}
		a := &w.units[i].given[0]
		done := a.Stay.Reason != "" && a.Stay.Attempt == on.rec.Drain.Attempt
		if a.Machine == on.id && (a.Epoch == s.Epoch || a.Leaving) && !done {
			list = append(list, s)
		}
	}
	return list
}

// shedAll has the next units move that a rebalance asks for. A machine that
// doesn't take a unit may do so when others have left it; when nothing moves any more, it stays.
func (p *plan) shedAll() {
	busy, parallel := 0, 1
	pending := map[int32][]cluster.Shed{}
	for k := range p.machines {
		m, on := int32(k), &p.machines[k]
		if len(on.rec.Sheds) == 0 || on.rec.Schedule == cluster.Drained || !on.state.Runs() {
			continue
		}
		busy, parallel = busy+p.onTheWay(m), max(parallel, on.rec.Drain.Parallel)
		pending[m] = p.pendingSheds(on)
	}
	refused := map[int32]string{}
	for _, m := range slices.Sorted(maps.Keys(pending)) {
		for _, s := range pending[m] {
			i := p.byName[s.Unit]
			if p.units[i].at != m || p.back[i] || busy >= parallel && p.leaves(i) == 0 {
				continue
			}
			if why := p.shed(i, m, s); why != "" {
				refused[i] = why
			} else {
				busy++
			}
		}
	}
	if busy > 0 {
		return
	}
	for i, why := range refused {
		p.stay([]int32{i}, &p.machines[p.units[i].at], why, false)
	}
}

// shed begins the move of a unit to the machine that a rebalance chose, or says why that doesn't take it.
func (p *plan) shed(i, m int32, s cluster.Shed) (why string) {
	to, known := p.byID[s.To]
	if !known {
		return "the machine that it was to move to left the cluster"
	}
	p.unassign(i, m)
	if !slices.Contains(p.able(i, nil), to) {
		why = p.describeOne(p.verdict(&p.units[i], to))
		p.assign(i, m)
		return p.machines[to].name + " " + strings.TrimSpace(why)
	}
	p.moved[i] = cause{kind: notOpen, detail: "rebalanced"}
	p.chosen[i] = choice{machine: to, with: -1, instead: -1, asked: s.Reason}
	p.assign(i, to)
	return ""
}

// StillAsked returns the moves of a rebalance that haven't come to an end, those that have begun included.
func StillAsked(s *cluster.Snapshot) (list []Asked) {
	for _, id := range slices.Sorted(maps.Keys(s.Machines)) {
		m := s.Machines[id]
		for _, shed := range m.Sheds {
			a, there := s.Assignments[cluster.UnitOnMachine{Machine: id, Unit: shed.Unit}]
			stays := a.Stay.Reason != "" && a.Stay.Attempt == m.Drain.Attempt
			if there && (a.Epoch == shed.Epoch || a.Leaving) && !stays {
				list = append(list, Asked{id, shed})
			}
		}
	}
	return list
}
