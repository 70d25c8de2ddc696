package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// fleetLists keeps what fleet's clients ask for several times a second, encoded: one entry a
// unit, and one a state, which are encoded anew only where they change.
type fleetLists struct {
	mu sync.Mutex // guards what follows

	encoded map[string]fleetEntry // units by name
	units   fleetList
	states  fleetList
	of      struct{ units, states *cluster.Snapshot } // that the lists were made of
}

// fleetEntry is an encoded unit, and what its encoding depends on.
type fleetEntry struct {
	key  fleetKey
	json []byte
}

type fleetKey struct {
	hash             string
	desired, current units.DesiredState
	machine          string
}

// fleetList is an encoded list, and of each entry what it can be chosen by.
type fleetList struct {
	entries [][]byte
	pages   [][]byte // the whole list as clients page through it
	name    []string
	machine []string // empty for a list of units
}

func newFleetLists() *fleetLists { return &fleetLists{encoded: map[string]fleetEntry{}} }

// fleetPlace is where a unit is, if it is on a machine.
type fleetPlace struct {
	machine string
	current units.DesiredState
}

// placeOf is a unit's place by its assignment and its status on a machine. A unit that was taken
// away from a machine counts as there until it has stopped.
func placeOf(machine string, a *cluster.Assignment, st *cluster.Status) fleetPlace {
	p := fleetPlace{machine: machine, current: cluster.Current(a, st)}
	switch {
	case a != nil || st == nil:
	case st.Load != "loaded":
		return fleetPlace{current: units.Inactive}
	case st.Runs():
		p.current = units.Launched
	default:
		p.current = units.Loaded
	}
	return p
}

// unit is one unit, encoded.
func (f *fleetLists) unit(snap *cluster.Snapshot, u cluster.Unit, global bool) []byte {
	var at fleetPlace
	if !global {
		at = fleetPlaceIn(snap, u.Name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.encoded) > len(snap.Units)+fleetv1.PageSize {
		maps.DeleteFunc(f.encoded, func(name string, _ fleetEntry) bool { _, known := snap.Units[name]; return !known })
	}
	return f.encode(u, at, global)
}

// fleetPlaceIn looks a unit's place up.
func fleetPlaceIn(snap *cluster.Snapshot, unit string) fleetPlace {
	found := fleetPlace{current: units.Inactive}
	for id := range snap.Machines {
		k := cluster.UnitOnMachine{Machine: id, Unit: unit}
		st, reported := snap.Statuses[k]
		a, assigned := snap.Assignments[k]
		if _, old := snap.Assignments[cluster.UnitOnMachine{Machine: a.MovedFrom, Unit: unit}]; old {
			continue // it counts where it runs on until it is active here
		}
		switch {
		case assigned && reported:
			return placeOf(id, &a, &st)
		case assigned:
			return placeOf(id, &a, nil)
		case reported && (found.machine == "" || id < found.machine):
			if p := placeOf(id, nil, &st); p.machine != "" {
				found = p
			}
		}
	}
	return found
}

// encode returns a unit's encoding; f.mu is held.
func (f *fleetLists) encode(u cluster.Unit, at fleetPlace, global bool) []byte {
	key := fleetKey{hash: u.Hash, desired: u.Desired, current: at.current, machine: at.machine}
	if e, ok := f.encoded[u.Name]; ok && e.key == key {
		return e.json
	}
	out := fleetv1.Unit{CurrentState: at.current, DesiredState: u.Desired, MachineID: at.machine, Name: u.Name}
	if file, err := units.ParseFile(u.Content); err == nil { // it was parsed when it was submitted
		out.Options = fleetv1.OptionsOf(file)
	}
	e := fleetEntry{key, mustJSON(out)}
	f.encoded[u.Name] = e
	return e.json
}

// mustJSON encodes a type of fleet's wire, which always can be.
func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// unitList is the list of all units, by name.
func (f *fleetLists) unitList(snap *cluster.Snapshot, global func(cluster.Unit) bool) fleetList {
	f.mu.Lock()
	defer f.mu.Unlock()
	if had := f.of.units; had != nil && cluster.SameMap(had.Units, snap.Units) &&
		cluster.SameMap(had.Assignments, snap.Assignments) && cluster.SameMap(had.Statuses, snap.Statuses) {
		return f.units
	}
	places := make(map[string]fleetPlace, len(snap.Assignments))
	for k, st := range snap.Statuses {
		if _, assigned := snap.Assignments[k]; assigned {
			continue
		}
		if p, ok := places[k.Unit]; ok && p.machine < k.Machine {
			continue
		}
		if p := placeOf(k.Machine, nil, &st); p.machine != "" {
			places[k.Unit] = p
		}
	}
	for k, a := range snap.Assignments {
		if _, old := snap.Assignments[cluster.UnitOnMachine{Machine: a.MovedFrom, Unit: k.Unit}]; old {
			continue // as in fleetPlaceIn
		}
		if st, reported := snap.Statuses[k]; reported {
			places[k.Unit] = placeOf(k.Machine, &a, &st)
		} else {
			places[k.Unit] = placeOf(k.Machine, &a, nil)
		}
	}
	list := fleetList{name: f.units.name}
	if had := f.of.units; had == nil || !cluster.SameMap(had.Units, snap.Units) {
		list.name = sortedKeys(snap.Units)
		maps.DeleteFunc(f.encoded, func(name string, _ fleetEntry) bool { _, known := snap.Units[name]; return !known })
	}
	list.entries = make([][]byte, 0, len(list.name))
	for _, name := range list.name {
		u := snap.Units[name]
		at, placed := places[name]
		isGlobal := global(u)
		switch {
		case isGlobal:
			at = fleetPlace{}
		case !placed:
			at.current = units.Inactive
		}
		list.entries = append(list.entries, f.encode(u, at, isGlobal))
	}
	list.pages = fleetPages("units", list.entries)
	f.units, f.of.units = list, snap
	return list
}

// stateList is the list of what the machines report of their units, by unit and machine.
func (f *fleetLists) stateList(snap *cluster.Snapshot) fleetList {
	f.mu.Lock()
	defer f.mu.Unlock()
	if had := f.of.states; had != nil && cluster.SameMap(had.Statuses, snap.Statuses) {
		return f.states
	}
	keys := slices.SortedFunc(maps.Keys(snap.Statuses), func(a, b cluster.UnitOnMachine) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Machine, b.Machine))
	})
	var list fleetList
	for _, k := range keys {
		list.entries = append(list.entries, mustJSON(fleetStateOf(snap.Statuses[k])))
		list.name, list.machine = append(list.name, k.Unit), append(list.machine, k.Machine)
	}
	list.pages = fleetPages("states", list.entries)
	f.states, f.of.states = list, snap
	return list
}

