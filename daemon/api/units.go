package api

import (
	"net/http"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
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

func (s *Server) listUnits(w http.ResponseWriter, r *http.Request) {
	snap, st, release, e := s.read(r)
	if e != nil {
		writeError(w, e)
		return
	}
	defer release()
	q := r.URL.Query()
	sel := newSelector(q["unit"])
	list := s.unitInfos(snap, sel, q.Get("placed") == "true")
	if q.Get("table") == "true" {
		writeTable(w, &UnitTable{Revision: snap.Revision, Store: st, Rows: rows(list), Machines: machineRefs(snap, list)})
		return
	}
	writeJSON(w, http.StatusOK, UnitList{Revision: snap.Revision, Store: st, Units: list, Machines: machineRefs(snap, list)})
}

// unitInfos are the units chosen, by name; placed leaves out those on no
// machine. A unit that was destroyed and is not gone from its machine yet
// counts where placed is asked for.
func (s *Server) unitInfos(snap *cluster.Snapshot, sel selector, placed bool) []UnitInfo {
	s.facts.prune(snap)
	where := placements(snap, sel.match)
	reasons := s.unplaced(snap, s.health(snap))
	out := make([]UnitInfo, 0, len(snap.Units))
	for name, u := range snap.Units {
		if !sel.match(name) || placed && len(where[name]) == 0 {
			continue
		}
		out = append(out, UnitInfo{Unit: s.unit(u), State: current(where[name]), Placements: where[name], Unplaced: reasons[name]})
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
		row := UnitRow{Unit: u.Name, Description: u.Description, Hash: u.Hash, Desired: u.Desired, State: u.State, Global: u.Global, Reason: u.Unplaced}
		if len(u.Placements) == 0 {
			out = append(out, row)
		}
		for _, p := range u.Placements {
			row := row
			row.Machine, row.Leaving = p.Machine, p.Assignment == nil
			if p.Assignment != nil {
				row.Reason = p.Assignment.Reason
			}
			if st := p.Status; st != nil {
				row.Load, row.Active, row.Sub, row.Error = st.Load, st.Active, st.Sub, st.Error
				if st.Hash != u.Hash {
					row.Running = st.Hash
				}
			}
			out = append(out, row)
		}
	}
	return out
}

// namedUnit finds the unit a path names.
func namedUnit(snap *cluster.Snapshot, r *http.Request) (cluster.Unit, *Error) {
	name := r.PathValue("name")
	if _, err := units.ParseName(name); err != nil {
		return cluster.Unit{}, refuse(CodeInvalid, "", "%v", err)
	}
	u, ok := snap.Units[name]
	if !ok {
		return u, notFound(name)
	}
	return u, nil
}

func notFound(name string) *Error {
	return refuse(CodeNotFound, "`fleettop list-unit-files` shows those there are", "Unit %s not found", name)
}

func (s *Server) getUnit(w http.ResponseWriter, r *http.Request) {
	snap, st, release, e := s.read(r)
	if e != nil {
		writeError(w, e)
		return
	}
	defer release()
	u, e := namedUnit(snap, r)
	if e != nil {
		writeError(w, e)
		return
	}
	list := s.unitInfos(snap, newSelector([]string{u.Name}), false)
	list[0].Content = u.Content
	writeJSON(w, http.StatusOK, UnitDetail{Revision: snap.Revision, Store: st, UnitInfo: list[0], Machines: machineRefs(snap, list)})
}

func (s *Server) explainUnit(w http.ResponseWriter, r *http.Request) {
	snap, _, release, e := s.read(r)
	if e != nil {
		writeError(w, e)
		return
	}
	defer release()
	u, e := namedUnit(snap, r)
	if e != nil {
		writeError(w, e)
		return
	}
	ex, err := s.cfg.Planner.Explain(schedule.Input{Snapshot: snap, Health: s.health(snap)}, u.Name)
	if err != nil {
		writeError(w, refuse(CodeInvalid, "", "%v", err))
		return
	}
	writeJSON(w, http.StatusOK, ex)
}
