package leadership

import (
	"context"
	"time"

	"fleettop/cluster/membership"
	"fleettop/daemon/view"
	"fleettop/units/retry"
)

const (
	// gossipGrace is between a change and the check for it: gossip may hear of a
	// machine a little later than the store, sessions of the dead have to end,
	// and changes of units come in crowds.
	gossipGrace = time.Second
	gossipRetry = 5 * time.Second // between calls to machines that gossip doesn't hear
)

// repairGossip calls machines that have a session with the store and that gossip
// doesn't hear, until ctx ends: their addresses, or those they remember, have
// changed, and only the store knows where they are.
func (c *campaign) repairGossip(ctx context.Context) error {
	lease := c.cfg.View.Hold()
	defer lease.Release()
	for ctx.Err() == nil {
		_, _, _, viewChanged := lease.Latest()
		membersChanged := c.cfg.Gossip.Changed()
		retry.Pause(ctx, gossipGrace)
		if lost := c.unheard(lease); len(lost) > 0 {
			if err := c.cfg.Gossip.Join(ctx, lost); err != nil && ctx.Err() == nil {
				c.cfg.Log.Debug("gossip still doesn't hear all machines that have a session", "error", err)
			}
			retry.Pause(ctx, gossipRetry)
			continue
		}
		select {
		case <-ctx.Done():
		case <-viewChanged:
		case <-membersChanged:
		}
	}
	return nil
}

// unheard returns the addresses of machines that have a session and are not alive
// as gossip has it.
func (c *campaign) unheard(lease *view.Lease) []string {
	snap, live, _, _ := lease.Latest()
	if !live {
		return nil
	}
	heard := map[string]bool{c.cfg.Self: true}
	for _, m := range c.cfg.Gossip.Members() {
		heard[m.ID] = m.State == membership.Alive || m.State == membership.Suspect
	}
	var lost []string
	for id, run := range snap.Runs {
		if !heard[id] {
			lost = append(lost, run.Address)
		}
	}
	return lost
}
