//go:build !race

package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"fleettop/units"
)

// ignored is how long a stop takes where SIGTERM is ignored: then comes SIGKILL,
// and systemd may take the unit for failed.
const ignored = 3 * time.Second

// manager is a machine's service manager. It outlives daemons, and ends with the machine's power.
type manager struct {
	m *machine

	mu      sync.Mutex // guards what follows
	held    map[string]*held
	readers map[chan []units.Status]struct{}
	pids    int
	jobs    map[string]*sync.Mutex // one job at a time on each unit
	fence   *standing              // nil where none stands
	fences  int
}

// held is a unit that the manager holds.
type held struct {
	units.Status
	exclusive bool
}

func newManager(m *machine) *manager {
	return &manager{m: m, held: map[string]*held{}, readers: map[chan []units.Status]struct{}{},
		jobs: map[string]*sync.Mutex{}}
}

// change changes a unit and tells the readers; mu is held.
func (g *manager) change(h *held, active, sub string) {
	if h.Active != active {
		h.Since = time.Now()
	}
	h.Active, h.Sub = active, sub
	g.tell(h.Status)
}

// tell sends a status to the readers; mu is held.
func (g *manager) tell(s units.Status) {
	for r := range g.readers {
		select {
		case r <- []units.Status{s}:
		default:
			delete(g.readers, r)
			close(r)
		}
	}
}

// Load implements units.Manager.
func (g *manager) Load(ctx context.Context, files []units.UnitFile) (map[string]error, error) {
	if err := pause(ctx, g.m.sim.within(2*time.Millisecond, 300*time.Millisecond)); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range files {
		h := g.held[f.Name]
		if h == nil {
			h = &held{Status: units.Status{Name: f.Name, Load: "loaded", Active: "inactive", Sub: "dead", Since: time.Now()}}
			g.held[f.Name] = h
		}
		if file, err := units.ParseFile(f.Content); err == nil {
			h.exclusive = file.Exclusive()
		}
		h.Hash = f.Hash
		g.tell(h.Status)
	}
	return map[string]error{}, nil
}

// Unload implements units.Manager.
func (g *manager) Unload(ctx context.Context, names []string) (map[string]error, error) {
	errs := map[string]error{}
	for _, name := range names {
		g.m.sim.auditor.stopping(g.m, name)
		if err := g.halt(ctx, name); err != nil {
			errs[name] = err
			continue
		}
		g.mu.Lock()
		if h := g.held[name]; h != nil {
			delete(g.held, name)
			s := h.Status
			s.Load = "not-found"
			g.tell(s)
		}
		g.mu.Unlock()
	}
	return errs, nil
}

// job waits for its turn on a unit. A stop that comes while a start is under way cancels it
// in systemd; here it waits, which takes longer.
func (g *manager) job(name string) func() {
	g.mu.Lock()
	j := g.jobs[name]
	if j == nil {
		j = &sync.Mutex{}
		g.jobs[name] = j
	}
	g.mu.Unlock()
	for !j.TryLock() {
		time.Sleep(10 * time.Millisecond) // a mutex would stop virtual time
	}
	return j.Unlock
}

// Start implements units.Manager.
func (g *manager) Start(ctx context.Context, name string) error {
	defer g.job(name)()
	g.mu.Lock()
	h := g.held[name]
	if h == nil {
		g.mu.Unlock()
		return fmt.Errorf("start %s: %w", name, units.ErrNotLoaded)
	}
	if h.Active == "active" {
		g.mu.Unlock()
		return nil
	}
	if h.exclusive && g.fence == nil {
		g.mu.Unlock()
		return &units.JobError{Unit: name, Verb: "start", Result: "dependency"}
	}
	g.pids++
	h.PID = g.m.n*100000 + g.pids
	g.change(h, "activating", "start")
	g.mu.Unlock()
	g.m.sim.auditor.starts(g.m, name, h.exclusive)
	takes := g.m.sim.within(5*time.Millisecond, 400*time.Millisecond)
	if g.m.sim.chance(3) {
		takes *= 20
	}
	time.Sleep(takes)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone() {
		return fmt.Errorf("start %s: the machine lost its power", name)
	}
	if strings.HasPrefix(name, "flaky") && g.m.sim.chance(30) {
		h.PID, h.Result = 0, "exit-code"
		g.change(h, "failed", "failed")
		return &units.JobError{Unit: name, Verb: "start", Result: "failed"}
	}
	if h.Sub != "start" {
		return &units.JobError{Unit: name, Verb: "start", Result: "canceled"}
	}
	h.Result = "success"
	g.change(h, "active", "running")
	return ctx.Err()
}

// gone reports whether the machine has another manager by now, or none; mu may be held.
func (g *manager) gone() bool { return !g.m.powered() || g.m.manager.Load() != g }

// Stop implements units.Manager.
func (g *manager) Stop(ctx context.Context, name string) error {
	g.m.sim.auditor.stopping(g.m, name)
	return g.halt(ctx, name)
}

func (g *manager) halt(ctx context.Context, name string) error {
	defer g.job(name)()
	g.mu.Lock()
	h := g.held[name]
	if h == nil {
		g.mu.Unlock()
		return nil
	}
	if h.Active != "active" && h.Active != "activating" {
		g.mu.Unlock()
		return nil
	}
	g.change(h, "deactivating", "stop-sigterm")
	g.mu.Unlock()
	takes := g.m.sim.within(5*time.Millisecond, 200*time.Millisecond)
	if g.m.sim.chance(3) {
		takes = ignored
	}
	time.Sleep(takes)
	g.mu.Lock()
	defer g.mu.Unlock()
	h.PID = 0
	if takes >= ignored && g.m.sim.chance(50) {
		h.Result = "timeout"
		g.change(h, "failed", "failed")
		return &units.JobError{Unit: name, Verb: "stop", Result: "failed"}
	}
	g.change(h, "inactive", "dead")
	return ctx.Err()
}

// Restart implements units.Manager. A unit that had to be killed is started, too, as by systemd.
func (g *manager) Restart(ctx context.Context, name string) error {
	if err := g.halt(ctx, name); err != nil && !errors.As(err, new(*units.JobError)) {
		return err
	}
	return g.Start(ctx, name)
}

// Watch implements units.Manager.
func (g *manager) Watch(ctx context.Context) ([]units.Status, <-chan []units.Status, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []units.Status
	for _, h := range g.held {
		list = append(list, h.Status)
	}
	slices.SortFunc(list, func(a, b units.Status) int { return strings.Compare(a.Name, b.Name) })
	r := make(chan []units.Status, 1024)
	g.readers[r] = struct{}{}
	context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if _, open := g.readers[r]; open {
			delete(g.readers, r)
			close(r)
		}
	})
	return list, r, nil
}

// Close implements units.Manager.
func (g *manager) Close() error { return nil }

// running returns the main PIDs of the units that run.
func (g *manager) running() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	pids := map[string]int{}
	for name, h := range g.held {
		if h.PID != 0 {
			pids[name] = h.PID
		}
	}
	return pids
}

// crash lets a unit's process die; the unit has Restart=always.
func (g *manager) crash(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.held[name]
	if h == nil || h.Active != "active" {
		return
	}
	h.PID = 0
	g.change(h, "activating", "auto-restart")
	time.AfterFunc(100*time.Millisecond, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.gone() && g.held[name] == h && h.Sub == "auto-restart" && !(h.exclusive && g.fence == nil) {
			g.pids++
			h.PID = g.m.n*100000 + g.pids
			h.Restarts++
			g.change(h, "active", "running")
		}
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
