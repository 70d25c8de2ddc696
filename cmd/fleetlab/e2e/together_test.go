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
	"fleettop/units"
)

// TestUnitsThatBelongTogether gives a machine pairs and chains of units at
// once, as one start does and as the machine's boot does: systemd takes each
// in an order that it is happy with, and runs nothing that was not asked for.
func TestUnitsThatBelongTogether(t *testing.T) {
	began := time.Now()
	f := newFleet(t, 3, setup{unwatched: true})
	n1, n2 := f.machines[0], f.machines[1]
	const pairs = 12
	on2 := "[X-Fleet]\nMachineID=" + n2.MachineID[:8]
	files, running := map[string]string{}, []string{}
	add := func(name, content string) {
		files[name] = content
		running = append(running, name)
	}
	for k := range pairs {
		// The socket must listen before its service runs, or systemd refuses it.
		add(fmt.Sprintf("called-%d.service", k), sleeper(on2))
		add(fmt.Sprintf("called-%d.socket", k),
			fmt.Sprintf("[Socket]\nListenStream=%d\n[X-Fleet]\nMachineOf=called-%d.service\n", 9000+k, k))
		// The second of a chain counts on the first having started, and stops with it.
		add(fmt.Sprintf("z-first-%d.service", k), fmt.Sprintf("[Service]\nType=oneshot\nRemainAfterExit=yes\n"+
			"ExecStart=/bin/sh -c 'sleep 0.3; touch /run/first-%d'\n%s\n", k, on2))
		add(fmt.Sprintf("a-second-%d.service", k),
			fmt.Sprintf("[Unit]\nAfter=z-first-%d.service\nBindsTo=z-first-%d.service\n[Service]\n"+
				"ExecStartPre=/bin/test -e /run/first-%d\nExecStart=/bin/sleep infinity\n[X-Fleet]\nMachineOf=z-first-%d.service\n",
				k, k, k, k))
		add(fmt.Sprintf("b-third-%d.service", k), fmt.Sprintf("[Unit]\nAfter=z-first-%d.service\n[Service]\n"+
			"ExecStartPre=/bin/test -e /run/first-%d\nExecStart=/bin/sleep infinity\n[X-Fleet]\nMachineOf=z-first-%d.service\n",
			k, k, k))
	}
	f.start(n1, files)
	all := func() error {
		for _, name := range running {
			if state := f.show(n2, name, "ActiveState"); state != "active" {
				return fmt.Errorf("%s is %s", name, state)
			}
		}
		return nil
	}
	f.must(all())

	// Loaded beside its timer, a service is started by that alone; enabled,
	// it is started by nothing at all.
	f.verb(n1, append([]string{"load"}, f.write(n1, map[string]string{
		"tick.service":  "[Service]\nType=oneshot\nExecStart=/bin/touch /run/ticked\n" + on2,
		"waits.service": sleeper("[Install]\nWantedBy=multi-user.target", on2),
	})...)...)
	f.start(n1, map[string]string{"tick.timer": "[Timer]\nOnActiveSec=1h\n[X-Fleet]\nMachineOf=tick.service\n"})
	quiet := func() error {
		for _, name := range []string{"tick.service", "waits.service"} {
			if state := f.show(n2, name, "ActiveState"); state != "inactive" {
				return fmt.Errorf("%s is %s", name, state)
			}
		}
		if state := f.on(n2, "systemctl", "is-enabled", "waits.service"); !strings.HasPrefix(state, "enabled") {
			return fmt.Errorf("waits.service is %s", state)
		}
		if _, err := n2.Exec(f.ctx, "test", "-e", "/run/ticked"); err == nil {
			return fmt.Errorf("tick.service ran")
		}
		return nil
	}
	f.must(quiet())

	// A call while a pair is stopped doesn't start the service again.
	f.verb(n1, "stop", "called-0.socket", "called-0.service")
	f.must(func() error {
		if state := f.show(n2, "called-0.service", "ActiveState"); state != "inactive" {
			return fmt.Errorf("called-0.service is %s", state)
		}
		return nil
	}())
	f.verb(n1, "start", "called-0.socket", "called-0.service")

	// The same at boot.
	_, err := n2.Kill()
	f.must(err)
	f.settled(n1, f.machines[2])
	f.must(n2.Boot(f.ctx))
	f.settled(f.machines...)
	f.eventually("all to run after the boot", soon, all)
	f.must(quiet())
	for _, e := range f.events(n1, began) {
		if e.Kind == cluster.EventFailed {
			t.Errorf("told: %s", e.Text)
		}
	}
}

