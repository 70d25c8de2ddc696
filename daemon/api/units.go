package api

import (
	"cmp"
	"slices"
	"strings"

	"fleettop/cluster"
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

func (s *Server) listUnits(l look) (any, *Error) {
	q := l.URL.Query()
	list := s.unitInfos(l.snap, newSelector(q["unit"]), q.Get("placed") == "true")
	refs, hold := machineRefs(l.snap, list), l.snap.Leader.Hold
	if q.Get("table") == "true" {
		return &UnitTable{Revision: l.snap.Revision, Store: l.store, Hold: hold, Rows: rows(list), Machines: refs}, nil
	}
	return UnitList{Revision: l.snap.Revision, Store: l.store, Hold: hold, Units: list, Machines: refs}, nil
}

// unitInfos are the units chosen, by name; placed leaves out those that are on
// no machine and not wanted on one. A unit that was destroyed and is not gone
// from its machine yet counts where placed is asked for.
func (s *Server) unitInfos(snap *cluster.Snapshot, sel selector, placed bool) []UnitInfo {
	in := planned(snap, s.health(snap))
	where := placements(in, sel.match)
	reasons := s.unplaced(in)
	out := make([]UnitInfo, 0, len(snap.Units))
	for name, u := range snap.Units {
		if !sel.match(name) || placed && len(where[name]) == 0 && u.Desired == units.Inactive {
			continue
		}
		out = append(out, UnitInfo{Unit: s.unit(u), State: current(where[name]), Placements: where[name],
			Unplaced: reasons[name], TemplateHash: newerTemplate(u, snap)})
	}
	if placed {
		for name, list := range where {
			if _, known := snap.Units[name]; !known {
				out = append(out, UnitInfo{Unit: Unit{Name: name, Desired: units.Inactive}, State: current(list), Placements: list})
			}
		}
	}
	slices.SortFunc(out, func(a, b UnitInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// rows flattens units for a table.
func rows(list []UnitInfo) []UnitRow {
	out := make([]UnitRow, 0, len(list))
	for _, u := range list {
		row := UnitRow{Unit: u.Name, Description: u.Description, Hash: u.Hash, Desired: u.Desired, State: u.State, Global: u.Global,
			Reason: u.Unplaced, Template: u.TemplateHash, FromTemplate: u.FromTemplate}
		if len(u.Placements) == 0 {
			if u.Desired != units.Inactive {
				row.Active = ActiveUnplaced
				row.Reason = cmp.Or(row.Reason, "it is not decided yet where it runs")
			}
			out = append(out, row)
		}
		for _, p := range u.Placements {
			row := row
			row.Machine, row.Leaving = p.Machine, p.Assignment == nil
			unplaced := ""
			if p.Lost != nil { // it is left there, as no other machine can take it
				row.Lost, row.Active, unplaced = p.Lost.State, ActiveUnknown, u.Unplaced
			}
			if p.Assignment != nil {
				row.Reason = cmp.Or(p.Held, unplaced, p.Assignment.Reason)
			}
			if st := p.Status; st != nil {
				row.Load, row.Active, row.Sub, row.Error = st.Load, st.Active, st.Sub, st.Error
				if p.Lost != nil {
					row.Active, row.Sub = ActiveUnknown, WasSub+st.Sub
				}
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
func (l look) unit() (cluster.Unit, *Error) {
	name := l.PathValue("name")
	if _, err := units.ParseName(name); err != nil {
		return cluster.Unit{}, refuse(CodeInvalid, "", "%v", err)
	}
	u, ok := l.snap.Units[name]
	if !ok {
		return u, notFound(name)
	}
	return u, nil
}

func notFound(name string) *Error {
	return refuse(CodeNotFound, "`fleettop list-unit-files` shows those there are", "Unit %s not found", name)
}

func (s *Server) getUnit(l look) (any, *Error) {
	u, e := l.unit()
	if e != nil {
		return nil, e
	}
	list := s.unitInfos(l.snap, newSelector([]string{u.Name}), false)
	list[0].Content = u.Content
	return UnitDetail{Revision: l.snap.Revision, Store: l.store, UnitInfo: list[0], Machines: machineRefs(l.snap, list)}, nil
}
