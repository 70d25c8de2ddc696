package server

import (
	"context"
	"errors"
	"maps"
	"slices"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// Hosts knows the units that machines run under files of their own.
type Hosts interface {
	// HostUnit returns a unit of a machine's host that can be adopted; see units.Host.
	HostUnit(ctx context.Context, machineID, unit string) (units.HostUnit, error)
}

// hostUnit answers with a unit of a machine's host.
func (s *Server) hostUnit(l readRequest) (any, *api.Error) {
	m, e := api.FindMachine(l.snap.Machines, l.PathValue("id"))
	if e != nil {
		return nil, e
	}
	name := l.PathValue("unit")
	u, err := s.cfg.Hosts.HostUnit(l.Context(), m.ID, name)
	refusal := new(api.Error)
	switch {
	case err == nil:
		return u, nil
	case errors.As(err, &refusal):
		return nil, refusal
	case errors.Is(err, units.ErrNotLoaded):
		return nil, api.Refuse(api.CodeNotFound, "`systemctl list-units` on it shows those that run", "%s has no unit %s", m.Label(), name)
	case errors.Is(err, units.ErrNotAdoptable):
		return nil, api.Refuse(api.CodeConflict, "", "%s: %v", m.Label(), err)
	}
	return nil, api.Refuse(api.CodeUnavailable, "see whether its daemon runs, and try again",
		"%s can't say what it runs: %v", m.Label(), err)
}

// refuseHandover returns why a unit can't pass between the cluster and a host.
func (a *action) refuseHandover(it *item, snap *cluster.Snapshot) *api.Error {
	name := it.name.String()
	switch {
	case it.given != nil && it.given.adoptFrom != "":
		return a.refuseAdoption(it, snap)
	case a.verb != api.Release || it.old == nil:
		return nil
	}
	on := map[string]bool{}
	for k := range snap.Assignments {
		if k.Unit == name {
			on[k.Machine] = true
		}
	}
	if len(on) == 0 {
		return api.Refuse(api.CodeConflict, "`fleettop destroy "+name+"` forgets it", "%s is on no machine that it could be released to", name)
	}
	for _, id := range slices.Sorted(maps.Keys(on)) {
		if e := hasHost(snap, id); e != nil {
			return e
		}
	}
	return nil
}

func (a *action) refuseAdoption(it *item, snap *cluster.Snapshot) *api.Error {
	from := it.given.adoptFrom
	global := a.s.facts.of(cluster.Unit{Name: it.name.String(), Content: it.given.content, Hash: it.given.hash}).global
	switch {
	case global != (from == cluster.EveryMachine):
		return api.Refuse(api.CodeInvalid, "a global unit is adopted from *, and any other from one machine's ID",
			"%s can't be adopted from %q", it.name, from)
	case global:
		return nil
	}
	if _, known := snap.Machines[from]; !known {
		return api.MachineNotFound(from)
	}
	return hasHost(snap, from)
}

// hasHost refuses machines whose units are child processes of the daemon's own manager.
func hasHost(snap *cluster.Snapshot, id string) *api.Error {
	if m := snap.Machines[id]; m.Manager == "process" {
		return api.Refuse(api.CodeConflict, "destroy the unit, or start it from its file",
			"%s runs units without systemd: it has no units of a host", m.Label())
	}
	return nil
}
