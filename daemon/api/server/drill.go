package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/daemon/drill"
	"fleettop/units"
	"fleettop/units/wording"
)

// drillAnswer is how long a machine may take to take up a drill.
const drillAnswer = 8 * time.Second

// planDrill answers GET /v1/machines/{id}/drill.
func (s *Server) planDrill(l readRequest) (any, *api.Error) {
	m, e := api.FindMachine(l.snap.Machines, l.PathValue("id"))
	if e != nil {
		return nil, e
	}
	return s.drillPlan(l, m), nil
}

// drillPlan asks the planner what the death of a machine would do to its units.
func (s *Server) drillPlan(l readRequest, m cluster.Machine) *api.DrillPlan {
	plan := &api.DrillPlan{Revision: l.snap.Revision, Store: l.store, Moves: []api.DrillMove{},
		Machine: m.ID, MachineName: m.Label(),
		Leader: l.snap.Leader.Machine == m.ID, Voter: m.Seat == cluster.Voter}
	health := s.health(l.snap, l.store)
	if !l.store.Connected {
		plan.Refusal = asError(cluster.ErrUnavailable)
	} else if r := drill.Check(l.snap, health, m.ID, ""); r != nil {
		plan.Refusal = api.Refuse(api.CodeConflict, r.Advice, "no drill of %s now: %s", m.Label(), r.Why)
	}
	dead := make(map[string]cluster.Health, len(health))
	for id, h := range health {
		dead[id] = h
	}
	dead[m.ID] = cluster.Health{State: cluster.Failed, Since: time.Now()}
	in := planned(l.snap, dead)
	in.Hold = ""
	r := schedule.New().Plan(in, time.Now())
	to := map[string]string{}
	for _, move := range r.Moves {
		if move.From != nil && move.To != nil && move.From.Machine == m.ID && move.To.Machine != m.ID {
			to[move.Unit] = move.To.Machine
		}
	}
	why := map[string]schedule.Unplaced{}
	for _, u := range r.Unplaced {
		why[u.Unit] = u
	}
	for _, name := range unitsOn(l.snap, []string{m.ID}) {
		u, known := l.snap.Units[name]
		where, moves := to[name]
		switch reason := why[name]; {
		case !known || u.Desired == units.Inactive || reason.Finished: // it doesn't run
		case s.facts.of(u).global:
			plan.Global = append(plan.Global, name)
		case moves:
			plan.Moves = append(plan.Moves, api.DrillMove{Unit: name, To: where, ToName: l.snap.Label(where)})
		default:
			plan.Nowhere = append(plan.Nowhere, api.Unplaced{Unit: name, Reason: cmp.Or(reason.Reason, "no other machine takes it")})
		}
	}
	return plan
}

// drill answers POST /v1/machines/{id}/drill.
func (s *Server) drill(w http.ResponseWriter, r *http.Request) {
	var req api.DrillRequest
	if e := readJSON(w, r, &req); e != nil {
		writeError(w, e)
		return
	}
	s.reading(func(l readRequest) (any, *api.Error) { return s.beginDrill(l, req) })(w, r)
}

// beginDrill asks a machine's daemon for a drill, by the machine's record, and
// waits until it has taken that up, or says why it doesn't.
func (s *Server) beginDrill(l readRequest, req api.DrillRequest) (any, *api.Error) {
	m, e := api.FindMachine(l.snap.Machines, l.PathValue("id"))
	if e != nil {
		return nil, e
	}
	length := time.Duration(req.Seconds * float64(time.Second))
	if err := drill.CheckLength(length); err != nil {
		return nil, api.Refuse(api.CodeInvalid, "ask for another length", "%v", err)
	}
	plan := s.drillPlan(l, m)
	switch n := len(plan.Nowhere); {
	case plan.Refusal != nil:
		return nil, plan.Refusal
	case n > 0 && !req.Nowhere:
		return nil, api.Refuse(api.CodeConflict, "say that they may be, or make room for them first",
			"%s of %s would have nowhere to go: %s", wording.Count(n, "unit"), m.Label(), plan.Nowhere[0].Unit)
	}
	var id [8]byte
	rand.Read(id[:])
	asked := cluster.Drill{ID: hex.EncodeToString(id[:]), By: actor(l.Request), Asked: time.Now(), For: length}
	if err := s.cfg.Store.UpdateMachine(l.Context(), m.ID, cluster.OfKnown(func(m *cluster.Machine) error {
		if m.Drill.UnderWay() && m.Drill.ID != asked.ID {
			return api.Refuse(api.CodeConflict, "wait until it is over", "a drill of %s is under way", m.Label())
		}
		m.Drill = asked
		return nil
	})); err != nil {
		return nil, asError(err)
	}
	now, e := s.awaitDrill(l, m, asked)
	if e != nil {
		return nil, e
	}
	return api.DrillReply{Machine: plan.Machine, MachineName: plan.MachineName, ID: asked.ID, Began: now.Began, Seconds: length.Seconds(),
		Global: plan.Global}, nil
}

// awaitDrill waits until a machine has taken up a drill. What isn't taken up in
// time is taken back, so that it doesn't begin when no one expects it.
func (s *Server) awaitDrill(l readRequest, m cluster.Machine, asked cluster.Drill) (cluster.Drill, *api.Error) {
	ctx, cancel := context.WithTimeout(l.Context(), drillAnswer)
	defer cancel()
	for {
		snap, live, _, changed := l.lease.Latest()
		if now := snap.Machines[m.ID].Drill; live && now.ID == asked.ID && (now.Out() || now.Refused != "") {
			return drillTaken(m, now)
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		break
	}
	var now cluster.Drill
	undo, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), storePatience)
	defer cancel()
	err := s.cfg.Store.UpdateMachine(undo, m.ID, cluster.OfKnown(func(m *cluster.Machine) error {
		if m.Drill.ID == asked.ID && m.Drill.Began.IsZero() && m.Drill.Refused == "" {
			m.Drill.Refused = "its daemon did not take it up in time: see its log"
		}
		now = m.Drill
		return nil
	}))
	if err != nil {
		return now, unsure(err)
	}
	return drillTaken(m, now)
}

func drillTaken(m cluster.Machine, now cluster.Drill) (cluster.Drill, *api.Error) {
	if now.Refused != "" {
		return now, api.Refuse(api.CodeConflict, "nothing was done", "no drill of %s now: %s", m.Label(), now.Refused)
	}
	return now, nil
}
