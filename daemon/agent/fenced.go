package agent

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/fencing"
	"fleettop/units"
)

// Fence is the machine's fence, which exclusive units need: fencing.Keeper.
type Fence interface {
	// SetSession gives it the session that guards its renewals.
	SetSession(s cluster.Session)
	// Want says whether it is needed, and whether a new one may be raised.
	Want(need fencing.Need, mayRaise bool)
	// ID is of the fence that stands, "" for none, and Changed tells of another.
	ID() string
	Changed() <-chan struct{}
}

// traits are what a file asks of its machine's contact with the cluster.
type traits struct {
	hash      string
	exclusive bool
	isolation time.Duration // after which it is stopped where the quorum is away; zero for never
}

// guard knows the traits of the units assigned, and of those held that were.
type guard struct {
	of   map[string]traits // by unit
	want map[string]cluster.Assignment
}

// update takes in what is assigned.
func (g *guard) update(want, leaving map[string]cluster.Assignment, held map[string]units.Status) {
	if g.of != nil && cluster.SameMap(g.want, want) {
		return
	}
	g.want = want
	of := make(map[string]traits, len(want)+len(leaving))
	for name, t := range g.of {
		if _, still := held[name]; still {
			of[name] = t
		}
	}
	for _, list := range []map[string]cluster.Assignment{want, leaving} {
		for name, a := range list {
			if t, known := g.of[name]; known && t.hash == a.Hash {
				of[name] = t
			} else {
				of[name] = traitsOf(a)
			}
		}
	}
	g.of = of
}

// traitsOf reads an assignment's file. One that makes no sense has none; the
// manager says so when it loads it.
func traitsOf(a cluster.Assignment) traits {
	t := traits{hash: a.Hash}
	name, err := units.ParseName(a.Unit)
	if err != nil {
		return t
	}
	if file, err := units.ParseFile(a.Content); err == nil {
		t.exclusive = file.Exclusive()
		if r, err := file.Requirements(name); err == nil && r.StopWhenIsolated {
			t.isolation = r.IsolationTimeout
		}
	}
	return t
}

// checkFence says whether the fence is needed, and looks again at the exclusive
// units that were started behind another fence, whose end has ended them.
func (a *Agent) checkFence() {
	a.fence = ""
	if a.cfg.Fence == nil {
		return
	}
	need, busy := fencing.NotNeeded, false
	for name, t := range a.guard.of {
		if !t.exclusive {
			continue
		}
		_, wanted := a.want[name]
		_, held := a.held[name]
		if wanted || held {
			need = fencing.Needed
		}
		busy = busy || a.flights[name] != nil
	}
	a.cfg.Fence.Want(need, !busy)
	a.fence = a.cfg.Fence.ID()
	for name := range a.want {
		n, noted := a.notes[name]
		if a.fence != "" && noted && n.Released == "" && n.Fence != a.fence && a.guard.of[name].exclusive && a.flights[name] == nil {
			a.forget(name)
		}
	}
}

// fenced returns the steps that may go now: those of exclusive units need the
// fence, but for the ones that end them.
func (a *Agent) fenced(steps []Step) []Step {
	var may []Step
	for _, s := range steps {
		exclusive := a.guard.of[s.Unit].exclusive
		if exclusive && s.Kind >= Load && s.Kind <= Adopt {
			if a.fence == "" {
				continue
			}
			a.cfg.Fence.Want(fencing.Needed, false) // before ID: from here on no other is raised
			if a.cfg.Fence.ID() != a.fence {
				continue
			}
		}
		may = append(may, s)
	}
	return may
}

// isolate stops the running units that ask for it when the store's quorum has
// been away for too long.
func (a *Agent) isolate(now time.Time) {
	since := a.renewed()
	if since.IsZero() {
		since = a.began
	}
	for name, n := range a.notes {
		h, held := a.held[name]
		switch {
		case n.Isolation == 0 || a.flights[name] != nil:
		case n.Isolated && a.want != nil && now.Sub(since) < n.Isolation:
			a.reporter.tell(cluster.Event{Kind: cluster.EventUnit, Machine: a.cfg.Machine, Unit: name, Time: now,
				Text: fmt.Sprintf("%s was stopped on %s, which had no answer of the cluster's store for %s (OnIsolation=stop)",
					name, a.cfg.Name, n.Isolation)})
			a.forget(name)
		case !n.Isolated && held && now.Sub(since) >= n.Isolation && h.Active != "inactive" && h.Active != "failed":
			a.log.Warn("stopping a unit, as the cluster's store doesn't answer (OnIsolation=stop)", "unit", name,
				"for", now.Sub(since).Round(time.Second))
			a.fly(a.ctx, Isolate, []Step{{Kind: Isolate, Unit: name, Assignment: a.want[name]}})
		}
	}
}

// isolated notes that a unit was stopped for want of the quorum.
func (a *Agent) isolated(s Step, err error) {
	n := a.notes[s.Unit]
	if err == nil {
		n.Isolated = true
		n.Error = fmt.Sprintf("stopped, as this machine had no answer of the cluster's store for %s (OnIsolation=stop)",
			n.Isolation)
	}
	a.note(s.Unit, n)
}

// untilIsolation is the time until a unit is to be stopped if no renewal comes before.
func (a *Agent) untilIsolation(now time.Time) time.Duration {
	since, least := a.renewed(), fullPass
	if since.IsZero() {
		since = a.began
	}
	for _, n := range a.notes {
		if n.Isolation > 0 && !n.Isolated {
			least = min(least, max(time.Second, since.Add(n.Isolation).Sub(now)))
		}
	}
	return least
}

// split parts the assignments that stay from those that are to leave.
func split(all map[string]cluster.Assignment) (want, leaving map[string]cluster.Assignment) {
	if all == nil {
		return nil, nil
	}
	want, leaving = make(map[string]cluster.Assignment, len(all)), map[string]cluster.Assignment{}
	for name, a := range all {
		if a.Leaving {
			leaving[name] = a
		} else {
			want[name] = a
		}
	}
	return want, leaving
}
