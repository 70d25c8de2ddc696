//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/cmd/fleetlab/witness"
	"fleettop/daemon/api"
)

// networkFault is one row of TestPartitions.
type networkFault struct {
	name string
	// victims are the machines that are cut off, or those with a bad cable.
	victims func(f *fleet) []*lab.Machine
	fail    func(f *fleet, victims []*lab.Machine)
	mend    func(f *fleet, victims []*lab.Machine)
	// moves: the victims' units start elsewhere. Otherwise nothing moves for as long as this lasts.
	moves bool
	lasts time.Duration
	// hears: the victims are not heard, and hear the others.
	hears bool
	// cables: other cables are put in, for which a machine is cut off for as long as that takes.
	cables bool
}

var networkFaults = []networkFault{
	{name: "the leader and another machine on the minority's side", moves: true,
		victims: func(f *fleet) []*lab.Machine { return append(f.plain(1), f.leader()) },
		fail: func(f *fleet, victims []*lab.Machine) {
			f.deafen(victims, f.others(victims...))
			f.deafen(f.others(victims...), victims)
		}, mend: mendNetwork},
	{name: "no machine hears one that hears all", moves: true, hears: true, victims: onePlain,
		fail: func(f *fleet, victims []*lab.Machine) { f.deafen(victims, f.others(victims...)) }, mend: mendNetwork},
	{name: "a machine that all hear hears no other", moves: true, victims: onePlain,
		fail: func(f *fleet, victims []*lab.Machine) { f.deafen(f.others(victims...), victims) }, mend: mendNetwork},
	{name: "no machine hears the leader, which hears all", moves: true, hears: true, victims: theLeader,
		fail: func(f *fleet, victims []*lab.Machine) { f.deafen(victims, f.others(victims...)) }, mend: mendNetwork},
	{name: "the leader hears no machine, and all hear it", moves: true, victims: theLeader,
		fail: func(f *fleet, victims []*lab.Machine) { f.deafen(f.others(victims...), victims) }, mend: mendNetwork},
	{name: "the leader doesn't hear a machine that hears it", lasts: 6 * time.Second, victims: onePlain,
		fail: func(f *fleet, victims []*lab.Machine) { f.deafen(victims, theLeader(f)) }, mend: mendNetwork},
	{name: "a machine doesn't hear the leader, which hears it", lasts: 6 * time.Second, victims: onePlain,
		fail: func(f *fleet, victims []*lab.Machine) { f.deafen(theLeader(f), victims) }, mend: mendNetwork},
	{name: "20 % of what the leader and another machine send and get is lost", cables: true, lasts: 8 * time.Second,
		victims: func(f *fleet) []*lab.Machine { return append(f.plain(1), f.leader()) },
		fail: func(f *fleet, victims []*lab.Machine) {
			for _, m := range victims {
				f.must(m.Lossy(20))
			}
		}, mend: mendCables},
	{name: "200 ms to and fro between the leader and another machine, 100 to the others", cables: true,
		lasts: 8 * time.Second, victims: func(f *fleet) []*lab.Machine { return append(f.plain(1), f.leader()) },
		fail: func(f *fleet, victims []*lab.Machine) {
			for _, m := range victims {
				f.must(m.Slow(50*time.Millisecond, 5*time.Millisecond))
			}
		}, mend: mendCables},
}

func onePlain(f *fleet) []*lab.Machine  { return f.plain(1) }
func theLeader(f *fleet) []*lab.Machine { return []*lab.Machine{f.leader()} }

func mendNetwork(f *fleet, _ []*lab.Machine) { f.hear() }

func mendCables(f *fleet, victims []*lab.Machine) {
	for _, m := range victims {
		f.must(m.Perfect())
	}
}

