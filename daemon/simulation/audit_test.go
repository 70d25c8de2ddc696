//go:build !race

package simulation

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/health"
	"fleettop/units"
)

const (
	// aftermath is how long after a fault a decision may still rest on it: a new
	// leader may have to be found first, and the grace of a daemon is 10 s.
	aftermath = 20 * time.Second
	// overlap is how long after the end of a fault a second copy may still run.
	overlap = 20 * time.Second
	// counted is how long it may take to see that more than half of the machines
	// vanished: they are judged one after the other.
	counted = 2 * time.Second
	// graceLess is how much less than its grace a daemon may have had, as one
	// that was back for a moment may not have been heard.
	graceLess = 3 * time.Second
	// leavesAlone is how long after it lost the store a machine may still do what it was told before:
	// stops that are under way, one after the other.
	leavesAlone = 10 * time.Second
)

// auditor holds what is done against what is true.
type auditor struct {
	sim *sim

	mu      sync.Mutex // guards what follows, and the trouble of machines
	changed map[cluster.UnitOnMachine]time.Time
	asked   map[string]time.Time // when an operator last changed a unit
	dropped map[string]time.Time // when a machine was last drained
	held    []*machine           // that vanished at once
	since   time.Time            // when they did
	double  map[string]time.Time // since when a unit runs twice
	// compared is when a machine lost the store whose view was compared since.
	compared map[int]time.Time
}

func newAuditor(s *sim) *auditor {
	return &auditor{sim: s, changed: map[cluster.UnitOnMachine]time.Time{}, asked: map[string]time.Time{},
		dropped: map[string]time.Time{}, double: map[string]time.Time{},
		compared: map[int]time.Time{}}
}

func (a *auditor) hold(gone []*machine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held, a.since = gone, time.Now()
}

func (a *auditor) troubled(m *machine) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(m.trouble)
}

