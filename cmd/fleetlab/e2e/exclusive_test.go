//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

const (
	// exclusiveLimit is the longest outage of an exclusive unit whose machine is dead or cut off.
	exclusiveLimit = 5 * time.Second
	witnessDir     = "/root/witness/"
	// witnessGap is a pause in a unit's records that means that it ended between them.
	witnessGap = 700 * time.Millisecond
)

// witness is a service that writes the time since the boot of the host, which
// all machines of a lab share, every 50 ms for as long as it runs.
func witness(name, before string, more ...string) string {
	loop := before + "while :; do read up rest < /proc/uptime; echo $$up; sleep 0.05; done >> " + witnessDir + name
	return "[Unit]\nDescription=Writes when it ran\n[Service]\nExecStartPre=/bin/mkdir -p " + witnessDir +
		"\nExecStart=/bin/sh -c '" + loop + "'\n" + strings.Join(more, "\n") + "\n"
}

// stretch is a time in which a unit ran on a machine.
type stretch struct {
	on          *lab.Machine
	first, last time.Duration
}

// stretches are when a unit ran, in order.
func (f *fleet) stretches(unit string) (list []stretch) {
	f.t.Helper()
	for _, m := range f.machines {
		text, err := m.ReadFile(witnessDir + unit)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		f.must(err)
		for _, line := range strings.Fields(string(text)) {
			seconds, err := strconv.ParseFloat(line, 64)
			if err != nil {
				continue // the machine died while it was written
			}
			at := time.Duration(seconds * float64(time.Second))
			if n := len(list); n > 0 && list[n-1].on == m && at-list[n-1].last < witnessGap {
				list[n-1].last = at
			} else {
				list = append(list, stretch{m, at, at})
			}
		}
	}
	slices.SortFunc(list, func(a, b stretch) int { return int(a.first - b.first) })
	return list
}

// handedOver waits until a unit runs on another machine than one, checks that it
// never ran twice, and returns where it runs and how long it was away.
func (f *fleet) handedOver(unit string, from *lab.Machine, limit time.Duration) (*lab.Machine, time.Duration) {
	f.t.Helper()
	var to *lab.Machine
	var away time.Duration
	f.eventually(unit+" to run elsewhere", limit, func() error {
		list := f.stretches(unit)
		last := list[len(list)-1]
		if last.on == from {
			return fmt.Errorf("it ran on %s last", from.Name)
		}
		to = last.on
		for _, s := range list[:len(list)-1] {
			away = last.first - s.last
		}
		return nil
	})
	f.neverTwice(unit)
	return to, away
}

// neverTwice checks that no two machines ran a unit at once.
func (f *fleet) neverTwice(unit string) {
	f.t.Helper()
	list := f.stretches(unit)
	for i, b := range list {
		for _, a := range list[:i] {
			if a.on != b.on && b.first <= a.last {
				f.t.Fatalf("%s ran on %s from %v to %v, and on %s from %v on", unit, a.on.Name, a.first, a.last, b.on.Name, b.first)
			}
		}
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
		unit:     witness(unit, "", only),
		stubborn: witness(stubborn, `trap "" TERM; `, "TimeoutStopSec=60", only),
	})
	home := func(unit string) *lab.Machine {
		list := f.stretches(unit)
		return list[len(list)-1].on
	}

	run := func(name string, step func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			whole := f.t
			f.t = t
			defer func() { f.t = whole }()
			step(t)
		})
	}

	run("the daemon is killed, and restarted", func(t *testing.T) {
		m := home(unit)
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
		m := home(unit)
		f.verb(m, "drain", m.Name)
		to, away := f.handedOver(unit, m, soon)
		t.Logf("it went from %s to %s, and was away for %v", m.Name, to.Name, away)
		f.verb(to, "uncordon", m.Name)
	})

	away := func(name string, take, back func(m *lab.Machine), limit time.Duration) {
		run(name, func(t *testing.T) {
			for _, unit := range []string{unit, stubborn} {
				m := home(unit)
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
		m := home(unit)
		f.on(m, "systemctl", "kill", "-s", "STOP", "fleettop-fence.service")
		cut(m)
		to, gone := f.handedOver(unit, m, 2*exclusiveLimit)
		t.Logf("it went from %s to %s, and was away for %v", m.Name, to.Name, gone)
		heal(m)
		f.settled(f.machines...)
		f.neverTwice(unit)
	})
}
