package engine

import (
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
	"fleettop/units"
)

// TestFailoverPhases times two machines that die one after the other, the
// second before the unit it was given is active, by a clock that the test turns.
func TestFailoverPhases(t *testing.T) {
	noon := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	key := func(m string) cluster.UnitOnMachine { return cluster.UnitOnMachine{Machine: m, Unit: "a.service"} }
	assigned := func(m string, epoch int64) *cluster.Assignment {
		return &cluster.Assignment{Machine: m, Unit: "a.service", Desired: units.Launched, Generation: 1, Epoch: epoch}
	}
	dead := func(silent, verdict int) cluster.Health {
		return cluster.Health{State: cluster.Failed, SilentSince: at(silent), Since: at(verdict)}
	}
	term := newTerm(cluster.Leader{Term: 1}, schedule.New())
	for _, id := range []string{"n1", "n2", "n3"} {
		term.names[id] = id
	}
	term.state = health.State{Health: map[string]cluster.Health{"n3": dead(0, 700), "n2": {State: cluster.Up},
		"n1": {State: cluster.Up}}}
	term.applied([]cluster.Move{{Unit: "a.service", From: assigned("n3", 1), To: assigned("n2", 5), Reason: "r"}}, 6, nil,
		at(720))

	term.state.Health["n2"] = dead(900, 1600)
	term.applied([]cluster.Move{{Unit: "a.service", From: assigned("n2", 5), To: assigned("n1", 7), Reason: "r"}}, 8, nil,
		at(1650))

	snap := cluster.NewSnapshot(8)
	snap.Assignments[key("n1")] = *assigned("n1", 7)
	snap.Statuses[key("n1")] = cluster.Status{Machine: "n1", Epoch: 7,
		Status: units.Status{Name: "a.service", Active: "activating"}}
	term.started(snap, at(1700))
	snap.Statuses[key("n1")] = cluster.Status{Machine: "n1", Epoch: 7,
		Status: units.Status{Name: "a.service", Active: "active"}}
	term.started(snap, at(2000))

	var got []string
	for _, e := range term.events() {
		got = append(got, string(e.Kind)+": "+e.Text)
	}
	want := []string{
		"moved: a.service n3 -> n2: r",
		"moved: a.service n2 -> n1: r",
		"failover: n3 failed · 1 unit moved",
		"active: a.service is active on n1, outage 1.10s = detect 0.70 + decide 0.05 + start 0.35",
		"failover: n2 failed · 1 unit moved · worst outage 1.10s = detect 0.70 + decide 0.05 + start 0.35",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n %q\nwant\n %q", got, want)
	}
}
