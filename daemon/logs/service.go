package logs

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/logs/stitch"
	"fleettop/daemon/view"
	"fleettop/journal"
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
	cfg         Config
	broadcaster broadcaster
}

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg, broadcaster: broadcaster{src: cfg.Source}} }

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
	c := &session{s: s, lease: lease, o: o, names: names, emit: emit, snap: snap}
	began := time.Now()
	c.lastEvent.Time = began
	q, err := query(o, began)
	if err != nil {
		return &api.Error{Code: api.CodeInvalid, Message: err.Error()}
	}
	var only cluster.Machine
	if o.Machine != "" {
		m, refused := api.FindMachine(snap.Machines, o.Machine)
		if refused != nil {
			return refused
		}
		only = m
	}
	return c.run(ctx, stitch.Request{Names: names, Machine: only.ID, Self: s.cfg.Self, Lines: o.Lines, Since: q.Since,
		Until: q.Until, Follow: o.Follow, Positions: o.Positions, After: o.After, Began: began})
}
