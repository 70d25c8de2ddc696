// Package tuitest makes clusters on paper for the console's tests: the lines a
// daemon would send of them, with a clock that stands still.
package tuitest

import (
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// Noon is when the clusters are looked at.
var Noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// MachineID is the ID of the i-th machine.
func MachineID(i int) string { return fmt.Sprintf("%032x", 0xabc0000+i) }

// Machine is the i-th machine, up.
func Machine(i int) api.Machine {
	m := api.Machine{Machine: cluster.Machine{ID: MachineID(i), Name: fmt.Sprintf("n%d", i),
		Address:  fmt.Sprintf("10.0.%d.%d", i/250, i%250+1),
		Metadata: map[string]string{"rack": fmt.Sprint(i%4 + 1)}, Version: "1.2.0"},
		Health: cluster.Health{State: cluster.Up, Since: Noon.Add(-3 * time.Hour), Evidence: "answers"}}
	if i <= 3 {
		m.Seat = cluster.Voter
	}
	m.Leader = i == 1
	return m
}

// Unit is a unit that is to run.
func Unit(name string) api.Unit {
	return api.Unit{Name: name, Description: "A service", Hash: "c8faa44d0c1e5a7b", Desired: units.Launched, Generation: 1,
		By: "root", At: Noon.Add(-time.Hour)}
}

// On assigns a unit to the i-th machine.
func On(name string, i int, epoch int64) api.Assignment {
	return api.Assignment{Unit: name, Machine: MachineID(i), Hash: "c8faa44d0c1e5a7b", Desired: units.Launched,
		Generation: 1, Epoch: epoch,
		Reason: "fewest units (0) of 3 eligible machines", Since: Noon.Add(-time.Hour)}
}

// Runs is a unit's status on the i-th machine.
func Runs(name string, i int, epoch int64, active, sub string) cluster.Status {
	return cluster.Status{Machine: MachineID(i), Epoch: epoch, Generation: 1,
		Status: units.Status{Name: name, Hash: "c8faa44d0c1e5a7b",
			Load: "loaded", Active: active, Sub: sub, Since: Noon.Add(-42 * time.Minute), PID: 4242}}
}

// Cluster is the snapshot of a cluster of some machines and units, all well.
func Cluster(machines, count int) *api.Line {
	l := &api.Line{Kind: api.LineSnapshot, Revision: 100, ClusterID: "5f3a9c21", Self: MachineID(1), Version: "1.2.0",
		Leader: &cluster.Leader{Machine: MachineID(1), Term: 3,
			Since: Noon.Add(-time.Hour)}, Store: &api.Store{Connected: true}}
	for i := 1; i <= machines; i++ {
		l.Machines = append(l.Machines, Machine(i))
		l.WhatIf = append(l.WhatIf, api.WhatIf{Machine: MachineID(i)})
	}
	for i := range count {
		name := fmt.Sprintf("web@%d.service", i+1)
		on := i%machines + 1
		l.Units = append(l.Units, Unit(name))
		l.Assignments = append(l.Assignments, On(name, on, 10))
		l.Statuses = append(l.Statuses, Runs(name, on, 10, "active", "running"))
	}
	return l
}

// Event is something that happened some time before noon.
func Event(n int, ago time.Duration, e cluster.Event) cluster.Event {
	e.Time = Noon.Add(-ago)
	e.ID = fmt.Sprintf("%020d-%04d", e.Time.UnixNano(), n)
	return e
}

// Failed is the line that tells of the i-th machine's failure.
func Failed(i int, silent time.Duration) *api.Line {
	m := Machine(i)
	m.Leader = false
	m.Health = cluster.Health{State: cluster.Failed, Since: Noon.Add(-silent / 2), SilentSince: Noon.Add(-silent),
		Evidence: "no answer for 0.4 s, probe timed out"}
	return &api.Line{Kind: api.LineChange, Machines: []api.Machine{m},
		Events: []cluster.Event{Event(1, silent/2, cluster.Event{Kind: cluster.EventMachine, Machine: m.ID, Text: m.Name +
			" failed: no answer for 0.4 s, probe timed out", State: cluster.Failed,
			Record: cluster.Record{Was: &cluster.Was{State: cluster.Up, Since: Noon.Add(-time.Hour)}}})}}
}

// Moved is the line that gives a unit to another machine.
func Moved(name string, from, to int, epoch int64, ago time.Duration) *api.Line {
	text := fmt.Sprintf("%s n%d -> n%d: moved from n%d: machine failed; fewest units (1) of 2 eligible machines", name,
		from, to, from)
	return &api.Line{Kind: api.LineChange, Assignments: []api.Assignment{On(name, to, epoch)},
		Gone: &api.Gone{Assignments: []api.Placement{{Machine: MachineID(from), Unit: name}},
			Statuses: []api.Placement{{Machine: MachineID(from), Unit: name}}},
		Events: []cluster.Event{Event(2, ago, cluster.Event{Kind: cluster.EventMoved, Unit: name, From: MachineID(from),
			To: MachineID(to), Text: text, Record: cluster.Record{Reason: "moved from n" + fmt.Sprint(from) + ": machine failed",
				Was: &cluster.Was{Places: true, On: []string{MachineID(from)}, Reason: "fewest units", Active: "active", Sub: "running",
					Since: Noon.Add(-time.Hour)}}})}}
}

// Active is the line that says that a moved unit runs again.
func Active(name string, from, to int, epoch int64, ago time.Duration, o cluster.Outage) *api.Line {
	st := Runs(name, to, epoch, "active", "running")
	st.Since = Noon.Add(-ago)
	return &api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st},
		Events: []cluster.Event{Event(3, ago, cluster.Event{Kind: cluster.EventActive, Unit: name, Machine: MachineID(to),
			From: MachineID(from), To: MachineID(to), Outage: &o,
			Text: fmt.Sprintf("%s is active on n%d, outage %.2fs = detect %.2f + decide %.2f + start %.2f", name, to,
				o.Total().Seconds(), o.Detect.Seconds(), o.Decide.Seconds(), o.Start.Seconds())})}}
}

// Summed is the line that sums a failover up.
func Summed(i, moved int, ago time.Duration, o cluster.Outage) *api.Line {
	return &api.Line{Kind: api.LineChange, Events: []cluster.Event{Event(4, ago,
		cluster.Event{Kind: cluster.EventFailover, Machine: MachineID(i), Outage: &o,
			Text: fmt.Sprintf("n%d failed · %d units moved · worst outage %.2fs = detect %.2f + decide %.2f + start %.2f", i,
				moved, o.Total().Seconds(), o.Detect.Seconds(), o.Decide.Seconds(), o.Start.Seconds())})}}
}
