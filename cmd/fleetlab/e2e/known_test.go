//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api"
)

// TestLastKnown has four machines, of which one is no voter. With two of
// the three voters dead, both a voter and the other machine go on to tell what
// was known, with its age, soon and without a lie: nothing that ran on a dead
// machine is said to run, nothing planned is told as a fact, and no daemon that
// was in the cluster says that it has not reached the store yet. Later the
// fourth machine is drained and leaves, and thousands of units are destroyed,
// each in the time it takes.
func TestLastKnown(t *testing.T) {
	f := newFleet(t, 4, setup{})
	voters, n4 := f.seats()
	n1, n2, n3 := voters[0], voters[1], voters[2]
	at := func(m *lab.Machine) string { return sleeper("[X-Fleet]", "MachineID="+m.MachineID) }
	f.start(n1, map[string]string{"one.service": at(n1), "two.service": at(n2), "four.service": at(n4)})
	quick := time.Now()
	f.verb(n4, "version")
	base := time.Since(quick)
	before := f.procs.snapshot()

	for _, m := range []*lab.Machine{n2, n3} {
		_, err := m.Kill()
		f.must(err)
	}
	for _, m := range []*lab.Machine{n1, n4} {
		f.eventually(m.Name+" to notice that the quorum is lost", soon,
			func() error { return f.stale(m, "one.service", "two.service", "four.service") })
		f.eventually(m.Name+" to see that "+n2.Name+" failed", soon, func() error {
			out, _, err := f.try(m, "list-units", "--no-legend", "--fields", "unit,active,sub", "two.service")
			if err == nil && !strings.Contains(strings.Join(strings.Fields(out), " "), "two.service unknown was-running") {
				err = fmt.Errorf("it lists\n%s", out)
			}
			return err
		})
		for _, c := range []struct {
			args []string
			says []string
		}{
			{[]string{"list-units"}, []string{"one.service", "four.service", "active"}},
			{[]string{"list-unit-files"}, []string{"two.service", "launched"}},
			{[]string{"list-machines", "--all"}, []string{n2.Name, "failed", n3.Name}},
			{[]string{"status", "two.service"}, []string{"unknown, as the machine is failed"}},
			{[]string{"explain", "one.service"}, []string{"it was on " + n1.Name + " when the store was last seen, ",
				"was here"}},
			{[]string{"explain", "two.service"}, []string{"it was on " + n2.Name + ", which is failed"}},
			{[]string{"events"}, []string{"started "}},
			{[]string{"events", "-o", "json"}, []string{"started "}},
			{[]string{"list-machines", "--all", "-o", "json"}, []string{"no answer for ", `"evidence"`}},
			{[]string{"list-units", "-o", "json"}, []string{"one.service"}},
			{[]string{"explain", "-o", "json", "two.service"}, []string{"two.service"}},
			{[]string{"cat", "two.service"}, []string{"Description=Sleeps"}},
		} {
			began := time.Now()
			out, said, err := f.try(m, c.args...)
			took := time.Since(began)
			t.Logf("%s on %s without a quorum: %.3f s", strings.Join(c.args, " "), m.Name, took.Seconds())
			if err != nil || says(out, c.says...) != nil || !strings.Contains(said, "can't be reached; this is how it was ") ||
				strings.Contains(said, "yet") {
				t.Errorf("%s on %s: %v, %v\n%s%s", strings.Join(c.args, " "), m.Name, err, says(out, c.says...), out, said)
			}
			// A second for the answer, and what a program takes to start on this host.
			if took > time.Second+10*base {
				t.Errorf("%s on %s took %v, and a verb that asks nothing %v", strings.Join(c.args, " "), m.Name, took, base)
			}
		}
		began := time.Now()
		out, said, err := f.try(m, "journal", "--lines=5", "one.service")
		t.Logf("journal on %s without a quorum: %.3f s", m.Name, time.Since(began).Seconds())
		if err != nil || !strings.Contains(out, "Started") {
			t.Errorf("journal on %s: %v\n%s%s", m.Name, err, out, said)
		}
		for _, args := range [][]string{{"stop", "one.service"}, {"start", "one.service"}, {"restart", "one.service"},
			{"destroy", "one.service"}, {"cordon", n1.Name}, {"drain", "--yes", n1.Name}, {"forget", n2.Name}} {
			began := time.Now()
			code, said := f.refusal(m, args...)
			took := time.Since(began)
			t.Logf("%s on %s without a quorum: %.3f s: %s", strings.Join(args, " "), m.Name, took.Seconds(), said)
			if code != 1 || !strings.Contains(said, "quorum") || strings.Contains(said, "yet") || took > 12*time.Second+10*base {
				t.Errorf("%s on %s: %d after %v: %s", strings.Join(args, " "), m.Name, code, took, said)
			}
		}
	}
	f.must(f.asBefore(before, n1, n4))

	for _, m := range []*lab.Machine{n2, n3} {
		f.must(m.Boot(f.ctx))
	}
	f.settled(f.machines...)
	for _, m := range f.machines {
		for _, verb := range []string{"list-units", "events"} {
			if _, said, err := f.try(m, verb); err != nil || strings.Contains(said, "can't be reached") {
				t.Errorf("%s on %s with a quorum again: %v, %s", verb, m.Name, err, said)
			}
		}
	}
	f.home("two.service")

	// What n4 has alone stops only when that is said, twice.
	code, said := f.refusal(n1, "drain", "--stop", n4.Name)
	if code != 1 || says(said, "four.service: ", "--yes", "nothing was done") != nil {
		t.Errorf("drain of n4: %d %s", code, said)
	}
	f.start(n1, map[string]string{"slow.service": sleeper("KillMode=mixed", "TimeoutStopSec=20", "ExecStop=/bin/sleep 3",
		"[X-Fleet]", "MachineID="+n4.MachineID)})
	began := time.Now()
	out, said, err := f.try(n1, "--request-timeout=2s", "drain", "--stop", "--yes", n4.Name)
	if err != nil || says(out, "("+n4.Name+") is drained: 0 units moved") != nil ||
		says(said, "stopped, as no other machine can take them: four.service, slow.service") != nil {
		t.Errorf("drain --stop --yes of n4: %v\n%s%s", err, out, said)
	}
	t.Logf("a drain with a unit that takes 3 s to stop, under --request-timeout=2s: %.1f s", time.Since(began).Seconds())
	f.must(f.empty(n4))
	f.must(says(f.verb(n4, "list-units", "--no-legend"), "four.service", "unplaced"))
	f.must(says(f.verb(n4, "join-command"), "fleettop join "))
	f.must(says(f.verb(n4, "leave", "--yes"), "is leaving the cluster"))
	f.eventually("n4 to be gone", soon, func() error {
		list, err := f.client(n1).Machines(f.ctx)
		if err == nil && len(list.Machines) != 3 {
			err = fmt.Errorf("%d machines", len(list.Machines))
		}
		return err
	})

	const many = 3000
	req := api.ActionRequest{Verb: api.Submit}
	for i := range many {
		req.Files = append(req.Files, api.File{Name: fmt.Sprintf("bulk-%04d.service", i), Content: sleeper()})
	}
	if _, err := f.client(n1).Act(f.ctx, req); err != nil {
		t.Fatal(err)
	}
	f.eventually("n2 to know them all", soon, func() error {
		list, err := f.client(n2).Units(f.ctx, false, "bulk-*")
		if err == nil && len(list.Units) != many {
			err = fmt.Errorf("it knows %d", len(list.Units))
		}
		return err
	})
	began = time.Now()
	out = f.verb(n2, "destroy", "bulk-*")
	t.Logf("destroy of %d units: %.1f s", many, time.Since(began).Seconds())
	if n := strings.Count(out, "Destroyed bulk-"); n != many {
		t.Errorf("%d units were said to be destroyed, of %d", n, many)
	}
	if list, err := f.client(n1).Units(f.ctx, false, "bulk-*"); err != nil || len(list.Units) > 0 {
		t.Errorf("%d of them are left, %v", len(list.Units), err)
	}
}

// seats returns the machines that vote, and the one that doesn't.
func (f *fleet) seats() (voters []*lab.Machine, other *lab.Machine) {
	f.t.Helper()
	list, err := f.client(f.machines[0]).Machines(f.ctx)
	f.must(err)
	for _, m := range f.machines {
		i := slices.IndexFunc(list.Machines, func(info api.MachineInfo) bool { return info.ID == m.MachineID })
		if list.Machines[i].Seat == cluster.Voter {
			voters = append(voters, m)
		} else {
			other = m
		}
	}
	if len(voters) != 3 || other == nil {
		f.t.Fatalf("%d machines vote", len(voters))
	}
	return voters, other
}
