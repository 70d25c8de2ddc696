package health

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

var (
	noon  = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	grace = 10 * time.Second
)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func TestJudge(t *testing.T) {
	// up is a machine that is well; each case says what is different.
	up := evidence{registered: true, storeKnown: true, firstSeen: ago(time.Hour),
		gossip: membership.Alive, since: ago(time.Hour), lastSeen: noon}
	failed := func(e *evidence) {
		e.gossip, e.since, e.lastSeen = membership.Failed, ago(100*time.Millisecond), ago(700*time.Millisecond)
	}
	tests := map[string]struct {
		was    cluster.HealthState
		change func(*evidence)
		want   cluster.HealthState
		text   string
		again  time.Duration // from now; 0 for never
	}{
		"well":      {cluster.Up, func(*evidence) {}, cluster.Up, "answers", 0},
		"this one":  {cluster.Up, func(e *evidence) { failed(e); e.self = true }, cluster.Up, "this machine", 0},
		"in doubt":  {cluster.Up, func(e *evidence) { e.gossip, e.lastSeen = membership.Suspect, ago(400*time.Millisecond) }, cluster.Suspect, "no answer for 0.4 s", 0},
		"recovered": {cluster.Suspect, func(*evidence) {}, cluster.Up, "answers", 0},

		"power lost": {cluster.Suspect, func(e *evidence) { failed(e); e.probe, e.silent = membership.Silent, 2 },
			cluster.Failed, "no answer since 0.7 s, probe timed out", 0},
		"one probe lost": {cluster.Suspect, func(e *evidence) { failed(e); e.probe, e.silent = membership.Silent, 1 },
			cluster.Suspect, "no answer for 0.7 s", 9900 * time.Millisecond},
		"not probed yet": {cluster.Suspect, failed, cluster.Suspect, "no answer", 9900 * time.Millisecond},
		"cannot be probed": {cluster.Suspect, func(e *evidence) { failed(e); e.since = ago(grace) },
			cluster.Failed, "could not be probed", 0},
		"its kernel answered a moment ago": {cluster.Suspect, func(e *evidence) {
			failed(e)
			e.probe, e.silent, e.lastAnswer = membership.Silent, 2, ago(500*time.Millisecond)
		}, cluster.Failed, "no answer since 0.5 s", 0},
		"daemon crashed": {cluster.Suspect, func(e *evidence) { failed(e); e.probe = membership.Refused },
			cluster.DaemonGone, "refused", 9900 * time.Millisecond},
		"daemon hangs": {cluster.Suspect, func(e *evidence) { failed(e); e.probe = membership.Hung },
			cluster.DaemonGone, "hangs", 9900 * time.Millisecond},
		"daemon stayed away": {cluster.DaemonGone, func(e *evidence) { failed(e); e.probe, e.since = membership.Refused, ago(grace) },
			cluster.Failed, "away for 10.0 s", 0},
		"machine died while its daemon was gone": {cluster.DaemonGone, func(e *evidence) { failed(e); e.probe, e.silent = membership.Silent, 2 },
			cluster.Failed, "probe timed out", 0},
		"gossip broken, all else well": {cluster.Suspect, func(e *evidence) { failed(e); e.probe, e.since = membership.Answered, ago(time.Hour) },
			cluster.Suspect, "answers probes and is connected", 0},
		"gossip and store broken": {cluster.Suspect, func(e *evidence) { failed(e); e.probe, e.registered = membership.Answered, false },
			cluster.DaemonGone, "answers probes", 9900 * time.Millisecond},

		"restarting": {cluster.Up, func(e *evidence) {
			e.gossip, e.departure, e.departedSeen = membership.Left, cluster.Restarting, ago(4*time.Second)
		}, cluster.DaemonGone, "restarts", 6 * time.Second},
		"restarted for good": {cluster.DaemonGone, func(e *evidence) { e.departure, e.departedSeen = cluster.Restarting, ago(grace) },
			cluster.Failed, "did not come back", 0},
		"shut down":    {cluster.Up, func(e *evidence) { e.departure = cluster.ShutDown }, cluster.Down, "shuts down", 0},
		"left":         {cluster.Up, func(e *evidence) { e.departure = cluster.Left }, cluster.Down, "left", 0},
		"left, mutely": {cluster.Up, func(e *evidence) { e.gossip, e.since = membership.Left, ago(time.Second) }, cluster.DaemonGone, "stopped", 9 * time.Second},
		"left, mutely, and silent": {cluster.DaemonGone, func(e *evidence) { e.gossip, e.since, e.silent = membership.Left, ago(time.Second), 2 },
			cluster.Failed, "nothing answers", 0},

		"cut off from the store":      {cluster.Up, func(e *evidence) { e.registered = false }, cluster.DaemonGone, "not connected to the store", 0},
		"the store can't be seen":     {cluster.Up, func(e *evidence) { e.registered, e.storeKnown = false, false }, cluster.Up, "answers", 0},
		"back, not registered":        {cluster.Failed, func(e *evidence) { e.registered = false }, cluster.Failed, "", 0},
		"back":                        {cluster.Failed, func(*evidence) {}, cluster.Up, "answers", 0},
		"booting after it went down":  {cluster.Down, func(e *evidence) { e.gossip = membership.Left }, cluster.Down, "", 0},
		"failed, then the port opens": {cluster.Failed, func(e *evidence) { failed(e); e.probe = membership.Refused }, cluster.Failed, "", 0},
		"never heard of": {"", func(e *evidence) { e.gossip, e.registered, e.firstSeen = "", false, ago(time.Second) },
			cluster.Suspect, "not heard of it yet", 9 * time.Second},
		"never heard of, for long": {cluster.Suspect, func(e *evidence) { e.gossip, e.registered, e.firstSeen = "", false, ago(grace) },
			cluster.Failed, "not heard of it for 10.0 s", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := up
			tt.change(&e)
			h, again := judge(e, tt.was, noon, grace)
			if h.State != tt.want || !strings.Contains(h.Evidence, tt.text) || !h.Since.Equal(noon) {
				t.Errorf("got %+v, want %s with %q", h, tt.want, tt.text)
			}
			if want := noon.Add(tt.again); tt.again == 0 && !again.IsZero() || tt.again != 0 && !again.Equal(want) {
				t.Errorf("judged again at %s, want %s after noon", again, tt.again)
			}
			if h.State == cluster.Failed && h.SilentSince.IsZero() {
				t.Error("no last sign of life")
			}
		})
	}
}

