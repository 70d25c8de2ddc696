package memstore

import (
	"maps"
	"slices"
	"strings"

	"fleettop/cluster"
)

// scoped returns the part of a change that a scope sees.
func scoped(c cluster.Change, scope cluster.Scope) cluster.Change {
	if !scope.Events {
		c.Events = nil
	}
	if scope.Machine == "" {
		return c
	}
	c.ClusterID, c.Units, c.Statuses, c.Fences, c.Findings = nil, nil, nil, nil, cluster.Findings{}
	c.Machines = only(c.Machines, scope.Machine)
	c.Runs = only(c.Runs, scope.Machine)
	c.Assignments = onMachine(c.Assignments, scope.Machine)
	return c
}

// scopedSnapshot returns the part of a snapshot that a scope sees.
func scopedSnapshot(s *cluster.Snapshot, scope cluster.Scope) *cluster.Snapshot {
	if scope.Machine == "" {
		return s
	}
	n := cluster.NewSnapshot(s.Revision)
	n.Leader = s.Leader
	n.Machines = only(s.Machines, scope.Machine)
	n.Runs = only(s.Runs, scope.Machine)
	n.Assignments = onMachine(s.Assignments, scope.Machine)
	return n
}

func only[V any](m map[string]V, key string) map[string]V {
	n := map[string]V{}
	if v, ok := m[key]; ok {
		n[key] = v
	}
	return n
}

func onMachine[V any](m map[cluster.UnitOnMachine]V, machine string) map[cluster.UnitOnMachine]V {
	n := maps.Clone(m)
	if n == nil {
		n = map[cluster.UnitOnMachine]V{}
	}
	maps.DeleteFunc(n, func(k cluster.UnitOnMachine, _ V) bool { return k.Machine != machine })
	return n
}

func sortEvents(events []cluster.Event) {
	slices.SortStableFunc(events, func(a, b cluster.Event) int { return strings.Compare(a.ID, b.ID) })
}
