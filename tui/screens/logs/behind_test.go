package logs

import (
	"fmt"
	"testing"
	"time"

	"fleettop/journal"
	"fleettop/tui/tuitest"
)

// TestLag measures how far a follower is behind, whatever the clocks of the machines are off by.
func TestLag(t *testing.T) {
	for _, off := range []time.Duration{0, -time.Hour, 40 * time.Second} {
		t.Run(fmt.Sprint("clock off by ", off), func(t *testing.T) {
			var m lagMeter
			now := tuitest.Noon
			line := func(machine string, took time.Duration) {
				m.note(&journal.Entry{Machine: machine, Time: now.Add(off - took)}, now)
			}
			check := func(what string, want time.Duration) {
				t.Helper()
				if got := m.behind(now).Round(100 * time.Millisecond); got != want {
					t.Errorf("%s: %s behind, expected %s", what, got, want)
				}
			}
			for i := range 100 { // of the past
				line("m1", time.Duration(100-i)*time.Minute)
			}
			check("the past", 0)
			for range 50 {
				now = now.Add(100 * time.Millisecond)
				line("m1", 20*time.Millisecond)
				line("m2", 30*time.Millisecond)
			}
			check("the present", 0)
			line("m1", 90*time.Second)
			check("one late line", 0)
			took := time.Duration(0)
			for range 30 { // lines come at half the rate they are logged at
				now, took = now.Add(100*time.Millisecond), took+200*time.Millisecond
				line("m1", took)
				line("m2", 30*time.Millisecond)
			}
			if got := m.behind(now); got < 3*time.Second || got > 6*time.Second {
				t.Errorf("%s behind, and the lines took up to %s", got, took)
			}
			check("again", m.behind(now).Round(100*time.Millisecond))
			now = now.Add(lagFresh + time.Second)
			check("nothing came since", 0)
			line("m1", 20*time.Millisecond)
			check("caught up", 0)
		})
	}
}
