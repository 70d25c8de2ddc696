package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
)

func TestNotices(t *testing.T) {
	names := map[string]string{"m1": "n1", "m2": "n2"}
	moved := func(unit string, unplaced bool) cluster.Event {
		return cluster.Event{Kind: cluster.EventMoved, Unit: unit, Machine: "m2", From: "m2", Unplaced: unplaced,
			Text: unit + " has no place: rack=9"}
	}
	events := []cluster.Event{
		{Kind: cluster.EventMachine, Machine: "m2", State: cluster.Suspect, Text: "n2 is suspect: no answer"},
		{Kind: cluster.EventMachine, Machine: "m2", State: cluster.Failed, Text: "n2 failed: no answer for 0.4 s"},
		{Kind: cluster.EventMachine, Machine: "m2", State: cluster.Failed, Text: "n2 isn't back yet: no answer"},
		{Kind: cluster.EventMoved, Unit: "web.service", Machine: "m1", From: "m2", To: "m1", Text: "web.service n2 -> n1"},
		moved("b.service", true), moved("a.service", true), moved("given-away.service", false),
		{Kind: cluster.EventFailed, Unit: "db.service", Machine: "m1", Text: "db.service failed on n1: exit-code"},
		{Kind: cluster.EventFailover, Machine: "m2", Text: "n2 failed · 1 unit moved",
			Outage: &cluster.Outage{Detect: 400 * time.Millisecond, Start: 100 * time.Millisecond}},
		{Kind: cluster.EventUnit, Unit: "x.service", Text: "x.service was submitted"},
		{Kind: cluster.EventMachine, Machine: "m2", State: cluster.Up, Text: "n2 came back"},
		{Kind: cluster.EventHold, Text: "failovers are held: 3 of 5 machines vanished at once"},
		{Kind: cluster.EventHold, Text: "failovers are no longer held"},
		{Kind: cluster.EventVoter, Machine: "m1", Text: "n1 votes: a voter is missing"},
	}
	var got []string
	for _, n := range notices(events, "c", names) {
		got = append(got, fmt.Sprintf("%s %s %s %v %.1f: %s", n.Kind, n.Severity, n.Machine, n.Units, n.OutageSeconds, n.Text))
	}
	want := `machine-failed critical n2 [] 0.0: n2 failed: no answer for 0.4 s
unplaced critical n2 [a.service b.service] 0.0: 2 units of n2 have nowhere to go: a.service, b.service
unit-failed warning n1 [db.service] 0.0: db.service failed on n1: exit-code
failover warning n2 [] 0.5: n2 failed · 1 unit moved
machine-back info n2 [] 0.0: n2 came back
hold critical  [] 0.0: failovers are held: 3 of 5 machines vanished at once
hold-over info  [] 0.0: failovers are no longer held
voters info n1 [] 0.0: n1 votes: a voter is missing`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("notices:\n%s\nexpected:\n%s", text, want)
	}
}

func TestManyUnitsAreOneNotice(t *testing.T) {
	var events []cluster.Event
	for i := range 12 {
		events = append(events, cluster.Event{Kind: cluster.EventFailed, Unit: fmt.Sprintf("w%02d.service", i), Machine: "m1"})
	}
	list := notices(events, "c", nil)
	if len(list) != 1 || len(list[0].Units) != 12 || !strings.Contains(list[0].Text, "w04.service and 7 more") {
		t.Errorf("12 failed units of one machine: %+v", list)
	}
}

// TestNoticesOfADrill: they say that it is one, and wake nobody.
func TestNoticesOfADrill(t *testing.T) {
	stranded := func(unit, drill string) cluster.Event {
		return cluster.Event{Kind: cluster.EventMoved, Unit: unit, From: "m2", Unplaced: true, Drill: drill, Text: unit + " has no place"}
	}
	list := notices([]cluster.Event{
		{Kind: cluster.EventMachine, Machine: "m2", State: cluster.Failed, Drill: "d1", Text: "drill: n2 failed: no answer for 0.4 s"},
		stranded("a.service", "d1"), stranded("b.service", "d1"), stranded("c.service", ""),
	}, "c", map[string]string{"m2": "n2"})
	if len(list) != 3 {
		t.Fatalf("%d notices: %+v", len(list), list)
	}
	for i, n := range list {
		if drill := i < 2; n.Drill != drill || (n.Severity == Info) != drill || strings.HasPrefix(n.Text, "drill: ") != drill {
			t.Errorf("%+v", n)
		}
	}
}
