package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/units"
)

// verdict is how a verb stands for a unit.
type verdict string

// Verdicts.
const (
	reached  verdict = "reached"
	failed   verdict = "failed"   // it was tried and went wrong
	refused  verdict = "refused"  // the daemon didn't take the request
	unplaced verdict = "unplaced" // no machine can take it now
	held     verdict = "held"     // its machine failed, and failovers are held
	pending  verdict = "pending"
	timedOut verdict = "timed-out"
	unknown  verdict = "unknown" // the daemon went away
)

// outcome is a verdict with what to say about it.
type outcome struct {
	Unit    string  `json:"unit"`
	Verdict verdict `json:"outcome"`
	Machine string  `json:"machine,omitempty"`
	Text    string  `json:"text"`
	// Error is set, for programs, unless it was reached; the rest where it applies.
	Error        *api.Error `json:"error,omitempty"`
	Warning      string     `json:"warning,omitempty"`
	TemplateHash string     `json:"templateHash,omitempty"` // of its template's content, where it keeps an earlier one
	File         string     `json:"file,omitempty"`         // that was submitted
}

// goal is what a blocking verb waits for.
type goal struct {
	unit       string
	verb       api.Verb
	generation int64
	replaced   bool     // its content is another one now
	on         []string // of a unit being destroyed, the machines that had it
}

// scene is a state of the cluster, indexed by unit.
type scene struct {
	*api.State
	assigned map[string]api.Assignment // of a global unit, the first by machine
	reported map[string][]cluster.Status
}

func newScene(s *api.State) *scene {
	sc := &scene{State: s, assigned: make(map[string]api.Assignment, len(s.Assignments)), reported: make(map[string][]cluster.Status, len(s.Statuses))}
	for p, a := range s.Assignments {
		if before, ok := sc.assigned[p.Unit]; !ok || p.Machine < before.Machine {
			sc.assigned[p.Unit] = a
		}
	}
	for p, st := range s.Statuses {
		sc.reported[p.Unit] = append(sc.reported[p.Unit], st)
	}
	return sc
}

// doing is what a machine does about a verb.
var doing = map[api.Verb]string{api.Load: "loading", api.Start: "starting", api.Stop: "stopping", api.Restart: "restarting"}

// judge tells how a goal stands.
func (g *goal) judge(s *scene) outcome {
	o := outcome{Unit: g.unit}
	say := func(v verdict, format string, args ...any) outcome {
		o.Verdict, o.Text = v, fmt.Sprintf(format, args...)
		return o
	}
	if g.verb == api.Destroy {
		return g.judgeDestroy(s, say)
	}
	u, ok := s.Units[g.unit]
	switch {
	case !ok:
		return say(failed, "Unit %s was destroyed meanwhile", g.unit)
	case u.Generation < g.generation:
		return say(pending, "the daemon has not seen the change yet")
	case u.Generation > g.generation && !suits(g.verb, u.Desired):
		return say(failed, "Unit %s was changed meanwhile%s: it is to be %s now", g.unit, by(u.By), u.Desired)
	}
	a, assigned := s.assigned[g.unit]
	if g.verb == api.Unload {
		return g.judgeUnload(s, assigned, say)
	}
	if !assigned {
		switch reason := s.Unplaced[g.unit]; {
		case reason != "":
			return say(unplaced, "Unit %s is not placed: %s\nIt will be placed when a machine can take it; `fleettop explain %s` says more.", g.unit, reason, g.unit)
		case s.Leader.Machine == "":
			return say(pending, "no machine leads the cluster at the moment")
		}
		return say(pending, "it has no machine yet")
	}
	o.Machine = a.Machine
	on := print.Machine(a.Machine, s.Machines[a.Machine].Address, false)
	if reason, h := s.Unplaced[g.unit], s.Machines[a.Machine].Health; reason != "" && !h.State.Runs() {
		if g.verb == api.Stop {
			return say(unplaced, "Unit %s is on %s, which is %s: if it runs there, it is stopped when that is back",
				g.unit, on, h.State)
		}
		return say(unplaced, "Unit %s is not placed: %s\n`fleettop explain %s` says more.", g.unit, reason, g.unit)
	}
	st, reported := s.Statuses[api.Placement{Machine: a.Machine, Unit: g.unit}]
	switch {
	case a.Generation < g.generation:
		return say(pending, "the leader has not passed it on to %s yet", on)
	case !reported || st.Epoch != a.Epoch || st.Generation < g.generation:
		h := s.Machines[a.Machine].Health
		if h.State == cluster.Failed && s.Leader.Hold != "" {
			return say(held, "Unit %s is left on %s, which failed, as failovers are held: %s.\n`fleettop explain %s` says more.", g.unit, on, s.Leader.Hold, g.unit)
		}
		if h.State != cluster.Up && h.State != "" {
			return say(pending, "%s is %s (%s)", on, h.State, h.Evidence)
		}
		return say(pending, "%s is %s it", on, doing[g.verb])
	case st.Error != "":
		return say(failed, "Unit %s: %s failed on %s: %s\n`fleettop status %s` says more.", g.unit, g.verb, on, g.cause(st), g.unit)
	case g.starts() && st.Active == "failed":
		return say(failed, "Unit %s failed on %s: %s\n`fleettop status %s` says more.", g.unit, on, cmp.Or(st.Result, st.Sub), g.unit)
	case g.starts() && st.Active == "inactive":
		return judgeEnded(u, st, on, say)
	case g.verb == api.Stop && st.Active != "inactive" && st.Active != "failed":
		return say(pending, "%s is stopping it", on)
	}
	did := "launched"
	switch g.verb {
	case api.Restart:
		did = "restarted"
	case api.Load, api.Stop:
		did = string(a.Desired)
	}
	if g.replaced {
		did = "replaced, " + did
	}
	return say(reached, "Unit %s %s on %s", g.unit, did, on)
}

