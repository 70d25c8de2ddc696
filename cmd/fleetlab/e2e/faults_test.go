//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestFaultsInTheMiddle takes power, cables and processes away while something
// is under way: a drain, a start of many units, another loss.
func TestFaultsInTheMiddle(t *testing.T) {
	f := newFleet(t, 5, setup{})
	units, began := named("a%d.service", 10), time.Now()
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)

	// A machine dies while it is drained.
	victim := f.plain(1)[0]
	f.procs.leaveOut(victim, true) // a drain is start-first
	f.verb(f.others(victim)[0], "drain", victim.Name)
	f.kill(victim)
	f.settled(f.others(victim)...)
	f.procs.leaveOut(victim, false)
	f.allHome(units, victim)
	f.must(victim.Boot(f.ctx))
	f.settled(f.machines...)
	f.verb(f.machines[0], "uncordon", victim.Name)
	f.procs.neverTwice(t)

	// A machine dies while a hundred units are started.
	victim = f.plain(1)[0]
	witness := f.others(victim)[0]
	many := named("many%03d.service", 100)
	paths := f.write(witness, sleepers(many...))
	var starting sync.WaitGroup
	var out, said string
	var err error
	starting.Go(func() { out, said, err = f.try(witness, append([]string{"start"}, paths...)...) })
	f.eventually("the first of them to run", soon, func() error {
		if len(f.procs.running(many[0])) == 0 {
			return fmt.Errorf("%s doesn't", many[0])
		}
		return nil
	})
	f.kill(victim)
	starting.Wait()
	if err != nil {
		t.Errorf("start of a hundred units while %s died: %v\n%s%s", victim.Name, err, out, said)
	}
	f.allHome(many, victim)
	f.allHome(units, victim)

	// A unit that may run nowhere else is destroyed while its machine is off.
	f.must(victim.Boot(f.ctx))
	f.settled(f.machines...)
	f.start(witness, map[string]string{"bound.service": sleeper("[X-Fleet]", "MachineID="+victim.MachineID)})
	f.home("bound.service")
	f.kill(victim)
	f.settled(f.others(victim)...)
	f.verb(witness, "destroy", "bound.service")
	f.verb(witness, append([]string{"destroy"}, many...)...)
	f.must(victim.Boot(f.ctx))
	f.settled(f.machines...)
	for _, unit := range append(many, "bound.service") {
		if on := f.procs.running(unit); len(on) > 0 {
			t.Fatalf("%s was destroyed and runs on %s", unit, on[0].Name)
		}
	}
	f.allHome(units)
	f.procs.neverTwice(t)
	for _, e := range f.events(witness, began) {
		if strings.Contains(e.Text, "isn't back yet") {
			t.Errorf("a machine that was booted had to wait like one that comes and goes: %s", e.Text)
		}
	}

	f.outageIsTold(units)
}