// TestJudgeComesToAnEnd: a verdict that waits is another one when its time has come.
func TestJudgeComesToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		back := func(what string) time.Time {
			return ago(time.Duration(rapid.IntRange(0, 20_000).Draw(t, what)) * time.Millisecond)
		}
		e := evidence{storeKnown: rapid.Bool().Draw(t, "store"), registered: rapid.Bool().Draw(t, "run"),
			departure: rapid.SampledFrom([]cluster.Departure{"", "", cluster.Restarting, cluster.ShutDown}).Draw(t, "departure"),
			gossip: rapid.SampledFrom([]membership.State{"", membership.Alive, membership.Suspect, membership.Failed,
				membership.Left}).Draw(t, "gossip"),
			probe: rapid.SampledFrom([]membership.Verdict{"", membership.Answered, membership.Refused, membership.Hung,
				membership.Silent}).Draw(t, "probe"),
			departedSeen: back("departed"), firstSeen: back("first"), since: back("since"), lastSeen: back("seen")}
		if e.probe == membership.Silent {
			e.silent = rapid.IntRange(1, 3).Draw(t, "silent")
		}
		was := rapid.SampledFrom([]cluster.HealthState{"", cluster.Up, cluster.Suspect, cluster.DaemonGone, cluster.Failed, cluster.Down}).Draw(t, "was")
		h, again := judge(e, was, noon, grace)
		if h.State == "" || h.Evidence == "" {
			t.Fatalf("no verdict: %+v", h)
		}
		if again.IsZero() {
			return
		}
		if !again.After(noon) || again.Sub(noon) > grace {
			t.Fatalf("judged again at %s", again)
		}
		if h, again = judge(e, h.State, again, grace); h.State != cluster.Failed || !again.IsZero() {
			t.Fatalf("the time is over and it is %+v", h)
		}
	})
}

func TestCensus(t *testing.T) {
	type seen struct {
		after time.Duration
		set   map[string]cluster.HealthState
		drain string
		hold  bool
	}
	up, failed, down := cluster.Up, cluster.Failed, cluster.Down
	tests := map[string][]seen{
		"one of three":             {{0, map[string]cluster.HealthState{"n2": failed}, "", false}},
		"two of three":             {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}},
		"one after the other":      {{0, map[string]cluster.HealthState{"n2": failed}, "", false}, {4 * time.Second, map[string]cluster.HealthState{"n3": failed}, "", true}},
		"much later":               {{0, map[string]cluster.HealthState{"n2": failed}, "", false}, {6 * time.Second, map[string]cluster.HealthState{"n3": failed}, "", false}},
		"goodbyes":                 {{0, map[string]cluster.HealthState{"n2": down, "n3": down}, "", false}},
		"it stays":                 {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, nil, "", true}},
		"released by all back":     {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up, "n3": up}, "", false}},
		"one back, one missing":    {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {grace - 1, nil, "", true}, {1, nil, "", false}},
		"one back, then the other": {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {time.Second, map[string]cluster.HealthState{"n3": up}, "", false}},
		"one back and gone again":  {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {time.Second, map[string]cluster.HealthState{"n2": failed}, "", true}, {time.Hour, nil, "", true}},
		"released by drains":       {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, nil, "n2", true}, {time.Second, nil, "n3", false}},
		"then the last one fails":  {{0, map[string]cluster.HealthState{"n2": failed, "n3": failed}, "", true}, {time.Hour, map[string]cluster.HealthState{"n2": up}, "", true}, {grace, nil, "", false}, {time.Hour, nil, "", false}},
		"the first alone":          {{0, map[string]cluster.HealthState{"n1": failed}, "", false}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var c census
			now := noon
			health := map[string]cluster.Health{}
			machines := map[string]cluster.Machine{}
			for _, id := range []string{"n1", "n2", "n3"} {
				health[id], machines[id] = cluster.Health{State: up}, cluster.Machine{ID: id}
			}
			if hold, _ := c.count(now, grace, health, machines); hold != "" {
				t.Fatal("held from the start")
			}
			for k, s := range steps {
				now = now.Add(s.after)
				for id, state := range s.set {
					health[id] = cluster.Health{State: state}
				}
				if s.drain != "" {
					machines[s.drain] = cluster.Machine{ID: s.drain, Schedule: cluster.Drained}
				}
				if why, _ := c.count(now, grace, health, machines); (why != "") != s.hold {
					t.Errorf("step %d: hold %q", k, why)
				}
			}
		})
	}
}
