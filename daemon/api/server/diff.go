package server

import (
	"maps"
	"reflect"

	"fleettop/cluster"
)

// diff is the change that leads from one snapshot to another. Maps the two
// share are not looked at, so that a small change costs little.
func diff(from, to *cluster.Snapshot) cluster.Change {
	c := cluster.Change{Revision: to.Revision,
		Machines:    diffMaps(from.Machines, to.Machines, func(a, b cluster.Machine) bool { return reflect.DeepEqual(a, b) }),
		Runs:        diffMaps(from.Runs, to.Runs, same),
		Units:       diffMaps(from.Units, to.Units, same),
		Assignments: diffMaps(from.Assignments, to.Assignments, cluster.Assignment.Equal),
		Statuses:    diffMaps(from.Statuses, to.Statuses, same),
	}
	if from.ClusterID != to.ClusterID {
		c.ClusterID = &to.ClusterID
	}
	if from.Leader != to.Leader {
		c.Leader = &to.Leader
	}
	return c
}

func same[V comparable](a, b V) bool { return a == b }

func diffMaps[K comparable, V any](from, to map[K]V, equal func(a, b V) bool) map[K]*V {
	if cluster.SameMap(from, to) {
		return nil
	}
	out := map[K]*V{}
	for k, v := range to {
		if old, ok := from[k]; !ok || !equal(old, v) {
			out[k] = &v
		}
	}
	for k := range from {
		if _, ok := to[k]; !ok {
			out[k] = nil
		}
	}
	return out
}

// diffRows compares rows by key, and returns what is new or different, and what is gone, sorted.
func diffRows[V any](from, to map[string]V) (changed []V, gone []string) {
	for _, k := range sortedKeys(to) {
		if old, ok := from[k]; !ok || !reflect.DeepEqual(old, to[k]) {
			changed = append(changed, to[k])
		}
	}
	missing := maps.Clone(from)
	for k := range to {
		delete(missing, k)
	}
	return changed, sortedKeys(missing)
}
