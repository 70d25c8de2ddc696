package schedule

import (
	"sync"
	"time"

	"fleettop/cluster"
)

// Input is everything that a plan depends on.
type Input struct {
	Snapshot *cluster.Snapshot
	// Health is each machine's health, by ID. A machine without a verdict keeps its
	// units and takes no more; a machine without a record counts as failed.
	Health map[string]cluster.Health
	// Hold, if not empty, keeps the units of failed machines assigned to them, and
	// says why: too many failed at once. It doesn't apply to a machine that an
	// operator drained or removed, or that announced its departure.
	Hold string
	// Waits are units that aren't placed now if they are on no machine that runs,
	// and WaitsFor says why: other machines are about to join.
	Waits    map[string]bool
	WaitsFor string
}

// Homeless returns the units of a snapshot that are wanted and on no machine.
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

// Held says why a failed machine keeps its units; empty if it doesn't.
func (in Input) Held(id string) string {
	m, known := in.Snapshot.Machines[id]
	if in.Hold == "" || !known || m.Schedule == cluster.Drained || stateOf(in.Health[id]) != cluster.Failed {
		return ""
	}
	return "stays on " + in.Snapshot.Label(id) + ", which failed, as failovers are held: " + in.Hold
}

// stateOf returns the state that a plan uses: a failed machine that answers again
// keeps the units that it still has, which run, and gets none until it is back.
func stateOf(h cluster.Health) cluster.HealthState {
	if h.State == cluster.Failed && !h.BackAt.IsZero() {
		return cluster.Suspect
	}
	return h.State
}

// Unplaced is a wanted unit that is on no machine that runs, and the reason.
type Unplaced struct {
	Unit   string `json:"unit"`
	Reason string `json:"reason"` // "4 machines: 2 lack ssd=true, 2 conflict with db@1.service"
	// Finished is set on a unit that ran and finished, and isn't run again where it gets a place.
	Finished bool `json:"finished,omitempty"`
}

// Staying is a unit that stays on a machine that is drained, and the reason.
type Staying struct{ Unit, Machine, Reason string }

// Result is a plan. Its order depends on the input only: withdrawals, moves,
// placements, updates, each by unit and machine.
type Result struct {
	Moves    []cluster.Move
	Unplaced []Unplaced // by unit
	// Left are the assignments left with machines that don't run, because no
	// other machine takes them; by unit and machine.
	Left []cluster.UnitOnMachine
	// Stays are the units that can't leave the machines that are drained, by unit and machine.
	Stays []Staying
	// Rolls are the updates of global units that go on after this plan; by unit.
	Rolls []Roll
	// Next is when the next try of a unit that failed is due; zero for none.
	Next time.Time
}

// Planner makes plans. It caches parsed requirements and an index of the last
// snapshot, which never changes a plan: a snapshot is immutable, so maps that two
// snapshots share haven't changed. Methods may be called from several
// goroutines. The zero Planner is not usable; call New.
type Planner struct {
	mu      sync.Mutex // guards what follows
	parsed  map[string]parsed
	world   *world
	settled *Result         // the last result, if it moved nothing and its input hasn't changed
	hold    string          // of the last plan
	without map[string]bool // units without a machine whichever machine fails; nil if not computed for this input
	heldFor string          // the hold that without was computed with
}

// New returns a Planner.
func New() *Planner { return &Planner{parsed: map[string]parsed{}} }

// Plan returns the moves that give every wanted unit a machine. now is written
// into new assignments.
func (p *Planner) Plan(in Input, now time.Time) Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync(in)
	if p.settled != nil && p.hold == in.Hold && len(in.Waits) == 0 && !p.world.rolling && !p.world.anyEnded(in.Snapshot) &&
		len(p.world.handing) == 0 && !p.world.inMotion() && !p.world.anyFailing(in.Snapshot) {
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

// sync updates the index to a snapshot and the machines' health, and drops
// cached results if anything that a plan depends on has changed.
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

// WhatIf returns the units that no machine could take if a machine failed, by name.
func (p *Planner) WhatIf(in Input, machineID string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	in.Waits = nil
	// The units without a machine now are the same for every question.
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

// unplaced returns the units that a plan of the world leaves without a machine.
func (p *Planner) unplaced(in Input) []Unplaced {
	pl := p.plan(in, time.Time{})
	res := pl.result()
	pl.undo()
	return res.Unplaced
}
