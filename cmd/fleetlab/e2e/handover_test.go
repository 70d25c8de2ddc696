//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// TestAdoptAndRelease takes units over that run under the machines' own files,
// and gives one back: all the while each has the process that it had.
func TestAdoptAndRelease(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1, n2 := f.machines[0], f.machines[1]
	hosts := func(m *lab.Machine, name, content string) string {
		t.Helper()
		f.must(m.WriteFile("/etc/systemd/system/"+name, []byte(content), 0o644))
		f.on(m, "systemctl", "daemon-reload")
		f.on(m, "systemctl", "enable", "--now", "--no-block", name)
		return name
	}
	const install = "[Install]\nWantedBy=multi-user.target\n"
	for _, name := range []string{"web.service", "back.service"} {
		hosts(n2, name, sleeper(install))
	}
	hosts(n2, "crashes.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=1h\n"+install)
	hosts(n2, "drop.service", sleeper(install))
	f.on(n2, "systemctl", "set-property", "--runtime", "drop.service", "CPUWeight=90")
	f.on(n2, "systemd-run", "--unit=made.service", "sleep", "infinity")
	f.eventually("the crash", soon, func() error { return want(f.show(n2, "crashes.service", "SubState"), "auto-restart") })
	pids := map[string]string{}
	for _, unit := range []string{"web.service", "back.service"} {
		pids[unit] = f.show(n2, unit, "MainPID")
	}
	for unit, why := range map[string]string{"drop.service": "drop-in file", "made.service": "has no file that lasts", "dbus.service": "the host's own",
		"none.service": "n2 has no unit none.service"} {
		if code, said := f.refusal(n1, "adopt", unit+"@n2"); code != 1 || !strings.Contains(said, why) {
			t.Errorf("adopt %s answers %d, want %q:\n%s", unit, code, why, said)
		}
	}
	out := f.verb(n1, "adopt", "--option", "Conflicts=web@*.service", "web.service@n2", "back.service@n2")
	for unit, pid := range pids {
		if now := f.show(n2, unit, "MainPID"); now != pid {
			t.Errorf("adopting %s changed its process from %s to %s:\n%s", unit, pid, now, out)
		}
	}
	if _, said, err := f.try(n1, "adopt", "--wait", "5s", "crashes.service@n2"); err == nil || !strings.Contains(said, "crashes.service") {
		t.Errorf("a unit that crashes is adopted as %v: %s", err, said)
	}
	if out := f.verb(n1, "cat", "crashes.service"); !strings.Contains(out, "ExecStart=/bin/false") {
		t.Errorf("it is not the cluster's:\n%s", out)
	}
	f.verb(n1, "destroy", "crashes.service")

	f.verb(n1, "release", "back.service")
	if now := f.show(n2, "back.service", "MainPID"); now != pids["back.service"] {
		t.Errorf("its release changed the process of back.service from %s to %s", pids["back.service"], now)
	}
	if path := f.show(n2, "back.service", "FragmentPath"); path != "/etc/systemd/system/back.service" {
		t.Errorf("back.service is from %s", path)
	}
	f.must(n2.StopFleettop(f.ctx))
	if now := f.show(n2, "back.service", "MainPID"); now != pids["back.service"] {
		t.Errorf("back.service did not survive the daemon: %s, was %s", now, pids["back.service"])
	}
	f.must(n2.StartFleettop(f.ctx))
	f.settled(f.machines...)
	if now := f.show(n2, "web.service", "MainPID"); now != pids["web.service"] {
		t.Errorf("web.service has the process %s, had %s", now, pids["web.service"])
	}
	if out := f.verb(n1, "list-unit-files"); strings.Contains(out, "back.service") {
		t.Errorf("the cluster has the released unit still:\n%s", out)
	}

	_, err := n2.Kill()
	f.must(err)
	f.eventually("web.service to run elsewhere", soon, func() error {
		out := f.verb(n1, "list-units", "--no-legend", "--fields=unit,machine,active")
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "web.service") && strings.Contains(line, "active") && !strings.Contains(line, n2.IP.String()) {
				return nil
			}
		}
		return want(out, "web.service on another machine")
	})
}

