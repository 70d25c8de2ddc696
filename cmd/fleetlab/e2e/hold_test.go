//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

const (
	beyondLease = 6 * time.Second  // longer than a session's lease, and than machines count as vanished at once
	beyondGrace = 12 * time.Second // longer than a daemon's grace
)

// TestHold has three of five machines vanish at once, with their cables and
// with their power. The two that are left have etcd's quorum and hold: nothing
// moves, and they say so; the next leader holds too, also when no daemon is left
// that saw the others alive. When the machines are back, all is as it was. At
// last a machine that saw all others vanish comes to lead: it looks around first.
func TestHold(t *testing.T) {
	f := newFleet(t, 5, setup{limit: 6 * time.Minute})
	units := named("a%d.service", 10)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)
	left := append(f.voters(1), f.leader())
	gone := f.others(left...)
	before, began := f.procs.snapshot(), time.Now()

	// Their cables: the side with the quorum is the smaller one.
	each(f, gone, (*lab.Machine).Cut)
	f.holds(left, gone, began)
	f.throughout("while three of five are cut off", beyondLease,
		func() error { return f.asBefore(before, f.machines...) })
	f.must(f.held(left[0]))
	mended := time.Now()
	each(f, gone, (*lab.Machine).Heal)
	f.converged(mended)
	f.eventually("the hold to end", soon, func() error { return f.notHeld(left[0]) })
	f.procs.unchanged(t, before)
	f.still(left[0], began)

	// Their power.
	left = append(f.voters(1), f.leader())
	gone = f.others(left...)
	before, began = f.procs.snapshot(), time.Now()
	each(f, gone, func(m *lab.Machine) error { _, err := m.Kill(); return err })
	f.holds(left, gone, began)
	// The leader's daemon dies, then both at once: no daemon is left that saw the others alive.
	for _, die := range [][]*lab.Machine{{f.leader()}, left} {
		lasts := beyondLease
		if len(die) == len(left) {
			lasts = beyondGrace
		}
		since := time.Now()
		for _, m := range die {
			f.on(m, "systemctl", "kill", "--signal=KILL", lab.UnitName)
		}
		f.eventually("a leader that took over", 2*soon, func() error {
			for _, m := range left {
				list, err := f.client(m).Events(f.ctx, since.Format(time.RFC3339Nano), 1000)
				if err != nil {
					return err
				}
				for _, e := range list {
					if e.Kind == cluster.EventLeader && e.Time.After(since) {
						return nil
					}
				}
			}
			return fmt.Errorf("no other term began")
		})
		leader := f.leader()
		t.Logf("%d daemons were killed; %s leads after %.1f s", len(die), leader.Name, time.Since(since).Seconds())
		f.throughout("while the next leader looks around and holds", lasts,
			func() error { return f.asBefore(before, left...) })
		f.must(f.held(left[0]))
		f.still(left[0], began)
	}
	mended = time.Now()
	each(f, gone, func(m *lab.Machine) error {
		if err := m.Boot(f.ctx); err != nil {
			return err
		}
		return m.WaitBooted(f.ctx)
	})
	f.converged(mended)
	f.eventually("the hold to end", soon, func() error { return f.notHeld(left[0]) })
	f.procs.unchanged(t, before, gone...)
	for p := range before {
		if home := f.home(p.unit); home.Name != p.machine {
			t.Errorf("%s was on %s before its machine vanished, and is on %s now", p.unit, p.machine, home.Name)
		}
	}
	f.procs.neverTwice(t)

	f.looksAround()
}

// looksAround cuts a voter off until it takes all other machines for dead, and
// has the other voters' daemons die at the moment it is back, so that it may
// come to lead: it must not act on what it believed.
func (f *fleet) looksAround() {
	f.t.Helper()
	cut := f.voters(1)[0]
	others := append(f.voters(2)[1:], f.leader())
	before, began := f.procs.snapshot(), time.Now()
	f.procs.leaveOut(cut, true)
	f.must(cut.Cut())
	for _, m := range f.others(cut) {
		f.eventually(cut.Name+" to take "+m.Name+" for dead", soon, func() error { return f.health(cut, m, cluster.Failed) })
	}
	f.eventually("its units to run elsewhere", soon, func() error {
		for p := range before {
			if p.machine == cut.Name && len(f.procs.running(p.unit)) < 2 {
				return fmt.Errorf("%s doesn't", p.unit)
			}
		}
		return nil
	})
	before = f.procs.snapshot()
	died := time.Now()
	f.must(cut.Heal())
	for _, m := range others {
		f.on(m, "systemctl", "kill", "--signal=KILL", lab.UnitName)
	}
	f.converged(died)
	f.t.Logf("%s had been cut off, and %s leads:%s", cut.Name, f.leader().Name, f.timeline(cut, began))
	f.still(cut, died)
	f.procs.unchanged(f.t, before, cut)
	f.procs.leaveOut(cut, false)
}

// holds waits until the leader says that it holds, why, and for which machines.
func (f *fleet) holds(left, gone []*lab.Machine, since time.Time) {
	f.t.Helper()
	for _, m := range left {
		f.eventually("word of the hold on "+m.Name, soon, func() error { return f.held(m) })
	}
	f.eventually("the timeline to say what is held", soon, func() error {
		for _, e := range f.events(left[0], since) {
			if e.Kind == cluster.EventHold && says(e.Text, "failovers are held for ", gone[0].Name, gone[1].Name, gone[2].Name,
				"3 of 5 machines vanished at once") == nil {
				return nil
			}
		}
		return fmt.Errorf("it doesn't:%s", f.timeline(left[0], since))
	})
}

// held returns an error unless a machine says that failovers are held, and why.
func (f *fleet) held(m *lab.Machine) error {
	for _, verb := range []string{"list-units", "list-machines"} {
		if _, said, err := f.try(m, verb); err != nil || !strings.Contains(said, "3 of 5 machines vanished at once") {
			return fmt.Errorf("%s on %s says %q, %v", verb, m.Name, said, err)
		}
	}
	return nil
}

// notHeld returns an error while a machine says that failovers are held.
func (f *fleet) notHeld(m *lab.Machine) error {
	if _, said, err := f.try(m, "list-units"); err != nil || strings.Contains(said, "vanished at once") {
		return fmt.Errorf("list-units on %s says %q, %v", m.Name, said, err)
	}
	return nil
}

// each does something to machines, to all at the same moment.
func each(f *fleet, machines []*lab.Machine, do func(*lab.Machine) error) {
	f.t.Helper()
	errs := make(chan error, len(machines))
	for _, m := range machines {
		go func() { errs <- do(m) }()
	}
	for range machines {
		f.must(<-errs)
	}
}