// look is made every moment.
func (a *auditor) look() {
	s, now := a.sim, time.Now()
	copies := map[string][]*machine{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range s.machines {
		switch {
		case m.powered() && !m.awake() && s.wouldReach(m):
			// Its kernel answers: its daemon has the grace to come back.
			if m.gone.IsZero() {
				m.gone = now
			}
			if now.Sub(m.gone) > health.DefaultGrace-graceLess {
				m.trouble = now.Add(aftermath)
			}
			m.back = time.Time{}
		case !m.awake() || !s.reaches(m) || s.hidden(m):
			m.trouble = now.Add(aftermath)
		case m.back.IsZero():
			m.back = now
		case now.Sub(m.back) > graceLess:
			m.gone = time.Time{}
		}
		if m.powered() {
			for name := range m.manager.Load().running() {
				copies[name] = append(copies[name], m)
			}
		}
	}
	for _, m := range s.machines {
		a.shows(m)
	}
	for name, on := range copies {
		// A second copy is told from a move: start-first moves overlap for as long as a stop takes.
		if name == "global.service" || len(on) < 2 || a.handsOver(name, on) ||
			slices.ContainsFunc(on, func(m *machine) bool { return now.Before(m.trouble.Add(overlap - aftermath)) }) {
			delete(a.double, name)
			continue
		}
		if a.double[name].IsZero() {
			a.double[name] = now
		}
		if now.Sub(a.double[name]) > overlap {
			s.fail("%s has run on %s and %s for %s, though both reach the store", name, on[0].name(), on[1].name(), overlap)
		}
	}
	for name := range a.double {
		if len(copies[name]) < 2 {
			delete(a.double, name)
		}
	}
}

// handsOver reports whether a unit is to run on two machines, as it starts on one before it stops on the other.
func (a *auditor) handsOver(name string, on []*machine) bool {
	given := a.sim.truth.Snapshot().Assignments
	for _, m := range on {
		if from := given[cluster.UnitOnMachine{Machine: m.id, Unit: name}].MovedFrom; from != "" {
			if _, still := given[cluster.UnitOnMachine{Machine: from, Unit: name}]; still {
				return true
			}
		}
	}
	return false
}

// run reads what is written to the store.
func (a *auditor) run(ctx context.Context) {
	s := a.sim
	snap, changes, err := s.admin.Watch(ctx, cluster.Scope{})
	if err != nil {
		s.fail("watch: %v", err)
		return
	}
	for c := range changes {
		a.read(snap, c)
		snap = snap.With(c)
	}
	if ctx.Err() == nil {
		s.fail("the auditor's watch broke")
	}
}

func (a *auditor) read(before *cluster.Snapshot, c cluster.Change) {
	a.look()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for name := range c.Units {
		a.asked[name] = now
	}
	for id, m := range c.Machines {
		if m != nil && m.Schedule == cluster.Drained {
			a.dropped[id] = now
		}
	}
	for id, v := range c.Verdicts {
		m := a.machine(id)
		if v != nil && v.State == cluster.Failed && now.After(m.trouble) {
			a.sim.fail("%s is said to be failed (%s), and nothing is wrong with it", m.name(), v.Evidence)
		}
	}
	for k, assignment := range c.Assignments {
		a.changed[k] = now
		if assignment == nil {
			a.taken(before, k, now)
		} else if _, had := before.Assignments[k]; !had {
			a.given(before, c, *assignment, now)
		}
	}
}

// taken checks that a unit is taken from a machine for a reason.
func (a *auditor) taken(before *cluster.Snapshot, k cluster.UnitOnMachine, now time.Time) {
	m := a.machine(k.Machine)
	if slices.Contains(a.held, m) && now.Sub(a.since) > counted && before.Machines[m.id].Schedule != cluster.Drained {
		a.sim.fail("%s is taken from %s, which vanished together with more than half of the machines", k.Unit, m.name())
		return
	}
	record := before.Machines[k.Machine]
	if _, still := before.Assignments[cluster.UnitOnMachine{Machine: before.Assignments[k].MovedFrom, Unit: k.Unit}]; still {
		return // it runs on where it came from
	}
	if now.Before(m.trouble) || record.Schedule == cluster.Drained || record.Departure != cluster.NotDeparted ||
		now.Sub(a.dropped[k.Machine]) < aftermath || now.Sub(a.asked[k.Unit]) < aftermath {
		return
	}
	a.sim.fail("%s is taken from %s, and nothing is wrong with that", k.Unit, m.name())
}

// given checks that a machine that is given a unit is up, by the leader's word, and that the reason is true.
func (a *auditor) given(before *cluster.Snapshot, c cluster.Change, to cluster.Assignment, now time.Time) {
	verdict := func(id string) cluster.HealthState {
		if v := c.Verdicts[id]; v != nil {
			return v.State
		}
		return before.Verdicts[id].State
	}
	if state := verdict(to.Machine); state != cluster.Up && state != "" {
		a.sim.fail("%s is given to %s, which is %q", to.Unit, a.machine(to.Machine).name(), state)
	}
	rest, moved := strings.CutPrefix(to.Reason, "moved from ")
	if !moved {
		return
	}
	name, rest, _ := strings.Cut(rest, ": ")
	why, _, _ := strings.Cut(rest, "; ")
	for id, from := range before.Machines {
		if from.Name != name {
			continue
		}
		state, drained := verdict(id), from.Schedule == cluster.Drained || now.Sub(a.dropped[id]) < aftermath
		if why == "machine failed" && state != cluster.Failed || why == "machine is down" && state != cluster.Down ||
			why == "machine is drained" && !drained {
			a.sim.fail("%s is moved as %s %s, and by the leader's word it is %q", to.Unit, name, why, state)
		}
	}
}

func (a *auditor) machine(id string) *machine {
	i := slices.IndexFunc(a.sim.machines, func(m *machine) bool { return m.id == id })
	return a.sim.machines[i]
}

// stopping checks that a unit is stopped for a reason: a machine that can't
// reach the store leaves its units alone, and what it is to run it doesn't stop.
func (a *auditor) stopping(m *machine, unit string) {
	s := a.sim
	k := cluster.UnitOnMachine{Machine: m.id, Unit: unit}
	wanted, ok := s.truth.Snapshot().Assignments[k]
	a.mu.Lock()
	defer a.mu.Unlock()
	s.story.say(m.name(), "stops %s", unit)
	if away, _ := s.without(m); away > leavesAlone && m.awake() {
		s.fail("%s stops %s, though it hasn't reached the store for %s", m.name(), unit, away)
	}
	// An exclusive one is told to leave before it is given to another machine. That the
	// fence stops it is no act of the agent.
	if ok && !wanted.Leaving && wanted.Desired == units.Launched && time.Since(a.changed[k]) > 5*time.Second {
		s.fail("%s stops %s, which it is to run", m.name(), unit)
	}
}

// starts checks that an exclusive unit that starts runs nowhere else.
func (a *auditor) starts(m *machine, unit string, exclusive bool) {
	if !exclusive {
		return
	}
	a.sim.story.say(m.name(), "starts %s", unit)
	for _, o := range a.sim.machines {
		if o != m && o.powered() && o.manager.Load().running()[unit] != 0 {
			a.sim.fail("%s starts on %s, and runs on %s: it is exclusive", unit, m.name(), o.name())
		}
	}
}
