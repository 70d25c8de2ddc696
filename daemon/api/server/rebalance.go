package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/units/wording"
)

// planRebalance answers GET /v1/rebalance.
func (s *Server) planRebalance(l readRequest) (any, *api.Error) {
	plan := api.RebalancePlan{Revision: l.snap.Revision, Store: l.store, Moves: []api.RebalanceMove{},
		Pending: askedMoves(l.snap, schedule.StillAsked(l.snap))}
	if len(plan.Pending) > 0 {
		return plan, nil
	}
	var how schedule.Balance
	q := l.URL.Query()
	how.Exclusive = q.Get("exclusive") == "true"
	if text := q.Get("max"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, api.Refuse(api.CodeInvalid, "give a number from 1 on", "max %q is no number of moves", text)
		}
		how.MostMoves = n
	}
	plan.Moves = askedMoves(l.snap, schedule.New().Rebalance(planned(l.snap, s.health(l.snap, l.store)), how))
	return plan, nil
}

func askedMoves(snap *cluster.Snapshot, asked []schedule.Asked) []api.RebalanceMove {
	list := make([]api.RebalanceMove, 0, len(asked))
	for _, a := range asked {
		list = append(list, api.RebalanceMove{Unit: a.Unit, From: a.From, FromName: snap.Label(a.From), To: a.To,
			ToName: snap.Label(a.To), Reason: a.Reason, Epoch: a.Epoch})
	}
	return list
}

// rebalance answers POST /v1/rebalance.
func (s *Server) rebalance(w http.ResponseWriter, r *http.Request) {
	var req api.RebalanceRequest
	if e := cmp.Or(readJSON(w, r, &req), refuseParallel(req.Parallel)); e != nil {
		writeError(w, e)
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
		snap, e := s.ask(l, &req)
		if e != nil {
			return nil, 0, e
		}
		reply := &api.RebalanceReply{Revision: snap.Revision}
		if !req.Wait || len(req.Moves) == 0 {
			return reply, http.StatusOK, nil
		}
		x := newMoveExit(snap, req.Moves)
		moved, err := x.Await(l.Context(), l.lease, report)
		if err != nil {
			return nil, 0, asError(err)
		}
		reply.Moved = &api.Moved{}
		for _, id := range x.machines {
			m := moved[id]
			reply.Moved.Units += m.Units
			reply.Moved.Nowhere = append(reply.Moved.Nowhere, m.Nowhere...)
			reply.Moved.Failed = append(reply.Moved.Failed, m.Failed...)
			reply.Moved.Stayed = append(reply.Moved.Stayed, m.Stayed...)
		}
		if now, _, _, _ := l.lease.Latest(); now != nil {
			reply.Revision = now.Revision
		}
		return reply, http.StatusOK, nil
	})
}

// ask writes into the machines' records what a rebalance asks of them, or takes
// it back, and returns a snapshot that shows it. A request without moves gets those that go on.
func (s *Server) ask(l readRequest, req *api.RebalanceRequest) (*cluster.Snapshot, *api.Error) {
	pending := askedMoves(l.snap, schedule.StillAsked(l.snap))
	switch {
	case req.Cancel:
		req.Moves = nil
	case len(req.Moves) == 0:
		req.Moves = pending
		return l.snap, nil
	case len(pending) > 0:
		return nil, api.Refuse(api.CodeConflict, "`fleettop rebalance` shows how far it is, `fleettop rebalance --cancel` takes it back",
			"a rebalance goes on: %s to be moved", wording.Count(len(pending), "unit"))
	}
	sheds := map[string][]cluster.Shed{}
	for _, m := range req.Moves {
		if _, known := l.snap.Machines[m.From]; !known {
			return nil, api.MachineNotFound(m.From)
		}
		if _, known := l.snap.Machines[m.To]; !known {
			return nil, api.MachineNotFound(m.To)
		}
		sheds[m.From] = append(sheds[m.From], cluster.Shed{Unit: m.Unit, Epoch: m.Epoch, To: m.To, Reason: m.Reason})
	}
	attempts := map[string]int64{}
	for _, id := range sortedKeys(l.snap.Machines) {
		m := l.snap.Machines[id]
		if len(sheds[id])+len(m.Sheds) == 0 {
			continue
		}
		if err := s.setSheds(l.Context(), id, sheds[id], req.Parallel); err != nil {
			return nil, asError(err)
		}
		attempts[id] = m.Drain.Attempt
		switch n := len(sheds[id]); {
		case n > 0:
			s.recordMachine(l.Request, m, fmt.Sprintf("asked to give %s to other machines", wording.Count(n, "unit")), "")
		case req.Cancel && slices.ContainsFunc(pending, func(p api.RebalanceMove) bool { return p.From == id }):
			s.recordMachine(l.Request, m, "told to keep the units that a rebalance hasn't moved yet", "")
		}
	}
	shown := func(now *cluster.Snapshot) bool {
		for id, before := range attempts {
			if m, known := now.Machines[id]; known && m.Drain.Attempt == before {
				return false
			}
		}
		return true
	}
	if now := await(l.Context(), l.lease, shown); now != nil {
		return now, nil
	}
	return nil, asError(cluster.ErrUnavailable)
}

func (s *Server) setSheds(ctx context.Context, id string, sheds []cluster.Shed, parallel int) error {
	return s.cfg.Store.UpdateMachine(ctx, id, cluster.OfKnown(func(m *cluster.Machine) error {
		if m.Schedule == cluster.Drained {
			return nil // all of its units leave
		}
		m.SetSheds(sheds, parallel)
		return nil
	}))
}

// newMoveExit returns the Exit of the units that a rebalance moves.
func newMoveExit(snap *cluster.Snapshot, moves []api.RebalanceMove) *Exit {
	x := &Exit{attempt: map[string]int64{}, from: map[string]string{}, global: map[string]bool{}, once: map[string]bool{},
		epochs: map[string]int64{}}
	for _, m := range moves {
		x.units = append(x.units, m.Unit)
		x.from[m.Unit], x.epochs[m.Unit] = m.From, m.Epoch
		x.attempt[m.From] = snap.Machines[m.From].Drain.Attempt
	}
	slices.Sort(x.units)
	x.machines = sortedKeys(x.attempt)
	return x
}
