package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
)

// TestDrillIsAskedOfTheMachine: the request is in its record, and the answer waits
// until it takes it up; one that it doesn't is taken back.
func TestDrillIsAskedOfTheMachine(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	n1, n2 := apitest.Machine(1), apitest.Machine(2)
	if _, err := client.Act(t.Context(), api.ActionRequest{Verb: api.Start, Files: []api.File{
		{Name: "bound.service", Content: "[Service]\nExecStart=/bin/true\n[X-Fleet]\nMachineID=" + n1.ID + "\n"},
		{Name: "all.service", Content: "[Service]\nExecStart=/bin/true\n[X-Fleet]\nGlobal=true\n"}}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(c.Mem.Snapshot().Assignments) == 3 })
	var plan *api.DrillPlan
	var err error
	waitFor(t, func() bool { // the server's view comes a moment later
		plan, err = client.PlanDrill(t.Context(), n1.Name)
		return err != nil || len(plan.Nowhere) > 0 && len(plan.Global) > 0
	})
	if err != nil || plan.Refusal != nil || len(plan.Nowhere) != 1 || plan.Nowhere[0].Unit != "bound.service" ||
		!strings.Contains(plan.Nowhere[0].Reason, n1.Name) || len(plan.Global) != 1 || len(plan.Moves) != 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, r := range []struct {
		machine string
		req     api.DrillRequest
		want    string
	}{
		{n1.Name, api.DrillRequest{Seconds: 2}, "from 5s to 5m"},
		{n1.Name, api.DrillRequest{Seconds: 301}, "from 5s to 5m"},
		{n1.Name, api.DrillRequest{Seconds: 10}, "1 unit of n1 would have nowhere to go: bound.service"},
		{"n9", api.DrillRequest{Seconds: 10}, "machine n9 not found"},
	} {
		if _, err := client.Drill(t.Context(), r.machine, r.req); err == nil || !strings.Contains(err.Error(), r.want) {
			t.Errorf("%+v: %v; expected %q", r.req, err, r.want)
		}
	}

	// No daemon takes it up, and the client loses its patience.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := client.Drill(ctx, n2.ID, api.DrillRequest{Seconds: 10}); err == nil {
		t.Fatal("it began without its daemon")
	}
	waitFor(t, func() bool { return c.Mem.Snapshot().Machines[n2.ID].Drill.Refused != "" })
	if c.Mem.Snapshot().Machines[n2.ID].Drill.UnderWay() {
		t.Error("what was not taken up in time goes on")
	}

	// One that does, and one that has a reason against it.
	for _, change := range []func(*cluster.Drill){
		func(d *cluster.Drill) { d.Refused = "there is smoke: wait" },
		func(d *cluster.Drill) { d.Began = time.Now() },
	} {
		took := make(chan error, 1)
		go func() {
			waitFor(t, func() bool { return c.Mem.Snapshot().Machines[n2.ID].Drill.UnderWay() })
			took <- c.Mem.Open().UpdateMachine(t.Context(), n2.ID, func(m *cluster.Machine) error { change(&m.Drill); return nil })
		}()
		reply, err := client.Drill(t.Context(), n2.Name, api.DrillRequest{Seconds: 10})
		if err := <-took; err != nil {
			t.Fatal(err)
		}
		d := c.Mem.Snapshot().Machines[n2.ID].Drill
		if d.Refused != "" && (err == nil || !strings.Contains(err.Error(), "no drill of n2 now: there is smoke")) {
			t.Errorf("refused by the machine: %+v, %v", reply, err)
		}
		if d.Refused == "" && (err != nil || reply.ID != d.ID || d.For != 10*time.Second || d.By == "") {
			t.Errorf("taken up: %+v, %v; the record has %+v", reply, err, d)
		}
	}
	plan, err = client.PlanDrill(t.Context(), n1.Name)
	if err != nil || plan.Refusal == nil || !strings.Contains(plan.Refusal.Message, "no drill of n1 now: a drill of n2 is under way") {
		t.Errorf("while another one is under way: %+v, %v", plan, err)
	}
}

// waitFor waits until something holds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("it doesn't come to that")
			return
		}
	}
}
