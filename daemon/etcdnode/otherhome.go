package etcdnode

import (
	"context"
	"errors"
	"slices"
	"time"

	"fleettop/cluster/membership"
	"fleettop/daemon/api/client"
	"fleettop/units/retry"
)

// ErrKnownElsewhere ends a daemon's life in a cluster that it founded while
// another one counts this machine among its own.
var ErrKnownElsewhere = errors.New("this machine is in another cluster")

const (
	homeRetry = 2 * time.Second // between questions to a machine that didn't answer
	homeLimit = 2 * time.Second // for a question
	homeQuiet = time.Second     // gossip's changes come in crowds
)

// Peers is the part of peers.Peers by which other machines are asked.
type Peers interface {
	Client(machineID string) (*client.Client, error)
}

// FindHome looks, until ctx ends, whether a node that founded a cluster should
// have joined one, and returns ErrKnownElsewhere then: a machine that was
// reinstalled has forgotten its cluster, and its options may still be those of
// the first machine. The other machines call it, as it failed in their eyes, and
// know its machine-id. A cluster that is in use stays.
func (n *Node) FindHome(ctx context.Context, peers Peers, view View) error {
	if !n.founded {
		return nil
	}
	for ctx.Err() == nil {
		changed, wait := n.gossip.Changed(), 24*time.Hour
		for _, id := range n.strangers() {
			known, err := n.isKnownTo(ctx, peers, id)
			used := false
			if err == nil && known {
				used, err = inUse(ctx, view)
			}
			switch {
			case err != nil:
				n.log.Debug("it isn't known yet whether this machine belongs to another cluster",
					"machine", id, "error", err)
				wait = homeRetry
			case used:
				n.log.Warn("another cluster knows this machine, and the one founded here is in use already: to go back "+
					"to that one, stop this daemon, move "+n.cfg.StateDir+" away and start it with --join", "machine", id)
				return nil
			case known:
				n.log.Warn("this machine lost its data and founded a cluster, while another one knows it: "+
					"it gives up the new one and joins that", "machine", id)
				return ErrKnownElsewhere
			}
		}
		limited, cancel := context.WithTimeout(ctx, wait)
		select {
		case <-limited.Done():
		case <-changed:
			retry.Pause(limited, homeQuiet)
		}
		cancel()
	}
	return nil
}

// strangers are the machines that gossip hears and that are in another cluster.
func (n *Node) strangers() []string {
	var list []string
	ours := n.cluster()
	for _, m := range n.gossip.Members() {
		theirs := m.Tags[tagCluster]
		if m.ID != n.cfg.Machine && m.State == membership.Alive && ours != "" && theirs != "" && theirs != ours {
			list = append(list, m.ID)
		}
	}
	slices.Sort(list)
	return list
}

// isKnownTo asks another machine whether this one is in its cluster.
func (n *Node) isKnownTo(ctx context.Context, peers Peers, machine string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, homeLimit)
	defer cancel()
	client, err := peers.Client(machine)
	if err != nil {
		return false, err
	}
	list, err := client.Machines(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range list.Machines {
		if m.ID == n.cfg.Machine {
			return true, nil
		}
	}
	return false, nil
}

// inUse reports whether this cluster has a unit or another machine.
func inUse(ctx context.Context, view View) (bool, error) {
	lease := view.Hold()
	defer lease.Release()
	ctx, cancel := context.WithTimeout(ctx, homeLimit)
	defer cancel()
	snap, err := lease.Snapshot(ctx, 0)
	if err != nil {
		return false, err
	}
	return len(snap.Units) > 0 || len(snap.Machines) > 1, nil
}
