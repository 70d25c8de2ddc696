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

// crash is something that happens to the daemon of a machine whose kernel and
// units are well.
type crash struct {
	name   string
	leader bool // the victim leads the cluster, else it neither leads nor votes
	// moves means that the daemon is away for longer than the grace: the
	// machine's units start elsewhere, and its copies end when it is back.
	moves bool
	// away makes it happen, and back undoes it once units have moved, or at once.
	away, back func(m *lab.Machine)
	another    bool // the daemon is another process then
}

// TestDaemonCrashes: what happens to a daemon happens to no unit. Within the
// grace nothing moves; after it the units start elsewhere, run on where they
// were, and end there when the daemon is back.
func TestDaemonCrashes(t *testing.T) {
	f := newFleet(t, 5, setup{limit: 2 * testLimit})
	units := named("a%d.service", 10)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)

	signal := func(sig string) func(*lab.Machine) {
		return func(m *lab.Machine) { f.on(m, "systemctl", "kill", "--kill-who=main", "--signal="+sig, lab.UnitName) }
	}
	nothing := func(*lab.Machine) {}
	for _, c := range []crash{
		{name: "hangs for 5 s, leader", leader: true, away: func(m *lab.Machine) {
			signal("STOP")(m)
			time.Sleep(5 * time.Second)
		}, back: signal("CONT")},
		{name: "is killed again and again", away: f.killAgainAndAgain, back: nothing, another: true},
		{name: "is upgraded to one that ends at once", leader: true, away: f.brokenUpgrade, back: nothing, another: true},
		{name: "hangs, leader", leader: true, moves: true, away: signal("STOP"), back: signal("CONT")},
		{name: "is dead", moves: true, another: true, away: f.killDaemon, back: f.bringDaemonBack},
		// systemd's watchdog ends it, and the daemon that it starts then finds its units.
		{name: "hangs for good", moves: true, another: true, away: signal("STOP"), back: nothing},
	} {
		f.crash(c, units)
		if t.Failed() {
			t.Fatalf("the daemon %s", c.name)
		}
	}
	// A daemon that was taken for gone would be given up after its grace only.
	before, began := f.procs.snapshot(), time.Now()
	f.throughout("the grace after that", 11*time.Second, func() error { return f.asBefore(before, f.machines...) })
	f.still(f.machines[0], began)
	f.procs.neverTwice(t)
}

// crash does one of them to a machine with units, and checks what becomes of all units.
func (f *fleet) crash(c crash, units []string) {
	f.t.Helper()
	victim := f.leader()
	if !c.leader {
		plain := f.plain(4)
		i := slices.IndexFunc(plain, func(m *lab.Machine) bool { return f.empty(m) != nil })
		victim = plain[i]
	}
	witness := f.others(victim)[0]
	if f.empty(victim) == nil {
		f.verb(witness, append([]string{"unload"}, units...)...) // to place them anew, on all machines
		f.verb(witness, append([]string{"start"}, units...)...)
		f.allHome(units)
	}
	before, began := f.procs.snapshot(), time.Now()
	daemon := f.show(victim, lab.UnitName, "MainPID")
	var here []string
	for _, unit := range units {
		if before[place{victim.Name, unit}] != 0 {
			here = append(here, unit)
		}
	}
	if c.moves {
		f.procs.leaveOut(victim, true)
	}
	c.away(victim)
	if c.moves {
		for _, unit := range here {
			to, outage := f.movedTo(unit, victim, began, 2*soon)
			f.t.Logf("%s %s: %s started on %s after %.1f s", victim.Name, c.name, unit, to.Name, outage.Seconds())
			if outage < 9*time.Second {
				f.t.Errorf("%s: %s moved within the grace, after %.1f s", c.name, unit, outage.Seconds())
			}
		}
		if c.another { // a daemon that goes on at once may be faster than this look
			f.must(f.asIn(before, victim, here))
		}
	}
	back := time.Now()
	c.back(victim)
	if c.moves {
		f.eventually("the old copies to end", 2*soon, func() error {
			for _, unit := range here {
				if on := f.procs.running(unit); len(on) != 1 || on[0] == victim {
					return fmt.Errorf("%s runs on %d machines", unit, len(on))
				}
			}
			return nil
		})
		f.t.Logf("%s %s: its old copies ended after %.1f s", victim.Name, c.name, time.Since(back).Seconds())
		f.procs.leaveOut(victim, false)
		f.settledWithin(time.Minute, f.machines...)
		f.procs.unchanged(f.t, before, victim)
	} else {
		f.settledWithin(time.Minute, f.machines...)
		f.procs.unchanged(f.t, before)
		f.still(witness, began)
		f.t.Logf("%s %s: all is well %.1f s later", victim.Name, c.name, time.Since(back).Seconds())
	}
	if now := f.show(victim, lab.UnitName, "MainPID"); (now != daemon) != c.another {
		f.t.Errorf("%s: the daemon of %s was process %s and is %s", c.name, victim.Name, daemon, now)
	}
	f.procs.neverTwice(f.t)
}