// outageIsTold kills a machine's daemon and its units, and not the machine: the
// outage in the timeline and in the log is what a client saw, the grace of the daemon included.
func (f *fleet) outageIsTold(units []string) {
	f.t.Helper()
	i := slices.IndexFunc(f.plain(3), func(m *lab.Machine) bool { return f.empty(m) != nil })
	victim := f.plain(3)[i]
	witness := f.others(victim)[0]
	var lost []string
	for _, unit := range units {
		if f.home(unit) == victim {
			lost = append(lost, unit)
		}
	}
	before := f.procs.snapshot()
	const stays = "/run/systemd/system/" + lab.UnitName + ".d/stays.conf"
	f.must(victim.WriteFile(stays, []byte("[Service]\nRestart=no\n"), 0o644))
	f.on(victim, "systemctl", "daemon-reload")
	died := time.Now()
	f.on(victim, append([]string{"systemctl", "kill", "--signal=KILL", lab.UnitName}, lost...)...)
	told := map[string]cluster.Outage{}
	for _, unit := range lost {
		to, outage := f.movedTo(unit, victim, died, soon)
		f.eventually("the timeline to tell of the outage of "+unit, soon, func() error {
			for _, e := range f.events(witness, died) {
				if e.Kind == cluster.EventActive && e.Unit == unit && e.Outage != nil {
					told[unit] = *e.Outage
					return nil
				}
			}
			return fmt.Errorf("it doesn't")
		})
		f.t.Logf("%s was dark for %.1f s, by the timeline %.1f s (%s), and is on %s", unit, outage.Seconds(),
			told[unit].Total().Seconds(), phasesOf(told[unit]), to.Name)
		if total := told[unit].Total(); total < outage-time.Second || total > outage+5*time.Second {
			f.t.Errorf("%s was dark for %v, and the timeline says %v", unit, outage, total)
		}
		log := f.verb(witness, "journal", "--lines=50", unit)
		if want := fmt.Sprintf("outage %.2fs", told[unit].Total().Seconds()); !strings.Contains(log, want) {
			f.t.Errorf("the log of %s doesn't say %q:\n%s", unit, want, log)
		}
	}
	if worst := f.failoverTold(witness, victim, died); worst.Total() < 10*time.Second {
		f.t.Errorf("%s was without units for its grace of 10 s, and its failover says %v", victim.Name, worst.Total())
	}
	f.procs.unchanged(f.t, before, victim)
	f.on(victim, "rm", stays)
	f.on(victim, "systemctl", "daemon-reload")
	f.must(victim.StartFleettop(f.ctx))
	f.settled(f.machines...)
	f.procs.neverTwice(f.t)
}