func fleetStateOf(st cluster.Status) fleetv1.UnitState {
	return fleetv1.UnitState{Hash: st.Hash, MachineID: st.Machine, Name: st.Name, SystemdActiveState: st.Active,
		SystemdLoadState: st.Load, SystemdSubState: st.Sub}
}

// chosen are the entries of one unit, of one machine, or both; empty chooses all.
func (l *fleetList) chosen(name, machine string) [][]byte {
	var out [][]byte
	for i, entry := range l.entries {
		if (name == "" || name == l.name[i]) && (machine == "" || machine == l.machine[i]) {
			out = append(out, entry)
		}
	}
	return out
}

// fleetPages are all pages of a list.
func fleetPages(key string, entries [][]byte) [][]byte {
	var pages [][]byte
	for p := fleetv1.FirstPage(); (int(p.Number)-1)*fleetv1.PageSize < len(entries); p.Number++ {
		pages = append(pages, fleetBody(key, entries, p))
	}
	return pages
}

// page is a page of the whole list.
func (l *fleetList) page(key string, p fleetv1.Page) []byte {
	if n := int(p.Number); p.Limit == fleetv1.PageSize && n <= len(l.pages) {
		return l.pages[n-1]
	}
	return fleetBody(key, l.entries, p)
}

// fleetBody is a page of encoded entries; an empty one is {}.
func fleetBody(key string, entries [][]byte, p fleetv1.Page) []byte {
	from, to, next := p.Of(len(entries))
	var fields []string // by key, as clients get all objects
	if from < to {
		fields = append(fields, `"`+key+`":[`+string(bytes.Join(entries[from:to], []byte{','}))+"]")
	}
	if next != "" {
		fields = append(fields, `"nextPageToken":"`+next+`"`)
	}
	slices.Sort(fields)
	return []byte("{" + strings.Join(fields, ",") + "}")
}

func (s *Server) fleetUnits(l readRequest) ([]byte, *api.Error) {
	p, e := fleetPage(l)
	if e != nil {
		return nil, e
	}
	list := s.fleet.unitList(l.snap, func(u cluster.Unit) bool { return s.facts.of(u).global })
	return list.page("units", p), nil
}

func (s *Server) fleetStates(l readRequest) ([]byte, *api.Error) {
	p, e := fleetPage(l)
	if e != nil {
		return nil, e
	}
	list := s.fleet.stateList(l.snap)
	q := l.URL.Query()
	if name, machine := q.Get("unitName"), q.Get("machineID"); name != "" || machine != "" {
		return fleetBody("states", list.chosen(name, machine), p), nil
	}
	return list.page("states", p), nil
}

// fleetState answers for one unit, on the machine with the lowest ID that reports it. A client
// of fleet crashes where it is told that there is none, so that is an empty state.
func (s *Server) fleetState(l readRequest) ([]byte, *api.Error) {
	var found fleetv1.UnitState
	name := l.PathValue("name")
	for id := range l.snap.Machines {
		st, reported := l.snap.Statuses[cluster.UnitOnMachine{Machine: id, Unit: name}]
		if reported && (found.MachineID == "" || id < found.MachineID) {
			found = fleetStateOf(st)
		}
	}
	return mustJSON(found), nil
}
