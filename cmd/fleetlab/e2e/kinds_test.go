//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// TestKinds has systemd itself run the kinds of units there are besides plain
// services, and fleettop place units by what [X-Fleet] can say.
func TestKinds(t *testing.T) {
	racks := map[string]string{"n1": "left", "n2": "left", "n3": "right"}
	f := newFleet(t, 3, setup{options: func(m *lab.Machine) string {
		return "--metadata rack=" + racks[m.Name] + ",host=" +
			m.Name
	}})
	n1, n2, n3 := f.machines[0], f.machines[1], f.machines[2]
	load := func(files map[string]string) { f.verb(n1, append([]string{"load"}, f.write(n1, files)...)...) }

	// Each of these starts its service, which is loaded on n2 and not started by us.
	on2 := "[X-Fleet]\nMachineMetadata=host=n2"
	load(map[string]string{
		"tick.service":   "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /run/ticked\n" + on2,
		"called.service": sleeper(on2), "seen.service": sleeper(on2), "wanted.service": sleeper(on2)})
	f.start(n1, map[string]string{
		"tick.timer":    "[Timer]\nOnActiveSec=1\nAccuracySec=10ms\n[X-Fleet]\nMachineOf=tick.service\n",
		"called.socket": "[Socket]\nListenStream=9000\n[X-Fleet]\nMachineOf=called.service\n",
		"seen.path":     "[Path]\nPathExists=/run/seen\n[X-Fleet]\nMachineOf=seen.service\n",
		"all.target":    "[Unit]\nWants=wanted.service\n[X-Fleet]\nMachineOf=wanted.service\n"})
	f.runsOn("wanted.service", n2)
	f.eventually("the timer to start its service", soon, func() error {
		_, err := n2.Exec(f.ctx, "test", "-e", "/run/ticked")
		return err
	})
	if on := slices.Concat(f.procs.running("called.service"), f.procs.running("seen.service")); len(on) != 0 {
		t.Errorf("%d services run that nobody called", len(on))
	}
	conn, err := f.lab.Dial(f.ctx, "tcp", "n2:9000")
	f.must(err)
	conn.Close()
	f.on(n2, "touch", "/run/seen")
	f.runsOn("called.service", n2)
	f.runsOn("seen.service", n2)
	for _, unit := range []string{"tick.timer", "called.socket", "seen.path", "all.target"} {
		if state := f.show(n2, unit, "ActiveState"); state != "active" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	// What systemd started is left alone, also by the daemon's next run.
	before := f.procs.snapshot()
	f.must(n2.RestartFleettop(f.ctx))
	f.settled(f.machines...)
	f.procs.unchanged(t, before)

	// Enabled as long as it is there.
	f.start(n1, map[string]string{"boots.service": sleeper("[Install]\nWantedBy=multi-user.target", on2)})
	if state := f.on(n2, "systemctl", "is-enabled", "boots.service"); !strings.HasPrefix(state, "enabled") {
		t.Errorf("boots.service is %s", state)
	}
	f.verb(n1, "destroy", "boots.service")
	f.eventually("boots.service to be forgotten", soon, func() error {
		if state := f.show(n2, "boots.service", "LoadState"); state != "not-found" {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})

	// Where it says, and nowhere else.
	f.start(n1, map[string]string{
		"everywhere.service": sleeper("[X-Fleet]\nGlobal=true"),
		"lefties.service":    sleeper("[X-Fleet]\nGlobal=true\nMachineMetadata=rack=left"),
		"right.service":      sleeper("[X-Fleet]\nMachineMetadata=rack=right"),
		"either.service":     sleeper("[X-Fleet]\nMachineMetadata=\"rack=right\" \"host=n2\"\nMachineMetadata=host=n3"),
	})
	f.runsOn("everywhere.service", n1, n2, n3)
	f.runsOn("lefties.service", n1, n2)
	f.runsOn("right.service", n3)
	f.runsOn("either.service", n3)
	f.write(n1, map[string]string{"of@.service": sleeper("[X-Fleet]\nMachineMetadata=host=%i"),
		"one@.service": sleeper("[X-Fleet]\nConflicts=one@*.service")})
	f.verb(n1, "submit", "/root/of@.service", "/root/one@.service")
	f.verb(n1, "start", "of@n3.service", "of@n1.service")
	f.runsOn("of@n3.service", n3)
	f.runsOn("of@n1.service", n1)

	// Four that keep away from each other have room for three on three machines.
	_, said := f.refusal(n1, "start", "one@1.service", "one@2.service", "one@3.service", "one@4.service")
	f.must(says(said, "not placed", "conflict"))
	running := func() (names []string) {
		for _, unit := range []string{"one@1.service", "one@2.service", "one@3.service", "one@4.service"} {
			if len(f.procs.running(unit)) > 0 {
				names = append(names, unit)
			}
		}
		return names
	}
	f.eventually("three of four to run", soon, func() error {
		if names := running(); len(names) != 3 {
			return fmt.Errorf("these run: %v", names)
		}
		return nil
	})
	first := running()[0]
	f.verb(n1, "destroy", first)
	f.eventually("the fourth to take the room", soon, func() error {
		if names := running(); len(names) != 3 || slices.Contains(names, first) {
			return fmt.Errorf("these run: %v", names)
		}
		return nil
	})

	// A machine that comes later gets the global units, too.
	_, err = n3.Kill()
	f.must(err)
	f.settled(n1, n2)
	f.must(n3.Boot(f.ctx))
	f.settled(f.machines...)
	f.runsOn("everywhere.service", n1, n2, n3)
	f.runsOn("right.service", n3)
	f.procs.neverTwice(t, "everywhere.service", "lefties.service")
}

// runsOn waits until a unit runs on these machines and no others, and still does a moment later.
func (f *fleet) runsOn(unit string, machines ...*lab.Machine) {
	f.t.Helper()
	check := func() error {
		if on := f.procs.running(unit); !slices.Equal(on, machines) {
			names := make([]string, 0, len(on))
			for _, m := range on {
				names = append(names, m.Name)
			}
			return fmt.Errorf("%s runs on %q", unit, names)
		}
		return nil
	}
	f.eventually(fmt.Sprintf("%s to run on %d machines", unit, len(machines)), soon, check)
	f.throughout(unit, 100*time.Millisecond, check)
}
