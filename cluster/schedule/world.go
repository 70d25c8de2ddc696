package schedule

import (
	"cmp"
	"slices"

	"fleettop/cluster"
	"fleettop/units"
)

// machine is one machine and the units placed on it so far.
type machine struct {
	id, name  string
	rec       cluster.Machine
	known     bool // it has a record
	state     cluster.HealthState
	closed    cause   // why it takes no new units in this state
	residents []int32 // units, in no order
}

// unit is one unit that is wanted or assigned.
type unit struct {
	name   string
	rec    cluster.Unit // zero when the unit was destroyed
	wanted bool
	parsed parsed
	spread int32 // index of its template's counts; -1 when it has no siblings
	// given are its assignments in the snapshot. Of a unit that isn't
	// global only the first, with the highest epoch, is valid.
	given               []cluster.Assignment
	at                  int32           // the machine it is placed on now; -1 for none
	on                  map[int32]int   // of a global unit: the machines, and the index in given, -1 for a new one
	off                 map[int32]cause // of a global unit: the given machines it must leave, and why
	outOf               cause           // why it can't stay on the machine it was given to
	bound               []constraint    // those that depend on other units
	conflicts, matching []*pattern      // its own patterns, and those that match it
	targets             []int32         // MachineOf; -1 for a unit that isn't wanted
	followers           []int32         // units of which it is a target
	replaces, replacers []int32
	tries               []cluster.Try // of this generation, that failed
}

func (u *unit) global() bool { return u.parsed.req.Global }

// world is the index of a snapshot, in which every unit that can stay is placed
// on its machine. A plan changes it and undoes its changes.
type world struct {
	unitsOf       map[string]cluster.Unit
	assignmentsOf map[cluster.UnitOnMachine]cluster.Assignment
	machinesOf    map[string]cluster.Machine

	loads    []int32   // units on each machine
	machines []machine // by name and ID: the order that breaks ties
	byID     map[string]int32
	byDigits map[string][]int32 // machines by the first digits of their IDs, for those that a MachineID names
	units    []unit             // by name
	byName   map[string]int32
	patterns patterns
	spreads  [][]int32 // by template with several wanted instances: instances on each machine
	classes  map[string]*class

	pending  []int32 // wanted units without a machine, or which can't stay whatever the machine's health
	outdated []int32 // units that may stay, with assignments of an earlier generation
	globals  []int32
	rolling  bool    // a global unit isn't up to date everywhere
	once     []int32 // assigned units that run once, not marked as done
	handing  []int32 // assigned units that change hands
	retrying []int32 // assigned units that are tried on another machine when they fail
	extra    []int32 // units with assignments to be withdrawn
	moving   []int32 // units that were moved from another machine on an operator's word, lately or long ago
	staying  []int32 // units that couldn't leave a drained machine
}

// of reports whether the index is of this snapshot.
func (w *world) of(s *cluster.Snapshot) bool {
	return cluster.SameMap(w.unitsOf, s.Units) && cluster.SameMap(w.assignmentsOf, s.Assignments) &&
		cluster.SameMap(w.machinesOf, s.Machines)
}

func newWorld(s *cluster.Snapshot, memo map[string]parsed) (*world, map[string]parsed) {
	w := &world{unitsOf: s.Units, assignmentsOf: s.Assignments, machinesOf: s.Machines,
		patterns: patterns{all: map[string]*pattern{}}, classes: map[string]*class{}, byDigits: map[string][]int32{}}
	w.addMachines(s)
	memo = w.addUnits(s, memo)
	w.link()
	w.placeStanding()
	return w, memo
}

func (w *world) addMachines(s *cluster.Snapshot) {
	for id, rec := range s.Machines {
		w.machines = append(w.machines, machine{id: id, name: s.Label(id), rec: rec, known: true})
	}
	gone := map[string]bool{}
	for k := range s.Assignments {
		if _, ok := s.Machines[k.Machine]; !ok && !gone[k.Machine] {
			gone[k.Machine] = true
			w.machines = append(w.machines, machine{id: k.Machine, name: s.Label(k.Machine)})
		}
	}
	slices.SortFunc(w.machines, func(a, b machine) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
	})
	w.loads = make([]int32, len(w.machines))
	w.byID = make(map[string]int32, len(w.machines))
	for i := range w.machines {
		w.byID[w.machines[i].id] = int32(i)
	}
}

