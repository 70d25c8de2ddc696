package schedule

import (
	"fleettop/cluster"
	"fleettop/units"
)

// A unit that runs once and succeeded is done: it isn't run again when its
// machine fails or is drained. The machine reports that in its status, which is
// lost with the machine; the leader therefore copies it into the assignment,
// which keeps it when the unit moves. While no machine takes the unit, the
// finding that says why keeps it. A new generation isn't done.

// done reports whether the unit's assignment says that it is done.
func (u *unit) done() bool {
	return u.parsed.once && len(u.given) > 0 && u.given[0].Finished && u.given[0].Generation == u.rec.Generation
}

// endedWell reports whether the machine's status says that the unit is done.
func (u *unit) endedWell(s *cluster.Snapshot) bool {
	a := &u.given[0]
	st, reported := s.Statuses[cluster.UnitOnMachine{Machine: a.Machine, Unit: u.name}]
	return reported && a.Desired == units.Launched && a.Generation == u.rec.Generation &&
		st.Epoch == a.Epoch && st.Generation >= a.Generation && st.Error == "" &&
		st.Load == "loaded" && st.Active == "inactive" && st.Result == "success"
}

// anyEnded reports whether a unit is done and its assignment doesn't say so yet.
func (w *world) anyEnded(s *cluster.Snapshot) bool {
	for _, i := range w.once {
		if w.units[i].endedWell(s) {
			return true
		}
	}
	return false
}

// isDone reports whether the unit is not to run again on the machine of this plan.
func (p *plan) isDone(u *unit) bool {
	switch {
	case !u.parsed.once:
		return false
	case len(u.given) > 0:
		return u.done() || u.endedWell(p.in.Snapshot)
	}
	unplaced := p.in.Snapshot.Unplaced[u.name]
	return unplaced.Finished && unplaced.Generation == u.rec.Generation
}

// finish marks the assignments of units that are done, of those that stay.
func (p *plan) finish(r *Result) {
	for _, i := range p.once {
		u := &p.units[i]
		if _, moved := p.moved[i]; moved && !p.isLeft[i] || !u.endedWell(p.in.Snapshot) {
			continue
		}
		to := u.given[0]
		to.Finished = true
		r.Moves = append(r.Moves, p.move(u, &u.given[0], &to, "it ran and finished"))
	}
}

// runsAgain says whether a unit that runs once runs again after a move; empty for other units.
func (p *plan) runsAgain(u *unit) string {
	switch {
	case u.parsed.req.Rerun:
		return "it runs again where it moves, finished or not (Rerun=true)"
	case p.isDone(u):
		return "it ran and finished, and isn't run again where it moves (Rerun=true would)"
	}
	return ""
}
