//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// TestCutOffAndFrozen takes machines away without ending their processes: by
// their cable, the leader's too, and by stopping all that runs. Their units
// start elsewhere; when the machine is back it stops its old copies at once,
// and its daemon, which never died, belongs to the cluster again.
func TestCutOffAndFrozen(t *testing.T) {
	f := newFleet(t, 3, setup{})
	units := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	f.start(f.machines[0], sleepers(units...))
	for _, unit := range units {
		f.home(unit)
	}
	for _, c := range []struct {
		name       string
		leader     bool
		away, back func(*lab.Machine) error
		reachable  bool // its processes go on while it is away
	}{
		{"cut off", false, (*lab.Machine).Cut, (*lab.Machine).Heal, true},
		{"cut off, leader", true, (*lab.Machine).Cut, (*lab.Machine).Heal, true},
		{"frozen", false, (*lab.Machine).Freeze, (*lab.Machine).Thaw, false},
		{"frozen, leader", true, (*lab.Machine).Freeze, (*lab.Machine).Thaw, false},
	} {
		victim := f.leader()
		if !c.leader {
			i := slices.IndexFunc(f.others(victim), func(m *lab.Machine) bool { return f.empty(m) != nil })
			victim = f.others(victim)[i]
		}
		before := f.procs.snapshot()
		daemon := f.show(victim, lab.UnitName, "MainPID")
		var moving []string
		for _, unit := range units {
			if before[place{victim.Name, unit}] != 0 {
				moving = append(moving, unit)
			}
		}
		if len(moving) == 0 {
			t.Fatalf("%s: %s has no units", c.name, victim.Name)
		}
		f.procs.leaveOut(victim, true)
		began := time.Now()
		f.must(c.away(victim))
		limit := soon
		if !c.reachable { // a frozen machine's kernel answers for a daemon that hangs: it gets the grace
			limit += 10 * time.Second
		}
		for _, unit := range moving {
			to, outage := f.movedTo(unit, victim, began, limit)
			t.Logf("%s, %s: %s moved to %s after %.3f s", c.name, victim.Name, unit, to.Name, outage.Seconds())
		}
		for _, unit := range moving {
			if on := f.procs.running(unit); !slices.Contains(on, victim) {
				t.Errorf("%s: %s lost its copy of %s while it was away", c.name, victim.Name, unit)
			}
		}
		if c.reachable {
			f.eventually("the machine that is cut off to notice", soon, func() error { return f.stale(victim, moving[0]) })
		}
		back := time.Now()
		f.must(c.back(victim))
		for _, unit := range moving {
			f.eventually("the old copy of "+unit+" to be stopped", soon, func() error {
				if on := f.procs.running(unit); len(on) != 1 || on[0] == victim {
					return fmt.Errorf("it runs on %d machines", len(on))
				}
				return nil
			})
		}
		t.Logf("%s: the old copies were stopped %.3f s after %s was back", c.name, time.Since(back).Seconds(), victim.Name)
		f.procs.leaveOut(victim, false)
		f.settled(f.machines...)
		f.procs.unchanged(t, before, victim)
		if now := f.show(victim, lab.UnitName, "MainPID"); now != daemon {
			t.Errorf("%s: the daemon of %s was process %s and is %s now", c.name, victim.Name, daemon, now)
		}
		f.start(victim, sleepers("after.service"))
		f.home("after.service")
		f.verb(victim, "destroy", "after.service")
		f.eventually("after.service to be gone", soon, func() error {
			if on := f.procs.running("after.service"); len(on) > 0 {
				return fmt.Errorf("it runs on %s", on[0].Name)
			}
			return nil
		})
		f.procs.neverTwice(t)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// TestQuorumLost takes two of three voters away, by their cables and then by
// their power. Nothing moves, nothing stops, nothing is deleted, the remaining
// daemon answers with what it last knew, and all is well when they are back.
func TestQuorumLost(t *testing.T) {
	f := newFleet(t, 3, setup{})
	units := []string{"a.service", "b.service", "c.service"}
	f.start(f.machines[0], sleepers(units...))
	for _, unit := range units {
		f.home(unit)
	}
	before := f.procs.snapshot()
	began := time.Now()
	// Cut off, each is alone; the third is, too.
	n1, n2, n3 := f.machines[0], f.machines[1], f.machines[2]
	f.must(n2.Cut())
	f.must(n3.Cut())
	// Beyond the lease of a session and the grace of a daemon.
	f.throughout("without a quorum", 14*time.Second, func() error { return f.asBefore(before, f.machines...) })
	for _, m := range f.machines {
		f.must(f.stale(m, units...))
	}
	asked := time.Now()
	code, said := f.refusal(n1, "stop", "a.service")
	if took := time.Since(asked); code == 0 || took > 12*time.Second || !strings.Contains(said, "quorum") {
		t.Errorf("stop without a quorum: exit code %d after %v: %s", code, took, said)
	}
	f.must(n2.Heal())
	f.must(n3.Heal())
	f.settled(f.machines...)
	f.procs.unchanged(t, before)
	f.still(n1, began)

	for _, m := range []*lab.Machine{n2, n3} {
		_, err := m.Kill()
		f.must(err)
	}
	f.throughout("with two of three dead", 13*time.Second, func() error { return f.asBefore(before, n1) })
	f.must(f.stale(n1, units...))
	for _, m := range []*lab.Machine{n2, n3} {
		f.must(m.Boot(f.ctx))
	}
	f.settled(f.machines...)
	for _, unit := range units {
		f.home(unit)
	}
	f.procs.unchanged(t, before, n2, n3)
	f.start(n1, sleepers("after.service"))
	f.home("after.service")
	f.procs.neverTwice(t)
}

// asBefore returns an error where a unit on one of these machines has another process than before.
func (f *fleet) asBefore(before map[place]int, machines ...*lab.Machine) error {
	now := f.procs.snapshot()
	for p, pid := range now {
		if was := before[p]; was != pid {
			return fmt.Errorf("%s on %s was process %d and is %d now", p.unit, p.machine, was, pid)
		}
	}
	for p, pid := range before {
		if slices.ContainsFunc(machines, func(m *lab.Machine) bool { return m.Name == p.machine }) && now[p] != pid {
			return fmt.Errorf("%s on %s was process %d and is gone", p.unit, p.machine, pid)
		}
	}
	return nil
}

// stale returns an error unless a machine, which can't see the store, still
// lists these units as running, and says that this may be old.
func (f *fleet) stale(m *lab.Machine, units ...string) error {
	f.t.Helper()
	out, said, err := f.try(m, "list-units", "--no-legend")
	for _, unit := range units {
		if err == nil && !strings.Contains(out, unit) {
			err = fmt.Errorf("%s is missing", unit)
		}
	}
	if err == nil && !strings.Contains(said, "can't be reached") {
		err = errors.New("it doesn't say that this is old")
	}
	if err != nil {
		return fmt.Errorf("list-units on %s: %w\n%s%s", m.Name, err, out, said)
	}
	return nil
}
