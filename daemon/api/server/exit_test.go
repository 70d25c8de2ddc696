package server

import (
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// TestExit goes through what a unit may have before it when its machine is drained.
func TestExit(t *testing.T) {
	on := func(machine string) cluster.UnitOnMachine {
		return cluster.UnitOnMachine{Machine: machine, Unit: "a.service"}
	}
	given := func(machine string, epoch int64) func(*cluster.Snapshot) {
		return func(s *cluster.Snapshot) {
			s.Assignments[on(machine)] = cluster.Assignment{Machine: machine, Unit: "a.service", Epoch: epoch, Generation: 1, Desired: units.Launched}
		}
	}
	reports := func(machine string, epoch int64, active, failure string) func(*cluster.Snapshot) {
		return func(s *cluster.Snapshot) {
			s.Statuses[on(machine)] = cluster.Status{Machine: machine, Epoch: epoch, Generation: 1, Error: failure, Status: units.Status{Name: "a.service", Active: active}}
		}
	}
	leaderless := func(s *cluster.Snapshot) { s.Leader = cluster.Leader{} }
	global := func(s *cluster.Snapshot) {
		s.Units["a.service"] = cluster.Unit{Name: "a.service", Hash: "g", Desired: units.Launched, Content: "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n"}
	}
	once := func(s *cluster.Snapshot) {
		s.Units["a.service"] = cluster.Unit{Name: "a.service", Hash: "o", Desired: units.Launched, Content: "[Service]\nType=oneshot\nExecStart=/bin/true\n"}
	}
	destroyed := func(s *cluster.Snapshot) { delete(s.Units, "a.service") }
	for _, tc := range []struct {
		name  string
		snap  []func(*cluster.Snapshot)
		waits string
		moved api.Moved
	}{
		{"not taken away yet", []func(*cluster.Snapshot){given("m1", 1), reports("m1", 1, "active", "")}, "still given to n1", api.Moved{}},
		{"without a leader", []func(*cluster.Snapshot){given("m1", 1), reports("m1", 1, "active", ""), leaderless}, "no machine leads", api.Moved{}},
		{"being stopped", []func(*cluster.Snapshot){given("m2", 2), reports("m2", 2, "active", ""), reports("m1", 1, "deactivating", "")}, "being stopped on n1", api.Moved{}},
		{"can't be stopped", []func(*cluster.Snapshot){reports("m1", 1, "active", "it hangs")}, "can't be stopped on n1: it hangs", api.Moved{}},
		{"not reported", []func(*cluster.Snapshot){given("m2", 2)}, "starting on n2", api.Moved{}},
		{"an old report", []func(*cluster.Snapshot){given("m2", 2), reports("m2", 1, "active", "")}, "starting on n2", api.Moved{}},
		{"starting", []func(*cluster.Snapshot){given("m2", 2), reports("m2", 2, "activating", "")}, "starting on n2", api.Moved{}},
		{"moved", []func(*cluster.Snapshot){given("m2", 2), reports("m2", 2, "active", "")}, "", api.Moved{Units: 1}},
		{"failed where it went", []func(*cluster.Snapshot){given("m2", 2), reports("m2", 2, "failed", "")}, "", api.Moved{Units: 1, Failed: []string{"a.service"}}},
		{"can't be started where it went", []func(*cluster.Snapshot){given("m2", 2), reports("m2", 2, "activating", "no such file")}, "", api.Moved{Units: 1, Failed: []string{"a.service"}}},
		{"a oneshot that runs", []func(*cluster.Snapshot){once, given("m2", 2), reports("m2", 2, "activating", "")}, "", api.Moved{Units: 1}},
		{"a oneshot that is not carried out", []func(*cluster.Snapshot){once, given("m2", 2), reports("m2", 1, "activating", "")}, "starting on n2", api.Moved{}},
		{"no other place", nil, "", api.Moved{Nowhere: []string{"a.service"}}},
		{"an old report of another machine", []func(*cluster.Snapshot){reports("m3", 1, "active", "")}, "", api.Moved{Nowhere: []string{"a.service"}}},
		{"destroyed meanwhile", []func(*cluster.Snapshot){destroyed}, "", api.Moved{}},
		{"global, and starting elsewhere", []func(*cluster.Snapshot){global, given("m2", 2)}, "", api.Moved{}},
		{"global, and still there", []func(*cluster.Snapshot){global, reports("m1", 2, "active", "")}, "being stopped on n1", api.Moved{}},
	} {
		snap := cluster.NewSnapshot(1)
		snap.Leader.Machine = "m2"
		for id, name := range map[string]string{"m1": "n1", "m2": "n2", "m3": "n3"} {
			snap.Machines[id] = cluster.Machine{ID: id, Name: name}
		}
		snap.Units["a.service"] = cluster.Unit{Name: "a.service", Hash: "h", Desired: units.Launched, Content: "[Service]\nExecStart=/bin/true\n"}
		for _, put := range tc.snap {
			put(snap)
		}
		before := cluster.NewSnapshot(0)
		before.Units = snap.Units
		given("m1", 1)(before)
		x := NewExit(before, "m1")
		left, text := x.left(snap)
		if (left > 0) != (tc.waits != "") || !strings.Contains(text, tc.waits) {
			t.Errorf("%s: %d left, as %q; want %q", tc.name, left, text, tc.waits)
		}
		if got := *x.outcome(snap)["m1"]; tc.waits == "" && (got.Units != tc.moved.Units || strings.Join(got.Nowhere, " ") != strings.Join(tc.moved.Nowhere, " ") ||
			strings.Join(got.Failed, " ") != strings.Join(tc.moved.Failed, " ")) {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.moved)
		}
	}
}
