package server

import (
	"cmp"
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/units"
)

// planDrain asks the planner what would become of the units.
func (s *Server) planDrain(l readRequest) (any, *api.Error) {
	names := l.URL.Query()["machine"]
	if len(names) == 0 {
		names = []string{s.cfg.Self}
	}
	drained := cluster.Change{Revision: l.snap.Revision, Machines: map[string]*cluster.Machine{}}
	plan := api.DrainPlan{Revision: l.snap.Revision, Store: l.store}
	for _, name := range names {
		m, e := api.FindMachine(l.snap.Machines, name)
		if e != nil {
			return nil, e
		}
		if drained.Machines[m.ID] == nil {
			plan.Machines = append(plan.Machines, api.MachineRef{ID: m.ID, Name: m.Name, Address: m.Address})
		}
		m.SetDrained(math.MaxInt32, false, time.Now())
		drained.Machines[m.ID] = &m
	}
	in := planned(l.snap, s.health(l.snap, l.store))
	in.Snapshot = l.snap.With(drained)
	r, unplaced := schedule.New().Plan(in, time.Now()), map[string]schedule.Unplaced{}
	for _, u := range r.Unplaced {
		unplaced[u.Unit] = u
	}
	for _, u := range r.Stays {
		unplaced[u.Unit] = schedule.Unplaced{Unit: u.Unit, Reason: u.Reason}
	}
	for _, name := range unitsOn(l.snap, slices.Collect(maps.Keys(drained.Machines))) {
		u, known := l.snap.Units[name]
		why, stranded := unplaced[name]
		switch {
		case !known || u.Desired == units.Inactive || why.Finished: // it goes anyway, or doesn't run
		case s.facts.of(u).global:
			plan.Global = append(plan.Global, name)
		case stranded:
			plan.Stranded = append(plan.Stranded, api.Unplaced{Unit: name, Reason: why.Reason})
		default:
			plan.Moves++
		}
	}
	return plan, nil
}

// unitsOn are the units that machines have, sorted.
func unitsOn(snap *cluster.Snapshot, machines []string) []string {
	on := map[string]bool{}
	for k := range snap.Assignments {
		if slices.Contains(machines, k.Machine) {
			on[k.Unit] = true
		}
	}
	for k := range snap.Statuses {
		if slices.Contains(machines, k.Machine) {
			on[k.Unit] = true
		}
	}
	return sortedKeys(on)
}

// scheduleMachines answers POST /v1/machines.
func (s *Server) scheduleMachines(w http.ResponseWriter, r *http.Request) {
	var req api.MachinesRequest
	if e := readJSON(w, r, &req); e != nil {
		writeError(w, e)
		return
	}
	want, ok := schedulability[req.Verb]
	_, known := schedulability[req.After]
	switch {
	case !ok:
		writeError(w, api.Refuse(api.CodeInvalid, "choose cordon, drain or uncordon",
			"there is no verb %q for machines", req.Verb))
		return
	case req.After != "" && !known:
		writeError(w, api.Refuse(api.CodeInvalid, "choose cordon, drain or uncordon",
			"no machine is as %q leaves it: there is no such verb", req.After))
		return
	case len(req.Machines) == 0:
		writeError(w, api.Refuse(api.CodeInvalid, "name at least one", "no machine to %s", req.Verb))
		return
	case req.Wait && want != cluster.Drained:
		writeError(w, api.Refuse(api.CodeInvalid, "leave wait out", "%s moves no units that could be waited for", req.Verb))
		return
	}
	if e := refuseParallel(req.Parallel); e != nil || want != cluster.Drained && (req.Parallel > 0 || req.Stop) {
		writeError(w, cmp.Or(e, api.Refuse(api.CodeInvalid, "leave parallel and stop out", "%s moves no units", req.Verb)))
		return
	}
	l, e := s.read(r)
	if e == nil && !l.store.Connected {
		l.lease.Release()
		e = asError(cluster.ErrUnavailable)
	}
	if e != nil {
		writeError(w, e)
		return
	}
	defer l.lease.Release()
	s.answerLong(w, r, func(report func(api.Progress)) (any, int, *api.Error) {
		reply, e := s.schedule(l, req, want, report)
		return reply, http.StatusOK, e
	})
}

