//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/cmd/fleetlab/witness"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

var (
	chaosSeed    = flag.Uint64("chaos.seed", 1, "the seed of TestChaos")
	chaosMinutes = flag.Float64("chaos.minutes", 0, "how long TestChaos goes on; 0 is a short run, and one of another seed")
)

const (
	chaosShort = 45 * time.Second // how long each of the two short runs goes on
	// chaosSettles is how long the cluster may take to be whole after the last
	// fault: a machine that failed several times counts as back after a minute.
	chaosSettles = 90 * time.Second
)

var chaosBounds = witness.Bounds{Up: 30 * time.Second, After: 15 * time.Second, Thaw: 2 * time.Second}

// TestChaos inflicts faults that a seed chooses on five machines, and judges by
// what the units themselves recorded that nothing happened but what a fault explains.
func TestChaos(t *testing.T) {
	if *chaosMinutes > 0 {
		runChaos(t, *chaosSeed, time.Duration(*chaosMinutes*float64(time.Minute)))
		return
	}
	for _, seed := range []uint64{*chaosSeed, rand.Uint64N(1_000_000)} {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { runChaos(t, seed, chaosShort) })
	}
}

// chaos is a run. Faults are goroutines of their own.
type chaos struct {
	*fleet
	ctx   context.Context // ends when the run is interrupted
	units []witness.Unit

	mu      sync.Mutex // guards what follows
	attacks []*attack
	wrong   []witness.Violation // what isn't seen in the units' records
	voters  []string            // names, as last seen
}

// attack is a fault under way or over.
type attack struct {
	planned
	machines []*lab.Machine
	unit     string
	fault    witness.Fault // guarded by chaos.mu; it is over when To is set
}

func runChaos(t *testing.T, seed uint64, length time.Duration) {
	var table string
	t.Cleanup(func() { fmt.Print(table) }) // below all else that a failed test prints
	f := newFleet(t, chaosMachines, setup{limit: length + 8*time.Minute, unwatched: true})
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	defer f.catchSignals(cancel)()
	c := &chaos{fleet: f, ctx: ctx}
	c.startUnits()

	story := witness.Story{Span: witness.Span{From: sinceBoot()}, Machines: names(f.machines), Units: c.units, Bounds: chaosBounds}
	fmt.Printf("chaos: seed %d, %v, %d machines, %d units\n", seed, length, len(f.machines), len(c.units))
	c.run(planChaos(seed, length), story)
	if ctx.Err() == nil {
		c.inTheEnd()
	}
	story.To = sinceBoot()
	story.Records = c.records()
	events := c.eventsSince(story.From)
	for _, e := range events {
		switch {
		case e.Kind == cluster.EventFailover:
			story.Failovers++
		case e.Kind == cluster.EventMachine && e.State == cluster.Failed:
			failed := witness.Verdict{Machine: c.machine(e.Machine).Name, At: bootTime(e.Time), Text: e.Text}
			story.Verdicts = append(story.Verdicts, failed)
		}
	}
	for _, a := range c.attacks {
		story.Faults = append(story.Faults, a.fault)
	}
	report := witness.Judge(story)
	report.Violations = append(report.Violations, c.wrong...)
	c.tell(report, events)
	table = fmt.Sprintf("chaos: seed %d, %v\n%s", seed, (story.To - story.From).Round(time.Second), report)
	if n := len(report.Violations); n > 0 {
		t.Errorf("%d violations", n)
	}
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Error("the run took too long")
	}
}

// catchSignals has SIGINT and its like end the run, which then judges what it
// has and takes the lab down; a second one takes it down at once.
func (f *fleet) catchSignals(end func()) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	f.ownSignals()
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-signals:
			end()
			f.t.Cleanup(f.lab.DownOnSignal())
			signal.Stop(signals)
		case <-done:
			signal.Stop(signals)
		}
	})
	return func() {
		close(done)
		wait.Wait()
	}
}

