//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// TestOnIsolation: a unit with OnIsolation=stop ends where its machine has had
// no answer of the store for as long as its file says, and starts again when
// that is over. One with keep runs on. A store that is slow, and a daemon that is
// dead or hangs, stop nothing.
func TestOnIsolation(t *testing.T) {
	f := newFleet(t, 3, setup{options: longGrace})
	victim := f.others(f.leader())[0]
	const timeout = 5 * time.Second
	only := "MachineID=" + victim.MachineID // where it has no other place, nothing moves
	f.start(f.machines[0], map[string]string{
		"stops.service": sleeper("[X-Fleet]", "OnIsolation=stop", "IsolationTimeoutSec=5", only),
		"later.service": sleeper("[X-Fleet]", "OnIsolation=stop", "IsolationTimeoutSec=1h", only),
		"keeps.service": sleeper("[X-Fleet]", "OnIsolation=keep", only),
		"plain.service": sleeper("[X-Fleet]", only),
	})
	before := f.procs.snapshot()
	if len(before) != 4 {
		t.Fatalf("%d units run", len(before))
	}
	kept := func(what string) {
		t.Helper()
		now := f.procs.snapshot()
		for _, unit := range []string{"later.service", "keeps.service", "plain.service"} {
			if p := (place{victim.Name, unit}); now[p] != before[p] {
				t.Errorf("%s: %s was process %d and is %d", what, unit, before[p], now[p])
			}
		}
	}
	same := func() error { return f.asBefore(before, f.machines...) }
	gone := func() error {
		if len(f.procs.running("stops.service")) > 0 {
			return errors.New("it runs")
		}
		return nil
	}

	// The cable is out: the unit ends after its time, not before, and says why.
	cutAt := time.Now()
	f.must(victim.Cut())
	f.eventually("the unit to be stopped where its machine is cut off", soon, gone)
	took := f.procs.lastSeen(place{victim.Name, "stops.service"}).Sub(cutAt)
	t.Logf("the unit was stopped %.1f s after its machine was cut off", took.Seconds())
	if took < timeout-time.Second { // the last answer was a moment before
		t.Errorf("it was stopped after %v, its file says %v", took, timeout)
	}
	f.said(victim, "stopping a unit, as the cluster's store doesn't answer (OnIsolation=stop)", "stops.service")
	f.eventually("the machine that is cut off to show that it stopped the unit", soon, func() error {
		for unit, want := range map[string]bool{"stops.service": false, "keeps.service": true} {
			u, err := f.client(victim).Unit(f.ctx, unit)
			switch {
			case err != nil:
				return err
			case len(u.Placements) != 1 || u.Placements[0].Status == nil ||
				(u.Placements[0].Status.Active == "active") != want:
				return fmt.Errorf("it shows %s as %+v", unit, u.Placements)
			}
		}
		return nil
	})
	f.throughout("while it is cut off", 2*time.Second, gone)
	kept("cut off")
	healed := time.Now()
	f.must(victim.Heal())
	f.runsOn("stops.service", victim)
	t.Logf("it ran again %.1f s after the cable was back", time.Since(healed).Seconds())
	f.says(f.machines[0], cutAt, victim,
		"stops.service was stopped on "+victim.Name+", which had no answer of the cluster's store for 5s (OnIsolation=stop)")
	f.settled(f.machines...)
	kept("after that")
	before = f.procs.snapshot()

	// No machine has the quorum, and the daemon is killed on the way: its unit stays stopped.
	others := f.others(victim)
	for _, m := range others {
		f.must(m.Cut())
	}
	f.eventually("the unit to be stopped without a quorum", soon, gone)
	f.on(victim, "systemctl", "kill", "--kill-who=main", "--signal=KILL", lab.UnitName)
	f.throughout("with a new daemon, without a quorum", 4*time.Second, gone)
	kept("without a quorum")
	for _, m := range others {
		f.must(m.Heal())
	}
	f.runsOn("stops.service", victim)
	f.settled(f.machines...)
	kept("after it was back")
	before = f.procs.snapshot()

	// A store that answers late has not gone.
	for _, m := range others {
		f.must(m.Slow(150*time.Millisecond, 50*time.Millisecond))
	}
	f.throughout("with a slow store", 2*timeout, same)
	for _, m := range others {
		f.must(m.Perfect())
	}
	f.settled(f.machines...)
	f.must(same())

	// It is the daemon that stops the unit: without one nothing is stopped.
	f.killDaemon(victim)
	f.must(victim.Cut())
	f.throughout("cut off, with a daemon that is dead", timeout+2*time.Second, same)
	f.must(victim.Heal())
	f.bringDaemonBack(victim)
	f.settled(f.machines...)
	f.must(same())
}
