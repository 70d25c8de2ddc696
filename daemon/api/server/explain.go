package server

import (
	"cmp"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/units"
)

func (s *Server) explainUnit(l readRequest) (any, *api.Error) {
	u, e := l.unit()
	if e != nil {
		return nil, e
	}
	in := planned(l.snap, s.health(l.snap, l.store))
	plan, err := schedule.New().Explain(in, u.Name)
	if err != nil {
		return nil, api.Refuse(api.CodeInvalid, "", "%v", err)
	}
	return explain(in, u, plan, l.store), nil
}

// explain tells what is from what a planner would decide.
func explain(in schedule.Input, u cluster.Unit, plan schedule.Explanation, st api.Store) *api.Explanation {
	ex := &api.Explanation{Unit: plan.Unit, On: []string{}, Reason: plan.Reason, Moving: plan.Moving,
		Verdicts: make([]api.Verdict, 0, len(plan.Verdicts)), Store: st, Places: []api.Place{}}
	for _, v := range plan.Verdicts {
		v.Reason += evidence(in, v.Machine, v.Reason)
		ex.Verdicts = append(ex.Verdicts, api.Verdict(v))
	}
	for _, p := range placements(in, func(name string) bool { return name == u.Name })[u.Name] {
		if p.Assignment == nil {
			continue
		}
		ex.On = append(ex.On, p.Machine)
		place := api.Place{Machine: p.Machine, Name: cmp.Or(in.Snapshot.Machines[p.Machine].Name, p.Machine), Placed: p.Assignment.Since, Reason: p.Assignment.Reason}
		if p.Status != nil {
			place.Active, place.Sub = p.Shown()
		}
		if p.Lost != nil {
			place.Lost, place.LostSince = p.Lost.State, p.Lost.Since
		}
		ex.Places = append(ex.Places, place)
		left := p.Lost != nil && slices.Contains(plan.On, p.Machine) // and the plan says why
		if p.Held == "" && !left && u.Desired != units.Inactive && len(ex.On) == 1 {
			ex.Reason = p.Assignment.Reason
		}
	}
	if why := in.Snapshot.WhyUnplaced(u.Name); why != "" && len(ex.On) == 1 && !slices.Contains(plan.On, ex.On[0]) {
		ex.Reason = why // it waits to leave that machine
		return ex
	}
	if plan.Roll != "" {
		ex.Reason += "; it is " + plan.Roll
	}
	planned := slices.Clone(plan.On)
	slices.Sort(planned)
	switch {
	case plan.Stays != "" && !strings.Contains(ex.Reason, plan.Stays):
		ex.Would = "it would stay there: " + plan.Stays
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

// evidence is what follows the reason about a machine that isn't up: what that rests on, and who saw it.
func evidence(in schedule.Input, machine, reason string) string {
	h := in.Health[machine]
	if h.State == cluster.Up || h.Evidence == "" {
		return ""
	}
	text := h.Evidence
	if by, known := in.Snapshot.Machines[h.By]; known && h.By != machine && !strings.HasPrefix(text, "as ") {
		text += ", seen by " + by.Label()
	}
	if !strings.Contains(reason, string(h.State)) {
		text = "it is " + string(h.State) + ": " + text
	}
	return " (" + text + ")"
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
