package state_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// TestSays: a state is said in one way, with since when or how often where there is room.
func TestSays(t *testing.T) {
	for _, c := range []struct {
		active, sub, result, exit string
		restarts                  int
		ago                       time.Duration
		want                      []string
	}{
		{"active", "running", "success", "", 0, time.Hour, []string{"running"}},
		{"active", "listening", "success", "", 0, time.Hour, []string{"listening"}},
		{"active", "waiting", "success", "", 0, time.Hour, []string{"active"}},
		{"activating", "start", "success", "", 0, 4 * time.Second, []string{"starting 4 s", "starting"}},
		{"deactivating", "stop-sigterm", "success", "", 0, 2 * time.Minute, []string{"stopping 2 min", "stopping"}},
		{"activating", "auto-restart", "exit-code", "exit 1", 275, time.Second,
			[]string{"crashing, 275 restarts", "crashing"}},
		{"failed", "failed", "exit-code", "exit 3", 0, time.Hour, []string{"exit 3"}},
		{"failed", "failed", "core-dump", "SIGSEGV", 0, time.Hour, []string{"killed by SIGSEGV", "SIGSEGV"}},
		{"failed", "failed", "timeout", "", 0, time.Hour, []string{"timed out"}},
		{"failed", "failed", "exit-code", "", 0, time.Hour, []string{"failed"}},
	} {
		l := tuitest.Cluster(1, 1)
		s := &l.Statuses[0]
		s.Active, s.Sub, s.Result, s.Exit, s.Restarts, s.Since = c.active, c.sub, c.result, c.exit, c.restarts, noon.Add(-c.ago)
		row := fold(l).Snapshot(noon).Row(s.Name)
		if got := row.Says(noon); !slices.Equal(got, c.want) {
			t.Errorf("%s/%s %s %q says %q, want %q", c.active, c.sub, c.result, c.exit, got, c.want)
		}
	}
}

// TestTheWorstComesFirst, and then by name; as the slow comparison has it.
func TestTheWorstComesFirst(t *testing.T) {
	actives := []string{"active", "failed", "activating", "inactive", "deactivating"}
	rapid.Check(t, func(t *rapid.T) {
		l := tuitest.Cluster(3, rapid.IntRange(1, 30).Draw(t, "units"))
		for i := range l.Statuses {
			l.Statuses[i].Active = rapid.SampledFrom(actives).Draw(t, "active")
		}
		r := state.NewReducer()
		r.Apply(l, noon)
		s := r.Snapshot(noon)
		var table state.Table
		items := table.Items(s, state.Query{}, state.Order{Column: state.ByState}, "")
		if len(items) != len(s.Rows) {
			t.Fatalf("%d of %d rows are left", len(items), len(s.Rows))
		}
		for i, it := range items[1:] {
			a, b := items[i].Row, it.Row
			if a.Mood < b.Mood || a.Mood == b.Mood && (a.Word > b.Word || a.Word == b.Word && a.Unit > b.Unit) {
				t.Fatalf("%s, %s comes before %s, %s", a.Unit, a.Word, b.Unit, b.Word)
			}
		}
	})
}
