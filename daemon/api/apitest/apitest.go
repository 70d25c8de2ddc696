// Package apitest runs a cluster in memory behind a real API server on a unix
// socket, for tests of what talks to it. Its machines do what they are told at
// once; the scheduler is the real one.
package apitest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
	"fleettop/daemon/health"
	"fleettop/daemon/view"
	"fleettop/units"
)

// Cluster is a cluster under test.
type Cluster struct {
	Mem      *memstore.Cluster
	Store    *memstore.Store // the API server's
	View     *view.View
	Endpoint string
	API      *server.Server // behind the endpoint: without a role
	Left     chan struct{}  // closed when the API was told to leave

	sessions map[string]cluster.Session // by machine

	health  *verdicts
	tb      testing.TB
	mu      sync.Mutex // guards faults and paused
	faults  map[string]units.Status
	errors  map[string]string
	paused  bool
	resumed chan struct{}
}

// Machine returns the n-th of the machines Start makes, from 1 on.
func Machine(n int) cluster.Machine {
	id := fmt.Sprintf("%d%031d", n, n)
	return cluster.Machine{ID: id[len(id)-32:], Name: fmt.Sprintf("n%d", n),
		Address:  fmt.Sprintf("198.18.%d.%d", 1+n/250, n%250),
		Metadata: map[string]string{"rack": fmt.Sprint(n)}, Version: "test", Manager: "process"}
}

// Start runs a cluster of some machines until the test ends. The API answers
// for the first; tweaks change what its server is made from.
func Start(tb testing.TB, machines int, tweaks ...func(*server.Config)) *Cluster {
	tb.Helper()
	c := &Cluster{Mem: memstore.New(), tb: tb, faults: map[string]units.Status{}, errors: map[string]string{},
		health: newVerdicts(), Left: make(chan struct{}), resumed: make(chan struct{}, 1)}
	c.Store = c.Mem.Open()
	log := slog.New(slog.DiscardHandler)
	c.View = view.New(c.Store, log, time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.View.Run(ctx) })

	ground := c.Mem.Open()
	sessions := map[string]cluster.Session{}
	c.sessions = sessions
	for n := range machines {
		m := Machine(n + 1)
		must(tb, ground.UpdateMachine(ctx, m.ID, func(r *cluster.Machine) error { *r = m; return nil }))
		s, err := ground.Register(ctx, cluster.Run{Machine: m.ID, ID: "run-" + m.Name, Address: m.Address, Since: time.Now()},
			time.Minute)
		must(tb, err)
		sessions[m.ID] = s
		c.health.set(m.ID, cluster.Health{State: cluster.Up, Since: time.Now(), Evidence: "it answers"})
	}
	if machines > 0 {
		leader, err := ground.Campaign(ctx, sessions[Machine(1).ID])
		must(tb, err)
		running.Go(func() { c.work(ctx, ground, leader, sessions) })
	}

	var once sync.Once
	shown := health.NewShown(Machine(1).ID, c.health, c.View)
	running.Go(func() { shown.Run(ctx) })
	cfg := server.Config{Store: c.Store, View: c.View, Health: shown, Self: Machine(1).ID, Version: "test",
		Log: log, Heartbeat: 200 * time.Millisecond, SlowReader: 500 * time.Millisecond, Leave: func(context.Context, string, api.LeaveRequest,
			func(api.Progress)) (*api.Moved, error) {
			once.Do(func() { close(c.Left) })
			return &api.Moved{}, nil
		}}
	for _, tweak := range tweaks {
		tweak(&cfg)
	}
	c.API = server.New(cfg)
	path := filepath.Join(tb.TempDir(), "api.sock")
	l, err := net.Listen("unix", path)
	must(tb, err)
	c.Endpoint = "unix://" + path
	httpServer := server.HTTPServer(ctx, server.AsRole(api.Operator, c.API), log)
	running.Go(func() { httpServer.Serve(l) })
	tb.Cleanup(func() {
		cancel()
		httpServer.Close()
		for _, s := range sessions {
			s.Close(context.Background(), true)
		}
		running.Wait()
		ground.Close()
		c.Store.Close()
	})
	return c
}

// Client returns a client of the cluster's API.
func (c *Cluster) Client() *client.Client {
	c.tb.Helper()
	client, err := client.Dial(c.Endpoint)
	must(c.tb, err)
	c.tb.Cleanup(client.Close)
	return client
}

// SetHealth changes the verdict on a machine.
func (c *Cluster) SetHealth(id string, state cluster.HealthState) {
	c.health.set(id, cluster.Health{State: state, Since: time.Now(), Evidence: "a test says so"})
	c.wake()
}

// Hold makes the leader hold failovers, or not, if why is empty.
func (c *Cluster) Hold(why string) {
	c.tb.Helper()
	_, _, err := c.Store.Apply(context.Background(), c.Mem.Snapshot().Leader.Term, nil, cluster.Findings{Hold: &why})
	must(c.tb, err)
}

// Break makes a unit end in a state of its own when it is started, or fail
// with an error where there is one.
func (c *Cluster) Break(unit string, as units.Status, errText string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults[unit], c.errors[unit] = as, errText
}

