//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestBlockedPorts keeps ports shut, as a firewall does: first gossip's for UDP,
// then all of gossip. The machine's session with the store lives, so that nothing
// moves, and the port is named. Where it is the leader that hears no one, it
// holds: it is its own network that is in trouble.
func TestBlockedPorts(t *testing.T) {
	f := newFleet(t, 3, setup{})
	units := named("a%d.service", 6)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)
	leader := f.leader()
	deaf := f.others(leader)[0]
	before, began := f.procs.snapshot(), time.Now()

	f.block(deaf, "ipproto 17 dport 7370")
	f.says(leader, began, deaf, "is up, and 7370/udp gets no answer, 7370/tcp does: a firewall?")
	f.block(deaf, "ipproto 6 dport 7370", "ipproto 6 sport 7370")
	f.evident(leader, deaf, cluster.Suspect,
		"its session with the store is alive: 7370/udp and tcp get no answer, 7371/tcp does: a firewall?")
	f.throughout("without "+deaf.Name+"'s gossip", 8*time.Second,
		func() error { return f.asBefore(before, f.machines...) })
	f.evident(leader, deaf, cluster.Suspect, "a firewall?")
	f.unblock(deaf)
	f.settled(f.machines...)

	f.block(leader, "ipproto 17 dport 7370", "ipproto 6 dport 7370", "ipproto 6 sport 7370")
	f.eventually("the leader to hold", soon, func() error {
		_, said, err := f.try(deaf, "list-units")
		if err == nil && !strings.Contains(said,
			"gossip doesn't hear 2 of 3 machines, whose sessions with the store are alive") {
			err = fmt.Errorf("it says %q", said)
		}
		return err
	})
	f.throughout("without the leader's gossip", 8*time.Second, func() error { return f.asBefore(before, f.machines...) })
	if now := f.leader(); now != leader {
		t.Errorf("%s leads, though %s never lost its session", now.Name, leader.Name)
	}
	f.unblock(leader)
	f.settled(f.machines...)
	f.eventually("the hold to end", soon, func() error {
		_, said, err := f.try(deaf, "list-units")
		if err == nil && strings.Contains(said, "held") {
			err = fmt.Errorf("it says %q", said)
		}
		return err
	})
	f.still(leader, began)
	f.procs.unchanged(t, before)
}

// block drops what a machine sends by rules on its ports (17 is UDP, 6 TCP), until unblock.
func (f *fleet) block(m *lab.Machine, rules ...string) {
	f.t.Helper()
	for _, r := range rules {
		f.on(m, append([]string{"ip", "rule", "add", "pref", "10"}, append(strings.Fields(r), "blackhole")...)...)
	}
}

func (f *fleet) unblock(m *lab.Machine) {
	f.t.Helper()
	f.on(m, "sh", "-c", "while ip rule delete pref 10 2>/dev/null; do :; done")
}

// says waits for a line of the timeline about a machine.
func (f *fleet) says(witness *lab.Machine, since time.Time, about *lab.Machine, text string) {
	f.t.Helper()
	f.eventually("the timeline to say that "+about.Name+" "+text, 2*soon, func() error {
		for _, e := range f.events(witness, since) {
			if e.Machine == about.MachineID && strings.Contains(e.Text, text) {
				return nil
			}
		}
		return fmt.Errorf("it doesn't:%s", f.timeline(witness, since))
	})
}

// evident waits until a machine is seen in a state with some evidence.
func (f *fleet) evident(witness, m *lab.Machine, state cluster.HealthState, evidence string) {
	f.t.Helper()
	f.eventually(m.Name+" to be "+string(state), soon, func() error {
		list, err := f.client(witness).Machines(f.ctx)
		if err != nil {
			return err
		}
		for _, info := range list.Machines {
			if info.ID == m.MachineID && (info.Health.State != state || !strings.Contains(info.Health.Evidence, evidence)) {
				return fmt.Errorf("it is %s: %s", info.Health.State, info.Health.Evidence)
			}
		}
		return nil
	})
}
