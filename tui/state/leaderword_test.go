package state_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/tui/state"
)

// TestTheLeadersWordReachesTheConsole: a console that is attached to a machine
// which still hears another one shows what the leader holds true of that, and
// who saw it.
func TestTheLeadersWordReachesTheConsole(t *testing.T) {
	c := apitest.Start(t, 3) // the daemon of n1 answers, and sees all of them up
	n2, n3 := apitest.Machine(2).ID, apitest.Machine(3).ID
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	verdict := &cluster.Health{State: cluster.Failed, Since: time.Now(), Evidence: "no answer for 0.6 s", By: n3}
	_, _, err := c.Store.Apply(ctx, c.Mem.Snapshot().Leader.Term, nil,
		cluster.Findings{Verdicts: map[string]*cluster.Health{n2: verdict}})
	if err != nil {
		t.Fatal(err)
	}
	r, seen := state.NewReducer(), errors.New("seen")
	var last *state.Machine
	err = c.Client().Watch(ctx, api.WatchOptions{}, func(_ *api.State, l *api.Line) error {
		r.Apply(l, time.Now())
		last = r.Snapshot(time.Now()).Machine(n2)
		if last != nil && last.Health.State == cluster.Failed && last.SeenBy == "n3" && last.Mood == state.Bad {
			return seen
		}
		return nil
	})
	if !errors.Is(err, seen) {
		t.Errorf("%v; the console shows %+v", err, last)
	}
}
