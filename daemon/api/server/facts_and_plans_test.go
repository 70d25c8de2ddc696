package server_test

import (
	"slices"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/units"
)

// TestListsTellWhatIsWantedAndWhatIsOld: a unit without a place is listed with
// the reason, and one on a machine that failed isn't listed as if it ran.
func TestListsTellWhatIsWantedAndWhatIsOld(t *testing.T) {
	c := apitest.Start(t, 3)
	client := c.Client()
	submit(t, client, api.Start, "far.service", service+"[X-Fleet]\nMachineMetadata=rack=99\n")
	submit(t, client, api.Submit, "unwanted.service", service)
	submit(t, client, api.Start, "here.service", service+"[X-Fleet]\nMachineMetadata=rack=3\n")
	apitest.Eventually(t, "it runs", func() bool {
		u, err := client.Unit(t.Context(), "here.service")
		return err == nil && u.State == units.Launched
	})
	c.Hold("too many vanished")
	c.SetHealth(apitest.Machine(3).ID, cluster.Failed)
	table, err := client.Table(t.Context(), true)
	if err != nil || len(table.Rows) != 2 {
		t.Fatalf("%+v, %v", table, err)
	}
	if far := table.Rows[0]; far.Unit != "far.service" || far.Machine != "" || far.Active != "unplaced" || !strings.Contains(far.Reason, "rack=99") {
		t.Errorf("a unit without a place is listed as %+v", far)
	}
	if here := table.Rows[1]; here.Unit != "here.service" || here.Active != "unknown" || here.Sub != "was-running" || here.Lost != cluster.Failed {
		t.Errorf("a unit on a machine that failed is listed as %+v", here)
	}
	u, err := client.Unit(t.Context(), "here.service")
	if err != nil || len(u.Placements) != 1 || u.Placements[0].Lost == nil || u.Placements[0].Lost.State != cluster.Failed {
		t.Errorf("its status is %+v, %v", u, err)
	}
	c.SetHealth(apitest.Machine(3).ID, cluster.DaemonGone) // its units run on
	if table, err = client.Table(t.Context(), true); err != nil || table.Rows[1].Active != "active" || table.Rows[1].Lost != "" {
		t.Errorf("a unit whose machine lives without a daemon is listed as %+v, %v", table, err)
	}
}

// TestExplainTellsFactFromPlan: where a unit is comes from what is recorded,
// and what would be decided is said apart from that.
func TestExplainTellsFactFromPlan(t *testing.T) {
	c := apitest.Start(t, 2)
	client := c.Client()
	submit(t, client, api.Start, "a.service", service)
	apitest.Eventually(t, "it runs", func() bool { return len(c.Mem.Snapshot().Statuses) == 1 })
	ex, err := client.Explain(t.Context(), "a.service")
	if err != nil || len(ex.Places) != 1 || ex.Places[0].Active != "active" || ex.Would != "" || !ex.Store.Connected || ex.Reason != ex.Places[0].Reason {
		t.Fatalf("at rest: %+v, %v", ex, err)
	}
	was := ex.Places[0]
	other := apitest.Machine(1)
	if was.Machine == other.ID {
		other = apitest.Machine(2)
	}
	c.Pause()
	if _, err := client.Schedule(t.Context(), was.Name, "drain"); err != nil {
		t.Fatal(err)
	}
	check := func(when, would string, connected bool) {
		t.Helper()
		ex, err := client.Explain(t.Context(), "a.service")
		if err != nil || !slices.Equal(ex.On, []string{was.Machine}) || len(ex.Places) != 1 || ex.Places[0].Machine != was.Machine || ex.Reason != was.Reason {
			t.Errorf("%s: it is on %+v, %v; want %+v", when, ex, err, was)
			return
		}
		if !strings.Contains(ex.Would, would) || ex.Store.Connected != connected || !connected && ex.Store.Since.IsZero() {
			t.Errorf("%s: it would be: %q, by a store %+v", when, ex.Would, ex.Store)
		}
	}
	check("before the leader decided", "it would be on "+other.Name+": ", true)
	if _, err := client.Schedule(t.Context(), other.Name, "cordon"); err != nil {
		t.Fatal(err)
	}
	check("with no other place", "it would stay there: ", true)
	c.Store.SetReachable(false)
	apitest.Eventually(t, "the loss is noticed", func() bool { _, live, _, _ := c.View.LastKnown(); return !live })
	check("without the store", "it would stay there: ", false)
	c.SetHealth(was.Machine, cluster.Failed)
	ex, err = client.Explain(t.Context(), "a.service")
	if err != nil || ex.Places[0].Lost != cluster.Failed || ex.Places[0].Sub != "was-running" {
		t.Errorf("on a machine that failed: %+v, %v", ex, err)
	}
	submitted := c.Client()
	c.Store.SetReachable(true)
	submit(t, submitted, api.Start, "b.service", service)
	if ex, err = client.Explain(t.Context(), "b.service"); err != nil || len(ex.Places)+len(ex.On) != 0 {
		t.Errorf("not decided yet: %+v, %v", ex, err)
	}
}
