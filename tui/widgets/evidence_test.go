package widgets

import (
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/tui/state"
)

func TestEvidence(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		state          cluster.HealthState
		evidence, want string
	}{
		{cluster.Suspect, "gossip had no answer for 0.3 s", "gossip had no answer for 2.0s"},
		{cluster.Suspect, "no answer for 0.8 s, probe timed out; it isn't given up yet, as it isn't known whether 2 other machines vanished with it",
			"no answer for 2.0s, probe timed out; it isn't given up yet, as it isn't known whether 2 other machines vanished with it"},
		{cluster.Suspect, "it answers n2, and not this machine", "it answers n2, and not this machine"},
		{cluster.Suspect, "", "no answer for 2.0s"},
		{cluster.Failed, "no answer for 0.8 s, probe timed out", "no answer for 0.8 s, probe timed out"},
	} {
		var m state.Machine
		m.Health = cluster.Health{State: c.state, Evidence: c.evidence, SilentSince: now.Add(-2 * time.Second)}
		if got := Evidence(&m, now); got != c.want {
			t.Errorf("%s, %q: %q, expected %q", c.state, c.evidence, got, c.want)
		}
	}
}
