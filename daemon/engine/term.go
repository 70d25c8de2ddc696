package engine

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
)

// toldReturn is the shortest wait of a machine that failed and answers again that is told.
const toldReturn = 2500 * time.Millisecond

// term is what a leader remembers while it leads. It does no I/O.
type term struct {
	leader  cluster.Leader
	planner *schedule.Planner
	snap    *cluster.Snapshot // of the last look; nil before the first

	caughtUp   int64 // revision the view must show before the next look
	machines   map[string]cluster.HealthState
	state      health.State
	names      map[string]string // of machines, by ID
	doubts     map[string]*doubts
	returning  map[string]bool   // failed machines whose way back was told
	blocked    map[string]string // ports that are blocked, by machine, as told
	capacity   capacity
	drained    map[string]bool // machines whose drain was acted on
	homeless   map[string]bool // units that had no place at the last look; nil before the first
	unsure     map[string]unsure
	left       map[cluster.UnitOnMachine]bool
	whatIf     map[string]cluster.WhatIf // the newest answers, by machine; nil before the first
	stuck      map[string]string         // updates of global units that are held by a failure, and which
	lapses     *lapses
	departing  map[string]departing // exclusive units that wait to leave their machines
	fenceWaits map[string]time.Duration
	assigned   map[cluster.UnitOnMachine]cluster.Assignment // as of the last look
	leaving    []cluster.UnitOnMachine                      // of them, those that are to leave
	failovers  []*failover
	drills     map[string]drilled // by machine
	away       map[string]away    // units that found no other place when their machine died, by name
	recalls    bool               // the timeline is to say which units had no place when the term began
	pending    []cluster.Event
	unwritten  bool // the store may not have what the last look found: the term may be over
}

// unsure is a machine that had failed when the term began. Only the timeline
// knows whether an earlier leader told of it.
type unsure struct {
	health cluster.Health
	ran    bool // it seems to have run under the earlier leader
}

// look is what a leader does after a look at the cluster.
type look struct {
	moves []cluster.Move
	found cluster.Findings
	evict []cluster.Run
	again time.Time // when to look again though nothing changed; zero for no such time
}

// newTerm returns the memory of a term that begins. A look must show at
// least the leadership itself, and with it all that earlier terms wrote.
func newTerm(leader cluster.Leader, planner *schedule.Planner) *term {
	return &term{leader: leader, planner: planner, caughtUp: leader.Term, names: map[string]string{},
		doubts: map[string]*doubts{}, returning: map[string]bool{}, blocked: map[string]string{},
		lapses: &lapses{}, fenceWaits: map[string]time.Duration{}, away: map[string]away{}, drills: map[string]drilled{}}
}

// ready reports whether a snapshot shows all that was written so far.
func (t *term) ready(snap *cluster.Snapshot) bool { return snap != nil && snap.Revision >= t.caughtUp }

// look decides what to do now.
func (t *term) look(snap *cluster.Snapshot, state health.State, now time.Time) look {
	t.name(snap)
	t.seeDrills(snap, now)
	t.snap = snap
	r, again := t.plan(snap, state, now)
	if t.machines == nil {
		t.begin(snap, state, r)
	}
	t.verdicts(snap, state, now)
	t.state = state
	l := look{again: t.tellDoubts(now)}
	t.started(snap, now)
	t.leave(r, now)
	t.rolls(r.Rolls, now)
	l.again = sooner(l.again, again)
	l.moves, again = t.holdExclusive(snap, r.Moves, now)
	l.again = sooner(l.again, again)
	l.found, again = t.findings(snap, state, r, now)
	l.again = sooner(l.again, again)
	t.homeless = make(map[string]bool, len(r.Unplaced))
	for _, u := range r.Unplaced {
		t.homeless[u.Unit] = true
	}
	healths, _ := t.withOldFailures(state.Health, now)
	for _, id := range slices.Sorted(maps.Keys(snap.Runs)) {
		// While this side may be the one cut off, the others are not robbed of
		// their leases; nor is one that is coming back of its new one.
		if h := healths[id]; h.State == cluster.Failed && h.BackAt.IsZero() && state.Hold == "" {
			l.evict = append(l.evict, snap.Runs[id])
		}
	}
	return l
}

