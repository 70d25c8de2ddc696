package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/keys"
	"fleettop/daemon/view"
	"fleettop/units/retry"
)

const (
	retryLeast = 50 * time.Millisecond
	retryMost  = 2 * time.Second
	keyTries   = 250 * time.Millisecond // between looks at a rotation that changes nothing in the view
	keyLook    = time.Minute            // between looks at one that waits for machines that are off
	// keyFailures in a row are worth a warning: the store is away for a moment
	// whenever it has another leader.
	keyFailures = 6
)

// Store is the part of a store that a Service writes to.
type Store interface {
	UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error
}

// Timeline records what happened. Record tries until the events are written, and
// returns the last error where ctx ends before.
type Timeline interface {
	Record(ctx context.Context, e ...cluster.Event) error
}

// View is the cluster's state, for who holds it.
type View interface{ Hold() *view.Lease }

// Health is what this daemon holds true of each machine.
type Health interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// Gossip is the part of membership.Membership that takes up keys.
type Gossip interface {
	Members() []membership.Member
	SetKeys(primary []byte, others [][]byte) error
}

// Etcd is the part of etcdnode.Node that takes up keys.
type Etcd interface {
	AwaitAdmission(ctx context.Context) // returns when the store is this cluster's, or ctx ends
	Outdated() bool                     // reports whether it runs with other keys than are accepted
	Reload(ctx context.Context) error
	Trouble() error // why the store can't be used; nil if that isn't known
}

// ServiceConfig is what a Service works with.
type ServiceConfig struct {
	Machine       string // its ID
	GossipAddress string
	APIAddress    string
	KeyFile       string
	User          bool // the daemon is an ordinary user's

	Credentials *Credentials
	Keystore    Keystore
	Store       Store
	Timeline    Timeline
	View        View
	Health      Health
	Gossip      Gossip
	Etcd        Etcd
	Log         *slog.Logger
}

// Service follows and rotates the cluster's key, and gives it to machines that
// join. Without a key all it does is wait.
type Service struct {
	cfg         ServiceConfig
	credentials *Credentials
	log         *slog.Logger
}

// NewService returns a Service.
func NewService(cfg ServiceConfig) *Service {
	return &Service{cfg: cfg, credentials: cfg.Credentials, log: cfg.Log}
}

// Run keeps this machine's keys those that the cluster agreed on, and says so in
// the machine's record, until ctx ends. It returns nil: what fails is tried again.
func (s *Service) Run(ctx context.Context) error {
	s.cfg.Etcd.AwaitAdmission(ctx)
	delay, failures := retry.NewDelay(retryLeast, retryMost), 0
	for ctx.Err() == nil && s.credentials.identity != nil {
		err := s.cfg.Keystore.watch(ctx, func(sealed keys.Sealed) error {
			if err := s.adopt(ctx, sealed); err != nil {
				return err
			}
			if failures >= keyFailures {
				s.log.Info("the cluster's keys are followed again")
			}
			delay.Reset()
			failures = 0
			return nil
		})
		if failures++; failures >= keyFailures && ctx.Err() == nil {
			s.log.Warn("the cluster's keys can't be followed; trying again", "error", err)
		}
		delay.Wait(ctx)
	}
	return nil
}

// adopt takes the ring that the cluster agreed on. The file comes first: a
// machine that uses a key it would forget could not come back. A step that
// failed is taken at the next try; the machine's record names the ring once all
// have it.
func (s *Service) adopt(ctx context.Context, sealed keys.Sealed) error {
	have := s.credentials.identity.Ring()
	ring := have
	if sealed.Generation > 0 {
		var err error
		if ring, err = sealed.Open(have); err != nil {
			return err
		}
	}
	if !ring.Equal(s.credentials.reached().file) {
		if err := ring.Save(s.cfg.KeyFile); err != nil {
			return fmt.Errorf("%w: see that %s can be written", err, s.cfg.KeyFile)
		}
		s.credentials.reach(func(p *progress) { p.file = ring })
	}
	if !ring.Equal(have) {
		if err := s.credentials.setRing(ring); err != nil {
			return err
		}
	}
	if !ring.Equal(s.credentials.reached().gossip) {
		if err := s.cfg.Gossip.SetKeys(s.credentials.GossipKeys()); err != nil {
			return err
		}
		s.credentials.reach(func(p *progress) { p.gossip = ring })
	}
	if s.cfg.Etcd.Outdated() {
		if err := s.waitForTurn(ctx, ring.IDs()); err != nil {
			return err
		}
		if err := s.cfg.Etcd.Reload(ctx); err != nil {
			return err
		}
	}
	if !ring.Equal(s.credentials.reached().done) {
		s.credentials.reach(func(p *progress) { p.done = ring })
		s.log.Info("the cluster's keys changed", "used", ring.IDs()[0], "accepted", ring.IDs()[1:])
	}
	err := s.cfg.Store.UpdateMachine(ctx, s.cfg.Machine, func(m *cluster.Machine) error {
		if m.GossipAddress != s.cfg.GossipAddress {
			return cluster.ErrNotFound // registering writes it
		}
		m.Keys = ring.IDs()
		return nil
	})
	if errors.Is(err, cluster.ErrNotFound) {
		return nil
	}
	return err
}

