package schedule

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
)

// plan is one run of the planner over a world. It logs its changes to the world, to undo them.
type plan struct {
	*world
	in  Input
	now time.Time

	log         []step
	moved       map[int32]cause        // units taken from their machines, and why
	chosen      map[int32]choice       // units placed by this plan
	failed      map[int32]bool         // units that found no machine
	evicted     map[int32]bool         // units that were replaced
	queue       []int32                // units to place in the next round
	waiting     []int32                // units that get no place by this plan
	gone        []departure            // global units taken from machines
	left        []departure            // global units left with machines that don't run
	isLeft      map[int32]bool         // units that aren't global and are left with theirs
	stays       map[int32]cluster.Stay // units that can't leave a drained machine
	back        map[int32]bool         // units whose start-first move is taken back
	unplaceable map[string]bool        // peerKeys of units that no machine takes
	again       map[int32]bool         // units that failed and get their next try
	recorded    []cluster.Move         // failures, to be kept in the assignments
	next        time.Time              // when the next try of a unit is due; zero for none

	scratch, common []int32 // reused buffers
	marks           []int   // machines marked with mark don't take the current unit
	mark            int
}

type step struct {
	unit, machine int32
	added         bool
}

type departure struct {
	unit, machine int32
	why           cause
}

// choice is the machine chosen for a unit, and the reasons.
type choice struct {
	machine  int32
	eligible int    // machines to choose from
	load     int32  // units on it before
	siblings int32  // instances of the same template on it before
	with     int32  // the unit it was grouped with; -1 for none
	instead  int32  // the unit whose place it took; -1 for none
	asked    string // why a rebalance chose it; empty for other choices
}

func (p *Planner) plan(in Input, now time.Time) *plan {
	pl := &plan{world: p.world, in: in, now: now, moved: map[int32]cause{}, chosen: map[int32]choice{},
		stays: map[int32]cluster.Stay{}, back: map[int32]bool{}, failed: map[int32]bool{}, isLeft: map[int32]bool{}, evicted: map[int32]bool{},
		unplaceable: map[string]bool{}, again: map[int32]bool{}, marks: make([]int, len(p.world.machines))}
	for _, i := range pl.pending {
		u := &pl.units[i]
		if len(u.given) > 0 {
			if pl.held(pl.byID[u.given[0].Machine]) {
				continue
			}
			pl.moved[i] = u.outOf
		} else if in.Waits[u.name] {
			pl.waiting = append(pl.waiting, i)
			continue
		}
		pl.queue = append(pl.queue, i)
	}
	pl.displace()
	pl.reschedule()
	pl.spreadGlobals()
	pl.placeAll()
	pl.drainAll()
	pl.keepLeft()
	return pl
}

// held reports whether a failed machine keeps its units because too many machines failed at once.
func (p *plan) held(m int32) bool { return p.in.Held(p.machines[m].id) != "" }

// displace queues the units of machines that don't run for another machine. If
// there is none, as for a global unit, the assignment is left with the machine:
// a machine that was only cut off then continues with the same process.
func (p *plan) displace() {
	for k := range p.machines {
		m, on := int32(k), &p.machines[k]
		if on.state.Runs() || len(on.residents) == 0 || p.held(m) {
			continue
		}
		why := unhealthy(on)
		for _, i := range slices.Sorted(slices.Values(on.residents)) {
			p.unassign(i, m)
			if p.units[i].global() {
				p.left = append(p.left, departure{i, m, why})
				continue
			}
			if p.fallsBack(i) {
				continue
			}
			p.moved[i] = why
			if p.in.Waits[p.units[i].name] {
				p.waiting = append(p.waiting, i)
			} else {
				p.queue = append(p.queue, i)
			}
		}
	}
}

// spreadGlobals gives global units to every machine that takes them.
func (p *plan) spreadGlobals() {
	for _, i := range p.globals {
		u, kept := &p.units[i], false
		for m, why := range u.off {
			if p.held(m) {
				kept = true
			} else {
				p.gone = append(p.gone, departure{i, m, why})
			}
		}
		if u.parsed.err == "" {
			for _, m := range p.classOf(&u.parsed).able {
				_, there := u.on[m]
				_, leaving := u.off[m]
				if !there && !leaving && p.excluded(u, m).kind == fits {
					p.assign(i, m)
				}
			}
		}
		if len(u.on) == 0 && !kept {
			p.failed[i] = true
		}
	}
}

func (p *plan) assign(i, m int32) {
	p.add(i, m)
	p.log = append(p.log, step{i, m, true})
}

func (p *plan) unassign(i, m int32) {
	p.remove(i, m)
	p.log = append(p.log, step{i, m, false})
}

// undo reverts the plan's changes to the world.
func (p *plan) undo() {
	for _, s := range slices.Backward(p.log) {
		if s.added {
			p.remove(s.unit, s.machine)
		} else {
			p.add(s.unit, s.machine)
		}
	}
	p.log = nil
}

// placeAll places the queued units, in rounds: a unit that replaces others puts
// them back into the queue, and may make room for units that found no machine.
func (p *plan) placeAll() {
	for len(p.queue) > 0 {
		groups := p.groups(p.queue)
		p.queue = nil
		clear(p.unplaceable)
		for _, g := range groups {
			p.placeGroup(g)
		}
		if len(p.queue) > 0 {
			for i := range p.failed {
				if !p.units[i].global() {
					p.queue = append(p.queue, i)
				}
			}
			p.failed = onlyGlobals(p.world, p.failed)
		}
	}
}

func onlyGlobals(w *world, failed map[int32]bool) map[int32]bool {
	kept := map[int32]bool{}
	for i := range failed {
		if w.units[i].global() {
			kept[i] = true
		}
	}
	return kept
}

// group is units that must be on one machine.
type group struct {
	members []int32 // targets before those that follow them
	running bool    // a member ran before
	able    int     // machines that take the member with the fewest, other units aside
}

// groups joins queued units by MachineOf= and orders the groups: first those
// that ran before, then those with the fewest machines, then by name.
func (p *plan) groups(queue []int32) []group {
	slices.Sort(queue)
	queue = slices.Compact(queue)
	queued := map[int32]bool{}
	tied := false
	for _, i := range queue {
		queued[i] = true
		tied = tied || len(p.units[i].targets) > 0
	}
	groups := make([]group, 0, len(queue))
	seen := map[int32]bool{}
	for _, i := range queue {
		if seen[i] {
			continue
		}
		g := group{members: []int32{i}}
		if tied {
			g.members = p.tied(i, queued, seen)
		}
		g.able = len(p.machines)
		for _, j := range g.members {
			u := &p.units[j]
			g.running = g.running || len(u.given) > 0
			g.able = min(g.able, len(p.classOf(&u.parsed).able))
		}
		groups = append(groups, g)
	}
	slices.SortStableFunc(groups, func(a, b group) int {
		if a.running != b.running {
			if a.running {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.able, b.able)
	})
	return groups
}
