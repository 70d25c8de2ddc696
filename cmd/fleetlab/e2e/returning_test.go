//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestReturning has machines come back as they were long ago: with the disk of
// an hour ago, as from a snapshot, a voter and another one; a copy of a machine,
// its disk and its machine-id included, beside the one that it was made of; and a
// voter after a week, whose member was removed and whose key was rotated
// twice. What was destroyed or moved meanwhile doesn't run again, and the other
// machines' units keep their processes. A reboot is TestReboot, another address TestAddressesChange.
func TestReturning(t *testing.T) {
	f := newFleet(t, 5, setup{idle: true, limit: 7 * time.Minute, options: longGrace})
	n1, n5 := f.machines[0], f.machines[4]
	f.must(n1.StartFleettop(f.ctx))
	for _, m := range f.machines[1:4] {
		f.must(m.StartFleettop(f.ctx))
	}
	f.settled(f.machines[:4]...)
	units := named("a%d.service", 8)
	f.start(n1, sleepers(units...))
	f.allHome(units)

	voter, other := f.voters(1)[0], f.machines[3]
	for _, m := range f.machines[:4] {
		if !slices.Contains(append(f.voters(2), f.leader()), m) {
			other = m
		}
	}
	old := map[*lab.Machine]string{}
	for _, m := range []*lab.Machine{voter, other} {
		old[m] = f.copyDisk(m)
	}
	// An hour passes: units are destroyed, stopped and started.
	bound := map[string]string{}
	for _, m := range []*lab.Machine{voter, other} {
		bound["on-"+m.Name+".service"] = sleeper("[X-Fleet]", "MachineID="+m.MachineID)
	}
	f.start(n1, bound)
	f.verb(n1, "destroy", units[0])
	f.verb(n1, "stop", units[1])
	units = append(units[2:], named("b%d.service", 4)...)
	f.start(n1, sleepers(units[6:]...))
	f.allHome(units)

	for _, m := range []*lab.Machine{voter, other} {
		before, began := f.procs.snapshot(), time.Now()
		f.losesPower(m, units)
		f.restoreDisk(m, old[m])
		back := time.Now()
		f.must(m.Boot(f.ctx))
		f.must(m.WaitBooted(f.ctx))
		f.settledWithin(90*time.Second, f.machines[:4]...)
		t.Logf("%s with its old disk is one of the cluster %.1f s after its power was back; the timeline:%s", m.Name,
			time.Since(back).Seconds(), f.timeline(n1, began))
		f.allHome(units)
		f.runsOn("on-"+m.Name+".service", m)
		f.nowhere("a0.service", "a1.service")
		f.procs.unchanged(t, before, m)
		f.procs.neverTwice(t)
	}

	// A machine was copied while it was off, and both are switched on.
	before, began := f.procs.snapshot(), time.Now()
	daemons := f.daemons(f.machines[:4])
	f.restoreDisk(n5, old[voter])
	f.daemonFlags(n5, "--address "+n5.IP.String()+" --join "+n1.IP.String()+" --machine-id "+voter.MachineID)
	f.startBarred(n5, "a copy of "+voter.Name, voter.MachineID, voter.IP.String(), "--machine-id")
	f.settled(f.machines[:4]...)
	f.procs.unchanged(t, before)
	f.still(n1, began)
	if now := f.daemons(f.machines[:4]); now != daemons {
		t.Errorf("the daemons were processes %s and are %s", daemons, now)
	}
	f.on(n5, "rm", "-rf", stateDir)
	f.daemonFlags(n5, "--address "+n5.IP.String()+" --join "+n1.IP.String())
	f.must(n5.StartFleettop(f.ctx)) // as itself it is welcome
	f.settled(f.machines...)

	f.awayForAWeek(f.voters(1)[0], units)
	f.procs.neverTwice(t)
}

