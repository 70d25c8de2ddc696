package server_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
)

// TestWatchTellsWhatADeathWouldStrand holds that the answers come for those
// who ask, and change with the cluster.
func TestWatchTellsWhatADeathWouldStrand(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	n1, n2 := apitest.Machine(1).ID, apitest.Machine(2).ID
	_, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Start, Files: []api.File{
		{Name: "bound.service", Content: "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineID=" + n1 + "\n"},
		{Name: "free.service", Content: "[Service]\nExecStart=/bin/true\n"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var last map[string]api.WhatIf
	done := errors.New("seen")
	seen := func(good func(map[string]api.WhatIf) bool) error {
		return client.Watch(ctx, api.WatchOptions{WhatIf: true}, func(s *api.State, _ *api.Line) error {
			if last = s.WhatIf; good(last) {
				return done
			}
			return nil
		})
	}
	err = seen(func(w map[string]api.WhatIf) bool {
		return len(w) == 2 && w[n1].Strands == 1 && w[n1].Units[0] == "bound.service" && w[n2].Strands == 0
	})
	if err != done {
		t.Fatalf("%v; the last answers were %+v", err, last)
	}
	c.SetHealth(n2, cluster.Failed) // now n1 holds all there is, and n2 is not asked about
	err = seen(func(w map[string]api.WhatIf) bool { return len(w) == 1 && w[n1].Strands == 2 })
	if err != done {
		t.Fatalf("%v; the last answers were %+v", err, last)
	}
	quiet := errors.New("told")
	err = client.Watch(ctx, api.WatchOptions{}, func(s *api.State, l *api.Line) error {
		if len(s.WhatIf) > 0 {
			return errors.New("who does not ask is told")
		}
		return quiet
	})
	if err != quiet {
		t.Error(err)
	}
}