// starts reports whether the unit is to be started.
func (g *goal) starts() bool { return g.verb == api.Start || g.verb == api.Restart }

// judgeEnded tells of a unit that was started and is inactive.
func judgeEnded(u api.Unit, st cluster.Status, on string, say func(verdict, string, ...any) outcome) outcome {
	switch {
	case st.Result == units.ResultCondition:
		return say(failed, "Unit %s was not started on %s: a condition that its file demands is not met there\n"+
			"`fleettop status %s` says more.", u.Name, on, u.Name)
	case u.Once:
		return say(reached, "Unit %s ran and finished on %s", u.Name, on)
	}
	return say(failed, "Unit %s was started on %s and ended at once, without a failure: it is inactive\n"+
		"`fleettop status %s` says more.", u.Name, on, u.Name)
}

// judgeDestroy tells how far a unit is from gone: forgotten, and no process of it left.
func (g *goal) judgeDestroy(s *scene, say func(verdict, string, ...any) outcome) outcome {
	if u, known := s.Units[g.unit]; known {
		if u.Generation == g.generation {
			return say(pending, "the daemon has not seen the change yet")
		}
		return say(reached, "Destroyed %s; it was submitted again meanwhile%s", g.unit, by(u.By))
	}
	if o, left := g.judgeLeft(s, "destroy", say); left {
		return o
	}
	var away []string
	for _, id := range g.on {
		m, known := s.Machines[id]
		on := print.Machine(id, m.Address, false)
		switch h := m.Health; {
		case !known || h.State == cluster.Up:
		case h.State.Runs():
			return say(pending, "%s is %s (%s)", on, h.State, h.Evidence)
		default:
			away = append(away, fmt.Sprintf("%s (%s)", on, h.State))
		}
	}
	if len(away) > 0 {
		return say(reached, "Destroyed %s; where it still runs on a machine that is away, it is stopped when that is back: %s",
			g.unit, strings.Join(away, ", "))
	}
	return say(reached, "Destroyed %s", g.unit)
}

// judgeLeft tells of a machine that still has the unit, which no machine is to have.
func (g *goal) judgeLeft(s *scene, verb string, say func(verdict, string, ...any) outcome) (o outcome, left bool) {
	for _, st := range s.reported[g.unit] {
		if !slices.Contains(g.on, st.Machine) {
			g.on = append(g.on, st.Machine)
		}
		on := print.Machine(st.Machine, s.Machines[st.Machine].Address, false)
		// What went wrong before belongs to an assignment.
		if st.Error != "" && st.Epoch == 0 && st.Generation == 0 {
			return say(failed, "Unit %s: %s failed on %s: %s\n`fleettop status %s` says more.",
				g.unit, verb, on, g.cause(st), g.unit), true
		}
		o, left = say(pending, "%s is stopping it", on), true
	}
	return o, left
}

func (g *goal) judgeUnload(s *scene, assigned bool, say func(verdict, string, ...any) outcome) outcome {
	if assigned {
		return say(pending, "the leader has not withdrawn it yet")
	}
	if o, left := g.judgeLeft(s, "unload", say); left {
		return o
	}
	return say(reached, "Unit %s inactive", g.unit)
}

// cause is a status's error without the verb and the unit, which are told before it.
func (g *goal) cause(st cluster.Status) string {
	if verb, rest, ok := strings.Cut(st.Error, " "+g.unit+": "); ok && !strings.Contains(verb, " ") {
		return draw.Clean(rest)
	}
	return draw.Clean(st.Error)
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

// suits tells whether a desired state is what the verb asked for, or more.
func suits(v api.Verb, d units.DesiredState) bool {
	switch v {
	case api.Load:
		return d != units.Inactive
	case api.Start, api.Restart:
		return d == units.Launched
	case api.Stop:
		return d == units.Loaded
	}
	return d == units.Inactive
}
