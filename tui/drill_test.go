package tui

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// TestDrillAsksForTheName: what would happen is shown, the machine's name must be
// typed, and the report grows with the timeline.
func TestDrillAsksForTheName(t *testing.T) {
	b := newBench(t, 120, 30, false, false, tuitest.Cluster(3, 3))
	b.press("3", "j", "j", "X")
	for _, want := range []string{"what if n3 lost its power?", "web@1.service → n1", "db.service has nowhere to go: 2 machines lack ssd=true",
		"agent.service is global", "It leads the cluster", "Type n3 to take it out"} {
		b.shows(want)
	}
	b.press("y", "enter")
	b.shows("Type n3 to take it out")
	b.press("backspace", "n", "enter", "2", "enter")
	if len(b.client.told) > 0 {
		t.Fatalf("told %q before the name was typed", b.client.told)
	}
	b.press("backspace", "3", "enter")
	if len(b.client.told) != 1 || b.client.told[0] != "drill "+tuitest.MachineID(3)+" 10" {
		t.Fatalf("told %q", b.client.told)
	}
	b.shows("n3 is out, and comes back by itself in 10s")
	b.shows("is to move")
	now := b.shell.now()
	event := func(kind cluster.EventKind, unit, text string) cluster.Event {
		return cluster.Event{ID: text, Time: now, Kind: kind, Unit: unit, Machine: tuitest.MachineID(1), From: tuitest.MachineID(3),
			To: tuitest.MachineID(1), Drill: "d1", Text: text}
	}
	active := event(cluster.EventActive, "web@1.service", "drill: web@1.service is active on n1")
	active.Outage = &cluster.Outage{Detect: 400 * time.Millisecond, Start: 40 * time.Millisecond}
	b.line(&api.Line{Kind: api.LineChange, Events: []cluster.Event{event(cluster.EventMoved, "web@1.service", "drill: web@1.service n3 -> n1"), active}})
	b.shows("n3 → n1  outage 0.44s")
	over := event(cluster.EventDrill, "", "drill: n3 is back, and ready 0.9 s after the 10s that it was out")
	over.State = cluster.Up
	b.line(&api.Line{Kind: api.LineChange, Events: []cluster.Event{over}})
	b.shows("n3 is back, and ready 0.9 s")
	b.hides("is to move")
	b.press("esc")
	b.hides("is back, and ready 0.9 s after the 10s that it was out\n")

	b.client.refuse = errors.New("no")
	b.press("X")
	b.shows("No drill of n3 now: a drill of n2 is under way")
}

// TestTheBannerSaysDrill: nobody is frightened by one.
func TestTheBannerSaysDrill(t *testing.T) {
	b := newBench(t, 120, 30, false, false, tuitest.Cluster(3, 3))
	m := tuitest.Machine(3)
	m.Health = cluster.Health{State: cluster.Failed, Since: b.shell.now()}
	m.Drill = cluster.Drill{ID: "d1", Began: b.shell.now(), For: 10 * time.Second}
	b.line(&api.Line{Kind: api.LineChange, Machines: []api.Machine{m}})
	b.shows("drill of n3: ")
	if strings.Contains(b.View(), "n3 failed") {
		t.Errorf("it says that n3 failed:\n%s", b.View())
	}
	m.Drill = cluster.Drill{}
	b.line(&api.Line{Kind: api.LineChange, Machines: []api.Machine{m}})
	b.shows("n3 failed: ")
}
