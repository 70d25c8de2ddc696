//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

// TestStartAndStopDoIt: what start and stop say is what became of the unit,
// with the same exit code each time, whatever was done to it by hand before.
func TestStartAndStopDoIt(t *testing.T) {
	f := newFleet(t, 1, setup{})
	n1 := f.machines[0]
	oneshot := "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran >> /root/ran'\n"
	f.verb(n1, append([]string{"submit"}, f.write(n1, map[string]string{
		"missing.service": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/nonexistent\n",
		"dies.service":    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\n",
		"crashes.service": "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\nRestart=always\n",
		"ends.service":    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/true\n",
		"skipped.service": sleeper("[Unit]\nConditionPathExists=/nonexistent"),
		"runs.service":    sleeper(),
		"once.service":    oneshot,
	})...)...)
	for _, c := range []struct {
		unit, says string
		times      int
	}{
		{"missing.service", "could not execute its program", 6},
		{"dies.service", "exit-code", 6},
		{"crashes.service", "exit-code", 4},
		{"ends.service", "ended at once, without a failure: it is inactive", 4},
		{"skipped.service", "a condition that its file demands is not met", 1},
	} {
		for i := range c.times {
			verb := []string{"start", "restart"}[i%2]
			code, said := f.refusal(n1, verb, c.unit)
			if code != 1 || !strings.Contains(said, c.says) {
				t.Errorf("%s %s, time %d: exit code %d, want 1 with %q: %s", verb, c.unit, i+1, code, c.says, said)
			}
		}
		f.verb(n1, "stop", c.unit)
	}
	for i := range 3 {
		out := f.verb(n1, "start", "once.service")
		if ran := f.on(n1, "cat", "/root/ran"); !strings.Contains(out, "once.service ran and finished") ||
			strings.Count(ran, "ran") != i+1 {
			t.Errorf("start %d of a oneshot says %q, and it ran %d times", i+1, out, strings.Count(ran, "ran"))
		}
	}

	f.verb(n1, "start", "runs.service")
	for _, by := range [][]string{{"stop"}, {"kill", "--signal=TERM"}, {"kill", "--signal=KILL"}} {
		f.on(n1, append(append([]string{"systemctl"}, by...), "runs.service")...)
		f.eventually("runs.service to be down", soon, func() error {
			return f.listed(n1, "runs.service", "inactive",
				"failed")
		})
		f.verb(n1, "start", "runs.service")
		if state := f.show(n1, "runs.service", "ActiveState"); state != "active" {
			t.Errorf("after systemctl %s, start says that it did, and it is %s", by, state)
		}
	}
	f.verb(n1, "stop", "runs.service")
	f.on(n1, "systemctl", "start", "runs.service")
	f.eventually("runs.service to be up", soon, func() error { return f.listed(n1, "runs.service", "active") })
	f.verb(n1, "stop", "runs.service")
	if state := f.show(n1, "runs.service", "ActiveState"); state != "inactive" {
		t.Errorf("stop of what was started by hand says that it did, and it is %s", state)
	}
}

// listed returns an error unless list-units says that a unit is in one of these states.
func (f *fleet) listed(m *lab.Machine, unit string, states ...string) error {
	out := f.verb(m, "list-units", "--no-legend", "--fields", "active", unit)
	for _, state := range states {
		if strings.TrimSpace(out) == state {
			return nil
		}
	}
	return fmt.Errorf("it is %q", strings.TrimSpace(out))
}

// TestFinishedOneshot: a oneshot that has run isn't run again because its
// machine loses its power or is drained, unless its file says so or it was running.
func TestFinishedOneshot(t *testing.T) {
	f := newFleet(t, 3, setup{})
	leader := f.leader()
	victim := f.others(leader)[0]
	last := f.others(leader, victim)[0]
	once := func(name, more string) string {
		return "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran >> /root/" + name + more + "'\n"
	}
	for _, m := range []*lab.Machine{leader, last} {
		f.verb(leader, "cordon", m.MachineID)
	}
	f.start(leader, map[string]string{
		"done.service":  once("done", ""),
		"rerun.service": once("rerun", "") + "[X-Fleet]\nRerun=true\n",
		"runs.service":  sleeper(),
	})
	f.verb(leader, append([]string{"start", "--no-block"}, f.write(leader,
		map[string]string{"busy.service": once("busy", "; sleep 1000")})...)...)
	f.eventually("the oneshot that takes long to run", soon, func() error { return f.ran(victim, "busy", 1) })
	for _, name := range []string{"done", "rerun"} {
		f.must(f.ran(victim, name, 1))
	}
	f.eventually("the assignment to say that it finished", soon, func() error {
		if out := f.verb(leader, "explain", "done.service"); !strings.Contains(out, "it ran and finished") {
			return errors.New(out)
		}
		return nil
	})
	f.verb(leader, "uncordon", last.MachineID)
	began := time.Now()
	_, err := victim.Kill()
	f.must(err)
	f.runsOn("runs.service", last)
	f.eventually("the others to run again", soon, func() error {
		return errors.Join(f.ran(last, "rerun", 1),
			f.ran(last, "busy", 1))
	})
	f.eventually("the failover's summary", soon, func() error {
		for _, e := range f.events(leader, began) {
			if e.Kind == cluster.EventFailover && e.Machine == victim.MachineID {
				t.Log(e.Text)
				if strings.Contains(e.Text, "not active yet") || !strings.Contains(e.Text, "4 units moved") {
					t.Errorf("the summary says %q", e.Text)
				}
				return nil
			}
		}
		return errors.New("there is none")
	})
	f.eventually("done.service to be listed on the new machine", soon,
		func() error { return f.listed(leader, "done.service", "inactive") })
	f.must(f.ran(last, "done", 0))

	f.verb(leader, "uncordon", leader.MachineID)
	f.verb(leader, "drain", last.MachineID)
	f.runsOn("runs.service", leader)
	f.eventually("what is to run again to run again", soon, func() error { return f.ran(leader, "rerun", 1) })
	f.must(f.ran(leader, "done", 0))
	if out := f.verb(leader, "start", "done.service"); !strings.Contains(out, "done.service ran and finished") {
		t.Errorf("start says %q", out)
	}
	f.must(f.ran(leader, "done", 1))
}

// ran returns an error unless a oneshot ran so many times on a machine.
func (f *fleet) ran(m *lab.Machine, name string, times int) error {
	out, err := m.Exec(f.ctx, "sh", "-c", "cat /root/"+name+" 2>/dev/null || true")
	if n := strings.Count(out, "ran"); err != nil || n != times {
		return fmt.Errorf("%s ran %d times on %s, want %d: %v", name, n, m.Name, times, err)
	}
	return nil
}
