//go:build e2e

package e2e

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/cmd/fleetlab/witness"
)

// target says what a kind of fault is done to.
type target int

const (
	oneMachine target = iota
	twoMachines
	allVoters
	oneUnit
)

// chaosKind is a kind of fault: one entry of the table.
type chaosKind struct {
	name     string
	weight   int           // how often, among all kinds
	min, max time.Duration // how long; zero for what is over when it is done
	target   target
	alone    bool // not together with another fault
	excuses  witness.Excuse
	do       func(c *chaos, a *attack) error // from its beginning to its end, healed
}

const (
	// lost is what a machine may do that the cluster doesn't hear, or not well.
	lost = witness.Ends | witness.Doubles | witness.Fails | witness.Away
	// daemonAway is a daemon that is away for less than its grace.
	daemonAway = witness.EndsExclusive | witness.Away
)

// chaosKinds is the table of faults.
var chaosKinds = []*chaosKind{
	{name: "power off", weight: 6, min: time.Second, max: 18 * time.Second,
		excuses: witness.Ends | witness.Fails | witness.Away, do: machineFault(powerOff, boot)},
	{name: "reboot", weight: 2, excuses: witness.Ends | witness.Doubles | witness.Away, do: machineFault(reboot, nil)},
	{name: "cable cut", weight: 4, min: time.Second, max: 15 * time.Second, excuses: lost, do: machineFault(cut, heal)},
	{name: "flapping link", weight: 3, min: 4 * time.Second, max: 12 * time.Second, excuses: lost, do: flap},
	{name: "sends nothing", weight: 2, min: 3 * time.Second, max: 12 * time.Second, excuses: lost,
		do: machineFault(mute, unmute)},
	{name: "hears nothing", weight: 2, min: 3 * time.Second, max: 12 * time.Second, alone: true, excuses: lost,
		do: func(c *chaos, a *attack) error {
			return c.between(a, func() error { return silence(c.ctx, c.others(a.machines...), a.machines) },
				func() error { return unsilence(c.ctx, c.machines) })
		}},
	{name: "20 % loss", weight: 2, min: 5 * time.Second, max: 15 * time.Second, excuses: lost,
		do: machineFault(func(_ *chaos, m *lab.Machine) error { return m.Lossy(20) }, healCable)},
	{name: "200 ms latency", weight: 2, min: 5 * time.Second, max: 15 * time.Second, excuses: lost,
		do: machineFault(func(_ *chaos, m *lab.Machine) error {
			return m.Slow(200*time.Millisecond, 100*time.Millisecond)
		}, healCable)},
	{name: "frozen", weight: 4, min: time.Second, max: 18 * time.Second, excuses: lost | witness.Pauses,
		do: machineFault(func(_ *chaos, m *lab.Machine) error { return m.Freeze() },
			func(_ *chaos, m *lab.Machine) error { return m.Thaw() })},
	{name: "partition", weight: 3, min: 3 * time.Second, max: 15 * time.Second, target: twoMachines, alone: true,
		excuses: lost, do: partition},
	{name: "daemon killed", weight: 3, excuses: daemonAway,
		do: machineFault(daemonSignal("KILL"), daemonAnswers)},
	{name: "daemon crashes again and again", weight: 2, min: 2 * time.Second, max: 3 * time.Second, excuses: daemonAway,
		do: crashLoop},
	{name: "daemon hangs for less than its grace", weight: 2, min: time.Second, max: 6 * time.Second, excuses: daemonAway,
		do: machineFault(daemonSignal("STOP"), daemonSignal("CONT"))},
	{name: "daemon hangs for longer than its grace", weight: 2, min: 12 * time.Second, max: 17 * time.Second,
		excuses: lost, do: machineFault(daemonSignal("STOP"), daemonSignal("CONT"))},
	{name: "daemon restarted", weight: 3, excuses: witness.Away,
		do: machineFault(systemctl("restart", lab.UnitName), daemonAnswers)},
	{name: "all voters' daemons stopped", weight: 1, min: 2 * time.Second, max: 5 * time.Second, target: allVoters,
		alone: true, excuses: daemonAway, do: machineFault(systemctl("stop", lab.UnitName), systemctl("start", lab.UnitName))},
	{name: "all voters' daemons hang", weight: 1, min: 2 * time.Second, max: 6 * time.Second, target: allVoters, alone: true,
		excuses: daemonAway, do: machineFault(daemonSignal("STOP"), daemonSignal("CONT"))},
	{name: "all voters' cables cut", weight: 1, min: 2 * time.Second, max: 10 * time.Second, target: allVoters, alone: true,
		excuses: daemonAway, do: machineFault(cut, heal)},
	{name: "drain", weight: 3, min: time.Second, max: 5 * time.Second, excuses: witness.Ends | witness.Doubles,
		do: func(c *chaos, a *attack) error {
			name := a.machines[0].Name
			return c.between(a, func() error { return c.operate("drain", name) },
				func() error { return c.operate("uncordon", name) })
		}},
	{name: "unit stopped and started", weight: 2, min: time.Second, max: 4 * time.Second, target: oneUnit,
		excuses: witness.Ends | witness.Unwanted, do: func(c *chaos, a *attack) error {
			return c.between(a, func() error { return c.operate("stop", a.unit) },
				func() error { return c.operate("start", a.unit) })
		}},
	{name: "unit restarted", weight: 2, target: oneUnit, excuses: witness.Ends,
		do: func(c *chaos, a *attack) error { return c.operate("restart", a.unit) }},
	{name: "unit destroyed and started anew", weight: 2, min: time.Second, max: 3 * time.Second, target: oneUnit,
		excuses: witness.Ends | witness.Unwanted, do: func(c *chaos, a *attack) error {
			return c.between(a, func() error { return c.operate("destroy", a.unit) },
				func() error { return c.operate("start", "/root/"+a.unit) })
		}},
	{name: "full CPU", weight: 2, min: 4 * time.Second, max: 10 * time.Second, do: machineFault(busy, idle)},
	{name: "journald restarted", weight: 1, do: machineFault(systemctl("restart", "systemd-journald"), nil)},
	{name: "D-Bus restarted", weight: 1, do: machineFault(systemctl("restart", "dbus"), nil)},
	{name: "systemd re-executed", weight: 1, do: machineFault(systemctl("daemon-reexec"), nil)},
}

