package api

import (
	"cmp"
	"slices"

	"fleettop/cluster"
)

// fill puts units, assignments and statuses of a change into a line, sorted.
func (wa *watcher) fill(l *Line, gone *Gone, c cluster.Change) {
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
			gone.Assignments = append(gone.Assignments, Placement(k))
		default:
			l.Assignments = append(l.Assignments, assignment(*a))
		}
	}
	for k, st := range c.Statuses {
		switch {
		case !wa.units.match(k.Unit) || !wa.machines.match(k.Machine):
		case st == nil:
			gone.Statuses = append(gone.Statuses, Placement(k))
		default:
			l.Statuses = append(l.Statuses, *st)
		}
	}
	slices.SortFunc(l.Assignments, func(a, b Assignment) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Machine, b.Machine))
	})
	slices.SortFunc(l.Statuses, func(a, b cluster.Status) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Machine, b.Machine))
	})
	slices.SortFunc(gone.Assignments, comparePlacement)
	slices.SortFunc(gone.Statuses, comparePlacement)
}

func (g *Gone) empty() bool {
	return len(g.Machines)+len(g.Units)+len(g.Assignments)+len(g.Statuses)+len(g.Unplaced)+len(g.WhatIf) == 0
}

func (l *Line) empty() bool {
	return l.ClusterID == "" && l.Leader == nil && l.Store == nil && l.Gone == nil &&
		len(l.Machines)+len(l.Units)+len(l.Assignments)+len(l.Statuses)+len(l.Unplaced)+len(l.WhatIf)+len(l.Events) == 0
}
