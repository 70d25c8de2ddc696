package schedule

import (
	"sync"
	"time"

	"fleettop/cluster"
)

// Input is all a plan depends on.
type Input struct {
	Snapshot *cluster.Snapshot
	// Health has the verdict on each machine, by ID. One that nobody has judged
	// yet keeps its units and takes no more; one without a record has failed.
	Health map[string]cluster.Health
	// Hold, if not empty, keeps the units of failed machines where they are,
	// and says why: too many vanished at once. A machine that an operator
	// drained or removed, or that said goodbye, is not held.
	Hold string
	// Waits are units that get no place now if they have none, or none that
	// runs, and WaitsFor is why: other machines are about to take units, too.
	Waits    map[string]bool
	WaitsFor string
}

// Homeless are the units of a snapshot that are wanted and on no machine.
func Homeless(s *cluster.Snapshot) map[string]bool {
	homeless := map[string]bool{}
	for name, u := range s.Units {
		if wants(u) {
			homeless[name] = true
		}
	}
	for k := range s.Assignments {
		delete(homeless, k.Unit)
	}
	return homeless
}

// Held tells why a machine's units stay with it though it failed; empty if they don't.
func (in Input) Held(id string) string {
	m, known := in.Snapshot.Machines[id]
	if in.Hold == "" || !known || m.Schedule == cluster.Drained || stateOf(in.Health[id]) != cluster.Failed {
		return ""
	}
	return "stays on " + in.Snapshot.Label(id) + ", which failed, as failovers are held: " + in.Hold
}

// stateOf is what counts for a plan: a machine that failed and answers again
// keeps what it still has, as that runs, and gets nothing until it is back.
func stateOf(h cluster.Health) cluster.HealthState {
	if h.State == cluster.Failed && !h.BackAt.IsZero() {
		return cluster.Suspect
	}
	return h.State
}

// Unplaced is a unit that is wanted and on no machine that runs, and why.
type Unplaced struct {
	Unit   string `json:"unit"`
	Reason string `json:"reason"` // "4 machines: 2 lack ssd=true, 2 conflict with db@1.service"
}

// Result is a plan. Its order depends on nothing but the input: withdrawals,
// moves, placements, updates, each by unit and machine.
type Result struct {
	Moves    []cluster.Move
	Unplaced []Unplaced // by unit
	// Left are the assignments left with machines that don't run, as there is
	// no other place for them; by unit and machine.
	Left []cluster.UnitOnMachine
	// Rolls are the updates of global units that go on after this plan; by unit.
	Rolls []Roll
}

// Planner makes plans. It remembers parsed requirements and an index of the
// last snapshot, which makes it fast and never changes what it answers: a
// snapshot is immutable, so maps that two snapshots share need no second look.
// Methods may be called from several goroutines; the zero value is not usable, call New.
type Planner struct {
	mu      sync.Mutex // guards what follows
	parsed  map[string]parsed
	world   *world
	settled *Result         // the last result, if it moved nothing and its input still stands
	hold    string          // of the last plan
	without map[string]bool // units without a place whoever dies, if asked for and the input still stands
	heldFor string          // the hold under which they are
}

// New returns a Planner.
func New() *Planner { return &Planner{parsed: map[string]parsed{}} }

// Plan returns what must change to give every wanted unit a place. now is
// written into new assignments.
func (p *Planner) Plan(in Input, now time.Time) Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync(in)
	if p.settled != nil && p.hold == in.Hold && len(in.Waits) == 0 && !p.world.rolling && !p.world.anyEnded(in.Snapshot) {
		return *p.settled
	}
	pl := p.plan(in, now)
	res := pl.result()
	pl.undo()
	p.hold, p.settled = in.Hold, nil
	if len(res.Moves) == 0 && len(in.Waits) == 0 {
		p.settled = &res
	}
	return res
}

// sync brings the index up to a snapshot and the machines' health, and forgets
// what was remembered where anything that matters to a plan has changed.
func (p *Planner) sync(in Input) {
	same := true
	if p.world == nil || !p.world.of(in.Snapshot) {
		p.world, p.parsed = newWorld(in.Snapshot, p.parsed)
		same = false
	}
	if p.world.setHealth(in.Health) {
		same = false
	}
	if !same {
		p.settled, p.without = nil, nil
	}
}

// WhatIf returns the units that would have no place left if a machine died, by name.
func (p *Planner) WhatIf(in Input, machineID string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	in.Waits = nil
	// What has no place anyway is the same whichever machine is asked about.
	if p.sync(in); p.without == nil || p.heldFor != in.Hold {
		p.without, p.heldFor = map[string]bool{}, in.Hold
		for _, u := range p.unplaced(in) {
			p.without[u.Unit] = true
		}
	}
	alive, known := p.world.assume(machineID, cluster.Failed)
	if !known {
		return nil
	}
	in.Hold = ""
	stranded := p.unplaced(in)
	p.world.assume(machineID, alive)
	var names []string
	for _, u := range stranded {
		if !p.without[u.Unit] {
			names = append(names, u.Unit)
		}
	}
	return names
}

// unplaced returns what a plan of the world as it is leaves without a place.
func (p *Planner) unplaced(in Input) []Unplaced {
	pl := p.plan(in, time.Time{})
	res := pl.result()
	pl.undo()
	return res.Unplaced
}
