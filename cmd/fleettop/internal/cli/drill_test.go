package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
)

// TestDrillDryRun says what would happen, and nothing happens.
func TestDrillDryRun(t *testing.T) {
	s := newShell(t, 2)
	s.file("a.service", service)
	s.file("bound.service", service+"[X-Fleet]\nMachineID="+apitest.Machine(1).ID+"\n")
	s.must("cordon", "n2")
	s.must("start", "a.service", "bound.service")
	s.must("uncordon", "n2")
	s.wants(s.must("drill", "n1", "--dry-run"), "If n1 loses its power for 10s:", "a.service  n1 -> n2",
		"bound.service  has nowhere to go until n1 is back:")
	var plan api.DrillPlan
	if err := json.Unmarshal([]byte(s.must("drill", "n1", "--dry-run", "-o", "json")), &plan); err != nil || len(plan.Moves) != 1 {
		t.Errorf("%+v, %v", plan, err)
	}
	s.fails(1, "nothing was done: there is no terminal to ask on", "drill", "n1")
	s.fails(2, "from 5s to 5m", "drill", "n1", "--for", "1s")
	s.fails(2, "one at a time", "drill", "n1", "n2")
	s.must("cordon", "n2")
	s.fails(1, "no drill of n1 now: n1 is the only machine that takes units", "drill", "n1", "--yes")
	if d := s.Mem.Snapshot().Machines[apitest.Machine(1).ID].Drill; d.ID != "" {
		t.Errorf("n1 was asked for %+v", d)
	}
}

// TestDrillReport follows a drill by the timeline, and prints what it did.
func TestDrillReport(t *testing.T) {
	s := newShell(t, 2)
	n1, n2 := apitest.Machine(1), apitest.Machine(2)
	store := s.Mem.Open()
	taken := make(chan error, 1)
	go func() { // the machine's daemon and the leader, in brief
		for s.Mem.Snapshot().Machines[n1.ID].Drill.ID == "" {
			time.Sleep(5 * time.Millisecond)
		}
		began := time.Now()
		err := store.UpdateMachine(t.Context(), n1.ID, func(m *cluster.Machine) error { m.Drill.Began = began; return nil })
		id := s.Mem.Snapshot().Machines[n1.ID].Drill.ID
		if err == nil {
			err = store.Record(t.Context(),
				cluster.Event{Kind: cluster.EventDrill, Time: began, Machine: n1.ID, Drill: id, State: cluster.Failed, Text: "drill: n1 is taken out"},
				cluster.Event{Kind: cluster.EventMoved, Time: began, Unit: "a.service", From: n1.ID, To: n2.ID, Drill: id, Text: "drill: a.service n1 -> n2"},
				cluster.Event{Kind: cluster.EventActive, Time: began, Unit: "a.service", From: n1.ID, To: n2.ID, Drill: id, Text: "drill: a.service is active on n2",
					Outage: &cluster.Outage{Detect: time.Second, Start: 250 * time.Millisecond}},
				cluster.Event{Kind: cluster.EventDrill, Time: began.Add(11 * time.Second), Machine: n1.ID, Drill: id, State: cluster.Up, Text: "drill: n1 is back"})
		}
		taken <- err
	}()
	code, out, errOut := s.try("drill", "n1", "--yes")
	if err := <-taken; err != nil || code != 0 {
		t.Fatalf("%d, %v: %s", code, err, errOut)
	}
	s.wants(out, "drill: n1 is taken out", "Drill of n1, ", "a.service  n1 -> n2  outage 1.25 s = detect 1.00 + decide 0.00 + start 0.25",
		"n1 is back")
	if !strings.Contains(errOut, "Ctrl-C ends only this command") {
		t.Errorf("it said %q", errOut)
	}
}
