package server_test

import (
	"errors"
	"testing"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/units"
)

// TestAnActOnWhatOthersChangedIsRefused where the caller says what it saw: what an undo goes by.
func TestAnActOnWhatOthersChangedIsRefused(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service)
	stopped := submit(t, client, api.Stop, "a.service", "")
	start := func(seen int64) api.UnitResult {
		t.Helper()
		reply, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Start, Units: []string{"a.service"},
			Generations: map[string]int64{"a.service": seen}})
		if e := (*api.Error)(nil); err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		} else if e != nil {
			return api.UnitResult{Error: e}
		}
		return reply.Results[0]
	}
	if r := start(stopped.Generation - 1); r.Error == nil || r.Error.Code != api.CodeConflict || r.Changed {
		t.Errorf("with an earlier generation: %+v", r)
	}
	if r := start(stopped.Generation); r.Error != nil || !r.Changed || r.Desired != units.Launched {
		t.Errorf("with the generation that it has: %+v", r)
	}

	two := apitest.Machine(2).ID
	uncordon := func(after string) *api.Error {
		t.Helper()
		reply, err := client.ScheduleAll(t.Context(), api.MachinesRequest{Verb: "uncordon", Machines: []string{two},
			After: after})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Machines[0].Error
	}
	if _, err := client.Schedule(t.Context(), two, "drain"); err != nil {
		t.Fatal(err)
	}
	if e := uncordon("cordon"); e == nil || e.Code != api.CodeConflict {
		t.Errorf("a machine that was drained meanwhile: %v", e)
	}
	if e := uncordon("drain"); e != nil {
		t.Errorf("a machine as the verb left it: %v", e)
	}
}