// startUnits starts the witnesses, of all kinds, and waits until they run.
func (c *chaos) startUnits() {
	const exclusive = "[X-Fleet]\nExclusive=true"
	files := map[string]string{
		"t@.service":         witness.Service(),
		"everywhere.service": witness.Service("[X-Fleet]", "Global=true"),
		"once.service":       witness.Oneshot(),
		"left.service":       witness.Service("[X-Fleet]", "Conflicts=right.service"),
		"right.service":      witness.Service("[X-Fleet]", "Conflicts=left.service"),
		"main.service":       witness.Service(),
		"side.service":       witness.Service("[X-Fleet]", "MachineOf=main.service"),
		"only0.service":      witness.Service(exclusive),
		"only1.service":      witness.Service(exclusive),
		"stubborn.service":   witness.StubbornService("TimeoutStopSec=6", exclusive),
	}
	plain := named("a%d.service", 6)
	for _, name := range plain {
		files[name] = witness.Service()
	}
	for _, m := range c.machines { // as what is destroyed is started anew from any of them
		c.write(m, files)
	}
	instances := named("t@%d.service", 3)
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name != "t@.service" {
			paths = append(paths, "/root/"+name)
		}
		unit := witness.Unit{Name: name, Exclusive: strings.Contains(files[name], "Exclusive"),
			Global: strings.Contains(files[name], "Global"), Once: strings.Contains(files[name], "oneshot")}
		switch name {
		case "t@.service":
			continue
		case "left.service":
			unit.Avoids = "right.service"
		case "side.service":
			unit.Follows = "main.service"
		}
		c.units = append(c.units, unit)
	}
	for _, name := range instances {
		c.units = append(c.units, witness.Unit{Name: name})
	}
	c.verb(c.machines[0], "submit", "/root/t@.service")
	c.verb(c.machines[0], append(append([]string{"start"}, paths...), instances...)...)
	c.eventually("all units to record that they run", soon, func() error {
		seen := map[string]bool{}
		for _, r := range c.records() {
			seen[r.Unit] = true
		}
		for _, u := range c.units {
			if !seen[u.Name] {
				return fmt.Errorf("%s has no record", u.Name)
			}
		}
		return nil
	})
}

// run inflicts the faults of a plan, each at its time.
func (c *chaos) run(plan [][]planned, story witness.Story) {
	began, ended := time.Now(), time.Time{}
	for _, round := range plan {
		c.pause(max(time.Until(began.Add(round[0].at)), time.Until(ended.Add(chaosQuietMin))))
		if late := time.Since(began.Add(round[0].at)); late > time.Second {
			c.say(story, "", fmt.Sprintf("%.1f s late, as faults took longer than planned", late.Seconds()))
		}
		var group sync.WaitGroup
		for _, p := range round {
			group.Go(func() {
				if c.pause(p.at - round[0].at) {
					c.inflict(p, story)
				}
			})
		}
		group.Wait()
		ended = time.Now()
		if c.ctx.Err() != nil {
			return
		}
	}
}