// asIn returns an error unless these units have their processes of before on a machine.
func (f *fleet) asIn(before map[place]int, m *lab.Machine, units []string) error {
	now := f.procs.snapshot()
	for _, unit := range units {
		if p := (place{m.Name, unit}); now[p] != before[p] {
			return fmt.Errorf("%s on %s was process %d and is %d, while its daemon is away", unit, m.Name, before[p], now[p])
		}
	}
	return nil
}

// killAgainAndAgain kills a daemon as soon as systemd has started it, 30 times, or as often as it
// can be within the grace.
func (f *fleet) killAgainAndAgain(m *lab.Machine) {
	f.t.Helper()
	began, killed := time.Now(), map[string]bool{}
	for len(killed) < 30 && time.Since(began) < 6*time.Second {
		f.eventually("systemd to start the daemon again", soon, func() error {
			pid := f.show(m, lab.UnitName, "MainPID")
			if pid == "0" || killed[pid] {
				return errors.New("its process is " + pid)
			}
			killed[pid] = true
			_, err := m.Exec(f.ctx, "kill", "-9", pid)
			return err
		})
	}
	f.t.Logf("%s: killed %d times in %.1f s", m.Name, len(killed), time.Since(began).Seconds())
}

// brokenUpgrade gives a machine a daemon that ends at once, for longer than systemd's own limit
// of starts would let it be started again, and then the right one.
func (f *fleet) brokenUpgrade(m *lab.Machine) {
	f.t.Helper()
	before, err := m.ReadFile(lab.BinaryPath)
	f.must(err)
	f.must(m.WriteFile(lab.BinaryPath, []byte("#!/bin/sh\nexit 1\n"), 0o755))
	_, _ = m.Exec(f.ctx, "systemctl", "restart", lab.UnitName) // fails, as it has to
	f.eventually("systemd to start it again more often than its limit is", soon, func() error {
		state := f.on(m, "systemctl", "show", "--property=NRestarts,Result", lab.UnitName)
		if strings.Contains(state, "start-limit-hit") {
			f.t.Fatalf("systemd gave %s up: %s", lab.UnitName, state)
		}
		var n int
		for line := range strings.Lines(state) {
			if _, err := fmt.Sscanf(line, "NRestarts=%d", &n); err == nil && n >= 7 {
				return nil
			}
		}
		return errors.New(state)
	})
	f.must(m.WriteFile(lab.BinaryPath, before, 0o755))
}

// keptDead is a drop-in by which systemd doesn't start the daemon again. A mask in /run would
// not do that, as the daemon's file is in /etc.
const keptDead = "/run/systemd/system/" + lab.UnitName + ".d/dead.conf"

// killDaemon kills a machine's daemon for good, until bringDaemonBack.
func (f *fleet) killDaemon(m *lab.Machine) {
	f.t.Helper()
	f.must(m.WriteFile(keptDead, []byte("[Service]\nRestart=no\n"), 0o644))
	f.must(m.Systemctl(f.ctx, "daemon-reload"))
	f.on(m, "systemctl", "kill", "--kill-who=main", "--signal=KILL", lab.UnitName)
}

func (f *fleet) bringDaemonBack(m *lab.Machine) {
	f.t.Helper()
	f.on(m, "rm", "-f", keptDead)
	f.must(m.Systemctl(f.ctx, "daemon-reload"))
	f.must(m.StartFleettop(f.ctx))
}
