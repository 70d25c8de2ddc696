package stitch

import (
	"maps"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/units"
)

// selected reports whether a unit is one of those named, or matches a glob.
func selected(names []string, unit string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		return n == unit || IsGlob(n) && units.MatchGlob(n, unit)
	})
}

// IsGlob reports whether a name stands for all units that match it.
func IsGlob(name string) bool { return strings.ContainsAny(name, "*?[") }

// known are the units a request means: those the cluster knows or that are
// still on a machine, and those that are named in full. Sorted.
func known(snap *cluster.Snapshot, names []string) []string {
	set := map[string]bool{}
	add := func(unit string) {
		if !set[unit] && selected(names, unit) {
			set[unit] = true
		}
	}
	for unit := range snap.Units {
		add(unit)
	}
	for k := range snap.Assignments {
		add(k.Unit)
	}
	for k := range snap.Statuses {
		add(k.Unit)
	}
	for _, n := range names {
		if !IsGlob(n) {
			set[n] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// present are the machines that have one of the units, or are still getting rid of it.
func present(snap *cluster.Snapshot, names []string) map[string]bool {
	on := map[string]bool{}
	for k := range snap.Assignments {
		if !on[k.Machine] && selected(names, k.Unit) {
			on[k.Machine] = true
		}
	}
	for k := range snap.Statuses {
		if !on[k.Machine] && selected(names, k.Unit) {
			on[k.Machine] = true
		}
	}
	return on
}