// machineFault is a fault that begins and ends in the same way on each of its machines.
func machineFault(begin, end func(*chaos, *lab.Machine) error) func(*chaos, *attack) error {
	all := func(c *chaos, a *attack, do func(*chaos, *lab.Machine) error) func() error {
		return func() error {
			if do == nil {
				return nil
			}
			var group errgroup.Group
			for _, m := range a.machines {
				group.Go(func() error { return do(c, m) })
			}
			return group.Wait()
		}
	}
	return func(c *chaos, a *attack) error { return c.between(a, all(c, a, begin), all(c, a, end)) }
}

// between begins a fault, lets it last, and ends it.
func (c *chaos) between(a *attack, begin, end func() error) error {
	if err := begin(); err != nil {
		return err
	}
	if !c.pause(a.lasts) {
		return nil
	}
	return end()
}

func powerOff(_ *chaos, m *lab.Machine) error {
	_, err := m.Kill()
	return err
}

func boot(c *chaos, m *lab.Machine) error {
	if err := m.Boot(c.ctx); err != nil {
		return err
	}
	return m.WaitBooted(c.ctx)
}

func reboot(c *chaos, m *lab.Machine) error {
	if err := m.Reboot(c.ctx); err != nil {
		return err
	}
	return m.WaitBooted(c.ctx)
}

func cut(_ *chaos, m *lab.Machine) error       { return m.Cut() }
func heal(_ *chaos, m *lab.Machine) error      { return m.Heal() }
func healCable(_ *chaos, m *lab.Machine) error { return m.Perfect() }

func mute(c *chaos, m *lab.Machine) error {
	return silence(c.ctx, []*lab.Machine{m}, c.others(m))
}

func unmute(c *chaos, m *lab.Machine) error { return unsilence(c.ctx, []*lab.Machine{m}) }

// flap pulls a cable and plugs it in again and again.
func flap(c *chaos, a *attack) error {
	m := a.machines[0]
	for end := time.Now().Add(a.lasts); time.Now().Before(end); {
		if err := m.Cut(); err != nil {
			return err
		}
		c.pause(a.beats)
		if err := m.Heal(); err != nil {
			return err
		}
		if !c.pause(a.beats) {
			return nil
		}
	}
	return nil
}

// partition parts two machines from the three others; what is away is the side without a quorum.
func partition(c *chaos, a *attack) error {
	minority, majority := a.machines, c.others(a.machines...)
	c.change(a, func(f *witness.Fault) {
		votes := slices.DeleteFunc(slices.Clone(f.Voters), func(m string) bool { return !slices.Contains(f.Machines, m) })
		if len(votes) > len(f.Voters)/2 {
			f.Machines = names(majority)
		}
	})
	return c.between(a, func() error {
		if err := silence(c.ctx, minority, majority); err != nil {
			return err
		}
		return silence(c.ctx, majority, minority)
	}, func() error { return unsilence(c.ctx, c.machines) })
}

// crashLoop kills a daemon whenever it is there.
func crashLoop(c *chaos, a *attack) error {
	for end := time.Now().Add(a.lasts); time.Now().Before(end); {
		_ = daemonSignal("KILL")(c, a.machines[0]) // it may be between two starts
		if !c.pause(a.beats) {
			return nil
		}
	}
	return daemonAnswers(c, a.machines[0])
}

func daemonSignal(name string) func(*chaos, *lab.Machine) error {
	return systemctl("kill", "--signal="+name, "--kill-who=main", lab.UnitName)
}

// daemonAnswers waits until a machine's daemon is back.
func daemonAnswers(c *chaos, m *lab.Machine) error {
	return c.until("the daemon of "+m.Name+" to answer", time.Minute, func() error {
		_, err := c.list(m)
		return err
	})
}

func systemctl(args ...string) func(*chaos, *lab.Machine) error {
	return func(c *chaos, m *lab.Machine) error {
		_, err := c.exec(m, append([]string{"systemctl"}, args...)...)
		return err
	}
}

func busyUnits() (names []string) {
	for i := range runtime.NumCPU() {
		names = append(names, "systemd-busy"+strconv.Itoa(i)+".service")
	}
	return names
}

func busy(c *chaos, m *lab.Machine) error {
	for _, name := range busyUnits() {
		_, err := c.exec(m, "systemd-run", "--quiet", "--collect", "--unit="+name, "sh", "-c", "while :; do :; done")
		if err != nil {
			return err
		}
	}
	return nil
}

func idle(c *chaos, m *lab.Machine) error {
	return systemctl(append([]string{"stop"}, busyUnits()...)...)(c, m)
}

// operate runs a verb as an operator would: on a machine to which nothing is
// done, and again if it fails.
func (c *chaos) operate(args ...string) error {
	first := true
	return c.until("fleettop "+strings.Join(args, " "), 90*time.Second, func() error {
		_, err := c.exec(c.free()[0], append([]string{"fleettop"}, args...)...)
		if err != nil && args[0] == "destroy" && !first && strings.Contains(err.Error(), "not found") {
			return nil // the first time it did it, and the answer was lost
		}
		first = false
		return err
	})
}
