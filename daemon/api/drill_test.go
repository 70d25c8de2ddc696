package api

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
)

// TestDrillReport: the report has the numbers of the timeline, of this drill alone.
func TestDrillReport(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(s float64) time.Time { return began.Add(time.Duration(s * float64(time.Second))) }
	d := DrillReply{Machine: "m3", MachineName: "n3", ID: "d1", Began: began, Seconds: 10, Global: []string{"all.service"}}
	outage := &cluster.Outage{Detect: 400 * time.Millisecond, Decide: 10 * time.Millisecond, Start: 30 * time.Millisecond}
	events := []cluster.Event{
		{ID: "5", Time: at(11), Kind: cluster.EventActive, Unit: "stuck.service", From: "m3", To: "m3", Drill: "d1",
			Outage: &cluster.Outage{Decide: 11 * time.Second}, Text: "stuck.service is active on n3 again"},
		{ID: "1", Time: at(0), Kind: cluster.EventDrill, By: "ann", Drill: "d1", State: cluster.Failed},
		{ID: "2", Time: at(1), Kind: cluster.EventMoved, Unit: "a.service", From: "m3", To: "m1", Drill: "d1"},
		{ID: "3", Time: at(1), Kind: cluster.EventMoved, Unit: "stuck.service", From: "m3", Unplaced: true, Drill: "d1"},
		{ID: "4", Time: at(2), Kind: cluster.EventActive, Unit: "a.service", From: "m3", To: "m1", Outage: outage, Drill: "d1"},
		{ID: "4b", Time: at(2), Kind: cluster.EventFailover, Text: "drill: n3 failed · 1 unit moved", Drill: "d1"},
		{ID: "4c", Time: at(2), Kind: cluster.EventActive, Unit: "other.service", From: "m2", To: "m1", Outage: outage, Drill: "d0"},
	}
	called := strings.NewReplacer("m", "n").Replace
	r := NewDrillReport(d, events, called)
	if r.Over || r.Complete() || len(r.Units) != 2 || r.By != "ann" {
		t.Fatalf("before the end: %+v", r)
	}
	a, stuck := r.Units[0], r.Units[1]
	if a.To != "n1" || a.From != "n3" || a.OutageSeconds != outage.Total().Seconds() || a.Nowhere {
		t.Errorf("%+v", a)
	}
	if !stuck.Nowhere || !stuck.Until.Equal(at(11)) || stuck.To != "n3" || stuck.OutageSeconds != 11 {
		t.Errorf("%+v", stuck)
	}
	events = append(events, cluster.Event{ID: "6", Time: at(11.5), Kind: cluster.EventDrill, State: cluster.Up, Drill: "d1", Text: "drill: n3 is back"})
	if r = NewDrillReport(d, events, called); !r.Over || r.NotOut || !r.Complete() || r.ReadySeconds != 1.5 {
		t.Errorf("at the end: %+v", r)
	}
	r = NewDrillReport(d, []cluster.Event{{Kind: cluster.EventDrill, Drill: "d1", Text: "not taken out"}}, called)
	if !r.NotOut || !r.Complete() || r.End != "not taken out" {
		t.Errorf("one that could not begin: %+v", r)
	}
}