// TestMounts has systemd mount what mount and automount units say, on the machine they are placed on.
func TestMounts(t *testing.T) {
	f := newFleet(t, 3, setup{unwatched: true})
	n1, n3 := f.machines[0], f.machines[2]
	on3 := "[X-Fleet]\nMachineID=" + n3.MachineID[:8] + "\n"
	f.start(n1, map[string]string{
		"srv-data.mount":        "[Mount]\nWhat=tmpfs\nWhere=/srv/data\nType=tmpfs\n" + on3,
		"srv-on\\x2dcall.mount": "[Mount]\nWhat=tmpfs\nWhere=/srv/on-call\nType=tmpfs\n" + on3,
	})
	f.verb(n1, "stop", "srv-on\\x2dcall.mount")
	f.on(n3, "mountpoint", "/srv/data")
	// A kernel that gives containers no autofs has systemd refuse it, there and in so many words.
	paths := f.write(n1,
		map[string]string{"srv-on\\x2dcall.automount": "[Automount]\nWhere=/srv/on-call\n[X-Fleet]\nMachineOf=srv-on\\x2dcall.mount\n"})
	if out, said, err := f.try(n1, append([]string{"start"}, paths...)...); err != nil {
		f.must(says(out+said, n3.IP.String(), "this machine can't run units of its type"))
	} else {
		f.on(n3, "ls", "/srv/on-call")
		if state := f.show(n3, "srv-on\\x2dcall.mount", "ActiveState"); state != "active" {
			t.Errorf("it is %s after a look into it", state)
		}
	}
	if out := f.verb(n1, "list-units", "--no-legend", "--fields", "unit,active,sub",
		"srv-data.mount"); !strings.Contains(out, "mounted") {
		t.Errorf("list-units: %s", out)
	}
	f.verb(n1, "destroy", "srv-data.mount")
	f.eventually("the mount to be gone", soon, func() error {
		if _, err := n3.Exec(f.ctx, "mountpoint", "/srv/data"); err == nil {
			return fmt.Errorf("/srv/data is a mount point still")
		}
		return nil
	})
}

// TestGlobalUpdate updates a global unit machine by machine, leaves it where
// it is when it fails on one, and goes on under another leader.
func TestGlobalUpdate(t *testing.T) {
	began := time.Now()
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	const g = "g.service"
	global := func(version, program string) string {
		return "[Unit]\nDescription=" + version + "\n[Service]\nType=exec\nExecStartPre=/bin/sleep 0.5\nExecStart=" +
			program + "\n[X-Fleet]\nGlobal=true\n"
	}
	state := func(version string) (updated, active int) {
		list, err := f.client(n1).Unit(f.ctx, g)
		f.must(err)
		want, err := units.ParseFile(version)
		f.must(err)
		for _, p := range list.Placements {
			if p.Assignment == nil || p.Assignment.Hash != want.Hash() {
				continue
			}
			updated++
			if p.Status != nil && p.Status.Generation >= p.Assignment.Generation && p.Status.Active == "active" {
				active++
			}
		}
		return updated, active
	}
	everywhere := func(version string) {
		t.Helper()
		f.eventually("the unit to be updated everywhere", soon, func() error {
			updated, active := state(version)
			if updated-active > 1 {
				t.Fatalf("it is updated on %d machines and active on %d of them: that is more than one at a time", updated, active)
			}
			if active != 3 {
				return fmt.Errorf("active on %d machines", active)
			}
			return nil
		})
	}
	first, second := global("1", "/bin/sleep infinity"), global("2", "/bin/sleep infinity")
	bad, good := global("3", "/bin/false"), global("4", "/bin/sleep infinity")
	replace := func(content string) {
		t.Helper()
		f.write(n1, map[string]string{g: content})
		f.verb(n1, "start", "--replace", "/root/"+g)
	}
	f.write(n1, map[string]string{g: first})
	f.verb(n1, "start", "/root/"+g)
	f.runsOn(g, f.machines...)
	replace(second)
	everywhere(second)

	replace(bad)
	var held cluster.Event
	f.eventually("the update to be held", soon, func() error {
		for _, e := range f.events(n1, began) {
			if strings.Contains(e.Text, g+" is updated on no other machine: it failed") {
				held = e
				return nil
			}
		}
		return fmt.Errorf("the timeline has no word of it")
	})
	f.throughout("the update stays held", time.Second, func() error {
		if updated, _ := state(bad); updated != 1 {
			return fmt.Errorf("%d machines are updated", updated)
		}
		return nil
	})
	f.must(says(f.verb(n1, "explain", g), "it is updated on 0 of 3 machines", "the others wait, as it failed"))

	// The leader stops half-way, and another one goes on.
	replace(good)
	leader := f.leader()
	f.must(leader.RestartFleettop(f.ctx))
	n1 = f.machines[slices.IndexFunc(f.machines, func(m *lab.Machine) bool { return m != leader })]
	everywhere(good)
	if held.Unit != g {
		t.Errorf("the event is about %q", held.Unit)
	}
}
