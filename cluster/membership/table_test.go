package membership

import (
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTableKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		tb := newTable("a")
		tb.present("a", "1", nil, now)
		ids := rapid.SampledFrom([]string{"a", "b", "c"})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			who := ids.Draw(t, "who")
			before := snapshot(tb, now)
			var changed bool
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0:
				changed = tb.present(who, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "addr"), nil, now)
			case 1:
				changed = tb.gone(who, Failed, now)
			case 2:
				changed = tb.gone(who, Left, now)
			case 3:
				changed = tb.suspected(who, now.Add(-300*time.Millisecond), now.Add(time.Second), now)
			case 4:
				changed = tb.seen(who, now)
			case 5:
				var next time.Time
				changed, next = tb.expire(now)
				if !next.IsZero() && !next.After(now) {
					t.Fatalf("next limit %s isn't after %s", next, now)
				}
			case 6:
				if who != "a" {
					changed = tb.forgotten(who)
				}
			}
			after := snapshot(tb, now)
			if told := !same(before, after); told != changed {
				t.Fatalf("changed = %v for %+v -> %+v", changed, before, after)
			}
			for i, m := range after {
				if i > 0 && after[i-1].ID >= m.ID {
					t.Fatalf("not sorted: %+v", after)
				}
				if m.LastSeen.After(now) || m.Since.After(now) {
					t.Fatalf("the future in %+v", m)
				}
				if _, limited := tb.expires[m.ID]; limited != (m.State == Suspect) {
					t.Fatalf("%s is %s, time limit: %v", m.ID, m.State, limited)
				}
				if m.ID == "a" && m.State == Suspect {
					t.Fatal("suspects itself")
				}
			}
			for _, b := range before {
				for _, a := range after {
					if a.ID == b.ID && a.ID != tb.self && a.LastSeen.Before(b.LastSeen) {
						t.Fatalf("last seen of %s went back", a.ID)
					}
				}
			}
		}
	})
}

func snapshot(t *table, now time.Time) []Member { return t.list(now) }

func same(a, b []Member) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || a[i].Address != b[i].Address || a[i].State != b[i].State || !a[i].Since.Equal(b[i].Since) {
			return false
		}
	}
	return true
}

func TestFailedStaysFailedUntilGossipSaysOtherwise(t *testing.T) {
	now := time.Unix(1000, 0)
	tb := newTable("a")
	tb.present("b", "1", nil, now)
	tb.gone("b", Failed, now.Add(time.Second))
	tb.seen("b", now.Add(2*time.Second))
	tb.suspected("b", time.Time{}, now.Add(time.Hour), now.Add(3*time.Second))
	if m := tb.members["b"]; m.State != Failed || !m.LastSeen.Equal(now) {
		t.Errorf("%+v, want failed and last seen at %s", m, now)
	}
	if !tb.present("b", "1", nil, now.Add(4*time.Second)) || tb.members["b"].State != Alive {
		t.Errorf("%+v after it came back", tb.members["b"])
	}
}

// A message says how long a member was silent before it was sent, and may be
// under way for seconds: push and pull brings old ones.
func TestWhatFailedShowsNoSignOfLife(t *testing.T) {
	died := time.Unix(1000, 0)
	later := died.Add(5 * time.Second)
	for name, late := range map[string]func(tb *table){
		"another member's suspicion": func(tb *table) {
			tb.suspected("b", later.Add(-500*time.Millisecond), later.Add(time.Second), later)
		},
		"a message of its own":       func(tb *table) { tb.seen("b", later) },
		"an answer by UDP":           func(tb *table) { tb.acked("b", later) },
		"an answer by TCP":           func(tb *table) { tb.overTCP("b", later) },
		"a goodbye":                  func(tb *table) { tb.gone("b", Left, later) },
		"a failure that is repeated": func(tb *table) { tb.gone("b", Failed, later) },
	} {
		t.Run(name, func(t *testing.T) {
			tb := newTable("a")
			tb.present("b", "1", nil, died)
			tb.gone("b", Failed, died.Add(time.Second))
			late(tb)
			if m := tb.members["b"]; !m.LastSeen.Equal(died) {
				t.Errorf("b died at %s and was last seen at %s: %+v", died, m.LastSeen, m)
			}
		})
	}
}

