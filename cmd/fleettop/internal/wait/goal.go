// Package wait waits on a daemon's watch until units are what a verb asked for,
// or can't be, and says which.
package wait

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/print"
	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/units"
)

// Verdict is how a verb stands for a unit.
type Verdict string

// Verdicts.
const (
	Reached  Verdict = "reached"
	Failed   Verdict = "failed"   // it was tried and went wrong
	Refused  Verdict = "refused"  // the daemon didn't take the request
	Unplaced Verdict = "unplaced" // no machine can take it now
	Held     Verdict = "held"     // its machine failed, and failovers are held
	Pending  Verdict = "pending"
	TimedOut Verdict = "timed-out"
	Unknown  Verdict = "unknown" // the daemon went away
)

// Outcome is a verdict with what to say about it.
type Outcome struct {
	Unit    string  `json:"unit"`
	Verdict Verdict `json:"outcome"`
	Machine string  `json:"machine,omitempty"`
	Text    string  `json:"text"`
	// Error is set, for programs, unless it was reached; the rest where it applies.
	Error        *api.Error `json:"error,omitempty"`
	Warning      string     `json:"warning,omitempty"`
	TemplateHash string     `json:"templateHash,omitempty"` // of its template's content, where it keeps an earlier one
	File         string     `json:"file,omitempty"`         // that was submitted
}

// Goal is what a blocking verb waits for.
type Goal struct {
	Unit       string
	Verb       api.Verb
	Generation int64
	Replaced   bool     // its content is another one now
	Adopted    bool     // it is taken over from its machine's host
	On         []string // of a unit being destroyed, the machines that had it
}

// scene is a state of the cluster, indexed by unit.
type scene struct {
	*api.State
	assigned map[string]api.Assignment // of a global unit, the first by machine
	reported map[string][]cluster.Status
}

func newScene(s *api.State) *scene {
	sc := &scene{State: s, assigned: make(map[string]api.Assignment, len(s.Assignments)),
		reported: make(map[string][]cluster.Status, len(s.Statuses))}
	for p, a := range s.Assignments {
		before, ok := sc.assigned[p.Unit]
		if global := s.Units[p.Unit].Global; !ok || global && p.Machine < before.Machine || !global && a.Epoch > before.Epoch {
			sc.assigned[p.Unit] = a
		}
	}
	for p, st := range s.Statuses {
		sc.reported[p.Unit] = append(sc.reported[p.Unit], st)
	}
	return sc
}

// doing is what a machine does about a verb.
var doing = map[api.Verb]string{api.Load: "loading", api.Start: "starting", api.Stop: "stopping",
	api.Restart: "restarting"}

// retrySoon is the longest pause before the next try of a unit that failed for which a verb waits.
const retrySoon = 2 * time.Second