// inflict chooses whom a fault is for, and does it to them from its beginning to its end.
func (c *chaos) inflict(p planned, story witness.Story) {
	a := &attack{planned: p}
	var leader, etcdLeader *lab.Machine
	err := c.until("word of who leads", time.Minute, func() error {
		list, err := c.list(c.free()[0])
		if err != nil || !list.Store.Connected {
			return errors.Join(err, errors.New("the store isn't connected"))
		}
		var voters []string
		for _, info := range list.Machines {
			if info.Leader {
				leader = c.machine(info.ID)
			}
			if info.Seat == cluster.Voter {
				voters = append(voters, info.Name)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.voters = voters
		return nil
	})
	for _, m := range c.free() {
		if p.role != etcdLeading {
			break
		}
		if text, err := c.etcdMetrics(m); err == nil && strings.Contains(text, "\netcd_server_is_leader 1\n") {
			etcdLeader = m
		}
	}
	// Quickly after each other, so that two faults don't choose the same machine.
	c.mu.Lock()
	free := c.freeLocked()
	for _, i := range p.order {
		if slices.Contains(free, c.machines[i]) {
			a.machines = append(a.machines, c.machines[i])
		}
	}
	for what, m := range map[role]*lab.Machine{leading: leader, etcdLeading: etcdLeader} {
		if i := slices.Index(a.machines, m); what == p.role && i >= 0 {
			a.machines[0], a.machines[i] = m, a.machines[0]
		}
	}
	switch p.kind.target {
	case oneMachine:
		a.machines = a.machines[:1]
	case twoMachines:
		a.machines = a.machines[:2]
	case allVoters:
		a.machines = slices.DeleteFunc(a.machines, func(m *lab.Machine) bool { return !slices.Contains(c.voters, m.Name) })
	case oneUnit:
		a.machines = nil
		of := slices.DeleteFunc(slices.Clone(c.units), func(u witness.Unit) bool {
			return u.Once || u.Global || u.Follows != "" || u.Avoids != "" || strings.Contains(u.Name, "@")
		})
		a.unit = of[p.unit%len(of)].Name
		a.fault.Units = []string{a.unit}
	}
	a.fault.Kind, a.fault.Machines, a.fault.Excuses = p.kind.name, names(a.machines), p.kind.excuses
	a.fault.Voters, a.fault.From = c.voters, sinceBoot()
	c.attacks = append(c.attacks, a)
	c.mu.Unlock()

	whom := a.unit
	for _, m := range a.machines {
		whom += " " + m.Name
		if m == leader {
			whom += " (leads)"
		}
		if m == etcdLeader {
			whom += " (leads etcd)"
		}
	}
	if a.lasts > 0 {
		whom += fmt.Sprintf(" for %.1f s", a.lasts.Seconds())
	}
	c.say(story, p.kind.name, whom)
	if err == nil {
		err = p.kind.do(c, a)
	}
	c.change(a, func(f *witness.Fault) { f.To = sinceBoot() })
	if err != nil && c.ctx.Err() == nil {
		c.blame(fmt.Sprintf("%s of %s: %v", p.kind.name, strings.TrimSpace(whom), err))
	}
	if a.lasts > 0 {
		c.say(story, p.kind.name, whom+": over")
	}
}

// inTheEnd waits until the cluster is whole, and looks for what is lost.
func (c *chaos) inTheEnd() {
	err := c.until("the cluster to settle", chaosSettles, func() error {
		for _, m := range c.machines {
			if _, err := c.list(m); err != nil {
				return err
			}
		}
		return c.unsettled(c.machines...)
	})
	if err != nil {
		c.blame(err.Error())
		return
	}
	on := map[string]string{}
	err = c.until("all units to be there and active", chaosBounds.Up, func() error {
		known, err := c.dial(c.machines[0])
		if err != nil {
			return err
		}
		defer known.Close()
		list, err := known.Units(c.ctx, false)
		if err != nil {
			return err
		}
		found := map[string]api.UnitInfo{}
		for _, u := range list.Units {
			found[u.Name] = u
		}
		for _, u := range c.units {
			info, ok := found[u.Name]
			places := 1
			if u.Global {
				places = len(c.machines)
			}
			switch {
			case !ok:
				return fmt.Errorf("%s is lost", u.Name)
			case info.Desired != units.Launched:
				return fmt.Errorf("%s is to be %s", u.Name, info.Desired)
			case len(info.Placements) != places:
				return fmt.Errorf("%s is on %d machines, expected %d: %s", u.Name, len(info.Placements), places, info.Unplaced)
			}
			for _, p := range info.Placements {
				want := "active"
				if u.Once {
					want = "inactive"
				}
				if p.Assignment == nil || p.Status == nil || p.Status.Active != want {
					return fmt.Errorf("%s on %s isn't %s, or isn't to be there", u.Name, c.machine(p.Machine).Name, want)
				}
				on[u.Name] = p.Machine
			}
		}
		return nil
	})
	for _, u := range c.units {
		if err == nil && u.Follows != "" && on[u.Name] != on[u.Follows] {
			err = fmt.Errorf("%s is on %s, and not with %s", u.Name, c.machine(on[u.Name]).Name, u.Follows)
		}
	}
	if err != nil {
		c.blame(err.Error())
	}
	c.pause(3 * time.Second) // for the units' last records
}

// blame adds a violation that isn't seen in the units' records.
func (c *chaos) blame(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, witness.Violation{At: sinceBoot(), Text: text})
}

func (c *chaos) change(a *attack, f func(*witness.Fault)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&a.fault)
}

// free returns the machines that nothing is done to.
func (c *chaos) free() []*lab.Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.freeLocked()
}

func (c *chaos) freeLocked() []*lab.Machine {
	return slices.DeleteFunc(slices.Clone(c.machines), func(m *lab.Machine) bool {
		return slices.ContainsFunc(c.attacks, func(a *attack) bool { return a.fault.To == 0 && slices.Contains(a.machines, m) })
	})
}

// pause waits, and reports whether the run goes on.
func (c *chaos) pause(d time.Duration) bool {
	select {
	case <-c.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// until repeats something until it returns nil, or its last error after a time.
func (c *chaos) until(what string, limit time.Duration, check func() error) error {
	began := time.Now()
	for {
		err := check()
		if err == nil || c.ctx.Err() != nil {
			return nil // an interrupted run judges what it has
		}
		if time.Since(began) > limit {
			return fmt.Errorf("waited %.0f s for %s: %w", time.Since(began).Seconds(), what, err)
		}
		c.pause(100 * time.Millisecond)
	}
}

func (c *chaos) exec(m *lab.Machine, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(c.ctx, 40*time.Second)
	defer cancel()
	return m.Exec(ctx, args...)
}

// dial returns a client of a machine's daemon, which is to be closed.
func (c *chaos) dial(m *lab.Machine) (*client.Client, error) {
	path, err := m.HostPath("/run/fleettop/fleettop.sock")
	if err != nil {
		return nil, err
	}
	return client.Dial("unix://" + path)
}

func (c *chaos) list(m *lab.Machine) (*api.MachineList, error) {
	known, err := c.dial(m)
	if err != nil {
		return nil, err
	}
	defer known.Close()
	ctx, cancel := context.WithTimeout(c.ctx, 3*time.Second)
	defer cancel()
	return known.Machines(ctx)
}

func names(machines []*lab.Machine) (list []string) {
	for _, m := range machines {
		list = append(list, m.Name)
	}
	return list
}
