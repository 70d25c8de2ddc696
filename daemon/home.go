package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"fleettop/cluster/membership"
	"fleettop/units/retry"
)

// errKnownElsewhere ends a daemon's life in a cluster that it founded while
// another one counts this machine among its own.
var errKnownElsewhere = errors.New("this machine is in another cluster")

const homeRetry = 2 * time.Second // between questions to a machine that didn't answer

// findHome looks whether a daemon that founded a cluster should have joined one:
// a machine that was reinstalled has forgotten its cluster, and its options may
// still be those of the first machine. The other machines call it, as it failed
// in their eyes, and know its machine-id. A cluster that is in use stays.
func (n *node) findHome(ctx context.Context) error {
	if !n.etcd.founded {
		return nil
	}
	for ctx.Err() == nil {
		changed, wait := n.members.Changed(), 24*time.Hour
		for _, id := range n.strangers() {
			known, err := n.isKnownTo(ctx, id)
			switch {
			case err != nil:
				n.log.Debug("a machine of another cluster doesn't say whether it knows this one",
					"machine", id, "error", err)
				wait = homeRetry
			case known && n.inUse(ctx):
				n.log.Warn("another cluster knows this machine, and the one founded here is in use already: to go back "+
					"to that one, stop this daemon, move "+n.cfg.StateDir+" away and start it with --join", "machine", id)
				return nil
			case known:
				n.log.Warn("this machine lost its data and founded a cluster, while another one knows it: "+
					"it gives up the new one and joins that", "machine", id)
				return errKnownElsewhere
			}
		}
		limited, cancel := context.WithTimeout(ctx, wait)
		select {
		case <-limited.Done():
		case <-changed:
			retry.Pause(limited, gossipGrace) // gossip comes in crowds
		}
		cancel()
	}
	return nil
}

// strangers are the machines that gossip hears and that are in another cluster.
func (n *node) strangers() []string {
	var list []string
	ours := n.etcd.cluster()
	for _, m := range n.members.Members() {
		theirs := m.Tags[tagCluster]
		if m.ID != n.cfg.MachineID && m.State == membership.Alive && ours != "" && theirs != "" && theirs != ours {
			list = append(list, m.ID)
		}
	}
	slices.Sort(list)
	return list
}

// isKnownTo asks another machine whether this one is in its cluster.
func (n *node) isKnownTo(ctx context.Context, machine string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	client, err := n.peers.Client(machine)
	if err != nil {
		return false, err
	}
	list, err := client.Machines(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range list.Machines {
		if m.ID == n.cfg.MachineID {
			return true, nil
		}
	}
	return false, nil
}

// inUse reports whether this cluster has a unit or another machine, or can't say.
func (n *node) inUse(ctx context.Context) bool {
	lease := n.view.Hold()
	defer lease.Release()
	ctx, cancel := context.WithTimeout(ctx, describeLimit)
	defer cancel()
	snap, err := lease.Snapshot(ctx, 0)
	return err != nil || len(snap.Units) > 0 || len(snap.Machines) > 1
}
