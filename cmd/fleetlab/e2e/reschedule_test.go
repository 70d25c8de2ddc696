//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api"
)

// TestReschedule runs units whose program is on one machine only: they are tried
// on the others, each once, then again after a pause, and end where they run. What
// was tried outlives the leader. A unit that fails everywhere says so.
func TestReschedule(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1, n3 := f.machines[0], f.machines[2]
	put := func(m *lab.Machine, path string) {
		f.must(m.WriteFile(path, []byte("#!/bin/sh\nexec sleep infinity\n"), 0o755))
	}
	file := func(exec string, more ...string) string {
		return "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=3\n[Service]\nExecStart=" + exec + "\n" + strings.Join(more, "\n") +
			"\n[X-Fleet]\nReschedule=on-failure\n"
	}
	for _, path := range []string{"/opt/one", "/opt/loop", "/opt/excl", "/opt/late"} {
		put(n3, path)
	}
	files := map[string]string{
		"one.service":  file("/opt/one"),
		"excl.service": file("/opt/excl") + "Exclusive=true\n",
		// It runs for a while and crashes where it lacks what it needs: that is left to systemd's limits first.
		"loop.service": file("/bin/sh -c 'sleep 0.4; test -e /opt/loop || exit 7; exec sleep infinity'", "Restart=on-failure", "RestartSec=100ms"),
		"none.service": file("/opt/none"), "late.service": file("/opt/late"),
	}
	f.write(n1, files)
	c := f.client(n1)
	at := func(unit string) (api.Assignment, *cluster.Status) {
		d, err := c.Unit(f.ctx, unit)
		f.must(err)
		if len(d.Placements) != 1 || d.Placements[0].Assignment == nil {
			return api.Assignment{}, nil
		}
		return *d.Placements[0].Assignment, d.Placements[0].Status
	}
	runsOn := func(unit string, m *lab.Machine) {
		t.Helper()
		f.eventually(unit+" to run on "+m.Name, 40*time.Second, func() error {
			a, st := at(unit)
			if a.Machine != m.MachineID || st == nil || st.Active != "active" || st.Epoch != a.Epoch {
				return fmt.Errorf("it is on %s: %s, %+v", a.Machine, a.Reason, st)
			}
			return nil
		})
	}
	tell := func(unit string) {
		t.Log(f.verb(n1, "status", unit))
	}
	timeline := func() string { return f.verb(n1, "events") }

	// A missing binary: the verb waits until the unit runs.
	began := time.Now()
	t.Log(f.verb(n1, "start", "/root/one.service"))
	runsOn("one.service", n3)
	t.Logf("one.service ran on the third machine %.2f s after it was started", time.Since(began).Seconds())
	if a, _ := at("one.service"); len(a.Tries) != 2 || !strings.Contains(a.Tries[0].Reason, "status 203") {
		t.Errorf("its tries: %+v", a.Tries)
	}
	tell("one.service")
	began = time.Now()
	t.Log(f.verb(n1, "start", "/root/excl.service"))
	runsOn("excl.service", n3)
	t.Logf("excl.service ran on the third machine %.2f s after it was started", time.Since(began).Seconds())

	// Crashes are systemd's until its limit is hit.
	f.verb(n1, "start", "--no-block", "/root/loop.service")
	runsOn("loop.service", n3)
	if a, _ := at("loop.service"); len(a.Tries) != 2 {
		t.Errorf("its tries: %+v", a.Tries)
	}
	tell("loop.service")

	// A machine that comes in later.
	f.verb(n1, "cordon", "n3")
	f.verb(n1, "start", "--no-block", "/root/late.service")
	f.eventually("late.service to fail on the others", soon, func() error {
		a, _ := at("late.service")
		if len(a.Tries) < 2 || !a.Waits() {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	out := f.verb(n1, "list-units", "--no-legend", "--fields", "unit,active,reason")
	if !strings.Contains(out, "next try on n") {
		t.Errorf("list-units says nothing of the next try:\n%s", out)
	}
	f.verb(n1, "uncordon", "n3")
	runsOn("late.service", n3)

	// All fail: the verb says so, and what comes next; another leader goes on with it.
	code, said := f.refusal(n1, "start", "/root/none.service")
	if code != 1 || !strings.Contains(said, "none.service failed: tried on n") || !strings.Contains(said, "next try on n") {
		t.Errorf("start says %d: %s", code, said)
	}
	before, _ := at("none.service")
	leader := f.machines[0]
	list, err := c.Machines(f.ctx)
	f.must(err)
	for _, info := range list.Machines {
		for _, m := range f.machines {
			if info.Leader && info.ID == m.MachineID {
				leader = m
			}
		}
	}
	put(f.machines[1], "/opt/none")
	f.must(leader.RestartFleettop(f.ctx))
	c = f.client(n1)
	f.eventually("none.service to run on n2", time.Minute, func() error {
		a, st := at("none.service")
		if a.Machine != f.machines[1].MachineID || st == nil || st.Active != "active" {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
	after, _ := at("none.service")
	if len(before.Tries) != 3 || len(after.Tries) < 3 || after.Tries[0].At.Compare(before.Tries[0].At) != 0 || after.Attempt < 3 {
		t.Errorf("before %+v\nafter %+v", before.Tries, after.Tries)
	}
	told := timeline()
	for _, text := range []string{"one.service tried on n", "; next try on n", "it failed there (exit-code"} {
		if !strings.Contains(told, text) {
			t.Errorf("the timeline lacks %q", text)
		}
	}
	if strings.Contains(told, "by hand") {
		t.Errorf("what systemd does by Restart= is taken for done by hand:\n%s", told)
	}

	// An operator who starts it again begins anew.
	f.verb(n1, "stop", "one.service")
	f.verb(n1, "start", "one.service")
	if a, _ := at("one.service"); len(a.Tries) != 0 {
		t.Errorf("its tries after a new start: %+v", a.Tries)
	}
	f.write(n1, map[string]string{"every.service": file("/opt/one") + "Global=true\n"})
	if code, said := f.refusal(n1, "start", "/root/every.service"); code != 1 || !strings.Contains(said, "can't be used with Global=true") {
		t.Errorf("a global unit: %d %s", code, said)
	}
	f.procs.neverTwice(t)
}
