package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/units"
)

// DrainPlan is what draining some machines would do to their units.
type DrainPlan struct {
	Revision int64        `json:"revision"`
	Store    Store        `json:"store"`
	Machines []MachineRef `json:"machines"`
	Moves    int          `json:"moves"`              // units that another machine takes
	Global   []string     `json:"global,omitempty"`   // units that run on every machine, and stop there
	Stranded []Unplaced   `json:"stranded,omitempty"` // units that no other machine can take, and why: they stop
}

// planDrain asks the planner what would become of the units.
func (s *Server) planDrain(l look) (any, *Error) {
	names := l.URL.Query()["machine"]
	if len(names) == 0 {
		names = []string{s.cfg.Self}
	}
	drained := cluster.Change{Revision: l.snap.Revision, Machines: map[string]*cluster.Machine{}}
	plan := DrainPlan{Revision: l.snap.Revision, Store: l.store}
	for _, name := range names {
		m, e := findMachine(l.snap.Machines, name)
		if e != nil {
			return nil, e
		}
		if drained.Machines[m.ID] == nil {
			plan.Machines = append(plan.Machines, MachineRef{ID: m.ID, Name: m.Name, Address: m.Address})
		}
		m.Schedule = cluster.Drained
		drained.Machines[m.ID] = &m
	}
	in := planned(l.snap, s.health(l.snap))
	in.Snapshot = l.snap.With(drained)
	reasons := map[string]string{}
	for _, u := range schedule.New().Plan(in, time.Now()).Unplaced {
		reasons[u.Unit] = u.Reason
	}
	for _, name := range unitsOn(l.snap, slices.Collect(maps.Keys(drained.Machines))) {
		u, known := l.snap.Units[name]
		reason, stranded := reasons[name]
		switch {
		case !known || u.Desired == units.Inactive: // it goes anyway
		case s.facts.of(u).global:
			plan.Global = append(plan.Global, name)
		case stranded:
			plan.Stranded = append(plan.Stranded, Unplaced{Unit: name, Reason: reason})
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

// MachinesRequest is the body of POST /v1/machines: a verb for machines that
// are decided on together.
type MachinesRequest struct {
	Verb     string   `json:"verb"` // cordon, drain or uncordon
	Machines []string `json:"machines"`
	// Wait holds the answer back until the units of drained machines have moved.
	Wait bool `json:"wait,omitempty"`
}

// MachinesReply is the reply to a MachinesRequest: a result for each machine
// named, in that order. A read at Revision or later shows the outcome.
type MachinesReply struct {
	Revision int64           `json:"revision"`
	Machines []MachineResult `json:"machines"`
}

// MachineResult is what came of a verb for one machine.
type MachineResult struct {
	Asked   string   `json:"asked"` // as it was named in the request
	Machine *Machine `json:"machine,omitempty"`
	Changed bool     `json:"changed"`
	Moved   *Moved   `json:"moved,omitempty"` // where it was waited for
	Error   *Error   `json:"error,omitempty"`
}

// Moved is what became of the units of machines that gave them away.
type Moved struct {
	Units   int      `json:"units"`             // that are on other machines now
	Nowhere []string `json:"nowhere,omitempty"` // that stopped, as no other machine could take them
	Failed  []string `json:"failed,omitempty"`  // that failed where they went
}

// scheduleMachines answers POST /v1/machines.
func (s *Server) scheduleMachines(w http.ResponseWriter, r *http.Request) {
	var req MachinesRequest
	if e := readJSON(w, r, &req); e != nil {
		writeError(w, e)
		return
	}
	want, ok := schedulability[req.Verb]
	switch {
	case !ok:
		writeError(w, refuse(CodeInvalid, "choose cordon, drain or uncordon", "there is no verb %q for machines", req.Verb))
		return
	case len(req.Machines) == 0:
		writeError(w, refuse(CodeInvalid, "name at least one", "no machine to %s", req.Verb))
		return
	case req.Wait && want != cluster.Drained:
		writeError(w, refuse(CodeInvalid, "leave wait out", "%s moves no units that could be waited for", req.Verb))
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
	s.answerLong(w, r, func(report func(Progress)) (any, int, *Error) {
		reply, e := s.schedule(l, req, want, report)
		return reply, http.StatusOK, e
	})
}

// schedule writes what is wanted of machines, all at once, so that the leader
// decides on them together, and waits until the view shows it.
func (s *Server) schedule(l look, req MachinesRequest, want cluster.Schedulability, report func(Progress)) (*MachinesReply, *Error) {
	reply := &MachinesReply{Machines: make([]MachineResult, len(req.Machines))}
	ids := map[string]int{} // of those found: the result they belong to
	for i, name := range req.Machines {
		m, e := findMachine(l.snap.Machines, name)
		reply.Machines[i] = MachineResult{Asked: name, Error: e}
		if _, twice := ids[m.ID]; e == nil && !twice {
			ids[m.ID] = i
			reply.Machines[i].Changed = m.Schedule != want
		}
	}
	var writes errgroup.Group
	for id, i := range ids {
		if res := &reply.Machines[i]; res.Changed {
			writes.Go(func() error {
				if err := s.setSchedule(l.Context(), id, want); err != nil {
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
			s.recordMachine(l.Request, l.snap.Machines[id], machineEvent[req.Verb])
		}
		if reply.Machines[i].Error == nil {
			drained = append(drained, id)
		}
	}
	slices.Sort(drained)
	shown := func(now *cluster.Snapshot) bool {
		return !slices.ContainsFunc(drained, func(id string) bool { m, known := now.Machines[id]; return known && m.Schedule != want })
	}
	snap := l.snap
	if now := await(l.Context(), l.lease, shown); now != nil {
		snap = now
	}
	var e *Error
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
	health := s.health(snap)
	for i, name := range req.Machines {
		if m, missing := findMachine(snap.Machines, name); missing == nil {
			row := s.machine(snap, m, health[m.ID])
			reply.Machines[i].Machine = &row
		}
	}
	reply.Revision = snap.Revision
	return reply, e
}

// setSchedule writes an operator's word on a machine.
func (s *Server) setSchedule(ctx context.Context, id string, want cluster.Schedulability) error {
	return s.cfg.Store.UpdateMachine(ctx, id, func(m *cluster.Machine) error {
		if m.Name == "" && m.Address == "" {
			return cluster.ErrNotFound // forgotten meanwhile; must not come back as an empty record
		}
		m.SetSchedule(want, time.Now())
		return nil
	})
}