// TestNetworkFaults cuts what is between machines and no machine: a link of two,
// one direction, the cluster in two halves, and all power at once.
func TestNetworkFaults(t *testing.T) {
	f := newFleet(t, 5, setup{})
	units := named("a%d.service", 10)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)

	// The leader and another machine don't hear each other; all others do.
	leader := f.leader()
	other := f.plain(1)[0]
	before, began := f.procs.snapshot(), time.Now()
	f.deafen([]*lab.Machine{leader}, []*lab.Machine{other})
	f.deafen([]*lab.Machine{other}, []*lab.Machine{leader})
	f.throughout("without the link of "+leader.Name+" and "+other.Name, 8*time.Second,
		func() error { return f.asBefore(before, f.machines...) })
	f.hear()
	f.settled(f.machines...)
	f.still(leader, began)

	// What a machine sends is lost, and what is sent to it arrives.
	f.t.Log("one way")
	mute := f.plain(1)[0]
	f.procs.leaveOut(mute, true) // before, as its units may move while the way is being cut
	f.deafen([]*lab.Machine{mute}, f.others(mute))
	for _, unit := range units {
		if before[place{mute.Name, unit}] != 0 {
			f.movedTo(unit, mute, began, soon)
		}
	}
	f.hear()
	f.allHome(units)
	f.procs.leaveOut(mute, false)
	f.settled(f.machines...)
	f.reaches(f.machines...)

	// Two machines on one side, three with the quorum on the other, where things change.
	minority := f.plain(2)
	majority := f.others(minority...)
	for _, m := range minority {
		f.procs.leaveOut(m, true)
	}
	f.deafen(minority, majority)
	f.deafen(majority, minority)
	for _, unit := range units {
		f.eventually(unit+" to run on the majority's side", soon, func() error {
			for _, m := range f.procs.running(unit) {
				if slices.Contains(majority, m) {
					return nil
				}
			}
			return fmt.Errorf("it doesn't")
		})
	}
	f.start(majority[0], sleepers("new.service"))
	f.verb(majority[0], "destroy", "a0.service")
	f.verb(majority[0], "stop", "a1.service")
	f.hear()
	gone := []string{"a0.service", "a1.service"}
	f.eventually("what was changed meanwhile to be so everywhere", soon, func() error {
		for _, unit := range gone {
			if on := f.procs.running(unit); len(on) > 0 {
				return fmt.Errorf("%s runs on %s", unit, on[0].Name)
			}
		}
		return nil
	})
	units = append(slices.DeleteFunc(units, func(unit string) bool { return slices.Contains(gone, unit) }), "new.service")
	f.allHome(units)
	for _, m := range minority {
		f.procs.leaveOut(m, false)
	}
	f.settled(f.machines...)
	f.reaches(f.machines...)

	// The leader dies and a voter is cut off within 200 ms: one voter of three is left.
	leader = f.leader()
	cut := f.voters(1)[0]
	before = f.procs.snapshot()
	died := time.Now()
	f.must(cut.Cut())
	f.kill(leader)
	f.throughout("without a quorum", 5*time.Second, func() error { return f.asBefore(before, f.others(leader)...) })
	f.must(cut.Heal())
	f.allHome(units, leader)
	f.settledWithin(time.Minute, f.others(leader)...)
	f.reaches(f.others(leader)...)
	if !slices.ContainsFunc(f.events(cut, died), func(e cluster.Event) bool {
		return e.Machine == leader.MachineID &&
			e.State == cluster.Failed
	}) {
		t.Errorf("%s died while the store was away, and the timeline doesn't say so:%s", leader.Name, f.timeline(cut, died))
	}
	f.must(leader.Boot(f.ctx))
	f.must(leader.WaitBooted(f.ctx))
	f.settledWithin(time.Minute, f.machines...)
	f.procs.neverTwice(t)

	// All lose their power at once and get it back at once: nothing moves.
	before = f.procs.snapshot()
	began = time.Now()
	f.all(func(m *lab.Machine) error { _, err := m.Kill(); return err })
	f.all(func(m *lab.Machine) error { return errors.Join(m.Boot(f.ctx), m.WaitBooted(f.ctx)) })
	f.settledWithin(time.Minute, f.machines...)
	for _, unit := range units {
		if home := f.home(unit); before[place{home.Name, unit}] == 0 {
			t.Errorf("%s is on %s, where it wasn't before all lost their power", unit, home.Name)
		}
	}
	f.still(f.machines[0], began)

	// All are shut down in good order and switched on again: the first that is back doesn't get everything.
	f.all(func(m *lab.Machine) error { return m.PowerOff(f.ctx) })
	f.all(func(m *lab.Machine) error { return errors.Join(m.Boot(f.ctx), m.WaitBooted(f.ctx)) })
	f.settledWithin(time.Minute, f.machines...)
	most := map[string]int{}
	for _, unit := range units {
		most[f.home(unit).Name]++
	}
	t.Logf("after all were shut down and booted the units are on %v", most)
	for name, n := range most {
		if n > (len(units)+1)/2 {
			t.Errorf("%s has %d of %d units", name, n, len(units))
		}
	}

	// The same by an operator, who drains all and takes all back.
	var names []string
	for _, m := range f.machines {
		names = append(names, m.Name)
	}
	f.verb(f.machines[0], append([]string{"drain", "--stop", "--yes"}, names...)...)
	f.eventually("all machines to be empty", soon, func() error {
		for _, m := range f.machines {
			if err := f.empty(m); err != nil {
				return err
			}
		}
		return nil
	})
	f.verb(f.machines[0], append([]string{"uncordon"}, names...)...)
	clear(most)
	for _, unit := range units {
		most[f.home(unit).Name]++
	}
	t.Logf("after all were drained and given back the units are on %v", most)
	for _, m := range f.machines {
		if n := most[m.Name]; n < len(units)/5 || n > (len(units)+4)/5 {
			t.Errorf("%s has %d of %d units", m.Name, n, len(units))
		}
	}
	f.procs.neverTwice(t)
}

// named are n names by a form.
func named(form string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf(form, i))
	}
	return names
}

