package server

import (
	"cmp"
	"net/http"
	"slices"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

var schedulability = map[string]cluster.Schedulability{
	"cordon": cluster.Cordoned, "drain": cluster.Drained, "uncordon": cluster.Schedulable,
}

var machineEvent = map[string]string{"cordon": "cordoned", "drain": "drained", "uncordon": "uncordoned"}

func (s *Server) listMachines(l readRequest) (any, *api.Error) {
	snap := l.snap
	counts := map[string]int{}
	for k := range snap.Assignments {
		counts[k.Machine]++
	}
	health := s.health(snap, l.store)
	list := make([]api.MachineInfo, 0, len(snap.Machines))
	for id, m := range snap.Machines {
		list = append(list, api.MachineInfo{Machine: s.machine(snap, m, health[id]), Units: counts[id]})
	}
	slices.SortFunc(list, func(a, b api.MachineInfo) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return api.MachineList{Revision: snap.Revision, Store: l.store, Hold: snap.Leader.Hold, Machines: list}, nil
}

// changeMachine finds the machine a path names, lets do change it, and
// answers with what it is once the view shows it changed.
func (s *Server) changeMachine(w http.ResponseWriter, r *http.Request, event, verb string,
	do func(l readRequest, m cluster.Machine) *api.Error, shown func(*cluster.Snapshot, string) bool) {
	s.reading(func(l readRequest) (any, *api.Error) {
		snap := l.snap
		m, e := api.FindMachine(snap.Machines, l.PathValue("id"))
		switch {
		case e != nil:
			return nil, e
		case !l.store.Connected:
			return nil, asError(cluster.ErrUnavailable)
		case !shown(snap, m.ID):
			if e := do(l, m); e != nil {
				return nil, e
			}
			s.recordMachine(l.Request, m, event, verb)
			if now := await(l.Context(), l.lease, func(now *cluster.Snapshot) bool { return shown(now, m.ID) }); now != nil {
				snap = now
			}
		}
		if now, ok := snap.Machines[m.ID]; ok {
			m = now
		}
		return s.machine(snap, m, s.health(snap, l.store)[m.ID]), nil
	})(w, r)
}

// recordMachine puts on the timeline what was done to a machine; m is the machine before. verb
// is cordon, drain, uncordon, forget, or empty for what changes neither its schedule nor that it is known.
func (s *Server) recordMachine(r *http.Request, m cluster.Machine, what, verb string) {
	ev := cluster.Event{Kind: cluster.EventMachine, Machine: m.ID, Text: m.Name + " was " + what, By: actor(r)}
	if verb != "" {
		ev.Record = cluster.Record{Verb: verb, Was: &cluster.Was{Name: m.Name, Schedule: &m.Schedule}}
	}
	if err := s.cfg.Store.Record(r.Context(), ev); err != nil {
		s.cfg.Log.Warn("an action is not in the timeline", "machine", m.ID, "error", err)
	}
}

func (s *Server) scheduleMachine(w http.ResponseWriter, r *http.Request) {
	verb := r.PathValue("verb")
	want, ok := schedulability[verb]
	if !ok {
		writeError(w, api.Refuse(api.CodeNotFound, "choose cordon, drain or uncordon",
			"there is no verb %q for machines", verb))
		return
	}
	set := func(l readRequest, m cluster.Machine) *api.Error {
		if err := s.setSchedule(l.Context(), m.ID, want, api.MachinesRequest{}); err != nil {
			return asError(err)
		}
		return nil
	}
	s.changeMachine(w, r, machineEvent[verb], verb, set, func(snap *cluster.Snapshot, id string) bool {
		m, ok := snap.Machines[id]
		return !ok || m.Schedule == want
	})
}

func (s *Server) forgetMachine(w http.ResponseWriter, r *http.Request) {
	s.changeMachine(w, r, "forgotten", "forget", func(l readRequest, m cluster.Machine) *api.Error {
		h := s.health(l.snap, l.store)[m.ID]
		if _, running := l.snap.Runs[m.ID]; running || h.State.Runs() {
			return api.Refuse(api.CodeConflict, "run `fleettop leave` on it, or power it off first", "%s is %s: only a machine that is gone can be forgotten", cmp.Or(m.Name, m.ID), cmp.Or(h.State, cluster.Up))
		}
		if err := s.cfg.Store.DeleteMachine(l.Context(), m.ID); err != nil {
			return asError(err)
		}
		return nil
	}, func(snap *cluster.Snapshot, id string) bool {
		_, known := snap.Machines[id]
		return !known
	})
}
