package logs

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/view"
	"fleettop/journal"
	"fleettop/units"
)

// Peers reaches the other machines. The error says which machine and why.
type Peers interface {
	Client(machineID string) (*client.Client, error)
}

// Health is the daemon's verdict on machines.
type Health interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// Timeline has what happened.
type Timeline interface {
	Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error)
}

// Config is what a Service works with.
type Config struct {
	Self     string         // ID of this machine
	Source   journal.Source // its log; nil if it keeps none
	View     *view.View
	Health   Health
	Peers    Peers
	Timeline Timeline
	Log      *slog.Logger
}

// Service serves logs. It implements server.Logs. Goroutines end with the
// requests they are for.
type Service struct {
	cfg Config
	hub hub
}

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg, hub: hub{src: cfg.Source}} }

// Journal implements server.Logs.
func (s *Service) Journal(ctx context.Context, o api.JournalOptions, emit func([]journal.Entry) error) error {
	names := slices.Clone(o.Units)
	if o.Unit != "" {
		names = append(names, o.Unit)
	}
	if o.Local {
		return s.local(ctx, names, o, emit)
	}
	lease := s.cfg.View.Hold()
	defer lease.Release()
	snap, _, err := lease.Reach(ctx, 0) // with a state of old, what it knows is asked
	if err != nil {
		return err
	}
	c := &conductor{s: s, lease: lease, o: o, names: names, emit: emit, snap: snap, began: time.Now(),
		positions: maps.Clone(o.After)}
	c.lastEvent.Time = c.began
	if c.q, err = query(o, c.began); err != nil {
		return &api.Error{Code: api.CodeInvalid, Message: err.Error()}
	}
	if o.Machine != "" {
		m, refused := api.FindMachine(snap.Machines, o.Machine)
		if refused != nil {
			return refused
		}
		c.only = m
	}
	return c.run(ctx)
}

// selected reports whether a unit is one of those named, or matches a glob.
func selected(names []string, unit string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return n == unit || isGlob(n) && units.MatchGlob(n, unit) })
}

func isGlob(s string) bool { return strings.ContainsAny(s, "*?[") }

// known are the units a request means: those the cluster knows or that are
// still on a machine, and those that are named in full. Sorted.
func known(snap *cluster.Snapshot, names []string) []string {
	set := map[string]bool{}
	add := func(unit string) {
		if !set[unit] && selected(names, unit) {
			set[unit] = true
		}
	}
	for unit := range snap.Units {
		add(unit)
	}
	for k := range snap.Assignments {
		add(k.Unit)
	}
	for k := range snap.Statuses {
		add(k.Unit)
	}
	for _, n := range names {
		if !isGlob(n) {
			set[n] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// present are the machines that have one of the units, or are still getting rid of it.
func present(snap *cluster.Snapshot, names []string) map[string]bool {
	on := map[string]bool{}
	for k := range snap.Assignments {
		if !on[k.Machine] && selected(names, k.Unit) {
			on[k.Machine] = true
		}
	}
	for k := range snap.Statuses {
		if !on[k.Machine] && selected(names, k.Unit) {
			on[k.Machine] = true
		}
	}
	return on
}
