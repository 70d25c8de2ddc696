package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/keys"
	"fleettop/units/retry"
)

const (
	keyTries = 250 * time.Millisecond // between looks at a rotation that changes nothing in the view
	keyLook  = time.Minute            // between looks at one that waits for machines that are off
	// keyFailures in a row are worth a word: the store is away for a moment
	// whenever it has another leader.
	keyFailures = 6
)

// followKeys keeps this machine's keys those that the cluster agreed on, and
// says so in the machine's record, until ctx ends.
func (n *node) followKeys(ctx context.Context) error {
	delay, failures := retry.NewDelay(retryLeast, retryMost), 0
	for ctx.Err() == nil && n.guard.identity != nil {
		err := n.vault().watch(ctx, func(s keys.Sealed) error {
			if err := n.adopt(ctx, s); err != nil {
				return err
			}
			if failures >= keyFailures {
				n.log.Info("the cluster's keys are followed again")
			}
			delay.Reset()
			failures = 0
			return nil
		})
		if failures++; failures >= keyFailures && ctx.Err() == nil {
			n.log.Warn("the cluster's keys can't be followed; trying again", "error", err)
		}
		delay.Wait(ctx)
	}
	return nil
}

// adopt takes the ring that the cluster agreed on. The file comes first: a
// machine that uses a key it would forget could not come back. A step that
// failed is taken at the next try; the machine's record names the ring once all
// have it.
func (n *node) adopt(ctx context.Context, s keys.Sealed) error {
	have := n.guard.identity.Ring()
	ring := have
	if s.Generation > 0 {
		var err error
		if ring, err = s.Open(have); err != nil {
			return err
		}
	}
	if !ring.Equal(n.guard.reached().file) {
		if err := ring.Save(n.cfg.KeyFile); err != nil {
			return fmt.Errorf("%w: see that %s can be written", err, n.cfg.KeyFile)
		}
		n.guard.reach(func(r *rings) { r.file = ring })
	}
	if !ring.Equal(have) {
		if err := n.guard.setRing(ring); err != nil {
			return err
		}
	}
	if !ring.Equal(n.guard.reached().gossip) {
		if err := n.members.SetKeys(n.guard.gossipKey(), n.guard.otherGossipKeys()); err != nil {
			return err
		}
		n.guard.reach(func(r *rings) { r.gossip = ring })
	}
	if n.etcd.Outdated() {
		if err := n.waitForTurn(ctx, ring.IDs()); err != nil {
			return err
		}
		if err := n.etcd.Reload(ctx); err != nil {
			return err
		}
	}
	if !ring.Equal(n.guard.reached().done) {
		n.guard.reach(func(r *rings) { r.done = ring })
		n.log.Info("the cluster's keys changed", "used", ring.IDs()[0], "accepted", ring.IDs()[1:])
	}
	err := n.store.UpdateMachine(ctx, n.cfg.MachineID, func(m *cluster.Machine) error {
		if m.GossipAddress != n.cfg.gossipAddress() {
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
func (n *node) waitForTurn(ctx context.Context, ids []string) error {
	lease := n.view.Hold()
	defer lease.Release()
	if _, err := lease.Snapshot(ctx, 0); err != nil {
		return err
	}
	for {
		snap, _, _, viewChanged := lease.Latest()
		healthChanged := n.health.Changed()
		healths := n.health.Health()
		waiting := false
		for id, m := range snap.Machines {
			if id < n.cfg.MachineID && m.Seat != cluster.NoSeat && healths[id].State.Runs() && !slices.Equal(m.Keys, ids) {
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

// tendKeys carries a rotation on until ctx ends. Only the leader does.
func (n *node) tendKeys(ctx context.Context) error {
	lease := n.view.Hold()
	defer lease.Release()
	for ctx.Err() == nil && n.guard.identity != nil {
		keysChanged := n.guard.Changed()
		if len(n.guard.identity.Ring().IDs()) < 2 {
			select {
			case <-ctx.Done():
			case <-keysChanged:
			}
			continue
		}
		_, _, _, viewChanged := lease.Latest()
		healthChanged := n.health.Changed()
		if _, err := n.stepKeys(ctx, false, ""); err != nil && ctx.Err() == nil {
			n.log.Warn("the rotation of the cluster's key waits", "error", err)
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

// stepKeys takes the next step of a rotation, if it is time.
func (n *node) stepKeys(ctx context.Context, finish bool, by string) (keys.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, revision, err := n.vault().load(ctx)
	if err != nil || s.Generation == 0 {
		return keys.Step{}, err
	}
	ring, err := s.Open(n.guard.identity.Ring())
	if err != nil {
		return keys.Step{}, err
	}
	snap, err := n.snapshot(ctx)
	if err != nil {
		return keys.Step{}, err
	}
	now := time.Now()
	step := keys.NextStep(ring, s.Newest, s.Since, n.holders(snap), now, finish)
	if step.Next.Empty() {
		return step, nil
	}
	next, err := step.Next.Seal(s.Generation+1, s.Newest, s.Since)
	if err != nil {
		return step, err
	}
	if err := n.vault().swap(ctx, revision, next); err != nil {
		if errors.Is(err, cluster.ErrConflict) && by == "" {
			return step, nil // another daemon took the same step
		}
		return step, err
	}
	n.log.Info("the rotation of the cluster's key goes on: " + step.Text)
	n.recordKeys(ctx, by, step.Text)
	return step, nil
}

// holders are the machines with the keys they work with.
func (n *node) holders(snap *cluster.Snapshot) []keys.Holder {
	healths := n.health.Health()
	var out []keys.Holder
	for id, m := range snap.Machines {
		out = append(out, keys.Holder{Name: m.Name, Live: healths[id].State.Runs(), IDs: m.Keys})
	}
	return out
}

// recordKeys puts into the timeline what was done. It tries for as long as ctx
// lasts, since a rotation itself makes etcd change its leader.
func (n *node) recordKeys(ctx context.Context, by, text string) {
	ev := cluster.Event{Kind: cluster.EventKey, Machine: n.cfg.MachineID, Time: time.Now(), By: by, Text: text}
	if err := (timeline{n.store}).Record(ctx, ev); err != nil {
		n.log.Warn("what was done to the cluster's keys is not in the timeline", "by", by, "what", text, "error", err)
	}
}

func (n *node) vault() vault { return vault{n.etcd.Client(), n.cfg.EtcdPrefix} }