// allHome waits until each of the units runs on one machine that isn't left out.
func (f *fleet) allHome(units []string, without ...*lab.Machine) {
	f.t.Helper()
	for _, unit := range units {
		f.eventually(unit+" to run on one living machine", 2*soon, func() error {
			on := f.procs.running(unit)
			if len(on) != 1 || slices.Contains(without, on[0]) {
				return fmt.Errorf("it runs on %d", len(on))
			}
			return nil
		})
	}
}

// plain returns n machines that neither vote in etcd nor lead, or lead last of all.
func (f *fleet) plain(n int) []*lab.Machine {
	f.t.Helper()
	leader := f.leader()
	list, err := f.client(leader).Machines(f.ctx)
	f.must(err)
	var plain, voters []*lab.Machine
	for _, info := range list.Machines {
		switch m := f.machine(info.ID); {
		case m == leader:
		case info.Seat == cluster.NoSeat:
			plain = append(plain, m)
		default:
			voters = append(voters, m)
		}
	}
	return append(plain, voters...)[:n]
}

func (f *fleet) kill(m *lab.Machine) {
	f.t.Helper()
	_, err := m.Kill()
	f.must(err)
}

func (f *fleet) all(do func(*lab.Machine) error) {
	f.t.Helper()
	var group errgroup.Group
	for _, m := range f.machines {
		group.Go(func() error { return do(m) })
	}
	f.must(group.Wait())
}

// deafen loses what some machines send to others, until hear.
func (f *fleet) deafen(senders, receivers []*lab.Machine) {
	f.t.Helper()
	f.must(silence(f.ctx, senders, receivers))
}

// hear undoes deafen.
func (f *fleet) hear() {
	f.t.Helper()
	f.must(unsilence(f.ctx, f.machines))
}

// silence loses what some machines send to others, which they address to a card that isn't there, until unsilence.
func silence(ctx context.Context, senders, receivers []*lab.Machine) error {
	for _, m := range senders {
		var commands []string
		for _, r := range receivers {
			commands = append(commands, "ip neighbour replace "+r.IP.String()+" lladdr 02:de:af:00:00:01 nud permanent dev eth0")
		}
		if _, err := m.Exec(ctx, "sh", "-c", strings.Join(commands, "; ")); err != nil {
			return err
		}
	}
	return nil
}

func unsilence(ctx context.Context, machines []*lab.Machine) error {
	for _, m := range machines {
		if _, err := m.Exec(ctx, "ip", "neighbour", "flush", "nud", "permanent", "dev", "eth0"); err != nil {
			return err
		}
	}
	return nil
}

// reaches waits until daemons reach the store, and fails if one then says that it doesn't.
func (f *fleet) reaches(machines ...*lab.Machine) {
	f.t.Helper()
	for _, m := range machines {
		f.eventually(m.Name+" to reach the store", soon, func() error { _, _, err := f.try(m, "cordon", m.Name); return err })
		if _, said, err := f.try(m, "list-units"); err != nil || strings.Contains(said, "can't be reached") {
			f.t.Errorf("%s reaches the store, and list-units says: %v %s", m.Name, err, said)
		}
		f.verb(m, "uncordon", m.Name)
	}
}

// failoverTold returns the outage by the line about a machine's failover.
func (f *fleet) failoverTold(witness, victim *lab.Machine, since time.Time) cluster.Outage {
	f.t.Helper()
	var outage cluster.Outage
	f.eventually("the timeline to tell of the failover", soon, func() error {
		for _, e := range f.events(witness, since) {
			if e.Kind == cluster.EventFailover && e.Machine == victim.MachineID && e.Outage != nil {
				outage = *e.Outage
				return nil
			}
		}
		return fmt.Errorf("it does not tell of %s", victim.Name)
	})
	return outage
}

func phasesOf(o cluster.Outage) string {
	return fmt.Sprintf("detect %.3f + decide %.3f + start %.3f", o.Detect.Seconds(), o.Decide.Seconds(), o.Start.Seconds())
}