// TestPartitions spoils the network between machines that all live on. Where a
// machine can't be reached its units start elsewhere, and when it is back it
// stops its old copies before it starts anything; where only a part of the way
// is lost, nothing moves. An exclusive unit never runs twice.
func TestPartitions(t *testing.T) {
	f := newFleet(t, 5, setup{limit: 6 * time.Minute})
	const only = "only.service"
	units := named("a%d.service", 10)
	f.start(f.machines[0], sleepers(units...))
	f.start(f.machines[0], map[string]string{only: witness.Service("[X-Fleet]", "Exclusive=true")})
	f.allHome(units)
	for _, c := range networkFaults {
		t.Log(c.name)
		if c.moves {
			units = f.cutsOff(c, units, only)
		} else {
			f.bears(c, units)
		}
		f.neverTwice(only)
		f.procs.neverTwice(t)
		if t.Failed() {
			t.FailNow()
		}
	}
	f.flaps(units)
	f.neverTwice(only)
}

// bears has a fault of the network under which nothing moves. An exclusive unit
// may be stopped for a while, where its machine's lease can't be renewed in time.
func (f *fleet) bears(c networkFault, units []string) {
	f.t.Helper()
	victims := c.victims(f)
	if c.cables {
		c.fail(f, victims)
		f.settledWithin(time.Minute, f.machines...)
		f.allHome(units)
	}
	before, began := f.procs.snapshot(), time.Now()
	maps.DeleteFunc(before, func(p place, _ int) bool { return !slices.Contains(units, p.unit) })
	if !c.cables {
		c.fail(f, victims)
	}
	f.throughout(c.name, c.lasts, func() error {
		for p, pid := range f.procs.snapshot() {
			if was := before[p]; slices.Contains(units, p.unit) && was != pid {
				return fmt.Errorf("%s on %s was process %d and is %d now", p.unit, p.machine, was, pid)
			}
		}
		return nil
	})
	f.still(f.machines[0], began)
	c.mend(f, victims)
	f.converged(time.Now())
	if !c.cables {
		f.still(f.machines[0], began)
		f.procs.unchanged(f.t, before)
	}
	f.allHome(units)
}

// cutsOff has a fault of the network that takes machines away: their units
// start elsewhere, and once it is mended their old copies stop first. It returns
// the units, with those that it had to start for the machines to have one.
func (f *fleet) cutsOff(c networkFault, units []string, exclusive string) []string {
	f.t.Helper()
	victims := c.victims(f)
	rest := f.others(victims...)
	var before map[place]int
	var stale []place
	for {
		before = f.procs.snapshot()
		for _, m := range victims {
			for _, unit := range units {
				if before[place{m.Name, unit}] != 0 {
					stale = append(stale, place{m.Name, unit})
				}
			}
		}
		if len(stale) > 0 {
			break
		}
		units = append(units, fmt.Sprintf("a%d.service", len(units))) // goes where the fewest are
		f.start(rest[0], sleepers(units[len(units)-1]))
		f.home(units[len(units)-1])
	}
	for _, m := range victims {
		f.procs.leaveOut(m, true)
	}
	began := time.Now()
	c.fail(f, victims)
	for _, p := range append(stale, place{victims[0].Name, exclusive}) {
		f.eventually(p.unit+" to run on the side with the quorum", soon, func() error {
			if on := f.procs.running(p.unit); !slices.ContainsFunc(on, func(m *lab.Machine) bool { return slices.Contains(rest, m) }) {
				return fmt.Errorf("it runs on %d machines", len(on))
			}
			return nil
		})
	}
	f.t.Logf("%d units and the exclusive one run elsewhere after %.1f s", len(stale), time.Since(began).Seconds())
	for _, p := range stale {
		// One that still hears the others may learn that its units were moved, and stops them.
		if !c.hears && f.procs.lastSeen(p).Before(time.Now().Add(-time.Second)) {
			f.t.Errorf("%s lost its copy of %s while it was cut off", p.machine, p.unit)
		}
	}
	// A unit that one of them is to start when it is back.
	fresh := fmt.Sprintf("fresh%d.service", began.Unix())
	_, err := f.client(rest[0]).Act(f.ctx, api.ActionRequest{Verb: api.Start,
		Files: []api.File{{Name: fresh, Content: sleeper("[X-Fleet]", "MachineID="+victims[0].MachineID)}}})
	f.must(err)
	c.mend(f, victims)
	back := time.Now()
	for _, p := range stale {
		f.eventually("the old copy of "+p.unit+" to be stopped", soon, func() error {
			if on := f.procs.running(p.unit); len(on) != 1 || !slices.Contains(rest, on[0]) {
				return fmt.Errorf("it runs on %d machines", len(on))
			}
			return nil
		})
	}
	f.t.Logf("the old copies were stopped %.1f s after the network was mended", time.Since(back).Seconds())
	f.eventually(fresh+" to run", 2*soon, func() error {
		if len(f.procs.running(fresh)) == 0 {
			return fmt.Errorf("it doesn't")
		}
		return nil
	})
	started := f.procs.firstSeen(place{victims[0].Name, fresh})
	for _, p := range stale {
		if p.machine == victims[0].Name && f.procs.lastSeen(p).After(started) {
			f.t.Errorf("%s started %s before it stopped its old copy of %s", p.machine, fresh, p.unit)
		}
	}
	f.converged(back)
	for _, m := range victims {
		f.procs.leaveOut(m, false)
	}
	f.procs.unchanged(f.t, before, append(victims, f.machine(f.ranOn(before, exclusive)))...)
	f.verb(rest[0], "destroy", fresh)
	return units
}

