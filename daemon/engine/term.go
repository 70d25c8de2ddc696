package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
)

// term is what a leader remembers while it leads. It does no I/O.
type term struct {
	leader  cluster.Leader
	planner *schedule.Planner

	caughtUp  int64 // revision the view must show before the next look
	machines  map[string]cluster.HealthState
	hold      string // as last written to the leader's record
	state     health.State
	names     map[string]string // of machines, by ID
	failovers []*failover
	pending   []cluster.Event
}

// look is what a leader does after a look at the cluster.
type look struct {
	moves    []cluster.Move
	evict    []cluster.Run
	unplaced map[string]string
}

// newTerm returns the memory of a term that begins. A look must show at
// least the leadership itself, and with it all that earlier terms wrote.
func newTerm(leader cluster.Leader, planner *schedule.Planner) *term {
	return &term{leader: leader, planner: planner, caughtUp: leader.Term, names: map[string]string{}}
}

// ready tells whether a snapshot shows all that was written so far.
func (t *term) ready(snap *cluster.Snapshot) bool { return snap != nil && snap.Revision >= t.caughtUp }

// look decides what to do now.
func (t *term) look(snap *cluster.Snapshot, state health.State, now time.Time) look {
	t.name(snap)
	if t.machines == nil {
		t.begin(snap, state)
	}
	t.verdicts(snap, state, now)
	t.state = state
	t.started(snap, now)
	r := t.planner.Plan(schedule.Input{Snapshot: snap, Health: state.Health, Hold: state.Hold}, now)
	l := look{moves: r.Moves, unplaced: make(map[string]string, len(r.Unplaced))}
	for _, u := range r.Unplaced {
		l.unplaced[u.Unit] = u.Reason
	}
	for _, id := range slices.Sorted(maps.Keys(snap.Runs)) {
		// While this side may be the one cut off, the others are not robbed of their leases.
		if state.Health[id].State == cluster.Failed && state.Hold == "" {
			l.evict = append(l.evict, snap.Runs[id])
		}
	}
	return l
}

// applied takes note of what became of moves.
func (t *term) applied(moves []cluster.Move, revision int64, errs []error, now time.Time) {
	t.caughtUp = max(t.caughtUp, revision)
	for k, m := range moves {
		if k < len(errs) && errs[k] != nil {
			continue
		}
		t.tell(m, now)
		t.track(m, now)
	}
	for _, f := range t.failovers {
		t.finish(f, now)
	}
}

// events returns what is to be recorded since the last call.
func (t *term) events() []cluster.Event {
	events := t.pending
	t.pending = nil
	return events
}

func (t *term) event(e cluster.Event) { t.pending = append(t.pending, e) }

func (t *term) name(snap *cluster.Snapshot) {
	for id, m := range snap.Machines {
		t.names[id] = cmp.Or(m.Name, shortID(id))
	}
}

func shortID(id string) string { return id[:min(8, len(id))] }

// called is what people call a machine.
func (t *term) called(id string) string { return cmp.Or(t.names[id], shortID(id)) }

// begin takes the machines as the last leader left them: one that has a run,
// or still has units, was up for all anybody was told, whatever became of it since.
func (t *term) begin(snap *cluster.Snapshot, state health.State) {
	t.machines = map[string]cluster.HealthState{}
	for id := range snap.Machines {
		t.machines[id] = state.Health[id].State
		if _, ok := snap.Runs[id]; ok {
			t.machines[id] = cluster.Up
		}
	}
	for k := range snap.Assignments {
		if _, ok := t.machines[k.Machine]; ok {
			t.machines[k.Machine] = cluster.Up
		}
	}
	t.event(cluster.Event{Kind: cluster.EventLeader, Time: t.leader.Since, Machine: t.leader.Machine,
		Text: t.called(t.leader.Machine) + " leads the cluster"})
}

// verdicts tells of machines whose health changed.
func (t *term) verdicts(snap *cluster.Snapshot, state health.State, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(snap.Machines)) {
		h := state.Health[id]
		was, known := t.machines[id]
		if h.State == "" || h.State == was {
			continue
		}
		t.machines[id] = h.State
		if text := told(was, known, h); text != "" {
			t.event(cluster.Event{Kind: cluster.EventMachine, Time: h.Since, Machine: id, Text: t.called(id) + " " + text})
		}
	}
	for id := range t.machines {
		if _, ok := snap.Machines[id]; !ok {
			delete(t.machines, id) // an operator removed it, and the API has told so
		}
	}
	switch {
	case t.state.Hold == "" && state.Hold != "":
		t.event(cluster.Event{Kind: cluster.EventHold, Time: now, Text: "failovers are held: " + state.Hold})
	case t.state.Hold != "" && state.Hold == "":
		t.event(cluster.Event{Kind: cluster.EventHold, Time: now, Text: "failovers are no longer held: enough machines are back, or drained"})
	}
}

// told is what the timeline says of a machine whose health changed; nothing
// where that is no news.
func told(was cluster.HealthState, known bool, h cluster.Health) string {
	switch h.State {
	case cluster.Up:
		switch {
		case !known || was == "":
			return "joined"
		case was == cluster.Suspect:
			return "answers again"
		}
		return "came back"
	case cluster.Suspect:
		if was != cluster.Up {
			return ""
		}
		return "is suspect: " + h.Evidence
	case cluster.DaemonGone:
		if was != cluster.Up && was != cluster.Suspect {
			return ""
		}
		return "lost its daemon, units keep running: " + h.Evidence
	case cluster.Failed:
		return "failed: " + h.Evidence
	case cluster.Down:
		return "went down: " + h.Evidence
	}
	return ""
}

// tell puts a move on the timeline.
func (t *term) tell(m cluster.Move, now time.Time) {
	e := cluster.Event{Time: now, Unit: m.Unit}
	switch {
	case m.From == nil:
		e.Kind, e.Machine, e.To = cluster.EventPlaced, m.To.Machine, m.To.Machine
		e.Text = m.Unit + " placed on " + t.called(m.To.Machine) + ": " + m.Reason
	case m.To == nil && t.runs(m.From.Machine):
		return // asked for, and told by who asked
	case m.To == nil:
		e.Kind, e.Machine, e.From = cluster.EventMoved, m.From.Machine, m.From.Machine
		e.Text = m.Unit + " " + m.Reason
	case m.From.Machine == m.To.Machine:
		return
	default:
		e.Kind, e.Machine, e.From, e.To = cluster.EventMoved, m.To.Machine, m.From.Machine, m.To.Machine
		e.Text = m.Unit + " " + t.called(m.From.Machine) + " -> " + t.called(m.To.Machine) + ": " + m.Reason
	}
	t.event(e)
}

// runs tells whether a machine is taken to run.
func (t *term) runs(id string) bool { return t.state.Health[id].State.Runs() }