// TestAdoptFromFleet takes over the units that a fleet has on three machines, as
// its agents keep them, with all their processes.
func TestAdoptFromFleet(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	var answer struct {
		units    []fleetv1.Unit
		states   []fleetv1.UnitState
		machines []fleetv1.Machine
	}
	pids := map[string]string{} // by unit@machine
	has := func(m *lab.Machine, name, content string, desired units.DesiredState) {
		t.Helper()
		f.on(m, "mkdir", "-p", "/run/fleet/units")
		f.must(m.WriteFile("/run/fleet/units/"+name, []byte(content), 0o644))
		f.on(m, "systemctl", "link", "--runtime", "/run/fleet/units/"+name)
		if desired == units.Launched {
			f.on(m, "systemctl", "start", name)
			pids[name+"@"+m.Name] = f.show(m, name, "MainPID")
		}
		answer.states = append(answer.states, fleetv1.UnitState{Name: name, MachineID: m.MachineID, SystemdLoadState: "loaded"})
	}
	of := func(name, content string, desired units.DesiredState, at string) {
		t.Helper()
		file, err := units.ParseFile(content)
		f.must(err)
		answer.units = append(answer.units, fleetv1.Unit{Name: name, DesiredState: desired, MachineID: at, Options: fleetv1.OptionsOf(file)})
	}
	web, all := sleeper("[X-Fleet]\nConflicts=web@*.service"), sleeper("[X-Fleet]\nGlobal=true")
	of("web@.service", web, units.Inactive, "")
	of("all.service", all, units.Launched, "")
	for i, m := range f.machines {
		name := []string{"web@1.service", "web@2.service", "web@3.service"}[i]
		has(m, name, web, units.Launched)
		of(name, web, units.Launched, m.MachineID)
		has(m, "all.service", all, units.Launched)
		answer.machines = append(answer.machines, fleetv1.Machine{ID: m.MachineID, PrimaryIP: m.IP.String()})
	}
	side := sleeper("[X-Fleet]\nMachineOf=web@2.service")
	has(f.machines[1], "side.service", side, units.Launched)
	of("side.service", side, units.Launched, f.machines[1].MachineID)
	has(f.machines[2], "idle.service", sleeper(), units.Loaded)
	of("idle.service", sleeper(), units.Loaded, f.machines[2].MachineID)

	path, err := n1.HostPath("/run/fleet.sock")
	f.must(err)
	l, err := net.Listen("unix", path)
	f.must(err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"/fleet/v1/units": fleetv1.UnitPage{Units: answer.units},
			"/fleet/v1/state":    fleetv1.UnitStatePage{States: answer.states},
			"/fleet/v1/machines": fleetv1.MachinePage{Machines: answer.machines}}[r.URL.Path])
	}))
	server.Listener.Close()
	server.Listener = l
	server.Start()
	defer server.Close()

	plan := f.verb(n1, "adopt", "--from-fleet=unix:///run/fleet.sock", "--dry-run")
	out := f.verb(n1, "adopt", "--from-fleet=unix:///run/fleet.sock")
	t.Logf("the plan:\n%sdone:\n%s", plan, out)
	if !strings.Contains(out, "7 units: 7 done, 0 not.") {
		t.Errorf("the summary is missing:\n%s", out)
	}
	f.eventually("all to be the cluster's", soon, func() error {
		for at := range pids {
			unit, name, _ := strings.Cut(strings.Replace(at, "@n", "|n", 1), "|")
			for _, m := range f.machines {
				if m.Name != name {
					continue
				}
				if err := want(f.show(m, unit, "FragmentPath"), "fleettop"); err != nil && want(f.show(m, unit, "FragmentPath"), "/run/systemd/system/") != nil {
					return err
				}
				if _, err := m.ReadFile("/run/fleettop/units/" + unit); err != nil {
					return err
				}
			}
		}
		return nil
	})
	f.throughout("after it", 2*time.Second, func() error {
		for at, pid := range pids {
			unit, name, _ := strings.Cut(strings.Replace(at, "@n", "|n", 1), "|")
			for _, m := range f.machines {
				if m.Name == name {
					if now := f.show(m, unit, "MainPID"); now != pid {
						t.Fatalf("%s has the process %s, had %s", at, now, pid)
					}
				}
			}
		}
		return nil
	})
	if state := f.show(f.machines[2], "idle.service", "ActiveState"); state != "inactive" {
		t.Errorf("what was loaded is %s", state)
	}
	if out := f.verb(n1, "adopt", "--from-fleet=unix:///run/fleet.sock"); strings.Count(out, "is in the cluster already") != 7 {
		t.Errorf("a second time:\n%s", out)
	}
}

// want returns an error unless a text has a part.
func want(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("%q is not in %q", part, text)
	}
	return nil
}
