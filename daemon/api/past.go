package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/history"
	"fleettop/units"
)

// PastMachine is a machine as its history sees it.
func PastMachine(m Machine) history.Machine {
	return history.Machine{ID: m.ID, Name: m.Label(), Health: m.Health.State, Since: m.Health.Since,
		Schedule: m.Schedule, ScheduledAt: m.ScheduledAt}
}

// PastUnit is a unit as its history sees it, without its places.
func PastUnit(u Unit, unplaced string) history.Unit {
	return history.Unit{Name: u.Name, Global: u.Global, Desired: cmp.Or(u.Desired, units.Inactive), Changed: u.At,
		Unplaced: unplaced}
}

// PastPlace is an assignment as its history sees it; s is what the machine reports, or nil.
func PastPlace(a Assignment, s *cluster.Status) history.Place {
	p := history.Place{Machine: a.Machine, Reason: a.Reason, Since: a.Since}
	if s != nil && s.Epoch >= a.Epoch {
		p.Status = history.Status{Active: s.Active, Sub: s.Sub, Result: s.Result, Restarts: s.Restarts, Since: s.Since}
	}
	return p
}

// Moment is what the state's history ends with, at a time.
func (s *State) Moment(now time.Time) history.Moment {
	m := history.Moment{Time: now, Covered: true, Leader: history.Leader{Machine: s.Leader.Machine, Since: s.Leader.Since}}
	for _, id := range slices.Sorted(maps.Keys(s.Machines)) {
		m.Machines = append(m.Machines, PastMachine(s.Machines[id]))
	}
	given := map[string][]Assignment{}
	for _, a := range s.Assignments {
		given[a.Unit] = append(given[a.Unit], a)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Units)) {
		u := PastUnit(s.Units[name], s.Unplaced[name])
		list := given[name]
		slices.SortFunc(list, func(a, b Assignment) int {
			return cmp.Or(cmp.Compare(b.Epoch, a.Epoch), strings.Compare(a.Machine, b.Machine))
		})
		if !u.Global {
			list = list[:min(1, len(list))] // the latest counts
		}
		for _, a := range list {
			var status *cluster.Status
			if st, ok := s.Statuses[Placement{a.Machine, name}]; ok {
				status = &st
			}
			u.Places = append(u.Places, PastPlace(a, status))
		}
		slices.SortFunc(u.Places, func(a, b history.Place) int { return strings.Compare(a.Machine, b.Machine) })
		m.Units = append(m.Units, u)
	}
	return m
}
