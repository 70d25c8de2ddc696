package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// course is a term that sees one machine's health change, by a clock that the test turns.
type course struct {
	term *term
	snap *cluster.Snapshot
	now  time.Time
	h    cluster.Health
}

func newCourse() *course {
	c := &course{term: newTerm(cluster.Leader{Term: 1}, schedule.New()), snap: cluster.NewSnapshot(1), now: noon,
		h: cluster.Health{State: cluster.Up, Since: noon.Add(-time.Hour)}}
	c.snap.Machines["n2"] = cluster.Machine{ID: "n2", Name: "n2"}
	c.look()
	c.term.events()
	return c
}

func (c *course) look() look {
	return c.term.look(c.snap, health.State{Health: map[string]cluster.Health{"n2": c.h}}, c.now)
}

// pass lets time pass, with the looks that the term asks for.
func (c *course) pass(d time.Duration) {
	for end := c.now.Add(d); ; {
		l := c.look()
		if l.again.IsZero() || l.again.After(end) {
			c.now = end
			return
		}
		if !l.again.After(c.now) {
			panic("it looks again and again at the same moment")
		}
		c.now = l.again
	}
}

func (c *course) is(state cluster.HealthState, d time.Duration) {
	if c.h.State != state {
		c.h = cluster.Health{State: state, Since: c.now, Evidence: "evidence of " + string(state)}
	}
	c.pass(d)
}

func (c *course) told() []string {
	c.look()
	var lines []string
	for _, e := range c.term.events() {
		lines = append(lines, e.Text)
	}
	return lines
}

func TestDoubtsAreFolded(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		state cluster.HealthState
		d     time.Duration
	}
	up, suspect, gone, failed := cluster.Up, cluster.Suspect, cluster.DaemonGone, cluster.Failed
	blips := func(n int) (steps []step) {
		for range n {
			steps = append(steps, step{suspect, 400 * ms}, step{up, 100 * ms})
		}
		return steps
	}
	for name, tt := range map[string]struct {
		steps []step
		want  []string
	}{
		"once, for a moment": {append(blips(1), step{up, doubtCalm}), []string{"n2 was suspect for 0.4 s, and answers"}},
		"not over yet":       {blips(1), nil},
		"twice":              {append(blips(2), step{up, doubtCalm}), []string{"n2 was in doubt 2 times in 0.9 s, for 0.4 s at most, and answers"}},
		"often": {append(blips(100), step{up, doubtCalm}), []string{"n2 is suspect again and again, 3 times in 1.0 s: evidence of suspect",
			"n2 answers steadily again: it was suspect 100 times in 49.9 s, for 0.4 s at most"}},
		"for long":               {[]step{{suspect, 3 * time.Second}, {up, doubtCalm}}, []string{"n2 is suspect: evidence of suspect", "n2 answers again, after 3.0 s"}},
		"for ever":               {[]step{{suspect, time.Hour}}, []string{"n2 is suspect: evidence of suspect"}},
		"confirmed":              {[]step{{suspect, 400 * ms}, {failed, ms}}, []string{"n2 is suspect: evidence of suspect", "n2 failed: evidence of failed"}},
		"told and confirmed":     {[]step{{suspect, 5 * time.Second}, {failed, ms}}, []string{"n2 is suspect: evidence of suspect", "n2 failed: evidence of failed"}},
		"unfounded, then sudden": {[]step{{suspect, 400 * ms}, {up, ms}, {failed, ms}}, []string{"n2 failed: evidence of failed"}},
		"its daemon restarts":    {[]step{{gone, time.Second}, {up, doubtCalm}}, []string{"n2 lost its daemon, its units stay there: evidence of daemon-gone", "n2 came back"}},
		"its daemon crashes": {[]step{{suspect, 400 * ms}, {gone, time.Second}, {up, doubtCalm}},
			[]string{"n2 lost its daemon, its units stay there: evidence of daemon-gone", "n2 came back"}},
		"its session comes and goes": {slices.Concat(slices.Repeat([]step{{gone, time.Second}, {up, time.Second}}, 30), []step{{up, doubtCalm}}),
			[]string{"n2 lost its daemon, its units stay there: evidence of daemon-gone", "n2 came back",
				"n2 lost its daemon, its units stay there: evidence of daemon-gone", "n2 came back",
				"n2 is suspect again and again, 3 times in 4.0 s: evidence of daemon-gone",
				"n2 answers steadily again: it was suspect 30 times in 59.0 s, for 1.0 s at most"}},
		"failed, and back": {[]step{{failed, time.Second}, {up, doubtCalm}}, []string{"n2 failed: evidence of failed", "n2 came back"}},
		"failed in error":  {[]step{{failed, time.Second}, {suspect, time.Second}}, []string{"n2 failed: evidence of failed", "n2 isn't dead: evidence of suspect"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCourse()
			for _, s := range tt.steps {
				c.is(s.state, s.d)
			}
			if got := c.told(); !slices.Equal(got, tt.want) {
				t.Errorf("got\n %q\nwant\n %q", got, tt.want)
			}
		})
	}
}