// awayForAWeek takes a voter's power, and does to the cluster what a week may:
// another machine votes in its place, its unit is destroyed, the key is rotated twice.
func (f *fleet) awayForAWeek(m *lab.Machine, units []string) {
	f.t.Helper()
	witness := f.others(m)[0]
	f.start(witness, map[string]string{"week.service": sleeper("[X-Fleet]", "MachineID="+m.MachineID)})
	f.losesPower(m, units)
	began := time.Now()
	f.removeMember(witness, m)
	f.eventually("another machine to vote", time.Minute, func() error { return f.votersBut(witness, m, 3) })
	f.verb(witness, "destroy", "week.service")
	for range 2 {
		f.verb(witness, "key", "rotate")
		f.verb(witness, "key", "rotate", "--finish")
	}
	f.settled(f.others(m)...)
	before := f.procs.snapshot()
	f.must(m.Boot(f.ctx))
	f.must(m.WaitBooted(f.ctx))
	f.t.Logf("with the key of a week ago: %s", f.said(m, "join-command"))
	f.procs.unchanged(f.t, before)
	f.nowhere("week.service")
	line := strings.Fields(f.verb(witness, "join-command"))
	back := time.Now()
	f.on(m, append(line[1:], "--yes")...)
	f.settledWithin(90*time.Second, f.machines...)
	f.t.Logf("%s is one of the cluster %.1f s after the line of join-command:%s", m.Name, time.Since(back).Seconds(),
		f.timeline(witness, began))
	f.procs.unchanged(f.t, before)
	f.nowhere("week.service")
	f.allHome(units)
}

// copyDisk returns a copy of what a daemon has on its machine's disk, and the machine as it was.
func (f *fleet) copyDisk(m *lab.Machine) string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), m.Name)
	f.must(m.StopFleettop(f.ctx))
	f.copyTree(f.stateOnDisk(m), dir)
	f.must(m.StartFleettop(f.ctx))
	f.settled(f.machines[:4]...)
	return dir
}

// restoreDisk puts such a copy on a machine whose daemon doesn't run.
func (f *fleet) restoreDisk(m *lab.Machine, from string) {
	f.t.Helper()
	f.copyTree(from, f.stateOnDisk(m))
}

func (f *fleet) stateOnDisk(m *lab.Machine) string {
	return filepath.Join(f.lab.Dir(), m.Name, "root", stateDir)
}

func (f *fleet) copyTree(from, to string) {
	f.t.Helper()
	out, err := exec.CommandContext(f.ctx, "sh", "-c", `rm -rf "$2" && cp -a "$1" "$2"`, "sh", from, to).CombinedOutput()
	if err != nil {
		f.t.Fatalf("copy %s to %s: %v\n%s", from, to, err, out)
	}
}

// nowhere fails the test if one of the units runs.
func (f *fleet) nowhere(units ...string) {
	f.t.Helper()
	for _, unit := range units {
		if on := f.procs.running(unit); len(on) > 0 {
			f.t.Fatalf("%s runs on %s", unit, on[0].Name)
		}
	}
}

// daemons are the processes of machines' daemons.
func (f *fleet) daemons(machines []*lab.Machine) string {
	f.t.Helper()
	var list []string
	for _, m := range machines {
		list = append(list, f.show(m, lab.UnitName, "MainPID"))
	}
	return strings.Join(list, " ")
}

// votersBut returns an error unless so many machines vote, none of them a certain one, as the store has it.
func (f *fleet) votersBut(witness, without *lab.Machine, n int) error {
	list, err := f.client(witness).Machines(f.ctx)
	if err != nil {
		return err
	}
	var voters []string
	for _, info := range list.Machines {
		if info.Seat == cluster.Voter {
			voters = append(voters, info.Name)
		}
	}
	if len(voters) != n || slices.Contains(voters, without.Name) {
		return fmt.Errorf("the voters are %v", voters)
	}
	return nil
}

// etcd returns a client of the etcd on a machine, with the machine's own certificate.
func (f *fleet) etcd(m *lab.Machine) *clientv3.Client {
	f.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + net.JoinHostPort(m.IP.String(), "7372")},
		TLS: f.stolen(m), DialTimeout: 5 * time.Second, DialOptions: []grpc.DialOption{grpc.WithContextDialer(
			func(ctx context.Context, _ string) (net.Conn, error) {
				return f.lab.Dial(ctx, "tcp", net.JoinHostPort(m.IP.String(), "7372"))
			})}})
	f.must(err)
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// removeMember does to a dead machine's voter what the leader does when it was gone for minutes.
func (f *fleet) removeMember(by, of *lab.Machine) {
	f.t.Helper()
	voter := by
	for _, m := range f.others(of) {
		if slices.Contains(append(f.voters(1), f.leader()), m) {
			voter = m
		}
	}
	c := f.etcd(voter)
	f.eventually("etcd's member of "+of.Name+" to be removed", soon, func() error {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		list, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		for _, member := range list.Members {
			if member.Name == of.MachineID {
				_, err := c.MemberRemove(ctx, member.ID)
				return err
			}
		}
		return nil
	})
}
