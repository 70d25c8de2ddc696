//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
)

// TestReboot reboots machines in good order, a plain one and the leader's:
// their units move while they go down, without any wait to detect a death,
// and stay where they are when the machine comes back.
func TestReboot(t *testing.T) {
	f := newFleet(t, 3, setup{})
	units := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	f.start(f.machines[0], sleepers(units...))
	for _, unit := range units {
		f.home(unit)
	}
	for _, leads := range []bool{false, true} {
		victim := f.leader()
		if !leads {
			victim = f.others(victim)[0]
		}
		before := f.procs.snapshot()
		began := time.Now()
		rebooted := make(chan error, 1)
		go func() { rebooted <- victim.Reboot(f.ctx) }()
		moved := 0
		for _, unit := range units {
			if before[place{victim.Name, unit}] == 0 {
				continue
			}
			moved++
			to, after := f.movedTo(unit, victim, began, soon)
			gone := f.procs.lastSeen(place{victim.Name, unit})
			t.Logf("leader %v: %s %s -> %s, %.3f s after the order to reboot, outage %.3f s", leads, unit, victim.Name, to.Name,
				after.Seconds(), (after - gone.Sub(began)).Seconds())
		}
		if moved == 0 {
			t.Errorf("%s had no unit to move", victim.Name)
		}
		f.must(<-rebooted)
		f.must(victim.WaitBooted(f.ctx))
		f.settled(f.machines...)
		f.procs.unchanged(t, before, victim)
		f.procs.neverTwice(t)
	}
	var down []string
	for _, e := range f.events(f.machines[0], time.Now().Add(-testLimit)) {
		if e.Kind == cluster.EventMachine && strings.Contains(e.Text, "shuts down") {
			down = append(down, e.Text)
		}
	}
	if len(down) != 2 {
		t.Errorf("the timeline should tell of two machines that said goodbye: %q", down)
	}
}

// TestDrain takes machines out of service and back: a cordoned one gets
// nothing, a drained one keeps nothing, and one that leaves is forgotten.
func TestDrain(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1, n2, n3 := f.machines[0], f.machines[1], f.machines[2]
	f.verb(n1, "cordon", "n2")
	f.start(n1, sleepers("a.service", "b.service", "c.service", "d.service"))
	for _, unit := range []string{"a.service", "b.service", "c.service", "d.service"} {
		if f.home(unit) == n2 {
			t.Errorf("%s was placed on a cordoned machine", unit)
		}
	}
	f.verb(n1, "uncordon", "n2")
	f.start(n1, sleepers("e.service"))
	if home := f.home("e.service"); home != n2 {
		t.Errorf("e.service is on %s, though n2 has no units", home.Name)
	}
	before := f.procs.snapshot()
	f.verb(n3, "drain", n1.MachineID[:8])
	f.eventually("n1 to be drained", soon, func() error { return f.empty(n1) })
	f.procs.unchanged(t, before, n1)
	if out := f.verb(n2, "list-machines", "--all", "--no-legend", "--fields",
		"name,schedule"); !slices.Contains(strings.Split(strings.Join(strings.Fields(out), " "), " n2"), "n1 drained") {
		t.Errorf("list-machines --all:\n%s", out)
	}
	f.verb(n3, "uncordon", "n1")

	// n3 leaves for good.
	before = f.procs.snapshot()
	f.verb(n3, "leave")
	f.eventually("n3 to be empty", soon, func() error { return f.empty(n3) })
	f.eventually("the daemon of n3 to end for good", soon, func() error {
		if status := f.show(n3, "fleettop.service", "ExecMainStatus"); status != "64" {
			return fmt.Errorf("its exit code is %s", status)
		}
		return nil
	})
	f.eventually("n3 to be forgotten", soon, func() error {
		list, err := f.client(n1).Machines(f.ctx)
		if err == nil && len(list.Machines) != 2 {
			err = fmt.Errorf("%d machines are known", len(list.Machines))
		}
		return err
	})
	f.procs.unchanged(t, before, n3)
	for _, unit := range []string{"a.service", "b.service", "c.service", "d.service", "e.service"} {
		if f.home(unit) == n3 {
			t.Errorf("%s still runs on the machine that left", unit)
		}
	}
	f.start(n1, sleepers("later.service"))
	// It left for good: it is a member again, a new one, only by a line of join-command.
	if err := n3.StartFleettop(f.ctx); err == nil {
		t.Error("a machine that left for good is back by a start of its service")
	}
	f.on(n3, strings.Fields(strings.TrimPrefix(f.verb(n1, "join-command"), "sudo "))...)
	f.settled(f.machines...)
}
