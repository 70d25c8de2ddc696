package server

import (
	"cmp"
	"slices"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// fill puts units, assignments and statuses of a change into a line, sorted.
func (wa *watcher) fill(l *api.Line, gone *api.Gone, c cluster.Change) {
	for _, name := range sortedKeys(c.Units) {
		switch u := c.Units[name]; {
		case !wa.units.match(name):
		case u == nil:
			gone.Units = append(gone.Units, name)
		default:
			l.Units = append(l.Units, wa.s.unit(*u))
		}
	}
	for k, a := range c.Assignments {
		switch {
		case !wa.units.match(k.Unit) || !wa.machines.match(k.Machine):
		case a == nil:
			gone.Assignments = append(gone.Assignments, api.Placement(k))
		default:
			l.Assignments = append(l.Assignments, assignment(*a))
		}
	}
	for k, st := range c.Statuses {
		switch {
		case !wa.units.match(k.Unit) || !wa.machines.match(k.Machine):
		case st == nil:
			gone.Statuses = append(gone.Statuses, api.Placement(k))
		default:
			l.Statuses = append(l.Statuses, *st)
		}
	}
	slices.SortFunc(l.Assignments, func(a, b api.Assignment) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Machine, b.Machine))
	})
	slices.SortFunc(l.Statuses, func(a, b cluster.Status) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Machine, b.Machine))
	})
	slices.SortFunc(gone.Assignments, comparePlacement)
	slices.SortFunc(gone.Statuses, comparePlacement)
}
