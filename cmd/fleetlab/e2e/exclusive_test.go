//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/cmd/fleetlab/witness"
)

// exclusiveLimit is the longest outage of an exclusive unit whose machine is dead or cut off.
const exclusiveLimit = 5 * time.Second

// witnessed are the runs that a unit recorded, in the order of their beginning.
func (f *fleet) witnessed(unit string) []witness.Run {
	f.t.Helper()
	return witness.Runs(f.records(unit), nil)
}

// handedOver waits until a unit runs on another machine than one, checks that it
// never ran twice, and returns where it runs and how long it was away.
func (f *fleet) handedOver(unit string, from *lab.Machine, limit time.Duration) (*lab.Machine, time.Duration) {
	f.t.Helper()
	var last, before witness.Run
	f.eventually(unit+" to run elsewhere", limit, func() error {
		list := f.witnessed(unit)
		last = list[len(list)-1]
		if last.Machine == from.Name {
			return fmt.Errorf("it ran on %s last", from.Name)
		}
		before = list[len(list)-2]
		return nil
	})
	f.neverTwice(unit)
	to, err := f.lab.Machine(last.Machine)
	f.must(err)
	return to, last.From - before.To
}

// neverTwice checks that no two machines ran a unit at once.
func (f *fleet) neverTwice(unit string) {
	f.t.Helper()
	for _, o := range witness.Overlaps(f.witnessed(unit)) {
		f.t.Fatalf("%s ran twice for %v: on %s from %v to %v, and on %s from %v on", unit, o.To-o.From, o.Older.Machine,
			o.Older.From, o.Older.To, o.Newer.Machine, o.Newer.From)
	}
}

// TestExclusive: an exclusive unit never runs twice, whatever becomes of its
// machine, its daemon and the way to it; it lives through the end of a daemon
// that comes back; and it is up again elsewhere within five seconds.
func TestExclusive(t *testing.T) {
	f := newFleet(t, 3, setup{limit: 9 * time.Minute})
	const only = "[X-Fleet]\nExclusive=true"
	const unit, stubborn = "only.service", "stubborn.service"
	f.start(f.machines[0], map[string]string{
		unit:     witness.Service(only),
		stubborn: witness.StubbornService("TimeoutStopSec=60", only),
	})

	run := func(name string, step func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			whole := f.t
			f.t = t
			defer func() { f.t = whole }()
			step(t)
		})
	}

	run("the daemon is killed, and restarted", func(t *testing.T) {
		m := f.home(unit)
		pid := f.show(m, unit, "MainPID")
		fence := f.show(m, "fleettop-fence.service", "MainPID")
		same := func() error {
			if now := f.show(m, unit, "MainPID"); now != pid {
				return fmt.Errorf("%s was process %s and is %s", unit, pid, now)
			}
			return nil
		}
		f.on(m, "systemctl", "kill", "-s", "KILL", "--kill-who=main", lab.UnitName)
		f.throughout("after the daemon was killed", 6*time.Second, same)
		f.settled(f.machines...)
		f.must(m.RestartFleettop(f.ctx))
		f.throughout("after the daemon was restarted", 6*time.Second, same)
		f.settled(f.machines...)
		if now := f.show(m, "fleettop-fence.service", "MainPID"); now != fence {
			t.Errorf("the fence was process %s and is %s", fence, now)
		}
	})

	run("drain", func(t *testing.T) {
		m := f.home(unit)
		f.verb(m, "drain", m.Name)
		to, away := f.handedOver(unit, m, soon)
		t.Logf("it went from %s to %s, and was away for %v", m.Name, to.Name, away)
		f.verb(to, "uncordon", m.Name)
	})

	away := func(name string, take, back func(m *lab.Machine), limit time.Duration) {
		run(name, func(t *testing.T) {
			for _, unit := range []string{unit, stubborn} {
				m := f.home(unit)
				take(m)
				to, gone := f.handedOver(unit, m, 2*limit)
				t.Logf("%s went from %s to %s, and was away for %v", unit, m.Name, to.Name, gone)
				if gone > limit {
					t.Errorf("%s was away for %v", unit, gone)
				}
				back(m)
				f.settled(f.machines...)
				f.neverTwice(unit)
				f.neverTwice(stubborn)
			}
		})
	}
	cut := func(m *lab.Machine) { f.must(m.Cut()) }
	heal := func(m *lab.Machine) { f.must(m.Heal()) }
	boot := func(m *lab.Machine) {
		f.must(m.Boot(f.ctx))
		f.must(m.WaitBooted(f.ctx))
	}
	away("cut off", cut, heal, exclusiveLimit)
	away("cut off with a daemon that is stopped", func(m *lab.Machine) {
		f.on(m, "systemctl", "kill", "-s", "STOP", lab.UnitName)
		cut(m)
	}, func(m *lab.Machine) {
		heal(m)
		f.on(m, "systemctl", "kill", "-s", "CONT", lab.UnitName)
	}, exclusiveLimit)
	away("cut off with a daemon that is dead", func(m *lab.Machine) {
		f.killDaemon(m)
		cut(m)
	}, func(m *lab.Machine) {
		heal(m)
		f.bringDaemonBack(m)
	}, exclusiveLimit)
	away("power lost", func(m *lab.Machine) {
		_, err := m.Kill()
		f.must(err)
	}, boot, exclusiveLimit)

	run("the fence hangs", func(t *testing.T) {
		m := f.home(unit)
		f.on(m, "systemctl", "kill", "-s", "STOP", "fleettop-fence.service")
		cut(m)
		to, gone := f.handedOver(unit, m, 2*exclusiveLimit)
		t.Logf("it went from %s to %s, and was away for %v", m.Name, to.Name, gone)
		heal(m)
		f.settled(f.machines...)
		f.neverTwice(unit)
	})
}