// What one member says of another's silence, a third must not say again as its
// own: each message is late, and the silence would shrink with each.
func TestAccusationsAreOfFirstHand(t *testing.T) {
	died := time.Unix(1000, 0)
	a, b := newTable("a"), newTable("b")
	a.present("c", "1", nil, died)
	b.present("c", "1", nil, died)
	const underWay = time.Second
	now := died
	for range 5 {
		for _, pair := range [][2]*table{{a, b}, {b, a}} {
			from, to := pair[0], pair[1]
			silence, ok := from.accuse("c", now)
			if !ok || silence != now.Sub(died) {
				t.Fatalf("%s after it died c is said to be silent for %s (%v)", now.Sub(died), silence, ok)
			}
			now = now.Add(underWay)
			to.suspected("c", now.Add(-silence), now.Add(time.Minute), now)
		}
	}
}

// An answer that doesn't come in time is a hint until the next sign of life.
func TestUnansweredUntilASignOfLife(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, alive := range map[string]func(tb *table, at time.Time) bool{
		"an answer by UDP":          func(tb *table, at time.Time) bool { return tb.acked("b", at) },
		"an answer by TCP":          func(tb *table, at time.Time) bool { return tb.overTCP("b", at) },
		"a message of its own":      func(tb *table, at time.Time) bool { return tb.seen("b", at) },
		"gossip that it is alive":   func(tb *table, at time.Time) bool { return tb.present("b", "1", nil, at) },
		"gossip that it has failed": func(tb *table, at time.Time) bool { return tb.gone("b", Failed, at) },
	} {
		tb := newTable("a")
		tb.present("b", "1", nil, now)
		if tb.unanswered("a", now) || tb.unanswered("stranger", now) {
			t.Error("this member itself, or a stranger, is unanswered")
		}
		if !tb.unanswered("b", now) || tb.unanswered("b", now.Add(time.Second)) {
			t.Error("the first hint is told, and no other")
		}
		if m := tb.members["b"]; m.State != Alive || !m.Unanswered.Equal(now) {
			t.Errorf("unanswered: %+v", m)
		}
		if !alive(tb, now.Add(2*time.Second)) {
			t.Errorf("%s is no change", name)
		}
		if m := tb.members["b"]; !m.Unanswered.IsZero() {
			t.Errorf("after %s: %+v", name, m)
		}
	}
	tb := newTable("a")
	tb.present("b", "1", nil, now)
	tb.unanswered("b", now)
	tb.suspected("b", time.Time{}, now.Add(time.Minute), now)
	if m := tb.members["b"]; m.State != Suspect || m.Unanswered.IsZero() {
		t.Errorf("a suspicion answers nothing: %+v", m)
	}
}

func TestLogTapReadsSuspicions(t *testing.T) {
	var suspects, unanswered []string
	tap := &logTap{log: quiet(), unanswered: func(id string) { unanswered = append(unanswered, id) }, suspected: func(id string) { suspects = append(suspects, id) },
		overTCP: func(string) {}, last: map[string]time.Time{}}
	for _, line := range []string{
		"[INFO] memberlist: Suspect " + id(7) + " has failed, no acks received\n",
		"[INFO] memberlist: Suspect " + id(8) + " has flailed\n",
		"[DEBUG] memberlist: Failed UDP ping: " + id(9) + " (timeout reached)\n",
		"\n", "[", "no level",
	} {
		if n, err := tap.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("Write(%q) = %d, %v", line, n, err)
		}
	}
	if len(suspects) != 1 || suspects[0] != id(7) {
		t.Errorf("suspects %v, want %s", suspects, id(7))
	}
	if len(unanswered) != 1 || unanswered[0] != id(9) {
		t.Errorf("unanswered %v, want %s", unanswered, id(9))
	}
}

func TestLogTapIsSparing(t *testing.T) {
	tap := &logTap{last: map[string]time.Time{}}
	now := time.Unix(1000, 0)
	line := "memberlist: Failed to connect to 10.0.0."
	for i, c := range []struct {
		level slog.Level
		after time.Duration
		text  string
		want  bool
	}{
		{slog.LevelWarn, 0, line + "1", true},
		{slog.LevelWarn, time.Second, line + "2", false},
		{slog.LevelDebug, time.Second, line + "2", true},
		{slog.LevelWarn, time.Second, "serf: Something else entirely", true},
		{slog.LevelWarn, logEvery, line + "1", true},
	} {
		if got := tap.due(c.level, c.text, now.Add(c.after)); got != c.want {
			t.Errorf("line %d: due = %v, want %v", i, got, c.want)
		}
	}
}
