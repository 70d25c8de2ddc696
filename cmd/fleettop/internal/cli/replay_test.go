package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api/apitest"
)

// failover records what the leader would of n2's failure, so long ago, and returns when it began.
func (s *shell) failover(ago time.Duration) time.Time {
	s.t.Helper()
	n1, n2 := apitest.Machine(1).ID, apitest.Machine(2).ID
	at := time.Now().Add(-ago).Truncate(time.Second)
	after := func(ms int) time.Time { return at.Add(time.Duration(ms) * time.Millisecond) }
	was := func() *cluster.Was {
		return &cluster.Was{Places: true, On: []string{n2}, Reason: "fewest units", Active: "active", Since: at.Add(-time.Hour)}
	}
	outage := func(ms int) *cluster.Outage {
		return &cluster.Outage{Detect: 600 * time.Millisecond, Start: time.Duration(ms-600) * time.Millisecond, Units: 1}
	}
	events := []cluster.Event{
		{Time: at, Kind: cluster.EventMachine, Machine: n2, State: cluster.Failed, Text: "n2 failed: no answer for 0.6 s",
			Record: cluster.Record{Was: &cluster.Was{State: cluster.Up, Since: at.Add(-time.Hour)}}},
		{Time: after(10), Kind: cluster.EventMoved, Unit: "a.service", Machine: n1, From: n2, To: n1, Text: "a.service n2 -> n1: n2 failed",
			Record: cluster.Record{Reason: "n2 failed", Was: was()}},
		{Time: after(10), Kind: cluster.EventMoved, Unit: "b.service", Machine: n1, From: n2, To: n1, Text: "b.service n2 -> n1: n2 failed",
			Record: cluster.Record{Reason: "n2 failed", Was: was()}},
		{Time: after(11), Kind: cluster.EventMoved, Unit: "c.service", Machine: n2, From: n2, Unplaced: true,
			Text: "c.service has no place: no machine has ssd=true", Record: cluster.Record{Kept: true, Reason: "no machine has ssd=true", Was: was()}},
		{Time: after(110), Kind: cluster.EventActive, Unit: "a.service", Machine: n1, From: n2, To: n1, Outage: outage(700), Text: "a.service is active on n1"},
		{Time: after(310), Kind: cluster.EventActive, Unit: "b.service", Machine: n1, From: n2, To: n1, Outage: outage(900), Text: "b.service is active on n1"},
	}
	if err := s.Store.Record(s.t.Context(), events...); err != nil {
		s.t.Fatal(err)
	}
	return at
}

// TestReplay tells a failover as the report after the incident needs it.
func TestReplay(t *testing.T) {
	s := newShell(t, 2)
	at := s.failover(10 * time.Minute)
	s.must("cordon", "n1") // after what is asked for
	from, to := at.Add(-time.Second).Format(time.RFC3339), at.Add(time.Minute).Format("2006-01-02 15:04:05")
	out := s.must("replay", "--from", from, "--to", to)
	s.wants(out, "6 steps in 0.31s, from "+at.Format("2006-01-02 15:04:05.000")+" on", "Before: 2 of 2 machines up",
		"3 units on machines", "    +0.00s  "+at.Format("15:04:05.000")+"  machine   n2 failed", "    +0.31s  ",
		"failed machines  n2 at "+at.Format("15:04:05"),
		"moved units      2, outage 0.80s in the median, 0.90s at worst (b.service)", "a.service  n2 -> n1  outage 0.70s",
		"without a place  1 unit", "c.service since "+at.Format("15:04:05")+": no machine has ssd=true")
	if strings.Contains(out, "cordon") {
		t.Errorf("it tells what happened later:\n%s", out)
	}
	s.wants(s.must("replay", "--from", "-15m"), "n1 was cordoned")
	s.wants(s.must("replay", "--from", "-5s", "--to", "-4s"), "Nothing happened between")

	var got struct {
		Start struct{ MachinesUp, Placed int }
		Steps []struct {
			Unit  string
			After float64
		}
		Summary struct {
			Moved []struct{ Unit string }
			Worst time.Duration
		}
	}
	if err := json.Unmarshal([]byte(s.must("replay", "-o", "json", "--from", from, "--to", to)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Start.MachinesUp != 2 || got.Start.Placed != 3 || len(got.Steps) != 6 || got.Steps[5].After != 0.31 ||
		len(got.Summary.Moved) != 2 || got.Summary.Worst != 900*time.Millisecond {
		t.Errorf("replay -o json: %+v", got)
	}
	began := time.Now()
	s.must("replay", "--from", from, "--to", to, "--speed", "1")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("as fast as it happened takes %s, and it took 0.31 s", took)
	}
	s.fails(2, "exchange them", "replay", "--from", "-1m", "--to", "-2m")
	s.fails(2, "is no time", "replay", "--from", "soon")
	s.fails(2, "give a number from 0 to 1000", "replay", "--speed", "-1")
	s.fails(2, "leave out --speed", "replay", "--speed", "2", "-o", "json")
}