// plan plans with what may be seen now, and returns when there may be more.
func (t *term) plan(snap *cluster.Snapshot, state health.State, now time.Time) (r schedule.Result, again time.Time) {
	t.capacity.see(snap, state, now)
	if t.drained == nil {
		t.drained = t.capacity.drained
	}
	seen, end := t.capacity.withDrains(snap, t.drained, now)
	if end.IsZero() {
		t.drained = t.capacity.drained
	}
	healths, answer := t.withOldFailures(state.Health, now)
	end = sooner(end, answer)
	in := schedule.Input{Snapshot: seen, Health: healths, Hold: state.Hold}
	why, until := t.waits(state, now)
	if why != "" {
		in.Waits, in.WaitsFor = t.homeless, why
		if t.homeless == nil {
			in.Waits = schedule.Homeless(snap)
		}
	}
	r = t.planner.Plan(in, now)
	return r, sooner(sooner(end, until), r.Next)
}

// rolls tells of updates that a failure holds. What held them when the term began was told.
func (t *term) rolls(rolls []schedule.Roll, now time.Time) {
	stuck := map[string]string{}
	for _, r := range rolls {
		if r.Failed == "" {
			continue
		}
		if stuck[r.Unit] = r.Failed; t.stuck != nil && t.stuck[r.Unit] != r.Failed {
			t.event(cluster.Event{Kind: cluster.EventUnit, Time: now, Unit: r.Unit,
				Text: r.Unit + " is updated on no other machine: " + r.Failed})
		}
	}
	t.stuck = stuck
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

// events returns what is to be recorded since the last call, in the order it
// happened: a failure may be known to be news after the moves that it led to.
// There are none while it isn't known whether the term goes on.
func (t *term) events() []cluster.Event {
	if t.unwritten {
		return nil
	}
	events := t.pending
	t.pending = nil
	slices.SortStableFunc(events, func(a, b cluster.Event) int { return a.Time.Compare(b.Time) })
	return events
}

func (t *term) event(e cluster.Event) { t.pending = append(t.pending, t.ofDrill(e)) }

func (t *term) name(snap *cluster.Snapshot) {
	for id := range snap.Machines {
		t.names[id] = snap.Label(id)
	}
}

// called is what people call a machine.
func (t *term) called(id string) string { return cmp.Or(t.names[id], cluster.Machine{ID: id}.Label()) }

// begin takes the machines as the last leader left them: one that has a run,
// or units that are to move, was up for all anybody was told, whatever became of it since.
func (t *term) begin(snap *cluster.Snapshot, state health.State, r schedule.Result) {
	t.machines, t.left = map[string]cluster.HealthState{}, map[cluster.UnitOnMachine]bool{}
	for _, k := range r.Left {
		if _, runs := snap.Runs[k.Machine]; !runs {
			t.left[k] = true // and told of by the last leader
		}
	}
	for id := range snap.Machines {
		t.machines[id] = state.Health[id].State
		if _, ok := snap.Runs[id]; ok {
			t.machines[id] = cluster.Up
		} else if snap.Machines[id].Departure == cluster.ShutDown {
			t.machines[id] = cluster.Down
		}
	}
	for k := range snap.Assignments {
		if _, ok := t.machines[k.Machine]; ok && !t.left[k] {
			t.machines[k.Machine] = cluster.Up
		}
	}
	t.recalls = len(r.Unplaced) > 0
	t.unsure = map[string]unsure{}
	for id, was := range t.machines {
		if h := state.Health[id]; h.State == cluster.Failed {
			t.machines[id], t.unsure[id] = cluster.Failed, unsure{h, was == cluster.Up}
		}
	}
	t.event(cluster.Event{Kind: cluster.EventLeader, Time: t.leader.Since, Machine: t.leader.Machine,
		Text: t.called(t.leader.Machine) + " leads the cluster"})
}

// recall tells of machines that failed before the term, where the timeline has
// them running still: there was no leader, as with the store away.
func (t *term) recall(timeline []cluster.Event) {
	told := map[string]cluster.HealthState{}
	for _, e := range timeline {
		if e.Kind == cluster.EventMachine && e.State != "" {
			told[e.Machine] = e.State
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.unsure)) {
		u, last := t.unsure[id], told[id]
		if t.machines[id] == cluster.Failed && (last.Runs() || last == "" && u.ran) {
			t.tellMachine(id, u.health.Since, "failed: "+u.health.Evidence)
		}
	}
	t.unsure = nil
	if t.recalls {
		t.recallAway(timeline)
	}
	t.recalls = false
}

// verdicts tells of machines whose health changed.
func (t *term) verdicts(snap *cluster.Snapshot, state health.State, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(snap.Machines)) {
		h := state.Health[id]
		was, known := t.machines[id]
		if h.State == cluster.Failed && state.Hold != "" && snap.Machines[id].Schedule != cluster.Drained {
			continue // more likely it is this side; if it isn't, that is told when the hold ends
		}
		if h.State != "" && h.State != was {
			t.machines[id] = h.State
			t.verdict(id, was, known, h)
		}
		if h.State == cluster.Failed && h.BackAt.Sub(now) > toldReturn && !t.returning[id] {
			t.returning[id] = true
			t.tellMachine(id, now, "isn't back yet: "+h.Evidence)
		}
		if h.Blocked != t.blocked[id] {
			if t.blocked[id] = h.Blocked; h.Blocked != "" {
				t.tellMachine(id, now, "is up, and "+h.Blocked)
			}
		}
	}
	for id := range t.machines {
		if _, ok := snap.Machines[id]; !ok {
			delete(t.machines, id) // an operator removed it, and the API has told so
			delete(t.doubts, id)
		}
	}
	switch {
	case t.state.Hold == "" && state.Hold != "":
		t.event(cluster.Event{Kind: cluster.EventHold, Time: now,
			Text: "failovers are held" + t.failed(snap, state) + ": " + state.Hold})
	case t.state.Hold != "" && state.Hold == "":
		t.event(cluster.Event{Kind: cluster.EventHold, Time: now, Text: "failovers are no longer held"})
	}
}

