package leadership

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cluster/election"
	"fleettop/cluster/membership"
	"fleettop/daemon/view"
)

// candidates is how many daemons are candidates where etcd isn't embedded; each
// keeps the whole state warm.
const candidates = 5

// Sessions are the sessions of this machine, one after the other.
type Sessions interface {
	// Session returns the newest one, or nil, and a channel that is closed when
	// there is another.
	Session() (cluster.Session, <-chan struct{})
}

// Gossip is the part of membership.Membership that a Campaign uses.
type Gossip interface {
	Members() []membership.Member
	Changed() <-chan struct{}
	Join(ctx context.Context, addresses []string) error
}

// Etcd is the part of etcdnode.Node that says whether this machine votes.
type Etcd interface {
	Embedded() bool
	Votes() bool
	Changed() <-chan struct{}
}

// View is the cluster's state, for who holds it.
type View interface{ Hold() *view.Lease }

// Engine places the units.
type Engine interface {
	Lead(ctx context.Context, l cluster.Leader) error
	WatchLeader(ctx context.Context) // makes way for another leader where the present one is dead
}

// Config says who campaigns, and what the leader does.
type Config struct {
	Self     string // ID of this machine
	Store    election.Store
	Sessions Sessions
	Gossip   Gossip
	Etcd     Etcd
	View     View
	Engine   Engine
	// Tasks are the leader's work beside placing units. Each runs until its
	// context ends; one that returns an error ends the leadership.
	Tasks []func(ctx context.Context) error
	Log   *slog.Logger
}

// Run takes part in elections while this machine is a candidate, until ctx
// ends. It returns nil.
func Run(ctx context.Context, cfg Config) error {
	c := &campaign{cfg}
	for ctx.Err() == nil {
		gossipChanged, etcdChanged := cfg.Gossip.Changed(), cfg.Etcd.Changed()
		session, another := cfg.Sessions.Session()
		if session != nil && !over(session) && c.isCandidate() {
			if err := c.run(ctx, session); !errors.Is(err, cluster.ErrSessionLost) {
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-another:
		case <-gossipChanged:
		case <-etcdChanged:
		}
	}
	return nil
}

// over reports whether a session has ended.
func over(s cluster.Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

type campaign struct{ cfg Config }

// run campaigns until the session ends or this daemon is no candidate any more.
func (c *campaign) run(ctx context.Context, s cluster.Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.cfg.View.Hold().Release() // so that a new leader has a warm state
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		return election.Run(ctx, c.cfg.Store, s, c.cfg.Log, c.lead)
	})
	g.Go(func() error {
		c.cfg.Engine.WatchLeader(ctx)
		return nil
	})
	g.Go(func() error {
		for {
			gossipChanged, etcdChanged := c.cfg.Gossip.Changed(), c.cfg.Etcd.Changed()
			if !c.isCandidate() {
				cancel()
			}
			select {
			case <-ctx.Done():
				return nil
			case <-gossipChanged:
			case <-etcdChanged:
			}
		}
	})
	return g.Wait()
}

// lead is the leader's work: placing units, repairing gossip, and the tasks.
func (c *campaign) lead(ctx context.Context, l cluster.Leader) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.cfg.Engine.Lead(ctx, l) })
	g.Go(func() error { return c.repairGossip(ctx) })
	for _, task := range c.cfg.Tasks {
		g.Go(func() error { return task(ctx) })
	}
	return g.Wait()
}

// isCandidate reports whether this daemon takes part in elections: voters do, or
// where etcd isn't embedded the first few machines alive.
func (c *campaign) isCandidate() bool {
	if c.cfg.Etcd.Embedded() {
		return c.cfg.Etcd.Votes()
	}
	var alive []string
	for _, m := range c.cfg.Gossip.Members() {
		if m.State == membership.Alive || m.State == membership.Suspect {
			alive = append(alive, m.ID)
		}
	}
	slices.Sort(alive)
	return slices.Contains(alive[:min(len(alive), candidates)], c.cfg.Self)
}
