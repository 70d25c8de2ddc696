package schedule

import (
	"fmt"
	"strings"

	"fleettop/cluster"
)

// handover: a unit that passes between the cluster and the host of a machine is
// on that machine only, whatever becomes of it. It may run there under the
// host's own file, where no other machine can see whether it does.
type handover struct{ unconstrained }

func (handover) concerns(u *unit) bool { return u.rec.ChangesHands() }

func (handover) filter(p *plan, u *unit, able, _ []int32) []int32 {
	return p.keep(able, func(m int32) bool { return u.mayBeginOn(p.machines[m].id) })
}

func (handover) excludes(w *world, u *unit, m int32) cause {
	if !u.mayBeginOn(w.machines[m].id) {
		return cause{kind: elsewhere}
	}
	return cause{}
}

// mayBeginOn reports whether a unit that changes hands can be given to a machine.
func (u *unit) mayBeginOn(id string) bool {
	return !u.rec.Released && u.rec.TakesOver(id) && (u.global() || len(u.given) == 0)
}

func (handover) writePeers(*strings.Builder, *unit) bool { return false }

func (handover) describe(*world, cause) (one, several string) {
	return "is not the one it is adopted from", "are not the one it is adopted from"
}

func (handover) whyUnplaced(w *world, u *unit) string {
	at := u.rec.AdoptedFrom
	if len(u.given) > 0 {
		at = u.given[0].Machine
	}
	switch m, known := w.byID[at]; {
	case !u.rec.ChangesHands() || u.global():
		return ""
	case u.rec.Released && known:
		return fmt.Sprintf("%s had not said that it gave it to its host, and %s: it may run there under the host's file, so no other "+
			"machine gets it; `fleettop destroy %s` forgets it", w.machines[m].name, w.describeOne(w.refuses(m, &u.parsed)), u.name)
	case u.rec.Released:
		return "it is released to its host, and on no machine; `fleettop destroy " + u.name + "` forgets it"
	case !known:
		return fmt.Sprintf("it is adopted from the machine %s, which is not in the cluster; `fleettop destroy %s` forgets it", at, u.name)
	default:
		return fmt.Sprintf("it is adopted from %s, which %s: it may run there under the host's file, so no other machine gets it",
			w.machines[m].name, w.describeOne(w.verdict(u, m)))
	}
}

// keepHandedOver puts back on their machines the units that change hands and
// were taken off for other units.
func (w *world) keepHandedOver() {
	for _, i := range w.handing {
		if u := &w.units[i]; !u.global() && u.at < 0 {
			u.outOf = cause{}
			w.add(i, w.byID[u.given[0].Machine])
		}
	}
}

// handedOver reports whether every machine that a unit is given to said that it
// took the unit over, or gave it to its host.
func (u *unit) handedOver(s *cluster.Snapshot) bool {
	for _, a := range u.given {
		st := s.Statuses[cluster.UnitOnMachine{Machine: a.Machine, Unit: u.name}]
		given := st.Released != "" && st.Generation >= a.Generation
		taken := st.Hash == a.Hash && st.Load == "loaded"
		if a.Generation != u.rec.Generation || st.Epoch != a.Epoch || u.rec.Released && !given || !u.rec.Released && !taken {
			return false
		}
	}
	return true
}

// handOver ends what is done: a unit that was taken over is one like any other
// from then on, and one that was given to its host is forgotten.
func (p *plan) handOver(r *Result) {
	for _, i := range p.handing {
		u := &p.units[i]
		if !u.handedOver(p.in.Snapshot) {
			continue
		}
		from := &u.given[0]
		name := p.machines[p.byID[from.Machine]].name
		if u.rec.Released {
			m := p.move(u, from, nil, "was given to the host of "+name+", where it runs on under the host's own file")
			m.Forget = true
			r.Moves = append(r.Moves, m)
			continue
		}
		m := p.move(u, from, nil, "was taken over from the host of "+name+", running on")
		next := u.rec
		next.AdoptedFrom = ""
		next.Generation++
		to := *from
		to.Generation, to.TakeOver = next.Generation, false
		m.To, m.Becomes = &to, &next
		r.Moves = append(r.Moves, m)
	}
}
