package schedule

import (
	"fleettop/cluster"
	"fleettop/units"
)

// A unit that runs once and ended well is done: it isn't run again because its
// machine fails or is drained. Its machine's status says so; as that is gone
// with the machine, it is written into the assignment, which keeps it wherever
// the unit goes. A new generation, as a start asks for, is not done yet.

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

// anyEnded reports whether a unit is done that no assignment says it of.
func (w *world) anyEnded(s *cluster.Snapshot) bool {
	for _, i := range w.once {
		if w.units[i].endedWell(s) {
			return true
		}
	}
	return false
}

// isDone reports whether the unit is not to run again where this plan puts it.
func (p *plan) isDone(u *unit) bool {
	return u.done() || u.parsed.once && len(u.given) > 0 && u.endedWell(p.in.Snapshot)
}

// finish writes down which units are done, of those that stay where they are.
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

// runsAgain says what becomes of a unit that runs once when it moves; empty of others.
func (p *plan) runsAgain(u *unit) string {
	switch {
	case u.parsed.req.Rerun:
		return "it runs again where it moves, finished or not (Rerun=true)"
	case p.isDone(u):
		return "it ran and finished, and isn't run again where it moves (Rerun=true would)"
	}
	return ""
}
