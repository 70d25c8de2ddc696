package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cluster/election"
	"fleettop/cluster/membership"
	"fleettop/daemon/etcdnode"
	"fleettop/units/retry"
)

const (
	retryLeast = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	// complainAfter is how many times in a row a machine can't be registered
	// until that is said, once.
	complainAfter = 6
	// describeLimit is short, as an etcd leader that dies under a request never
	// answers it, and nothing is reported before.
	describeLimit = 2 * time.Second
	// candidates is how many daemons stand for election where etcd isn't
	// embedded; each keeps the whole state warm.
	candidates = 5
)

// stayRegistered keeps a session open, and says who this machine is. It
// returns only for a duplicate machine-id, or nil when ctx ends.
func (n *node) stayRegistered(ctx context.Context) error {
	if err := n.etcd.EnterStore(ctx); err != nil {
		return err
	}
	delay := retry.NewDelay(retryLeast, retryMost)
	failures := 0
	for ctx.Err() == nil {
		s, err := n.store.Register(ctx, n.run, sessionTTL)
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, describeLimit)
			err = n.store.UpdateMachine(limited, n.cfg.MachineID, n.describe)
			cancel()
			if err != nil {
				s.Close(ctx, false)
			}
		}
		var duplicate *cluster.DuplicateError
		if errors.As(err, &duplicate) {
			return err
		}
		if err != nil {
			if known := n.etcd.Diagnose(ctx, err); known == nil {
				failures++
			}
			if failures == complainAfter && ctx.Err() == nil {
				n.log.Warn("not registered with the cluster; units are left as they are", "error", err)
			}
			delay.Wait(ctx)
			continue
		}
		delay.Reset()
		failures = 0
		n.etcd.MarkUsable()
		n.log.Info("registered with the cluster")
		n.mu.Lock()
		n.session = s
		n.mu.Unlock()
		n.agent.SetSession(ctx, s)
		offer(n.sessions, s)
		select {
		case <-s.Done():
			n.log.Warn("the session with the cluster was lost; opening another")
		case <-ctx.Done():
		}
	}
	return nil
}

// registered tells whether this run of the daemon ever had a session.
func (n *node) registered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.session != nil
}

// judgeConflicts ends a daemon that comes second with its machine-id. The one
// that was there first goes on.
func (n *node) judgeConflicts(ctx context.Context, conflicts <-chan error) error {
	for {
		select {
		case err := <-conflicts:
			if !n.registered() {
				return err
			}
			n.log.Error("another machine claims to be this one; it is refused", "error", err)
		case <-ctx.Done():
			return nil
		}
	}
}

// describe brings the machine's record up to date.
func (n *node) describe(m *cluster.Machine) error {
	m.Name, m.Address, m.Version = n.cfg.Name, n.cfg.Address, n.cfg.Version
	m.Metadata = maps.Clone(n.cfg.Metadata)
	m.Manager = string(n.cfg.Manager)
	m.GossipAddress, m.ProbeAddress, m.APIAddress = n.cfg.gossipAddress(), n.cfg.probeAddress(), n.cfg.apiAddress()
	m.EtcdPeerURL, m.EtcdClientURL = "", ""
	if n.cfg.embedsEtcd() {
		m.EtcdPeerURL, m.EtcdClientURL = n.etcd.PeerURL(), n.etcd.ClientURL()
	}
	m.Keys = n.credentials.InUse()
	m.Departure, m.DepartureAt = cluster.NotDeparted, time.Time{}
	return nil
}

// sayGoodbye tells the cluster how this daemon leaves, so that it need not guess.
func (n *node) sayGoodbye(ctx context.Context, d cluster.Departure) {
	if !n.etcd.Admitted() {
		return // the cluster doesn't know it
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	err := n.store.UpdateMachine(ctx, n.cfg.MachineID, func(m *cluster.Machine) error {
		if m.GossipAddress != n.cfg.gossipAddress() {
			return cluster.ErrNotFound // never registered, or it is the record of the one whose identity this has
		}
		m.Departure, m.DepartureAt = d, time.Now()
		return nil
	})
	if err != nil && !errors.Is(err, cluster.ErrNotFound) {
		n.log.Warn("left without a goodbye; the cluster will find out by itself", "error", err)
	}
}

// closeSession leaves the statuses standing for the next daemon, unless there won't be one.
func (n *node) closeSession(ctx context.Context, d cluster.Departure) {
	n.mu.Lock()
	s := n.session
	n.mu.Unlock()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	if err := s.Close(ctx, d != cluster.Restarting); err != nil {
		n.log.Debug("the session was not closed", "error", err)
	}
}

// stand takes part in elections while this daemon is a candidate.
func (n *node) stand(ctx context.Context) error {
	var session cluster.Session
	for {
		changed := n.members.Changed()
		linkChanged := n.etcd.Changed()
		var sessionLost <-chan struct{}
		if session != nil {
			sessionLost = session.Done()
		}
		if session != nil && n.isCandidate() {
			if err := n.campaign(ctx, session); errors.Is(err, cluster.ErrSessionLost) {
				session = nil
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-sessionLost:
			session = nil
		case session = <-n.sessions:
		case <-changed:
		case <-linkChanged:
		}
	}
}

// campaign stands for election until the session ends or this daemon is no candidate any more.
func (n *node) campaign(ctx context.Context, s cluster.Session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer n.view.Hold().Release()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		return election.Run(ctx, n.store, s, n.log, n.lead)
	})
	g.Go(func() error {
		n.engine.WatchLeader(ctx)
		return nil
	})
	g.Go(func() error {
		for {
			changed, linkChanged := n.members.Changed(), n.etcd.Changed()
			if !n.isCandidate() {
				cancel()
			}
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			case <-linkChanged:
			}
		}
	})
	return g.Wait()
}

// lead is the leader's work: placing units, and tending gossip, the keys and etcd's voters.
func (n *node) lead(ctx context.Context, l cluster.Leader) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.engine.Lead(ctx, l) })
	g.Go(func() error { return n.tendGossip(ctx) })
	g.Go(func() error { return n.keys.Lead(ctx) })
	g.Go(func() error { return n.etcd.KeepIdentity(ctx) })
	if n.cfg.embedsEtcd() {
		voters := &etcdnode.Voters{Client: n.etcd.Client(), Records: n.store, Timeline: timeline{n.store},
			View: n.view, Health: n.health, Log: n.log}
		g.Go(func() error { return voters.Run(ctx) })
	}
	return g.Wait()
}

// isCandidate tells whether this daemon stands for election: voters do, or
// where etcd isn't embedded the first few machines alive.
func (n *node) isCandidate() bool {
	if n.cfg.embedsEtcd() {
		return n.etcd.Votes()
	}
	var alive []string
	for _, m := range n.members.Members() {
		if m.State == membership.Alive || m.State == membership.Suspect {
			alive = append(alive, m.ID)
		}
	}
	slices.Sort(alive)
	return slices.Contains(alive[:min(len(alive), candidates)], n.cfg.MachineID)
}

// offer replaces what waits in a channel of capacity 1.
func offer[T any](ch chan T, v T) {
	select {
	case <-ch:
	default:
	}
	ch <- v
}