// TestDoubtsAreFew: however a machine comes and goes, the timeline doesn't fill
// with it, and every failure is told.
func TestDoubtsAreFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCourse()
		failures, episodes, calm := 0, 1, time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			was, d := c.h.State, time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms"))*time.Millisecond
			c.is(rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Up, cluster.Suspect, cluster.DaemonGone}).Draw(t, "state"), d)
			if calm += d; c.h.State != cluster.Up {
				calm = 0
			} else if calm >= doubtCalm {
				calm = 0
				episodes++
			}
			if rapid.IntRange(0, 99).Draw(t, "fails") == 0 && was != cluster.Failed {
				c.is(cluster.Failed, time.Second)
				failures++
				episodes++
			}
		}
		c.is(cluster.Up, 2*doubtCalm)
		lines := c.told()
		told := 0
		for _, l := range lines {
			if l == "n2 failed: evidence of failed" {
				told++
			}
		}
		// In each: lost its daemon and came back, twice; suspect again and again; steady or failed; back.
		if told != failures || len(lines) > 8*episodes {
			t.Fatalf("%d failures, told %d, in %d lines: %q", failures, told, len(lines), lines)
		}
		if len(c.term.doubts) > 0 {
			t.Fatal("it is still in doubt")
		}
	})
}

func TestReturnIsTold(t *testing.T) {
	c := newCourse()
	c.is(cluster.Failed, time.Second)
	back := func(after time.Duration) {
		c.h.Evidence, c.h.BackAt = fmt.Sprintf("it answers again, and counts as back after %s", span(after)), c.now.Add(after)
		c.pass(time.Second)
		c.h.BackAt = time.Time{} // in doubt once more
		c.pass(time.Second)
	}
	back(4 * time.Second)
	back(4 * time.Second)
	c.is(cluster.Up, time.Second)
	c.is(cluster.Failed, time.Second)
	back(2 * time.Second) // hardly a wait
	want := []string{"n2 failed: evidence of failed", "n2 isn't back yet: it answers again, and counts as back after 4.0 s", "n2 came back",
		"n2 failed: evidence of failed"}
	if got := c.told(); !slices.Equal(got, want) {
		t.Errorf("got\n %q\nwant\n %q", got, want)
	}
}

func TestABlockedPortIsTold(t *testing.T) {
	c := newCourse()
	for _, blocked := range []string{"7370/udp gets no answer, 7370/tcp does: a firewall?", "", "7370/udp gets no answer, 7370/tcp does: a firewall?"} {
		c.h.Blocked = blocked
		c.pass(time.Minute)
		c.pass(time.Minute)
	}
	want := []string{"n2 is up, and 7370/udp gets no answer, 7370/tcp does: a firewall?", "n2 is up, and 7370/udp gets no answer, 7370/tcp does: a firewall?"}
	if got := c.told(); !slices.Equal(got, want) {
		t.Errorf("got\n %q\nwant\n %q", got, want)
	}
}
