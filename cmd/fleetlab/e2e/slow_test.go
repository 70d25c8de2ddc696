//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

var slowFor = flag.Duration("slow", 8*time.Second, "how long each cable in TestSlowCables is slow")

// TestSlowCables gives machines a slow cable: a voter, the leader, two at once.
// None of them is dead, so at most it fails once, where its cable became slow so
// suddenly that it was silent for longer than a death takes to be found; after
// that it doesn't come and go, and the timeline is no roll of drums. When the
// cables are good again all is as it was.
func TestSlowCables(t *testing.T) {
	f := newFleet(t, 5, setup{limit: 2*testLimit + 5**slowFor})
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprintf("slow%d.service", i))
	}
	f.start(f.machines[0], sleepers(names...))
	f.start(f.machines[0], map[string]string{"everywhere.service": sleeper("[X-Fleet]", "Global=true")})
	for _, c := range []struct {
		what   string
		delay  time.Duration
		victim func() []*lab.Machine
	}{
		{"a voter", 300 * time.Millisecond, func() []*lab.Machine { return f.voters(1) }},
		{"the leader", 300 * time.Millisecond, func() []*lab.Machine { return []*lab.Machine{f.leader()} }},
		{"a voter", time.Second, func() []*lab.Machine { return f.voters(1) }},
		{"the leader", time.Second, func() []*lab.Machine { return []*lab.Machine{f.leader()} }},
		{"two machines", time.Second, func() []*lab.Machine { return f.voters(2) }},
	} {
		slow := c.victim()
		began := time.Now()
		var called []string
		for _, m := range slow {
			f.must(m.Slow(c.delay, 0))
			called = append(called, m.Name)
		}
		what := fmt.Sprintf("%s (%s) with %s each way", c.what, strings.Join(called, ", "), c.delay)
		witness := f.others(append(slow, f.machines[0])...)[0]
		f.throughout(what, *slowFor, func() error { return f.ctx.Err() })
		perfect := time.Now()
		for _, m := range slow {
			f.must(m.Perfect())
		}
		// A machine that failed several times counts as back later.
		f.settledWithin(90*time.Second, f.machines...)
		t.Logf("%s: settled %.1f s after the cable was good again", what, time.Since(perfect).Seconds())
		for _, name := range names {
			f.home(name)
		}
		fails, lines := map[string]int{}, map[string]int{}
		for _, e := range f.events(witness, began) {
			if e.Kind != cluster.EventMachine {
				continue
			}
			lines[e.Machine]++
			if strings.Contains(e.Text, " failed: ") {
				fails[e.Machine]++
			}
		}
		t.Logf("%s: failures %d, lines about machines %d:%s", what, total(fails), total(lines), f.timeline(witness, began))
		for id, n := range fails {
			if n > 1 {
				t.Errorf("%s: %s failed %d times, expected once at most", what, f.machine(id).Name, n)
			}
		}
		for id, n := range lines {
			if n > 8 {
				t.Errorf("%s: the timeline has %d lines about %s", what, n, f.machine(id).Name)
			}
		}
	}
}

// voters returns machines that vote in etcd and don't lead the cluster.
func (f *fleet) voters(n int) []*lab.Machine {
	f.t.Helper()
	leader := f.leader()
	list, err := f.client(leader).Machines(f.ctx)
	f.must(err)
	var voters []*lab.Machine
	for _, info := range list.Machines {
		if info.Seat == cluster.Voter && info.ID != leader.MachineID && len(voters) < n {
			voters = append(voters, f.machine(info.ID))
		}
	}
	if len(voters) < n {
		f.t.Fatalf("there are %d voters that don't lead, not %d", len(voters), n)
	}
	return voters
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}