// waitForTurn waits until the voters before this one have restarted their
// etcd, so that one at a time is away.
func (s *Service) waitForTurn(ctx context.Context, ids []string) error {
	lease := s.cfg.View.Hold()
	defer lease.Release()
	if _, err := lease.Snapshot(ctx, 0); err != nil {
		return err
	}
	for {
		snap, _, _, viewChanged := lease.Latest()
		healthChanged := s.cfg.Health.Changed()
		healths := s.cfg.Health.Health()
		waiting := false
		for id, m := range snap.Machines {
			if id < s.cfg.Machine && m.Seat != cluster.NoSeat && healths[id].State.Runs() && !slices.Equal(m.Keys, ids) {
				waiting = true
			}
		}
		if !waiting {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-viewChanged:
		case <-healthChanged:
		}
	}
}

// Lead carries a rotation on until ctx ends, and returns nil. Only the leader does.
func (s *Service) Lead(ctx context.Context) error {
	lease := s.cfg.View.Hold()
	defer lease.Release()
	for ctx.Err() == nil && s.credentials.identity != nil {
		keysChanged := s.credentials.Changed()
		if len(s.credentials.identity.Ring().IDs()) < 2 {
			select {
			case <-ctx.Done():
			case <-keysChanged:
			}
			continue
		}
		_, _, _, viewChanged := lease.Latest()
		healthChanged := s.cfg.Health.Changed()
		if _, err := s.step(ctx, false, ""); err != nil && ctx.Err() == nil {
			s.log.Warn("the rotation of the cluster's key waits", "error", err)
		}
		retry.Pause(ctx, keyTries) // changes of units come in crowds
		select {
		case <-ctx.Done():
		case <-keysChanged:
		case <-viewChanged:
		case <-healthChanged:
		case <-time.After(keyLook):
		}
	}
	return nil
}

// step takes the next step of a rotation, if it is time.
func (s *Service) step(ctx context.Context, finish bool, by string) (keys.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	sealed, revision, err := s.cfg.Keystore.load(ctx)
	if err != nil || sealed.Generation == 0 {
		return keys.Step{}, err
	}
	ring, err := sealed.Open(s.credentials.identity.Ring())
	if err != nil {
		return keys.Step{}, err
	}
	snap, err := s.snapshot(ctx)
	if err != nil {
		return keys.Step{}, err
	}
	now := time.Now()
	step := keys.NextStep(ring, sealed.Newest, sealed.Since, s.holders(snap), now, finish)
	if step.Next.Empty() {
		return step, nil
	}
	next, err := step.Next.Seal(sealed.Generation+1, sealed.Newest, sealed.Since)
	if err != nil {
		return step, err
	}
	if err := s.cfg.Keystore.swap(ctx, revision, next); err != nil {
		if errors.Is(err, cluster.ErrConflict) && by == "" {
			return step, nil // another daemon took the same step
		}
		return step, err
	}
	s.log.Info("the rotation of the cluster's key goes on: " + step.Text)
	s.record(ctx, by, step.Text)
	return step, nil
}

// holders are the machines with the keys they work with.
func (s *Service) holders(snap *cluster.Snapshot) []keys.Holder {
	healths := s.cfg.Health.Health()
	var out []keys.Holder
	for id, m := range snap.Machines {
		out = append(out, keys.Holder{Name: m.Name, Live: healths[id].State.Runs(), IDs: m.Keys})
	}
	return out
}

// record puts into the timeline what was done. It tries for as long as ctx
// lasts, since a rotation itself makes etcd change its leader.
func (s *Service) record(ctx context.Context, by, text string) {
	ev := cluster.Event{Kind: cluster.EventKey, Machine: s.cfg.Machine, Time: time.Now(), By: by, Text: text}
	if err := s.cfg.Timeline.Record(ctx, ev); err != nil {
		s.log.Warn("what was done to the cluster's keys is not in the timeline", "by", by, "what", text, "error", err)
	}
}
