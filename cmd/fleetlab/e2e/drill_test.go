//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/witness"
	"fleettop/daemon/api"
)

// How far the timeline's outages may be from what the units themselves recorded, in seconds: a unit records its
// start at once, and the leader sees it when it is reported, which takes its time on a busy host.
const drillLess, drillMore = 0.3, 1.5

// TestDrill takes the leader's machine out as by a loss of power: its units end at once, run nowhere twice, are
// away for as long as the report says, and the machine comes back by itself, empty and with its vote. Another
// drill ends with a boot in the middle of it.
func TestDrill(t *testing.T) {
	f := newFleet(t, 3, setup{})
	const stopped = "/root/stopped"
	names := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	files := map[string]string{}
	for _, name := range names {
		files[name] = witness.Service("Restart=always", "RestartSec=0", "ExecStop=/bin/touch "+stopped)
	}
	files["stubborn.service"] = witness.StubbornService("TimeoutStopSec=60", "Restart=always")
	names = append(names, "stubborn.service")
	f.start(f.machines[0], files)
	victim := f.leader()
	at := f.others(victim)[0]

	f.start(at, map[string]string{"only.service": witness.Service("[X-Fleet]", "Exclusive=true", "MachineID="+victim.MachineID)})
	if code, said := f.refusal(at, "drill", victim.Name, "--yes"); code != 1 ||
		!strings.Contains(said, "only.service is an exclusive unit on "+victim.Name) {
		t.Errorf("with an exclusive unit there: %d, %s", code, said)
	}
	f.verb(at, "destroy", "only.service")
	f.eventually("the exclusive unit to be gone", soon, func() error {
		if n := len(f.procs.running("only.service")); n > 0 {
			return fmt.Errorf("it runs on %d", n)
		}
		return nil
	})
	lost := f.unitsOn(victim, names)
	t.Logf("%s has %v:\n%s", victim.Name, lost, f.verb(at, "drill", victim.Name, "--dry-run"))
	daemon := f.show(victim, "fleettop.service", "MainPID")
	began := time.Now()
	var report api.DrillReport
	f.must(json.Unmarshal([]byte(f.verb(at, "drill", victim.Name, "--yes", "--for", "10s", "-o", "json")), &report))
	if !report.Over || report.NotOut || len(report.Units) != len(lost) {
		t.Fatalf("the report is %+v of %v:%s", report, lost, f.timeline(at, began))
	}
	for _, u := range report.Units {
		if !slices.Contains(lost, u.Unit) || u.Outage == nil {
			t.Errorf("the report has %+v", u)
			continue
		}
		f.neverTwice(u.Unit)
		runs := f.witnessed(u.Unit)
		last, before := runs[len(runs)-1], runs[len(runs)-2]
		gap := (last.From - before.To).Seconds()
		if before.Machine != victim.Name || last.Machine == victim.Name || u.OutageSeconds < gap-drillLess ||
			u.OutageSeconds > gap+drillMore {
			t.Errorf("%s was away for %.2f s by its own records, from %s to %s, and for %.2f s by the report", u.Unit, gap,
				before.Machine, last.Machine, u.OutageSeconds)
		}
		t.Logf("%s: outage %.2f s by the report, %.2f s by its own records", u.Unit, u.OutageSeconds, gap)
	}
	t.Logf("back and ready %.1f s after the drill's end; %s", report.ReadySeconds, report.Summary)
	if now := f.show(victim, "fleettop.service", "MainPID"); now != daemon {
		t.Errorf("the daemon was process %s and is %s", daemon, now)
	}
	if restarts := f.show(victim, "fleettop.service", "NRestarts"); restarts != "0" {
		t.Errorf("systemd restarted the daemon %s times", restarts)
	}
	if _, err := victim.ReadFile(stopped); err == nil {
		t.Error("ExecStop= was run")
	}
	f.must(f.empty(victim))
	f.settled(f.machines...)
	for _, e := range f.events(at, began) {
		if e.Kind == cluster.EventMoved && e.To == victim.MachineID {
			t.Errorf("a unit went back by itself: %s", e.Text)
		}
		if e.Kind == cluster.EventFailover && e.Drill != report.ID {
			t.Errorf("it isn't marked as a drill: %+v", e)
		}
	}
	f.verb(at, "rebalance", "--yes")
	if len(f.unitsOn(victim, names)) == 0 {
		t.Error("a rebalance brought no unit back")
	}

	// A boot in the middle ends it.
	lost = f.unitsOn(victim, names)
	reply, err := f.client(at).Drill(f.ctx, victim.Name, api.DrillRequest{Seconds: 120})
	f.must(err)
	f.eventually(victim.Name+" to be empty", soon, func() error { return f.empty(victim) })
	_, err = victim.Kill()
	f.must(err)
	f.must(victim.Boot(f.ctx))
	f.must(victim.WaitBooted(f.ctx))
	f.settled(f.machines...)
	if took := time.Since(reply.Began); took > 100*time.Second {
		t.Errorf("after a boot %s was out until the drill's end, for %s", victim.Name, took)
	}
	f.eventually("the drill to be over", soon, func() error {
		for _, e := range f.events(at, began) {
			if e.Drill == reply.ID && e.State == cluster.Up && strings.Contains(e.Text, "before the end of the drill") {
				return nil
			}
		}
		return fmt.Errorf("it isn't:%s", f.timeline(at, began))
	})
	for _, unit := range lost {
		f.home(unit)
	}
}
