package tui

import (
	"testing"
	"time"

	"fleettop/tui/tuitest"
)

// TestConnectivityScreen: it opens by key and by command, is asked again while it is shown, keeps the last
// answer with its age when no daemon answers, and goes back with esc.
func TestConnectivityScreen(t *testing.T) {
	b := newBench(t, 100, 30, false, true, calm()...)
	b.press("3", "w")
	b.shows("No daemon answers; it is asked again when one does.")
	b.client.mu.Lock()
	b.client.reach = cutOff()
	b.client.mu.Unlock()
	tick := func(d time.Duration) {
		b.clock = b.clock.Add(d)
		b.send(b.tickNow())
	}
	tick(time.Second)
	b.hides("FROM")
	tick(3 * time.Second)
	b.shows("No machine that answered reaches n3.")
	b.shows("2 of 3 machines answered n1, 0s ago")
	b.shows("From n1: store answers in 3ms")
	b.press("j", "j")
	b.shows("What n3 sees isn't known: it did not answer within 0.9 s.")

	b.client.mu.Lock()
	b.client.away = true
	b.client.mu.Unlock()
	tick(4 * time.Second)
	b.shows("No daemon answers; it is asked again when one does.")
	b.shows("2 of 3 machines answered n1, 4s ago")
	b.press("esc")
	b.hides("FROM")
	b.shows("MACHINE")

	b.press(":", "'connectivity", "enter")
	b.shows("› connectivity")
	b.press("w", "esc")
	b.hides("› connectivity")
	if b.press("w"); b.top().Target(b.env()).Machines != nil {
		t.Error("there is a target before there is an answer")
	}
	b.client.mu.Lock()
	b.client.away = false
	b.client.mu.Unlock()
	tick(4 * time.Second)
	b.press("j")
	if got := b.top().Target(b.env()).Machines; len(got) != 1 || got[0] != tuitest.MachineID(2) {
		t.Errorf("the target is %v", got)
	}
}

// tickNow is the tick that the shell waits for.
func (b *bench) tickNow() tickMsg { return tickMsg{b.tick} }
