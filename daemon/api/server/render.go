package server

import (
	"cmp"
	"maps"
	"slices"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/units"
)

// Rendering: the cluster's words into the API's.

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

func comparePlacement(a, b api.Placement) int {
	return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Machine, b.Machine))
}

// health has the health of each machine of a snapshot, by ID.
func (s *Server) health(snap *cluster.Snapshot, st api.Store) map[string]cluster.Health {
	return s.cfg.Health.Of(snap, st.Connected)
}

func (s *Server) machine(snap *cluster.Snapshot, m cluster.Machine, h cluster.Health) api.Machine {
	return api.Machine{Machine: m, Health: h, Leader: m.ID == snap.Leader.Machine, Self: m.ID == s.cfg.Self}
}

func (s *Server) unit(u cluster.Unit) api.Unit {
	f := s.facts.of(u)
	return api.Unit{Name: u.Name, Description: f.description, Hash: u.Hash, Desired: u.Desired, FromTemplate: u.FromTemplate, Global: f.global, Once: f.once,
		Reschedule: f.reschedule,
		Generation: u.Generation, Restart: u.Restart, By: u.By, At: u.At}
}

func assignment(a cluster.Assignment) api.Assignment {
	return api.Assignment{Machine: a.Machine, Unit: a.Unit, Hash: a.Hash, Desired: a.Desired, Generation: a.Generation,
		Restart: a.Restart, Epoch: a.Epoch, Reason: a.Why(), Since: a.Since, Leaving: a.Leaving,
		Tries: a.Tries, Attempt: a.Attempt, RetryAt: a.RetryAt}
}

// unplaced are the units that the leader has no place for, by name.
func unplaced(snap *cluster.Snapshot) map[string]api.Unplaced {
	out := make(map[string]api.Unplaced, len(snap.Unplaced))
	for name := range snap.Unplaced {
		if why := snap.WhyUnplaced(name); why != "" {
			out[name] = api.Unplaced{Unit: name, Reason: why}
		}
	}
	return out
}

// planned is what the leader plans with, for all this daemon knows.
func planned(snap *cluster.Snapshot, health map[string]cluster.Health) schedule.Input {
	return schedule.Input{Snapshot: snap, Health: health, Hold: snap.Leader.Hold}
}

// placements are the snapshot's assignments and statuses by unit, each by machine.
func placements(in schedule.Input, want func(unit string) bool) map[string][]api.UnitPlacement {
	snap := in.Snapshot
	out := map[string][]api.UnitPlacement{}
	for k, a := range snap.Assignments {
		if !want(k.Unit) {
			continue
		}
		row := assignment(a)
		p := api.UnitPlacement{Machine: k.Machine, Assignment: &row, Held: in.Held(k.Machine), Lost: lost(in, k.Machine)}
		if st, ok := snap.Statuses[k]; ok {
			p.Status = &st
		}
		out[k.Unit] = append(out[k.Unit], p)
	}
	for k, st := range snap.Statuses {
		if _, assigned := snap.Assignments[k]; !assigned && want(k.Unit) {
			out[k.Unit] = append(out[k.Unit], api.UnitPlacement{Machine: k.Machine, Status: &st, Lost: lost(in, k.Machine)})
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b api.UnitPlacement) int { return cmp.Compare(a.Machine, b.Machine) })
	}
	return out
}

// lost is a machine's health where what its agent reported last is old, and else nil.
func lost(in schedule.Input, machine string) *cluster.Health {
	h, judged := in.Health[machine]
	if !judged || h.State.Runs() {
		return nil
	}
	return &h
}

func machineRefs(snap *cluster.Snapshot, list []api.UnitInfo) []api.MachineRef {
	seen := map[string]api.MachineRef{}
	for _, u := range list {
		for _, p := range u.Placements {
			m := snap.Machines[p.Machine]
			seen[p.Machine] = api.MachineRef{ID: p.Machine, Name: m.Name, Address: m.Address}
		}
	}
	out := make([]api.MachineRef, 0, len(seen))
	for _, id := range sortedKeys(seen) {
		out = append(out, seen[id])
	}
	return out
}

// current is fleet's current state of a unit on all its machines: launched on
// one of them is launched.
func current(list []api.UnitPlacement) units.DesiredState {
	out := units.Inactive
	for _, p := range list {
		switch p.Current() {
		case units.Launched:
			return units.Launched
		case units.Loaded:
			out = units.Loaded
		}
	}
	return out
}
