package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/units"
)

// TestRebalance plans, asks, moves, and then finds nothing to do.
func TestRebalance(t *testing.T) {
	s := newShell(t, 2)
	names := []string{"a.service", "b.service", "c.service", "d.service"}
	for _, name := range names {
		s.file(name, service)
	}
	s.must("cordon", "n2")
	s.must(append([]string{"start"}, names...)...)
	s.wants(s.must("rebalance"), "Nothing to move")
	s.must("uncordon", "n2")
	s.wants(s.must("rebalance", "--dry-run"), "n1 has 4 units, n2 has 0: a.service n1 -> n2", "n1 has 3 units, n2 has 1: b.service n1 -> n2")
	s.wants(s.must("rebalance", "--dry-run", "--max-moves", "1"), "a.service n1 -> n2")
	s.fails(1, "nothing was done: there is no terminal to ask on", "rebalance")
	s.fails(2, "goes with no other", "rebalance", "--cancel", "--dry-run")
	s.Break("b.service", units.Status{Active: "failed", Sub: "failed", Result: "exit-code"}, "")
	code, out, errOut := s.try("rebalance", "--yes")
	if code != 1 || !strings.Contains(out, "1 unit moved.") || !strings.Contains(errOut, "b.service is still there: it failed (exit-code) on n2") {
		t.Errorf("rebalance: %d\n%s%s", code, out, errOut)
	}
	for _, u := range s.Mem.Snapshot().Assignments {
		if on := map[bool]int{true: 2, false: 1}[u.Unit == "a.service"]; u.Machine != apitest.Machine(on).ID {
			t.Errorf("%s is on %s", u.Unit, u.Machine)
		}
	}
	s.Break("b.service", units.Status{Active: "active", Sub: "running"}, "")
	var reply api.RebalanceReply
	code, out, errOut = s.try("rebalance", "--yes", "-o", "json") // the plan is on its standard error
	if err := json.Unmarshal([]byte(out), &reply); err != nil || code != 0 || reply.Moved == nil || reply.Moved.Units != 1 {
		t.Errorf("rebalance -o json: %d, %+v, %v, %s", code, reply, err, errOut)
	}
	s.wants(s.must("rebalance"), "Nothing to move")
	s.wants(s.must("events"), "n1 was asked to give 2 units to other machines")
}

// TestRebalanceTakenBack: one goes on, another isn't begun beside it, and it can be taken back.
func TestRebalanceTakenBack(t *testing.T) {
	s := newShell(t, 2)
	names := []string{"a.service", "b.service", "c.service", "d.service"}
	for _, name := range names {
		s.file(name, service)
	}
	s.must("cordon", "n2")
	s.must(append([]string{"start"}, names...)...)
	s.must("uncordon", "n2")
	s.Pause()
	plan, err := s.Client().PlanRebalance(t.Context(), false, 0)
	if err != nil || len(plan.Moves) != 2 {
		t.Fatalf("%+v, %v", plan, err)
	}
	s.wants(s.must("rebalance", "--yes", "--no-wait"), "The units are being moved.")
	if _, err := s.Client().Rebalance(t.Context(), api.RebalanceRequest{Moves: plan.Moves}); err == nil || !strings.Contains(err.Error(), "a rebalance goes on: 2 units to be moved") {
		t.Errorf("another one: %v", err)
	}
	_, out, errOut := s.try("rebalance", "--dry-run")
	s.wants(out+errOut, "A rebalance goes on: 2 units to be moved.", "a.service n1 -> n2")
	s.wants(s.must("rebalance", "--cancel"), "stays where it is")
	s.Resume()
	_, out, _ = s.try("rebalance", "--dry-run")
	s.wants(out, "n1 has 4 units, n2 has 0: a.service n1 -> n2")
	s.wants(s.must("events"), "n1 was told to keep the units that a rebalance hasn't moved yet")
}
