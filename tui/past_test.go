package tui

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// afterFailover is a console ten minutes after n3 failed and web@3.service moved to n1.
func afterFailover(t *testing.T, w, h int) *bench {
	o := cluster.Outage{Detect: 400 * time.Millisecond, Start: 300 * time.Millisecond, Units: 1}
	b := newBench(t, w, h, false, false, tuitest.Cluster(3, 3), tuitest.Failed(3, 2*time.Second),
		tuitest.Moved("web@3.service", 3, 1, 20, 500*time.Millisecond),
		tuitest.Active("web@3.service", 3, 1, 20, 200*time.Millisecond, o))
	b.clock = b.clock.Add(10 * time.Minute)
	return b
}

func (b *bench) showsAll(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.shows(text)
	}
}

// TestThePastIsShown: the same screens show what was, step by step, and say so; nothing can be
// done there, and what happens meanwhile doesn't move it.
func TestThePastIsShown(t *testing.T) {
	b := afterFailover(t, 120, 24)
	b.shows("2/3 machines up")
	b.press("2", "[")
	b.showsAll(" PAST ", "(10 min ago)", "[ ] step", "P play", "esc now", "n3 → n1 0.70s")
	b.press("[") // given to n1, and not active there yet
	b.showsAll("starting", "n3 → n1")
	b.press("[") // n3 has failed, and its unit is still to be moved
	b.showsAll("lost", "n3")
	b.hides("n3 → n1")
	b.press("3")
	b.shows("failed")
	b.press("[")
	b.showsAll("This is the oldest event known here", "PAST")
	if n := b.client.older.Load(); n != 1 {
		t.Errorf("older events were asked for %d times", n)
	}
	b.press("[")
	b.shows("This is the oldest event: the cluster keeps no older ones.")
	b.press("4")
	b.shows("n3 failed")
	b.hides("is active on n1") // which is still to come

	b.press("2", "x")
	b.shows("Nothing can be done in the past: esc goes back to now, to stop.")
	b.press("l")
	b.shows("Logs are shown as of now")
	b.press("5")
	b.shows("Logs are shown as of now")
	b.press("':submit x", "enter")
	b.shows("Nothing can be done in the past")
	if len(b.client.acted) > 0 {
		t.Errorf("the daemon was asked for %+v", b.client.acted)
	}

	b.clock = b.clock.Add(time.Minute)
	b.line(&api.Line{Kind: api.LineChange, Events: []cluster.Event{tuitest.Event(9, -630*time.Second, cluster.Event{
		Kind: cluster.EventLeader, Machine: tuitest.MachineID(2), Text: "n2 leads the cluster"})}})
	b.shows("news since")
	b.press("4")
	b.hides("n2 leads")
	b.press("]", "]", "]")
	b.showsAll("n2 leads", "PAST")
	b.press("]")
	b.showsAll("That was the last event: this is now.", "2/3 machines up")
	b.hides("PAST")
	b.press("[")
	b.shows("PAST")
	b.press("esc")
	b.hides("PAST")
}

// TestTheUnitOfThePast shows why it was where it was, and neither its file nor its log of now.
func TestTheUnitOfThePast(t *testing.T) {
	b := afterFailover(t, 100, 30)
	b.press("2", "G", "enter")
	b.showsAll("web@3.service", "ExecStart")
	b.press("[", "[", "[")
	b.showsAll("Placement", "n3: fewest units")
	b.hides("ExecStart")
	b.press("]")
	b.shows("n1: moved from n3: machine failed")
	b.press("esc")
	b.shows("ExecStart")
}

// TestThePastOfAnEvent: a key on the timeline shows the moment of the event, or the beginning of a
// failover, from where it is played.
func TestThePastOfAnEvent(t *testing.T) {
	b := afterFailover(t, 120, 24)
	b.press("4", "t")
	b.shows("PAST")
	if at := b.past.at; !at.Equal(tuitest.Noon.Add(-time.Second)) {
		t.Errorf("the beginning of the failover is at %s, %s before noon", at, tuitest.Noon.Sub(at))
	}
	b.press("P")
	b.shows("1x, P faster")
	tick := func() { b.send(playMsg{b.past, b.past.ticks}) }
	for range 5 { // half a second
		tick()
	}
	if at := b.past.at; !at.Equal(tuitest.Noon.Add(-500 * time.Millisecond)) {
		t.Errorf("after half a second the moment is %s before noon", tuitest.Noon.Sub(at))
	}
	b.press("P", "P")
	b.shows("16x, P stops")
	for range 3 {
		tick()
	}
	b.shows("This is the last event: esc goes back to now.")
	b.press("esc", "':past 9m", "enter")
	b.shows("PAST")
	if at := b.past.at; !at.Equal(tuitest.Noon.Add(time.Minute)) {
		t.Errorf("nine minutes ago is shown as %s before noon", tuitest.Noon.Sub(at))
	}
	b.press("esc")
	b.press("':past soon", "enter")
	b.shows("is no time")
}

// TestUnknownPast: what an entry of an older daemon doesn't say is called unknown.
func TestUnknownPast(t *testing.T) {
	moved := tuitest.Moved("web@3.service", 3, 1, 20, 500*time.Millisecond)
	moved.Events[0].Record = cluster.Record{}
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3), moved,
		&api.Line{Kind: api.LineChange, Events: []cluster.Event{tuitest.Event(7, time.Hour, cluster.Event{
			Kind: cluster.EventLeader, Machine: tuitest.MachineID(1), Text: "n1 leads the cluster"})}})
	b.press("2", "[", "[")
	for _, l := range strings.Split(ansi.Strip(b.View()), "\n") {
		if strings.Contains(l, "web@3") && (!strings.Contains(l, "unknown") || !strings.Contains(l, "n3")) {
			t.Errorf("the row is %q", l)
		}
	}
	b.shows("unknown")
}
