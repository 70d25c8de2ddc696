package api

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/units"
)

// Explanation says where a unit is, by what is recorded, and what would be
// decided of it now. On and Reason tell of where it is; the verdicts are what
// each machine would have to say to taking it.
type Explanation struct {
	schedule.Explanation
	Store  Store   `json:"store"`
	Places []Place `json:"places"` // where it is, by machine; none where it is on no machine
	// Would is what would be decided now, where that is not what is.
	Would string `json:"would,omitempty"`
}

// Place is a machine that a unit was given to, and what is known of it there.
type Place struct {
	Machine string    `json:"machine"` // ID
	Name    string    `json:"machineName"`
	Placed  time.Time `json:"placed"` // when it was given to the machine
	Reason  string    `json:"reason"`
	// Active and Sub are what the machine last reported of it; empty before its
	// first report. Where the machine is lost they are as in a UnitRow.
	Active string              `json:"active,omitempty"`
	Sub    string              `json:"sub,omitempty"`
	Lost   cluster.HealthState `json:"lost,omitempty"`
	// LostSince is when the machine came into that state.
	LostSince time.Time `json:"lostSince,omitzero"`
}

func (s *Server) explainUnit(l look) (any, *Error) {
	u, e := l.unit()
	if e != nil {
		return nil, e
	}
	in := planned(l.snap, s.health(l.snap))
	plan, err := s.cfg.Planner.Explain(in, u.Name)
	if err != nil {
		return nil, refuse(CodeInvalid, "", "%v", err)
	}
	return explain(in, u, plan, l.store), nil
}

// explain tells what is from what a planner would decide.
func explain(in schedule.Input, u cluster.Unit, plan schedule.Explanation, st Store) *Explanation {
	ex := &Explanation{Explanation: plan, Store: st, Places: []Place{}}
	ex.On = []string{}
	for _, p := range placements(in, func(name string) bool { return name == u.Name })[u.Name] {
		if p.Assignment == nil {
			continue
		}
		ex.On = append(ex.On, p.Machine)
		place := Place{Machine: p.Machine, Name: cmp.Or(in.Snapshot.Machines[p.Machine].Name, p.Machine), Placed: p.Assignment.Since, Reason: p.Assignment.Reason}
		if p.Status != nil {
			place.Active, place.Sub = p.Status.Active, p.Status.Sub
		}
		if p.Lost != nil {
			place.Lost, place.LostSince = p.Lost.State, p.Lost.Since
		}
		if p.Lost != nil && p.Status != nil {
			place.Active, place.Sub = ActiveUnknown, WasSub+place.Sub
		}
		ex.Places = append(ex.Places, place)
		left := p.Lost != nil && slices.Contains(plan.On, p.Machine) // and the plan says why
		if p.Held == "" && !left && u.Desired != units.Inactive && len(ex.On) == 1 {
			ex.Reason = p.Assignment.Reason
		}
	}
	planned := slices.Clone(plan.On)
	slices.Sort(planned)
	switch {
	case u.Desired == units.Inactive || slices.Equal(planned, ex.On):
	case len(planned) == 0 && len(ex.On) > 0:
		ex.Would = "it would be on no machine: " + plan.Reason
	case len(planned) > 0:
		ex.Would = "it would be on " + names(in.Snapshot, planned) + ": " + plan.Reason
		if len(ex.On) == 0 {
			ex.Reason = "it is on no machine yet"
		}
	}
	return ex
}

// names are what people call machines.
func names(snap *cluster.Snapshot, ids []string) string {
	var list []string
	for _, id := range ids {
		list = append(list, cmp.Or(snap.Machines[id].Name, id))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
