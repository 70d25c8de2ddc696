package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"fleettop/cluster"
	"fleettop/daemon/api/fleetv1"
	"fleettop/units"
)

// TestFleetListsAgree: over changes of all kinds, a unit in the list is the same as the unit
// alone, whatever of them was kept from before.
func TestFleetListsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	f, snap := newFleetLists(), cluster.NewSnapshot(1)
	global := func(u cluster.Unit) bool { return u.Name == "u5.service" }
	desired := []units.DesiredState{units.Inactive, units.Loaded, units.Launched}
	machines := map[string]*cluster.Machine{}
	for i := range 3 {
		id := fmt.Sprintf("m%d", i)
		machines[id] = &cluster.Machine{ID: id}
	}
	snap = snap.With(cluster.Change{Revision: 2, Machines: machines})
	for step := range 2000 {
		name := fmt.Sprintf("u%d.service", rng.IntN(8))
		k := cluster.UnitOnMachine{Machine: fmt.Sprintf("m%d", rng.IntN(3)), Unit: name}
		c := cluster.Change{Revision: int64(step + 3)}
		switch rng.IntN(6) {
		case 0:
			c.Units = map[string]*cluster.Unit{name: nil}
		case 1:
			text := fmt.Sprintf("[Service]\nExecStart=/bin/sleep %d\n", rng.IntN(3))
			file, err := units.ParseFile(text)
			if err != nil {
				t.Fatal(err)
			}
			c.Units = map[string]*cluster.Unit{name: {Name: name, Content: text, Hash: file.Hash(),
				Desired: desired[rng.IntN(3)]}}
		case 2:
			c.Assignments = map[cluster.UnitOnMachine]*cluster.Assignment{k: nil}
		case 3:
			elsewhere := false
			for other := range snap.Assignments {
				elsewhere = elsewhere || other.Unit == name
			}
			if !elsewhere { // a unit is on one machine
				c.Assignments = map[cluster.UnitOnMachine]*cluster.Assignment{k: {Machine: k.Machine, Unit: name,
					Desired: desired[1+rng.IntN(2)]}}
			}
		case 4:
			c.Statuses = map[cluster.UnitOnMachine]*cluster.Status{k: nil}
		case 5:
			active := []string{"active", "inactive", "failed"}[rng.IntN(3)]
			c.Statuses = map[cluster.UnitOnMachine]*cluster.Status{k: {Machine: k.Machine,
				Status: units.Status{Name: name, Load: "loaded", Active: active}}}
		}
		snap = snap.With(c)
		list := f.unitList(snap, global)
		if len(list.entries) != len(snap.Units) || len(f.stateList(snap).entries) != len(snap.Statuses) {
			t.Fatalf("step %d: %d of %d units, %d of %d states", step, len(list.entries), len(snap.Units),
				len(f.stateList(snap).entries), len(snap.Statuses))
		}
		for i, entry := range list.entries {
			u := snap.Units[list.name[i]]
			alone := newFleetLists().unit(snap, u, global(u))
			if string(entry) != string(alone) {
				t.Fatalf("step %d: in the list %s, alone %s", step, entry, alone)
			}
		}
		if len(f.encoded) != len(snap.Units) {
			t.Fatalf("step %d: %d units are kept encoded, there are %d", step, len(f.encoded), len(snap.Units))
		}
	}
}

// TestFleetLeavingUnit: a unit that was taken from its machine is there until it has stopped.
func TestFleetLeavingUnit(t *testing.T) {
	for active, want := range map[string]units.DesiredState{"active": units.Launched, "deactivating": units.Launched,
		"inactive": units.Loaded, "failed": units.Loaded} {
		snap := cluster.NewSnapshot(1).With(cluster.Change{Revision: 2,
			Machines: map[string]*cluster.Machine{"m1": {ID: "m1"}},
			Statuses: map[cluster.UnitOnMachine]*cluster.Status{{Machine: "m1", Unit: "a.service"}: {Machine: "m1",
				Status: units.Status{Name: "a.service", Load: "loaded", Active: active}}}})
		var u fleetv1.Unit
		if err := json.Unmarshal(newFleetLists().unit(snap, cluster.Unit{Name: "a.service"}, false), &u); err != nil {
			t.Fatal(err)
		}
		if u.CurrentState != want || u.MachineID != "m1" {
			t.Errorf("%s: %+v, want %s on m1", active, u, want)
		}
	}
}
