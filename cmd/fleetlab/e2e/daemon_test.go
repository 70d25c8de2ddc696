//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// TestDaemonComesAndGoes restarts, kills and upgrades the daemon on every
// machine, the leader's too: no unit notices, nothing moves.
func TestDaemonComesAndGoes(t *testing.T) {
	upgrade := binaryOf(t, "e2e-2")
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	units := sleepers("one.service", "two.service", "three.service")
	units["forking.service"] = "[Service]\nType=forking\nExecStart=/bin/sh -c '/bin/sleep infinity & exit 0'\n"
	units["remains.service"] = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
	f.start(n1, units)
	for _, unit := range []string{"one.service", "two.service", "three.service", "forking.service"} {
		f.home(unit)
	}
	before := f.procs.snapshot()
	began := time.Now()
	for _, how := range []struct {
		name string
		do   func(m *lab.Machine)
	}{
		{"restarted", func(m *lab.Machine) { f.must(m.RestartFleettop(f.ctx)) }},
		{"killed", func(m *lab.Machine) {
			pid := f.show(m, lab.UnitName, "MainPID")
			f.on(m, "kill", "-9", pid)
			f.eventually("systemd to start the daemon again", soon, func() error {
				if now := f.show(m, lab.UnitName, "MainPID"); now == pid || now == "0" {
					return fmt.Errorf("its PID is %s", now)
				}
				return nil
			})
		}},
		{"upgraded", func(m *lab.Machine) {
			f.must(m.CopyIn(upgrade, lab.BinaryPath, 0o755))
			f.must(m.RestartFleettop(f.ctx))
		}},
	} {
		for _, m := range f.machines {
			how.do(m)
			f.settled(f.machines...)
			f.procs.unchanged(t, before)
			if t.Failed() {
				t.Fatalf("when the daemon of %s was %s", m.Name, how.name)
			}
		}
		t.Logf("the daemons were %s", how.name)
	}
	out := f.verb(n1, "list-machines", "--no-legend", "--fields", "name,version")
	if strings.Count(out, "e2e-2") != 3 {
		t.Errorf("after the upgrade:\n%s", out)
	}
	if out := f.verb(n1, "list-units", "--no-legend", "--fields", "unit,active"); strings.Count(out,
		" active") != len(units) {
		t.Errorf("units after all that:\n%s", out)
	}
	// A daemon that was taken for gone would be given up after its grace only.
	f.throughout("the grace after that", 11*time.Second, func() error { return f.asBefore(before, f.machines...) })
	f.still(n1, began)
	f.procs.neverTwice(t)

	// What was adopted is managed as before.
	f.verb(n1, "restart", "one.service")
	home := f.home("one.service")
	if now := f.procs.snapshot(); now[place{home.Name, "one.service"}] == before[place{home.Name, "one.service"}] {
		t.Error("restart left the process as it was")
	}
	f.verb(n1, "stop", "two.service")
	if on := f.procs.running("two.service"); len(on) != 0 {
		t.Errorf("stop left it running on %d machines", len(on))
	}
}