// judge returns how a goal stands.
func (g *Goal) judge(s *scene) Outcome {
	o := Outcome{Unit: g.Unit}
	say := func(v Verdict, format string, args ...any) Outcome {
		o.Verdict, o.Text = v, fmt.Sprintf(format, args...)
		return o
	}
	switch g.Verb {
	case api.Destroy:
		return g.judgeDestroy(s, say)
	case api.Release:
		return g.judgeRelease(s, say)
	}
	u, ok := s.Units[g.Unit]
	switch {
	case !ok:
		return say(Failed, "Unit %s was destroyed meanwhile", g.Unit)
	case u.Generation < g.Generation:
		return say(Pending, "the daemon has not seen the change yet")
	case u.Generation > g.Generation && !suits(g.Verb, u.Desired):
		return say(Failed, "Unit %s was changed meanwhile%s: it is to be %s now", g.Unit, by(u.By), u.Desired)
	}
	a, assigned := s.assigned[g.Unit]
	if g.Verb == api.Unload {
		return g.judgeUnload(s, assigned, say)
	}
	if !assigned {
		switch reason := s.Unplaced[g.Unit]; {
		case reason != "":
			return say(Unplaced, "Unit %s is not placed: %s\nIt will be placed when a machine can take it; "+
				"`fleettop explain %s` says more.", g.Unit, reason, g.Unit)
		case s.Leader.Machine == "":
			return say(Pending, "no machine leads the cluster at the moment")
		}
		return say(Pending, "it has no machine yet")
	}
	o.Machine = a.Machine
	on := print.Machine(a.Machine, s.Machines[a.Machine].Address, false)
	if reason, h := s.Unplaced[g.Unit], s.Machines[a.Machine].Health; reason != "" && !h.State.Runs() {
		if g.Verb == api.Stop {
			return say(Unplaced, "Unit %s is on %s, which is %s: if it runs there, it is stopped when that is back",
				g.Unit, on, h.State)
		}
		return say(Unplaced, "Unit %s is not placed: %s\n`fleettop explain %s` says more.", g.Unit, reason, g.Unit)
	}
	st, reported := s.Statuses[api.Placement{Machine: a.Machine, Unit: g.Unit}]
	switch {
	case a.Generation < g.Generation:
		return say(Pending, "the leader has not passed it on to %s yet", on)
	case !reported || st.Epoch != a.Epoch || st.Generation < g.Generation:
		h := s.Machines[a.Machine].Health
		if h.State == cluster.Failed && s.Leader.Hold != "" {
			return say(Held, "Unit %s is left on %s, which failed, as failovers are held: %s.\n"+
				"`fleettop explain %s` says more.", g.Unit, on, s.Leader.Hold, g.Unit)
		}
		if h.State != cluster.Up && h.State != "" {
			return say(Pending, "%s is %s (%s)", on, h.State, h.Evidence)
		}
		return say(Pending, "%s is %s it", on, doing[g.Verb])
	}
	state := cluster.Standing{Desired: a.Desired, Generation: st.Generation, Placed: true,
		Status: st.Status, Carried: st.Generation, Error: st.Error}.State()
	if g.starts() && u.Reschedule && (state == cluster.UnitError || state == cluster.UnitFailed) {
		switch {
		case len(a.Tries) == a.Attempt:
			return say(Pending, "it failed on %s, and is tried elsewhere", on)
		case a.Waits() && a.RetryAt.Sub(a.Tries[len(a.Tries)-1].At) <= retrySoon:
			return say(Pending, "%s", a.Reason)
		}
		return say(Failed, "Unit %s failed: %s\n`fleettop status %s` says more.", g.Unit, a.Reason, g.Unit)
	}
	switch {
	case state == cluster.UnitError:
		return say(Failed,
			"Unit %s: %s failed on %s: %s\n`fleettop status %s` says more.", g.Unit, g.Verb, on, g.cause(st), g.Unit)
	case g.starts() && state == cluster.UnitFailed:
		return say(Failed,
			"Unit %s failed on %s: %s\n`fleettop status %s` says more.", g.Unit, on, cmp.Or(st.Result, st.Sub), g.Unit)
	case g.starts() && (state == cluster.UnitSkipped || state == cluster.UnitFinished):
		return judgeEnded(u, state, on, say)
	case g.Verb == api.Stop && st.Runs():
		return say(Pending, "%s is stopping it", on)
	}
	did := "launched"
	switch g.Verb {
	case api.Restart:
		did = "restarted"
	case api.Load, api.Stop:
		did = string(a.Desired)
	}
	if g.Adopted {
		did = "adopted, " + did
	}
	if g.Replaced {
		did = "replaced, " + did
	}
	return say(Reached, "Unit %s %s on %s", g.Unit, did, on)
}

// starts reports whether the unit is to be started.
func (g *Goal) starts() bool { return g.Verb == api.Start || g.Verb == api.Restart }

// judgeEnded tells of a unit that was started and is inactive.
func judgeEnded(u api.Unit, state cluster.UnitState, on string, say func(Verdict, string, ...any) Outcome) Outcome {
	switch {
	case state == cluster.UnitSkipped:
		return say(Failed, "Unit %s was not started on %s: a condition that its file demands is not met there\n"+
			"`fleettop status %s` says more.", u.Name, on, u.Name)
	case u.Once:
		return say(Reached, "Unit %s ran and finished on %s", u.Name, on)
	}
	return say(Failed, "Unit %s was started on %s and ended at once, without a failure: it is inactive\n"+
		"`fleettop status %s` says more.", u.Name, on, u.Name)
}

