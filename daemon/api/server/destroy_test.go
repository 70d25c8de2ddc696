package server_test

import (
	"slices"
	"testing"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/units"
)

// TestDestroyTellsWhereItWas: who waits until a unit is gone must know which
// machines had it, also those that no longer report it.
func TestDestroyTellsWhereItWas(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service+"[X-Fleet]\nMachineMetadata=rack=3\n")
	submit(t, client, api.Submit, "b.service", service)
	apitest.Eventually(t, "it runs", func() bool {
		u, err := client.Unit(t.Context(), "a.service")
		return err == nil && u.State == units.Launched
	})
	reply, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Destroy, Units: []string{"a.service", "b.service"}})
	if err != nil || len(reply.Results) != 2 {
		t.Fatalf("%+v, %v", reply, err)
	}
	if on := reply.Results[0].On; !slices.Equal(on, []string{apitest.Machine(3).ID}) {
		t.Errorf("it was on %v", on)
	}
	if on := reply.Results[1].On; len(on) != 0 {
		t.Errorf("what was on no machine was on %v", on)
	}
}
