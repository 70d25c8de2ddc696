package server

import (
	"cmp"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// selector chooses units by name or glob; none given chooses all.
type selector struct {
	exact map[string]bool
	globs []string
	all   bool
}

func newSelector(patterns []string) selector {
	s := selector{exact: map[string]bool{}, all: len(patterns) == 0}
	for _, list := range patterns {
		for p := range strings.SplitSeq(list, ",") {
			if strings.ContainsAny(p, "*?[") {
				s.globs = append(s.globs, p)
			} else {
				s.exact[p] = true
			}
		}
	}
	return s
}

func (s selector) match(name string) bool {
	return s.all || s.exact[name] || slices.ContainsFunc(s.globs, func(g string) bool { return units.MatchGlob(g, name) })
}

func (s *Server) listUnits(l readRequest) (any, *api.Error) {
	q := l.URL.Query()
	list := s.unitInfos(l, newSelector(q["unit"]), q.Get("placed") == "true")
	refs, hold := machineRefs(l.snap, list), l.snap.Leader.Hold
	if q.Get("table") == "true" {
		return &api.UnitTable{Revision: l.snap.Revision, Store: l.store, Hold: hold, Rows: rows(list), Machines: refs}, nil
	}
	return api.UnitList{Revision: l.snap.Revision, Store: l.store, Hold: hold, Units: list, Machines: refs}, nil
}

// unitInfos are the units chosen, by name; placed leaves out those that are on
// no machine and not wanted on one. A unit that was destroyed and is not gone
// from its machine yet counts where placed is asked for.
func (s *Server) unitInfos(l readRequest, sel selector, placed bool) []api.UnitInfo {
	snap := l.snap
	where := placements(planned(snap, s.health(snap, l.store)), sel.match)
	out := make([]api.UnitInfo, 0, len(snap.Units))
	for name, u := range snap.Units {
		if !sel.match(name) || placed && len(where[name]) == 0 && u.Desired == units.Inactive {
			continue
		}
		hash, behind := newerTemplate(u, snap)
		out = append(out, api.UnitInfo{Unit: s.unit(u), State: current(where[name]), Placements: where[name],
			Unplaced: snap.WhyUnplaced(name), TemplateHash: hash, TemplateBehind: behind})
	}
	if placed {
		for name, list := range where {
			if _, known := snap.Units[name]; !known {
				gone := api.Unit{Name: name, Desired: units.Inactive}
				out = append(out, api.UnitInfo{Unit: gone, State: current(list), Placements: list})
			}
		}
	}
	slices.SortFunc(out, func(a, b api.UnitInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// rows flattens units for a table.
func rows(list []api.UnitInfo) []api.UnitRow {
	out := make([]api.UnitRow, 0, len(list))
	for _, u := range list {
		row := api.UnitRow{Unit: u.Name, Description: u.Description, Hash: u.Hash, Desired: u.Desired, State: u.State, Global: u.Global,
			Reason: u.Unplaced, Template: u.TemplateHash, FromTemplate: u.FromTemplate}
		if len(u.Placements) == 0 {
			if u.Desired != units.Inactive {
				row.Active = api.ActiveUnplaced
				row.Reason = cmp.Or(row.Reason, "it is not decided yet where it runs")
			}
			out = append(out, row)
		}
		for _, p := range u.Placements {
			row := row
			row.Machine, row.Leaving = p.Machine, p.Assignment == nil || p.Assignment.Leaving
			unplaced := ""
			row.Active, row.Sub = p.Shown()
			if p.Lost != nil { // it is left there, as no other machine can take it
				row.Lost, unplaced = p.Lost.State, u.Unplaced
			}
			if p.Assignment != nil {
				if p.Assignment.Leaving {
					unplaced = u.Unplaced
				}
				if p.Assignment.Waits() {
					row.RetryAt = p.Assignment.RetryAt
				}
				row.Reason = cmp.Or(p.Held, unplaced, p.Assignment.Reason)
			}
			if st := p.Status; st != nil {
				row.Load, row.Error, row.ByHand = st.Load, st.Error, cluster.ByHand(u.Name, u.Desired, st.Status)
				if st.Hash != u.Hash {
					row.Running = st.Hash
				}
			}
			out = append(out, row)
		}
	}
	return out
}

// unit finds the unit that the request's path names.
func (l readRequest) unit() (cluster.Unit, *api.Error) {
	name := l.PathValue("name")
	if _, err := units.ParseName(name); err != nil {
		return cluster.Unit{}, api.Refuse(api.CodeInvalid, "", "%v", err)
	}
	u, ok := l.snap.Units[name]
	if !ok {
		return u, api.UnitNotFound(name)
	}
	return u, nil
}

func (s *Server) getUnit(l readRequest) (any, *api.Error) {
	u, e := l.unit()
	if e != nil {
		return nil, e
	}
	list := s.unitInfos(l, newSelector([]string{u.Name}), false)
	list[0].Content = u.Content
	return api.UnitDetail{Revision: l.snap.Revision, Store: l.store, UnitInfo: list[0], Machines: machineRefs(l.snap, list)}, nil
}
