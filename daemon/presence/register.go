package presence

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/units/broadcast"
	"fleettop/units/retry"
)

// SessionTTL is how long a session outlives its last renewal.
const SessionTTL = 3 * time.Second

const (
	retryLeast = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	// complainAfter is how many times in a row a machine can't be registered
	// until that is logged, once.
	complainAfter = 6
	// describeLimit is short, as an etcd leader that dies under a request never
	// answers it, and nothing is reported before.
	describeLimit = 2 * time.Second
)

// Store is the part of a store with the machines.
type Store interface {
	Register(ctx context.Context, run cluster.Run, ttl time.Duration) (cluster.Session, error)
	UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error
	DeleteMachine(ctx context.Context, id string) error
}

// Etcd is the part of etcdnode.Node that knows whether the store can be used.
type Etcd interface {
	EnterStore(ctx context.Context) error // returns when the store is this cluster's, or why it can't be
	Admitted() bool                       // reports whether it is
	MarkUsable()                          // notes that it answered
	Diagnose(ctx context.Context, failed error) error
}

// Agent reports the units' states over the newest session.
type Agent interface {
	SetSession(ctx context.Context, s cluster.Session)
}

// Config says who this machine is.
type Config struct {
	Run cluster.Run // of the daemon
	// Machine is the machine's record: name, addresses, version, metadata and
	// manager. What others write into it is kept.
	Machine cluster.Machine
	Keys    func() []string // IDs of the keys that this machine has everywhere

	Store Store
	Etcd  Etcd
	Agent Agent
	Log   *slog.Logger
}

// Registration keeps this machine registered with the cluster.
type Registration struct {
	cfg Config
	log *slog.Logger

	changed broadcast.Signal // of session
	opened  int              // sessions that Run tried to open

	mu      sync.Mutex // guards session
	session cluster.Session
}

// New returns a Registration; Run keeps it.
func New(cfg Config) *Registration { return &Registration{cfg: cfg, log: cfg.Log} }

// Session returns the newest session, which may have ended, or nil where there
// was none yet, and a channel that is closed when there is another.
func (r *Registration) Session() (cluster.Session, <-chan struct{}) {
	changed := r.changed.Changed()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session, changed
}

func (r *Registration) setSession(s cluster.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = s
	r.changed.Notify()
}

// Run keeps a session open, and says who this machine is, until ctx ends. It
// returns a *cluster.DuplicateError where another machine has this machine's ID,
// what Etcd.EnterStore returns, or nil.
func (r *Registration) Run(ctx context.Context) error {
	if err := r.cfg.Etcd.EnterStore(ctx); err != nil {
		return err
	}
	delay := retry.NewDelay(retryLeast, retryMost)
	failures := 0
	for ctx.Err() == nil {
		s, err := r.register(ctx)
		var duplicate *cluster.DuplicateError
		if errors.As(err, &duplicate) {
			return err
		}
		if err != nil {
			if known := r.cfg.Etcd.Diagnose(ctx, err); known == nil {
				failures++
			}
			if failures == complainAfter && ctx.Err() == nil {
				r.log.Warn("not registered with the cluster; units are left as they are", "error", err)
			}
			delay.Wait(ctx)
			continue
		}
		delay.Reset()
		failures = 0
		r.cfg.Etcd.MarkUsable()
		r.log.Info("registered with the cluster")
		r.setSession(s)
		r.cfg.Agent.SetSession(ctx, s)
		select {
		case <-s.Done():
			r.log.Warn("the session with the cluster was lost; opening another")
		case <-ctx.Done():
		}
	}
	return nil
}

// register opens a session and brings the machine's record up to date.
func (r *Registration) register(ctx context.Context) (cluster.Session, error) {
	run := r.cfg.Run
	r.opened++
	run.Session = r.opened
	s, err := r.cfg.Store.Register(ctx, run, SessionTTL)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	if err := r.cfg.Store.UpdateMachine(limited, r.cfg.Run.Machine, r.describe); err != nil {
		_ = s.Close(ctx, false)
		return nil, err
	}
	return s, nil
}

// describe brings the machine's record up to date.
func (r *Registration) describe(m *cluster.Machine) error {
	own := r.cfg.Machine
	m.Name, m.Address, m.Version = own.Name, own.Address, own.Version
	m.Configure(own.Metadata)
	m.Manager, m.Fences, m.NoFence = own.Manager, own.Fences, own.NoFence
	m.GossipAddress, m.ProbeAddress, m.APIAddress = own.GossipAddress, own.ProbeAddress, own.APIAddress
	m.EtcdPeerURL, m.EtcdClientURL = own.EtcdPeerURL, own.EtcdClientURL
	m.Keys = r.cfg.Keys()
	m.Departure, m.DepartureAt = cluster.NotDeparted, time.Time{}
	return nil
}

// WatchConflicts returns the first conflict of a daemon that comes second with
// its machine-id, or nil when ctx ends. The one that was registered first goes on.
func (r *Registration) WatchConflicts(ctx context.Context, conflicts <-chan error) error {
	for {
		select {
		case err := <-conflicts:
			if s, _ := r.Session(); s == nil {
				return err
			}
			r.log.Error("another machine claims to be this one; it is refused", "error", err)
		case <-ctx.Done():
			return nil
		}
	}
}
