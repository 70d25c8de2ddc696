//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// longGrace is for tests of machines that are dead: what waits for the grace is
// late there, however slow the host is. How fast it is, `make failover` tells.
func longGrace(*lab.Machine) string { return "--daemon-grace=5m" }

// TestLeadersPowerOff takes the power from the machine of the cluster's leader
// and from that of etcd's leader, twice each, and boots it again every time:
// units move, what is asked for at that moment is done, and the machine comes
// back as one of the cluster, a voter again.
func TestLeadersPowerOff(t *testing.T) {
	f := newFleet(t, 3, setup{options: longGrace})
	units := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	f.start(f.machines[0], sleepers(units...))
	for _, unit := range units {
		f.home(unit)
	}
	for round := range 4 {
		victim, what := f.leader(), "the leader's machine"
		if round%2 == 1 {
			victim, what = f.etcdLeader(), "the machine of etcd's leader"
		}
		before := f.procs.snapshot()
		witness := f.others(victim)[0]
		asked := f.write(witness, sleepers(fmt.Sprintf("late%d.service", round)))
		died, err := victim.Kill()
		f.must(err)
		f.verb(witness, append([]string{"start"}, asked...)...)
		t.Logf("%s, %s: a unit that was asked for right after runs %.3f s after", what, victim.Name,
			time.Since(died).Seconds())
		for _, unit := range units {
			if before[place{victim.Name, unit}] == 0 {
				continue
			}
			to, outage := f.movedTo(unit, victim, died, soon)
			t.Logf("%s, %s: %s moved to %s, outage %.3f s", what, victim.Name, unit, to.Name, outage.Seconds())
		}
		t.Logf("timeline:%s", f.timeline(witness, died))
		f.reboot(victim)
		f.procs.unchanged(t, before, victim)
		f.procs.neverTwice(t)
	}
}

// reboot gives a dead machine power and waits until the cluster is whole again.
func (f *fleet) reboot(m *lab.Machine) {
	f.t.Helper()
	f.must(m.Boot(f.ctx))
	f.must(m.WaitBooted(f.ctx))
	f.settled(f.machines...)
}
