package etcdnode

import (
	"testing"
	"time"

	"fleettop/cluster"
)

// The voters that are up stand one after the other where the leader's machine is dead
// and they are enough to elect one.
func TestSuccession(t *testing.T) {
	up, failed := cluster.Health{State: cluster.Up}, cluster.Health{State: cluster.Failed}
	back := cluster.Health{State: cluster.Failed, BackAt: time.Now()}
	suspect := cluster.Health{State: cluster.Suspect}
	voters := []string{"a", "b", "c"}
	for name, test := range map[string]struct {
		leader, self string
		a, b, c      cluster.Health
		turn         int
		dead         bool
	}{
		"the first":                 {"c", "a", up, up, failed, 0, true},
		"the second":                {"c", "b", up, up, failed, 1, true},
		"the first is the dead one": {"a", "b", failed, up, up, 0, true},
		"after it":                  {"a", "c", failed, up, up, 1, true},
		"the leader is up":          {"c", "a", up, up, up, 0, false},
		"it is in doubt":            {"c", "a", up, up, suspect, 0, false},
		"it comes back":             {"c", "a", up, up, back, 0, false},
		"no quorum":                 {"c", "a", up, failed, failed, 0, false},
		"a quorum in doubt":         {"c", "a", up, suspect, failed, 0, false},
		"no leader":                 {"", "a", up, up, failed, 0, false},
		"this machine":              {"a", "a", failed, up, up, 0, false},
	} {
		health := map[string]cluster.Health{"a": test.a, "b": test.b, "c": test.c}
		turn, dead := succession(test.leader, test.self, voters, health)
		if dead != test.dead || dead && turn != test.turn {
			t.Errorf("%s: turn %d, %t, want %d, %t", name, turn, dead, test.turn, test.dead)
		}
	}
}