// schedule writes what is wanted of machines, all at once, so that the leader
// decides on them together, and waits until the view shows it.
func (s *Server) schedule(l readRequest, req api.MachinesRequest, want cluster.Schedulability, report func(api.Progress)) (
	*api.MachinesReply, *api.Error) {
	reply := &api.MachinesReply{Machines: make([]api.MachineResult, len(req.Machines))}
	ids := map[string]int{} // of those found: the result they belong to
	for i, name := range req.Machines {
		m, e := api.FindMachine(l.snap.Machines, name)
		reply.Machines[i] = api.MachineResult{Asked: name, Error: e}
		if _, twice := ids[m.ID]; e == nil && !twice {
			ids[m.ID] = i
			reply.Machines[i].Changed = m.Schedule != want
		}
	}
	var writes errgroup.Group
	for id, i := range ids {
		if res := &reply.Machines[i]; res.Changed || want == cluster.Drained {
			writes.Go(func() error {
				if err := s.setSchedule(l.Context(), id, want, req); err != nil {
					res.Changed, res.Error = false, asError(err)
				}
				return nil
			})
		}
	}
	_ = writes.Wait()
	var drained []string
	for id, i := range ids {
		if reply.Machines[i].Changed {
			s.recordMachine(l.Request, l.snap.Machines[id], machineEvent[req.Verb], req.Verb)
		}
		if reply.Machines[i].Error == nil {
			drained = append(drained, id)
		}
	}
	slices.Sort(drained)
	shown := func(now *cluster.Snapshot) bool {
		return !slices.ContainsFunc(drained, func(id string) bool {
			m, known := now.Machines[id]
			return known && (m.Schedule != want || want == cluster.Drained && m.Drain.Attempt == l.snap.Machines[id].Drain.Attempt)
		})
	}
	snap := l.snap
	if now := await(l.Context(), l.lease, shown); now != nil {
		snap = now
	}
	var e *api.Error
	if req.Wait && len(drained) > 0 {
		moved, err := NewExit(l.snap, drained...).Await(l.Context(), l.lease, report)
		if err != nil {
			e = asError(err)
		}
		for id, i := range ids {
			reply.Machines[i].Moved = moved[id]
		}
		if now, _, _, _ := l.lease.Latest(); now != nil {
			snap = now
		}
	}
	health := s.health(snap, l.store)
	for i, name := range req.Machines {
		if m, missing := api.FindMachine(snap.Machines, name); missing == nil {
			row := s.machine(snap, m, health[m.ID])
			reply.Machines[i].Machine = &row
		}
	}
	reply.Revision = snap.Revision
	return reply, e
}

// refuseParallel refuses a pace that is none.
func refuseParallel(n int) *api.Error {
	if n < 0 {
		return api.Refuse(api.CodeInvalid, "give a number from 1 on", "%d units can't move at a time", n)
	}
	return nil
}

// setSchedule writes an operator's word on a machine.
func (s *Server) setSchedule(ctx context.Context, id string, want cluster.Schedulability, req api.MachinesRequest) error {
	return s.cfg.Store.UpdateMachine(ctx, id, cluster.OfKnown(func(m *cluster.Machine) error {
		if req.After != "" && m.Schedule != schedulability[req.After] {
			return api.Refuse(api.CodeConflict, "see what it is now and decide again",
				"%s was changed by another operator meanwhile", cmp.Or(m.Name, m.ID))
		}
		if want == cluster.Drained {
			m.SetDrained(req.Parallel, req.Stop, time.Now())
		} else {
			m.SetSchedule(want, time.Now())
		}
		return nil
	}))
}