// judgeDestroy tells how far a unit is from gone: forgotten, and no process of it left.
func (g *Goal) judgeDestroy(s *scene, say func(Verdict, string, ...any) Outcome) Outcome {
	if u, known := s.Units[g.Unit]; known {
		if u.Generation == g.Generation {
			return say(Pending, "the daemon has not seen the change yet")
		}
		return say(Reached, "Destroyed %s; it was submitted again meanwhile%s", g.Unit, by(u.By))
	}
	if o, left := g.judgeLeft(s, "destroy", say); left {
		return o
	}
	var away []string
	for _, id := range g.On {
		m, known := s.Machines[id]
		on := print.Machine(id, m.Address, false)
		switch h := m.Health; {
		case !known || h.State == cluster.Up:
		case h.State.Runs():
			return say(Pending, "%s is %s (%s)", on, h.State, h.Evidence)
		default:
			away = append(away, fmt.Sprintf("%s (%s)", on, h.State))
		}
	}
	if len(away) > 0 {
		return say(Reached,
			"Destroyed %s; where it still runs on a machine that is away, it is stopped when that is back: %s",
			g.Unit, strings.Join(away, ", "))
	}
	return say(Reached, "Destroyed %s", g.Unit)
}

// judgeRelease tells how far a unit is from its host's: forgotten by the cluster.
func (g *Goal) judgeRelease(s *scene, say func(Verdict, string, ...any) Outcome) Outcome {
	u, known := s.Units[g.Unit]
	switch {
	case !known:
		return say(Reached, "Released %s: it runs on under a file of its machine's own, and the cluster has forgotten it",
			g.Unit)
	case u.Generation < g.Generation:
		return say(Pending, "the daemon has not seen the change yet")
	case u.Generation > g.Generation:
		return say(Failed, "Unit %s was changed meanwhile%s: it stays the cluster's", g.Unit, by(u.By))
	case s.Leader.Machine == "":
		return say(Pending, "no machine leads the cluster at the moment")
	}
	for _, st := range s.reported[g.Unit] {
		if on := print.Machine(st.Machine, s.Machines[st.Machine].Address, false); st.Error != "" &&
			st.Generation >= g.Generation {
			return say(Failed, "Unit %s: release failed on %s: %s\n`fleettop status %s` says more.", g.Unit, on, g.cause(st), g.Unit)
		}
	}
	if a, assigned := s.assigned[g.Unit]; assigned {
		on := print.Machine(a.Machine, s.Machines[a.Machine].Address, false)
		if h := s.Machines[a.Machine].Health; h.State != cluster.Up && h.State != "" {
			return say(Unplaced,
				"Unit %s is not released yet: %s is %s (%s). It is released when that is back, and moves to no other machine.",
				g.Unit, on, h.State, h.Evidence)
		}
		return say(Pending, "%s is giving it to its host", on)
	}
	return say(Pending, "the leader has not forgotten it yet")
}

// judgeLeft tells of a machine that still has the unit, which no machine is to have.
func (g *Goal) judgeLeft(s *scene, verb string, say func(Verdict, string, ...any) Outcome) (o Outcome, left bool) {
	for _, st := range s.reported[g.Unit] {
		if !slices.Contains(g.On, st.Machine) {
			g.On = append(g.On, st.Machine)
		}
		on := print.Machine(st.Machine, s.Machines[st.Machine].Address, false)
		// What went wrong before belongs to an assignment.
		if st.Error != "" && st.Epoch == 0 && st.Generation == 0 {
			return say(Failed, "Unit %s: %s failed on %s: %s\n`fleettop status %s` says more.",
				g.Unit, verb, on, g.cause(st), g.Unit), true
		}
		o, left = say(Pending, "%s is stopping it", on), true
	}
	return o, left
}

func (g *Goal) judgeUnload(s *scene, assigned bool, say func(Verdict, string, ...any) Outcome) Outcome {
	if assigned {
		return say(Pending, "the leader has not withdrawn it yet")
	}
	if o, left := g.judgeLeft(s, "unload", say); left {
		return o
	}
	return say(Reached, "Unit %s inactive", g.Unit)
}

// cause is a status's error without the verb and the unit, which are told before it.
func (g *Goal) cause(st cluster.Status) string {
	if verb, rest, ok := strings.Cut(st.Error, " "+g.Unit+": "); ok && !strings.Contains(verb, " ") {
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

// suits reports whether a desired state is what the verb asked for, or more.
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
