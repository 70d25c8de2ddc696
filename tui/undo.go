package tui

import (
	"cmp"
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/units"
	"fleettop/units/wording"
)

// undoFor is how long an act can be undone after the line that says what came of it.
const undoFor = 5 * time.Second

// undo is the way back from the last act.
type undo struct {
	what  string   // it takes back: "the stop"
	of    *outcome // nil where nothing is waited for
	until time.Time
	run   func() tea.Cmd
}

// before is what a unit was before an order.
type before struct {
	desired    units.DesiredState
	generation int64
}

// request is one request to the daemon, for units or for machines.
type request struct {
	units    *api.ActionRequest
	machines *api.MachinesRequest
}

// undoable reports whether the last act can still be undone.
func (s *shell) undoable() bool { return s.undo != nil && s.now().Before(s.undo.until) }

// undoWord says what the key to undo takes back, and for how long it does.
func (s *shell) undoWord() string {
	left := s.undo.until.Sub(s.now())
	return fmt.Sprintf("%s (%d s)", s.undo.what, (left+time.Second-1)/time.Second)
}

// undoKey is the key to undo, or the command where no key does.
func (s *shell) undoKey() string { return cmp.Or(s.keys.Key(keys.Undo), ":"+string(keys.Undo)) }

// offerUndo lets what was just done be undone for a while. Only the last act can be.
func (s *shell) offerUndo(what string, of *outcome, run func() tea.Cmd) {
	s.undo = &undo{what, of, s.now().Add(undoFor), run}
}

// undoLast undoes the last act.
func (s *shell) undoLast() tea.Cmd {
	if !s.undoable() {
		s.say(fmt.Sprintf("There is nothing to undo: an act can be undone for %s, unless another one follows.",
			wording.Span(undoFor)), true)
		return nil
	}
	run := s.undo.run
	s.undo = nil
	return run()
}

// clearMarks takes the marks of a screen away, which can be undone.
func (s *shell) clearMarks(m screens.Marker) {
	were := m.ClearMarks()
	if len(were) < 2 {
		return // one is marked again as soon
	}
	s.say(wording.Count(len(were), "mark")+" taken away.", false)
	s.offerUndo("that", nil, func() tea.Cmd {
		m.Mark(were)
		s.say(wording.Count(len(were), "row")+" marked again.", false)
		return nil
	})
}

// backFrom is an order that sets units back to what they were before another order; nil where that
// changed nothing that could be set back.
func backFrom(o order, results []api.UnitResult) *order {
	back := &order{undoes: o.what()}
	for _, v := range []keys.Action{keys.Start, keys.Load, keys.Stop, keys.Unload} {
		req := api.ActionRequest{Verb: verbs[v].api, Generations: map[string]int64{}}
		for _, r := range results {
			was, known := o.was[r.Name]
			if !known || r.Error != nil || !r.Changed || was.generation != r.Generation-1 ||
				verbBack(was.desired, r.Desired) != verbs[v].api {
				continue
			}
			req.Units = append(req.Units, r.Name)
			req.Generations[r.Name] = r.Generation
		}
		if len(req.Units) == 0 {
			continue
		}
		back.verb = verbs[v]
		back.units = append(back.units, req.Units...)
		back.requests = append(back.requests, request{units: &req})
	}
	switch len(back.requests) {
	case 0:
		return nil
	case 1:
		return back
	}
	back.verb = verb{doing: "undoing…", done: "undo", past: "set back"}
	return back
}

// verbBack is the verb that brings a unit's desired state back; empty where there is none.
func verbBack(was, now units.DesiredState) api.Verb {
	switch {
	case was == now, now == "": // it was destroyed
		return ""
	case was == units.Launched:
		return api.Start
	case was == units.Inactive:
		return api.Unload
	case now == units.Launched:
		return api.Stop
	}
	return api.Load
}

// backFromSchedule is an order that gives machines the schedule they had before another order; nil
// where that changed none.
func backFromSchedule(o order, results []api.MachineResult) *order {
	changed := map[string]bool{}
	for _, r := range results {
		changed[r.Asked] = r.Changed && r.Error == nil
	}
	back := &order{undoes: o.what()}
	for _, to := range []struct {
		was  cluster.Schedulability
		verb string
	}{{cluster.Schedulable, "uncordon"}, {cluster.Cordoned, "cordon"}, {cluster.Drained, "drain"}} {
		req := api.MachinesRequest{Verb: to.verb, After: o.schedule}
		for _, id := range o.machines {
			if was, known := o.schedules[id]; known && changed[id] && was == to.was {
				req.Machines = append(req.Machines, id)
			}
		}
		if len(req.Machines) > 0 {
			back.schedule = to.verb
			back.machines = append(back.machines, req.Machines...)
			back.requests = append(back.requests, request{machines: &req})
		}
	}
	if len(back.requests) == 0 {
		return nil
	}
	return back
}
