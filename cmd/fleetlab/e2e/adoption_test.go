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

// TestGoesOnWhereItWas takes a machine away and back whose units can run
// nowhere else: cut off, and with a daemon that hangs for longer than its
// grace. What no other machine could take goes on with the process it had.
func TestGoesOnWhereItWas(t *testing.T) {
	f := newFleet(t, 3, setup{options: func(m *lab.Machine) string { return "--metadata host=" + m.Name }})
	n1, n3 := f.machines[0], f.machines[2]
	f.start(n1, map[string]string{
		"id.service":   sleeper("[X-Fleet]\nMachineID=" + n3.MachineID),
		"meta.service": sleeper("[X-Fleet]\nMachineMetadata=host=n3"),
		"with.service": sleeper("[X-Fleet]\nMachineOf=meta.service"),
		"all.service":  sleeper("[X-Fleet]\nGlobal=true"),
	})
	f.runsOn("all.service", f.machines...)
	for _, unit := range []string{"id.service", "meta.service", "with.service"} {
		f.runsOn(unit, n3)
	}
	before := f.procs.snapshot()
	for _, c := range []struct {
		name       string
		away, back func()
	}{
		{"cut off", func() { f.must(n3.Cut()) }, func() { f.must(n3.Heal()) }},
		{"its daemon hung", func() { f.on(n3, "systemctl", "kill", "--signal=STOP", lab.UnitName) },
			func() { f.on(n3, "systemctl", "kill", "--signal=CONT", lab.UnitName) }},
	} {
		f.procs.leaveOut(n3, true)
		began := time.Now()
		c.away()
		f.eventually(c.name+": n3 to fail", soon+10*time.Second, func() error { return f.health(n1, n3, cluster.Failed) })
		if out := f.verb(n1, "explain", "id.service"); !strings.Contains(out, "it goes on there when n3 is back") {
			t.Errorf("%s: explain says\n%s", c.name, out)
		}
		code, said := f.refusal(n1, "start", "id.service")
		if code != 1 || !strings.Contains(said, "is not placed: MachineID allows only n3") {
			t.Errorf("%s: start answers %d: %s", c.name, code, said)
		}
		f.procs.unchanged(t, before)
		c.back()
		f.settled(f.machines...)
		f.procs.leaveOut(n3, false)
		f.throughout(c.name+", after it was back", 2*time.Second, func() error { return f.asBefore(before, f.machines...) })
		t.Logf("%s: back after %.1f s, every unit with its process", c.name, time.Since(began).Seconds())
		if t.Failed() {
			t.FailNow()
		}
	}
}

// health returns an error unless a machine sees another one in a state.
func (f *fleet) health(from, of *lab.Machine, state cluster.HealthState) error {
	list, err := f.client(from).Machines(f.ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Machines {
		if m.ID == of.MachineID && m.Health.State == state {
			return nil
		} else if m.ID == of.MachineID {
			return fmt.Errorf("%s is %s: %s", of.Name, m.Health.State, m.Health.Evidence)
		}
	}
	return fmt.Errorf("%s is not known", of.Name)
}

// TestVanishedFiles takes the files of units away under systemd and the
// daemon. A unit that runs stays the cluster's, with its process, and is
// called inactive or destroyed only when it is.
func TestVanishedFiles(t *testing.T) {
	f := newFleet(t, 1, setup{})
	n1 := f.machines[0]
	const dir, links = "/run/fleettop/units", "/run/systemd/system"
	f.start(n1, sleepers("a.service", "b.service", "c.service"))
	f.verb(n1, append([]string{"load"}, f.write(n1, sleepers("idle.service"))...)...)
	for _, unit := range []string{"a.service", "b.service", "c.service"} {
		f.runsOn(unit, n1)
	}
	before := f.procs.snapshot()
	whole := func(unit string) error {
		for _, path := range []string{dir, links} {
			if _, err := n1.Exec(f.ctx, "test", "-e", path+"/"+unit); err != nil {
				return fmt.Errorf("%s is not in %s", unit, path)
			}
		}
		if state := f.show(n1, unit, "LoadState"); state != "loaded" {
			return fmt.Errorf("%s is %s", unit, state)
		}
		return nil
	}
	running := func() error {
		out := f.verb(n1, "list-units", "--no-legend", "--fields", "unit,active")
		if strings.Count(out, " active")+strings.Count(out, "\tactive") != 3 {
			return fmt.Errorf("list-units says\n%s", out)
		}
		return nil
	}
	for _, c := range []struct {
		name string
		take func()
	}{
		{"a file", func() { f.on(n1, "rm", dir+"/a.service") }},
		{"a link", func() { f.on(n1, "rm", links+"/a.service") }},
		{"a file and its link", func() { f.on(n1, "rm", dir+"/a.service", links+"/a.service") }},
		{"the directory", func() { f.on(n1, "rm", "-r", dir) }},
		{"the files of a unit that doesn't run", func() { f.on(n1, "rm", dir+"/idle.service", links+"/idle.service") }},
	} {
		c.take()
		f.on(n1, "systemctl", "daemon-reload")
		f.must(running())
		for _, unit := range []string{"a.service", "b.service", "c.service", "idle.service"} {
			f.eventually(c.name+" to be there again", soon, func() error { return whole(unit) })
		}
		f.must(running())
		f.procs.unchanged(t, before)
		if t.Failed() {
			t.Fatalf("after %s was taken", c.name)
		}
	}
	for _, c := range []struct {
		name string
		take []string
	}{
		{"a file", []string{dir + "/a.service"}},
		{"a file and its link", []string{dir + "/a.service", links + "/a.service"}},
	} {
		f.must(n1.StopFleettop(f.ctx))
		f.on(n1, append([]string{"rm"}, c.take...)...)
		f.on(n1, "systemctl", "daemon-reload")
		f.must(n1.StartFleettop(f.ctx))
		f.settled(n1)
		f.eventually(c.name+", gone without a daemon, to be there again", soon, func() error { return whole("a.service") })
		f.eventually("all to be listed", soon, running)
		f.procs.unchanged(t, before)
		if t.Failed() {
			t.Fatalf("after %s was taken while no daemon ran", c.name)
		}
	}
	for _, verb := range []string{"stop", "destroy"} {
		unit := map[string]string{"stop": "b.service", "destroy": "c.service"}[verb]
		f.on(n1, "rm", dir+"/"+unit, links+"/"+unit)
		f.on(n1, "systemctl", "daemon-reload")
		out := f.verb(n1, verb, unit)
		if state := f.show(n1, unit, "MainPID"); state != "0" {
			t.Errorf("%s says %q, and process %s of it lives", verb, out, state)
		}
	}
	f.verb(n1, "start", "b.service", "idle.service")
	f.runsOn("b.service", n1)
	f.runsOn("idle.service", n1)
}