func (w *world) addUnits(s *cluster.Snapshot, memo map[string]parsed) map[string]parsed {
	given := map[string][]cluster.Assignment{}
	for k, a := range s.Assignments {
		given[k.Unit] = append(given[k.Unit], a)
	}
	names := make([]string, 0, len(s.Units))
	for name, u := range s.Units {
		if wants(u) || given[name] != nil {
			names = append(names, name)
		}
	}
	for name := range given {
		if _, ok := s.Units[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	w.units = make([]unit, len(names))
	w.byName = make(map[string]int32, len(names))
	kept := make(map[string]parsed, len(names))
	known := files{}
	for i, name := range names {
		u := &w.units[i]
		*u = unit{name: name, rec: s.Units[name], given: given[name], at: -1, spread: -1}
		u.wanted = wants(u.rec)
		slices.SortFunc(u.given, func(a, b cluster.Assignment) int {
			return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(a.Machine, b.Machine))
		})
		w.byName[name] = int32(i)
		if !u.wanted || len(u.given) > 1 {
			w.extra = append(w.extra, int32(i))
		}
		if !u.wanted {
			continue
		}
		ps, ok := memo[name]
		if !ok || ps.hash != u.rec.Hash {
			ps = parse(&u.rec, known)
		}
		u.parsed, kept[name] = ps, ps
	}
	return kept
}

func wants(u cluster.Unit) bool { return u.Desired == units.Loaded || u.Desired == units.Launched }

// link resolves what units name: their template's other instances, and the names in constraints.
func (w *world) link() {
	instances := map[string]int{}
	for i := range w.units {
		if u := &w.units[i]; u.wanted {
			instances[u.parsed.template]++
		}
	}
	spreads := map[string]int32{}
	for i := range w.units {
		u, t := &w.units[i], w.units[i].parsed.template
		if !u.wanted || t == "" || instances[t] < 2 || u.global() {
			continue
		}
		n, ok := spreads[t]
		if !ok {
			n = int32(len(w.spreads))
			spreads[t] = n
			w.spreads = append(w.spreads, make([]int32, len(w.machines)))
		}
		u.spread = n
	}
	for _, c := range all {
		c.link(w)
	}
	for i := range w.units {
		u := &w.units[i]
		for _, c := range all {
			if c.concerns(u) {
				u.bound = append(u.bound, c)
			}
		}
	}
}

// add places a unit on a machine; remove is its inverse.
func (w *world) add(i, m int32) {
	u := &w.units[i]
	if u.global() {
		u.on[m] = u.givenTo(w.machines[m].id)
	} else {
		u.at = m
	}
	w.machines[m].residents = append(w.machines[m].residents, i)
	w.count(u, m, 1)
}

func (w *world) remove(i, m int32) {
	u := &w.units[i]
	if u.global() {
		delete(u.on, m)
	} else {
		u.at = -1
	}
	list := w.machines[m].residents
	k := slices.Index(list, i)
	list[k] = list[len(list)-1]
	w.machines[m].residents = list[:len(list)-1]
	w.count(u, m, -1)
}

func (w *world) count(u *unit, m, by int32) {
	w.loads[m] += by
	if u.spread >= 0 {
		w.spreads[u.spread][m] += by
	}
	for _, c := range u.bound {
		c.count(u, m, by)
	}
}

// givenTo returns the index of the unit's assignment to a machine, or -1.
func (u *unit) givenTo(id string) int {
	return slices.IndexFunc(u.given, func(a cluster.Assignment) bool { return a.Machine == id })
}

// hosts reports whether a unit is placed on a machine.
func (w *world) hosts(m, i int32) bool {
	if i < 0 {
		return false
	}
	if u := &w.units[i]; !u.global() {
		return u.at == m
	}
	_, ok := w.units[i].on[m]
	return ok
}

// setHealth sets the machines' health and reports whether any changed.
func (w *world) setHealth(health map[string]cluster.Health) (changed bool) {
	for i := range w.machines {
		m := &w.machines[i]
		state := cluster.Failed
		if m.known {
			state = cluster.Suspect // until there is a verdict
			if h, ok := health[m.id]; ok {
				state = stateOf(h)
			}
		}
		if m.state != state {
			m.state, changed = state, true
			m.closed = w.closed(m, false)
		}
	}
	if changed {
		w.classes = map[string]*class{}
	}
	return changed
}

// assume overrides one machine's health until the next assume or setHealth. It
// returns the previous health, and whether there is such a machine.
func (w *world) assume(id string, state cluster.HealthState) (was cluster.HealthState, known bool) {
	i, known := w.byID[id]
	if known {
		m := &w.machines[i]
		was, m.state = m.state, state
		m.closed = w.closed(m, false)
		w.classes = map[string]*class{}
	}
	return was, known
}

// standingOrder returns the wanted units that have a machine, by precedence:
// those with an unreadable file, which stay, those with an unchanged file, then
// those placed the longest ago, then by name.
func (w *world) standingOrder() []int32 {
	var order []int32
	for i := range w.units {
		if u := &w.units[i]; u.wanted && len(u.given) > 0 {
			order = append(order, int32(i))
		}
	}
	changed := func(u *unit) int {
		switch {
		case u.parsed.err != "":
			return 0
		case u.given[0].Hash == u.rec.Hash:
			return 1
		}
		return 2
	}
	slices.SortFunc(order, func(i, j int32) int {
		a, b := &w.units[i], &w.units[j]
		return cmp.Or(changed(a)-changed(b), cmp.Compare(a.given[0].Epoch, b.given[0].Epoch), cmp.Compare(i, j))
	})
	return order
}
