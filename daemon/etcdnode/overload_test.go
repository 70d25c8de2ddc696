package etcdnode

import (
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
)

// A voter that is suspected again and again and lives is left ever later; one
// that dies out of the blue is left at once, and one that failed always.
func TestVotersInDoubt(t *testing.T) {
	s := suspicions{}
	now := time.Unix(1000, 0)
	look := func(state membership.State, since time.Time) (bool, time.Time) {
		return s.observe(membership.Member{ID: "v", State: state, Since: since}, now)
	}
	leftAfter := func() time.Duration {
		t.Helper()
		began := now
		for {
			gone, at := look(membership.Suspect, began)
			if gone {
				return now.Sub(began)
			}
			if !at.After(now) {
				t.Fatalf("at %s it is to be looked at again at %s", now, at)
			}
			now = at
		}
	}
	if gone, _ := look(membership.Alive, now); gone {
		t.Error("a voter that lives is gone")
	}
	if got := leftAfter(); got != suspectFor {
		t.Errorf("the first time it is left after %s, expected %s", got, suspectFor)
	}
	if gone, _ := look(membership.Failed, now); !gone {
		t.Error("a voter that failed is not gone")
	}
	look(membership.Alive, now)
	times := 0
	for range 200 { // suspected for 100 ms of each 200 ms
		suspected := now
		for range 10 {
			if gone, _ := look(membership.Suspect, suspected); gone {
				times++
				break
			}
			now = now.Add(10 * time.Millisecond)
		}
		look(membership.Alive, now)
		now = now.Add(100 * time.Millisecond)
	}
	if times > 0 {
		t.Errorf("it was left %d times", times)
	}
	if got := leftAfter(); got != suspectMost {
		t.Errorf("after many false alarms it is left after %s, expected %s", got, suspectMost)
	}
	look(membership.Alive, now)
	now = now.Add(2 * suspectMemory)
	if got := leftAfter(); got != suspectFor {
		t.Errorf("after a quiet time it is left after %s, expected %s", got, suspectFor)
	}
}

func TestVotersChangeWhileEtcdIsCalm(t *testing.T) {
	now := time.Unix(1000, 0)
	voters := func(n int) []etcdserver.Member {
		var list []etcdserver.Member
		for i := range n {
			list = append(list, etcdserver.Member{Machine: string(rune('a' + i)), Started: true})
		}
		return list
	}
	grow, mend := etcdserver.Step{Kind: etcdserver.AddLearner}, etcdserver.Step{Kind: etcdserver.Remove}
	c := &calm{}
	allows := func(step etcdserver.Step, n int, want bool) {
		t.Helper()
		if got := c.allows(step, voters(n), now); got != want {
			t.Errorf("%s with %d voters: %v, expected %v", step.Kind, n, got, want)
		}
	}
	allows(grow, 3, false)
	allows(grow, 1, false)
	allows(mend, 3, true)
	allows(grow, 2, true) // an even number is worse
	c.observe(now, slowList/2, false)
	allows(grow, 1, true) // the first three as soon as possible
	allows(grow, 3, false)
	now = now.Add(calmFor)
	c.observe(now, slowList/2, false)
	allows(grow, 3, true)
	c.observe(now, slowList, false)
	allows(grow, 3, false)
	c.observe(now, 0, false)
	now = now.Add(calmFor)
	allows(grow, 3, true)
	c.observe(now, 0, doubtful(voters(3), map[string]cluster.Health{"a": {State: cluster.Up},
		"b": {State: cluster.Suspect}}))
	allows(grow, 3, false)
	allows(grow, 1, false)
}