// Pause keeps the leader and all agents from doing anything, until Resume.
func (c *Cluster) Pause() { c.pause(true) }

// Resume ends a Pause.
func (c *Cluster) Resume() { c.pause(false) }

func (c *Cluster) pause(on bool) {
	c.mu.Lock()
	c.paused = on
	c.mu.Unlock()
	c.wake()
}

func (c *Cluster) wake() {
	select {
	case c.resumed <- struct{}{}:
	default:
	}
}

// work is the leader and all agents, until ctx ends.
func (c *Cluster) work(ctx context.Context, store *memstore.Store, leader cluster.Leader,
	sessions map[string]cluster.Session) {
	planner := schedule.New()
	for ctx.Err() == nil {
		watchCtx, cancel := context.WithCancel(ctx)
		snap, changes, err := store.Watch(watchCtx, cluster.Scope{})
		for live := err == nil; live; {
			c.step(ctx, store, planner, leader, sessions, snap)
			select {
			case <-ctx.Done():
				live = false
			case <-c.resumed:
			case change, ok := <-changes:
				if live = ok; ok {
					snap = snap.With(change)
				}
			}
		}
		cancel()
	}
}

func (c *Cluster) step(ctx context.Context, store *memstore.Store, planner *schedule.Planner, leader cluster.Leader,
	sessions map[string]cluster.Session, snap *cluster.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		return
	}
	plan := planner.Plan(schedule.Input{Snapshot: snap, Health: c.health.Health(), Hold: snap.Leader.Hold}, time.Now())
	found := c.findings(planner, snap, plan)
	if len(plan.Moves)+found.Size() > 0 {
		// What was changed meanwhile comes again with the next change.
		_, _, _ = store.Apply(ctx, leader.Term, plan.Moves, found)
	}
	for id, s := range sessions {
		puts, deletes := c.report(snap, id)
		if len(puts)+len(deletes) > 0 {
			_ = s.PutStatuses(ctx, puts, deletes)
		}
	}
}

// findings are what the leader holds true of units without a place, and of
// the death of each machine; the verdicts are the test's.
func (c *Cluster) findings(planner *schedule.Planner, snap *cluster.Snapshot, plan schedule.Result) cluster.Findings {
	unplaced, answers, health := map[string]cluster.Unplaced{}, map[string]cluster.WhatIf{}, c.health.Health()
	for _, u := range plan.Unplaced {
		unplaced[u.Unit] = cluster.Unplaced{Reason: u.Reason, Finished: u.Finished}
	}
	for id := range snap.Machines {
		names := planner.WhatIf(schedule.Input{Snapshot: snap, Health: health, Hold: snap.Leader.Hold}, id)
		answers[id] = cluster.WhatIf{Strands: len(names), Units: names}
	}
	return cluster.Findings{Unplaced: snap.NewUnplaced(unplaced), WhatIf: snap.NewWhatIf(answers, health)}
}

// report is what a machine's agent says of its assignments.
func (c *Cluster) report(snap *cluster.Snapshot, machine string) (puts []cluster.Status, deletes []string) {
	for k, a := range snap.Assignments {
		old, reported := snap.Statuses[k]
		if k.Machine != machine || reported && old.Epoch == a.Epoch && old.Generation >= a.Generation {
			continue
		}
		st := cluster.Status{Machine: machine, Epoch: a.Epoch, Generation: a.Generation,
			Status: units.Status{Name: k.Unit, Hash: a.Hash, Load: "loaded", Active: "inactive", Sub: "dead", Result: "success",
				Since: time.Now()}}
		if a.Release {
			st.Released, st.Load = "/etc/systemd/system/"+k.Unit, "released"
			puts = append(puts, st)
			continue
		}
		if a.Desired == units.Launched {
			st.Active, st.Sub = "active", "running"
			st.PID = 1000 + int(max(a.Restart, 1))
			if fault, broken := c.faults[k.Unit]; broken {
				st.Active, st.Sub, st.Result, st.PID = fault.Active, fault.Sub, fault.Result, 0
				st.Error = c.errors[k.Unit]
			}
		}
		puts = append(puts, st)
	}
	for k := range snap.Statuses {
		if _, assigned := snap.Assignments[k]; !assigned && k.Machine == machine {
			deletes = append(deletes, k.Unit)
		}
	}
	return puts, deletes
}

// Eventually waits until a condition holds, or fails the test.
func Eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("it never came about that %s", what)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// verdicts are what the daemon sees of the machines, which tests turn.
type verdicts struct {
	mu      sync.Mutex // guards what follows
	states  map[string]cluster.Health
	changed chan struct{}
}

func newVerdicts() *verdicts {
	return &verdicts{states: map[string]cluster.Health{}, changed: make(chan struct{})}
}

func (h *verdicts) set(id string, v cluster.Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := map[string]cluster.Health{id: v}
	for k, old := range h.states {
		if k != id {
			next[k] = old
		}
	}
	h.states = next
	close(h.changed)
	h.changed = make(chan struct{})
}

// Health are the verdicts, by machine.
func (h *verdicts) Health() map[string]cluster.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states
}

// Changed implements health.Own.
func (h *verdicts) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}
