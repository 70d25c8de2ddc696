package apitest

import (
	"context"
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// filledFile is the file of each unit that Fill makes.
const filledFile = "[Unit]\nDescription=A service of many\n\n[Service]\nExecStart=/bin/sleep inf\nRestart=always\n"

// FilledUnit returns the name of the n-th unit that Fill makes, from 1 on.
func FilledUnit(n int) string { return fmt.Sprintf("web@%d.service", n) }

// Fill gives every machine so many units that run, as if they had for a while, and says of each
// machine that it may die. The leader and the agents do nothing from then on: what becomes of the
// units is for the test to say, with Report.
func (c *Cluster) Fill(perMachine int) {
	c.tb.Helper()
	c.Pause()
	ctx, since := context.Background(), time.Now().Add(-time.Hour)
	file, err := units.ParseFile(filledFile)
	must(c.tb, err)
	n := len(c.sessions)
	var list []cluster.Unit
	var moves []cluster.Move
	var found cluster.Findings
	answers := map[string]cluster.WhatIf{}
	for i := range n * perMachine {
		u := cluster.Unit{Name: FilledUnit(i + 1), Content: filledFile, Hash: file.Hash(), Desired: units.Launched,
			Generation: 1, By: "root", At: since}
		list = append(list, u)
		moves = append(moves, cluster.Move{Unit: u.Name, Generation: 1, To: &cluster.Assignment{Machine: Machine(i%n + 1).ID,
			Unit: u.Name, Content: u.Content, Hash: u.Hash, Desired: u.Desired, Generation: 1, Epoch: int64(i + 1),
			Reason: "fewest units (9) of 1000 eligible machines", Since: since}})
	}
	errs, err := c.Store.PutUnits(ctx, list)
	must(c.tb, err)
	for _, err := range errs {
		must(c.tb, err)
	}
	for i := range n {
		answers[Machine(i+1).ID] = cluster.WhatIf{}
	}
	found.WhatIf = c.Mem.Snapshot().NewWhatIf(answers, c.health.Health())
	_, errs, err = c.Store.Apply(ctx, c.Mem.Snapshot().Leader.Term, moves, found)
	must(c.tb, err)
	for _, err := range errs {
		must(c.tb, err)
	}
	for i := range n {
		var puts []cluster.Status
		for k := i; k < n*perMachine; k += n {
			puts = append(puts, c.filledStatus(k+1, since))
		}
		must(c.tb, c.sessions[Machine(i+1).ID].PutStatuses(ctx, puts, nil))
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if snap, _, _, _ := c.View.LastKnown(); snap != nil && len(snap.Statuses) == n*perMachine {
			return
		}
		if time.Now().After(deadline) {
			c.tb.Fatal("the view doesn't show all units")
		}
	}
}

// filledStatus is what its machine says of the n-th unit.
func (c *Cluster) filledStatus(n int, since time.Time) cluster.Status {
	return cluster.Status{Machine: Machine((n-1)%len(c.sessions) + 1).ID, Epoch: int64(n), Generation: 1,
		Status: units.Status{Name: FilledUnit(n), Hash: hashOf(filledFile), Load: "loaded", Active: "active", Sub: "running",
			Result: "success", Since: since, PID: 1000 + n}}
}

func hashOf(content string) string {
	file, err := units.ParseFile(content)
	if err != nil {
		return ""
	}
	return file.Hash()
}

// Report makes the machine of the n-th unit that Fill made say that it runs with another process.
func (c *Cluster) Report(n, pid int) {
	c.tb.Helper()
	st := c.filledStatus(n, time.Now())
	st.PID = pid
	must(c.tb, c.sessions[st.Machine].PutStatuses(context.Background(), []cluster.Status{st}, nil))
}