// failed names the machines that are held.
func (t *term) failed(snap *cluster.Snapshot, state health.State) string {
	var names []string
	for id := range snap.Machines {
		if state.Health[id].State == cluster.Failed {
			names = append(names, t.called(id))
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return " for " + strings.Join(names, ", ")
}

// verdict tells of a machine whose health changed, where that is news.
func (t *term) verdict(id string, was cluster.HealthState, known bool, h cluster.Health) {
	doubt := was == cluster.Suspect || was == cluster.DaemonGone
	before := t.wasMachine(id, was, known)
	switch h.State {
	case cluster.Up:
		switch {
		case !known || was == "":
			t.tellChange(id, h.Since, before, "joined")
		case doubt && t.doubts[id] != nil:
			t.undoubted(id, h)
		case doubt:
			t.tellChange(id, h.Since, before, "answers again")
		default:
			t.tellChange(id, h.Since, before, "came back")
		}
		delete(t.returning, id)
	case cluster.Suspect, cluster.DaemonGone:
		switch {
		case was == cluster.Failed:
			t.tellChange(id, h.Since, before, "isn't dead: "+h.Evidence)
			delete(t.returning, id)
		case was == cluster.Up || doubt && t.doubts[id] != nil:
			t.doubted(id, was, h)
		}
	case cluster.Failed:
		t.confirmed(id, t.state.Health[id].Evidence)
		t.tellChange(id, h.Since, before, "failed: "+h.Evidence)
	case cluster.Down:
		t.confirmed(id, "")
		t.tellChange(id, h.Since, before, "went down: "+h.Evidence)
	}
}

// runs reports whether a machine is taken to run.
func (t *term) runs(id string) bool { return t.state.Health[id].State.Runs() }