// ranOn returns the ID of the machine on which a unit ran.
func (f *fleet) ranOn(before map[place]int, unit string) string {
	for _, m := range f.machines {
		if before[place{m.Name, unit}] != 0 {
			return m.MachineID
		}
	}
	f.t.Fatalf("%s ran nowhere", unit)
	return ""
}

// converged waits until all machines see the same whole cluster, and logs how long that took.
func (f *fleet) converged(mended time.Time) {
	f.t.Helper()
	f.settledWithin(time.Minute, f.machines...)
	f.t.Logf("the cluster was whole %.1f s after the network was mended", time.Since(mended).Seconds())
}

// flaps pulls a machine's cable and plugs it in again and again, for moments and
// for longer than a death takes to be found. Its units move once at most: they
// don't come and go with each plug.
func (f *fleet) flaps(units []string) {
	f.t.Helper()
	for _, c := range []struct {
		out, in time.Duration
		times   int
	}{
		{250 * time.Millisecond, 750 * time.Millisecond, 8},
		{2 * time.Second, time.Second, 4},
	} {
		loaded := slices.DeleteFunc(f.plain(4), func(m *lab.Machine) bool { return len(f.unitsOn(m, units)) == 0 })
		victim := loaded[0]
		before, began := f.procs.snapshot(), time.Now()
		f.procs.leaveOut(victim, true)
		for range c.times {
			f.must(victim.Cut())
			f.throughout("with its cable out", c.out, f.ctx.Err)
			f.must(victim.Heal())
			f.throughout("with its cable in", c.in, f.ctx.Err)
		}
		f.converged(time.Now())
		f.allHome(units)
		f.procs.leaveOut(victim, false)
		moves := map[string]int{}
		for _, e := range f.events(f.others(victim)[0], began) {
			if e.Kind == cluster.EventMoved {
				moves[e.Unit]++
			}
		}
		f.t.Logf("%s's cable was out for %v and in for %v, %d times: moves %v", victim.Name, c.out, c.in, c.times, moves)
		for unit, n := range moves {
			if n > 1 {
				f.t.Errorf("%s moved %d times, expected once at most:%s", unit, n, f.timeline(f.others(victim)[0], began))
			}
		}
		f.procs.unchanged(f.t, before, victim)
	}
}
