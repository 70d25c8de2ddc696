package engine

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// demand submits and launches a unit with a line of [X-Fleet].
func (r *rig) demand(name, option string) {
	r.t.Helper()
	errs, err := r.store.PutUnits(r.ctx, []cluster.Unit{{Name: name, Hash: "h-" + name, Desired: units.Launched,
		Generation: 1,
		Content:    "[Service]\nExecStart=/bin/true\n[X-Fleet]\n" + option + "\n"}})
	r.must(err)
	r.must(errs[0])
}

// TestLeftWithADeadMachine: units without another place stay assigned to their
// dead machine, which the timeline says once, under the next leader too; when
// the machine is back nothing was written about them.
func TestLeftWithADeadMachine(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	stop := r.lead("n1")
	r.demand("id.service", "MachineID=n3")
	r.demand("g.service", "Global=true")
	r.until("all placed", placed(4))
	r.run("n3")
	at := cluster.UnitOnMachine{Machine: "n3", Unit: "id.service"}
	before := r.cluster.Snapshot().Assignments

	r.health.set("n3", cluster.Failed, 700*time.Millisecond)
	r.event(cluster.EventMoved,
		"id.service has no place: MachineID allows only n3, which failed; it goes on there when n3 is back")
	r.event(cluster.EventFailover, "n3 failed · 0 units moved · 1 unit without a place")
	r.until("n3's run is evicted", func(s *cluster.Snapshot) bool { _, ok := s.Runs["n3"]; return !ok })
	if reason := r.cluster.Snapshot().WhyUnplaced(at.Unit); !strings.Contains(reason, "which failed") {
		t.Errorf("unplaced: %q", reason)
	}
	r.must(stop())
	r.must(r.store.Evict(r.ctx, "n1", "run-n1"))
	again := New(Config{Self: "n2", Store: r.store, View: r.view, Health: r.health})
	r.engine = again
	stop = r.lead("n2")
	r.event(cluster.EventLeader, "n2 leads the cluster")

	s, err := r.cluster.Open().Register(r.ctx, cluster.Run{Machine: "n3", ID: "run-n3b", Address: "n3:1"}, time.Hour)
	r.must(err)
	r.session["n3"] = s
	r.health.set("n3", cluster.Up, 0)
	r.event(cluster.EventMachine, "n3 came back")
	r.put("after.service")
	r.until("after.service placed", placed(5))
	r.run("n3")
	e := r.event(cluster.EventActive, "id.service is active on n3 again after ")
	if e.From != "n3" || e.To != "n3" || e.Outage == nil ||
		e.Outage.Detect.Round(50*time.Millisecond) != 700*time.Millisecond || e.Outage.Decide <= 0 {
		t.Errorf("told %+v, outage %+v", e, e.Outage)
	}
	r.must(stop())
	for k, a := range before {
		if now := r.cluster.Snapshot().Assignments[k]; !now.Equal(a) {
			t.Errorf("%v was %+v and is %+v", k, a, now)
		}
	}
	events, err := r.store.Events(r.ctx, time.Time{}, 1000)
	r.must(err)
	told := map[string]int{}
	for _, e := range events {
		for _, text := range []string{"n3 failed: ", "has no place"} {
			if strings.Contains(e.Text, text) {
				told[text]++
			}
		}
	}
	if told["n3 failed: "] != 1 || told["has no place"] != 1 {
		t.Errorf("told %v of times", told)
	}
}

// TestAUnitThatFindsAPlaceLaterIsTold: how long it was away counts from its
// machine's last sign of life; one that ran on out of reach wasn't away.
func TestAUnitThatFindsAPlaceLaterIsTold(t *testing.T) {
	r := newRig(t, "n1", "n2", "n3")
	r.lead("n1")
	r.demand("rack.service", "MachineMetadata=rack=9")
	r.demand("on.service", "MachineID=n3")
	rack := func(id, value string) {
		r.must(r.store.UpdateMachine(r.ctx, id, func(m *cluster.Machine) error {
			m.Metadata = map[string]string{"rack": value}
			return nil
		}))
	}
	rack("n3", "9")
	r.until("both placed", placed(2))
	r.run("n3")
	r.health.set("n3", cluster.Failed, 400*time.Millisecond)
	r.event(cluster.EventFailover, "2 units without a place")
	rack("n2", "9")
	r.until("rack.service is on n2", func(s *cluster.Snapshot) bool {
		_, ok := s.Assignments[cluster.UnitOnMachine{Machine: "n2", Unit: "rack.service"}]
		return ok
	})
	r.run("n2")
	e := r.event(cluster.EventActive, "rack.service is active on n2 after ")
	if e.From != "n3" || e.Outage == nil ||
		e.Outage.Detect.Round(50*time.Millisecond) != 400*time.Millisecond || e.Outage.Decide <= 0 {
		t.Errorf("told %+v, outage %+v", e, e.Outage)
	}
	r.until("n3's run is evicted", func(s *cluster.Snapshot) bool { _, ok := s.Runs["n3"]; return !ok })
	s, err := r.cluster.Open().Register(r.ctx, cluster.Run{Machine: "n3", ID: "run-n3b", Address: "n3:1"}, time.Hour)
	r.must(err)
	a := r.cluster.Snapshot().Assignments[cluster.UnitOnMachine{Machine: "n3", Unit: "on.service"}]
	r.must(s.PutStatuses(r.ctx, []cluster.Status{{Machine: "n3", Epoch: a.Epoch, Generation: a.Generation,
		Status: units.Status{Name: a.Unit, Hash: a.Hash, Load: "loaded", Active: "active", Sub: "running",
			Since: time.Now().Add(-time.Hour)}}}, nil))
	r.health.set("n3", cluster.Up, 0)
	if e := r.event(cluster.EventActive, "on.service ran on while n3 didn't answer"); e.Outage != nil {
		t.Errorf("its outage is %+v", e.Outage)
	}
}
