package etcdnode

import (
	"context"
	"slices"
	"time"

	"fleettop/cluster/membership"
	"fleettop/units/retry"
)

const endpointsQuiet = 10 * time.Millisecond // suspicions come in crowds

// OtherClusterError says that this machine was to join a cluster and has
// the data of another one.
type OtherClusterError struct {
	Address      string // of the machine it was to join
	Theirs, Ours string // cluster IDs
	StateDir     string // where ours is from
}

// Error implements error.
func (e *OtherClusterError) Error() string {
	return "the machine at " + e.Address + " is in cluster " + e.Theirs + ", and this one is in cluster " + e.Ours +
		" by the data in " + e.StateDir + ": to join the other cluster, move that directory away and start with --join"
}

// inCluster reports whether this machine, or one that gossip hears, is in a cluster.
func (n *Node) inCluster() bool {
	n.mu.Lock()
	known := n.clusterID != "" || !n.cfg.embeds()
	n.mu.Unlock()
	return known || slices.ContainsFunc(n.gossip.Members(),
		func(m membership.Member) bool { return m.Tags[tagCluster] != "" })
}

// syncEndpoints keeps the client's endpoints and this member's tags current:
// a voter talks to its own member, every other machine to the voters that live.
func (n *Node) syncEndpoints(ctx context.Context) error {
	var pointed, tagged []string
	var again time.Time
	suspicions := suspicions{}
	for ctx.Err() == nil {
		membersChanged, nodeChanged := n.gossip.Changed(), n.Changed()
		n.mu.Lock()
		voter, clusterID := n.voter, n.clusterID
		n.mu.Unlock()
		endpoints := n.cfg.Endpoints
		living := endpoints
		if n.cfg.embeds() {
			var err error
			if clusterID, err = n.followRecovery(clusterID); err != nil {
				return err
			}
			if living, again, err = n.voters(clusterID, suspicions, time.Now()); err != nil {
				return err
			}
			if endpoints = living; voter {
				endpoints = []string{n.ClientURL()}
			}
		}
		if len(endpoints) > 0 {
			if !slices.Equal(endpoints, pointed) {
				n.client.SetEndpoints(endpoints...)
				pointed = endpoints
			}
			// What is under way with a voter that lives may end there: a
			// machine that begins to vote has requests out.
			n.conns.Keep(slices.Concat(endpoints, living))
		}
		n.mu.Lock()
		tags := map[string]string{TagName: n.cfg.Name, tagCluster: n.clusterID}
		if n.succeeds != "" {
			tags[tagSucceeds] = n.succeeds
		}
		n.mu.Unlock()
		if voter {
			tags[tagEtcd] = n.ClientURL()
		}
		if now := []string{tags[tagCluster], tags[tagEtcd], tags[tagSucceeds]}; !slices.Equal(now, tagged) {
			if err := n.gossip.SetTags(tags); err != nil {
				n.log.Debug("tags not gossiped yet", "error", err)
			}
			tagged = now
		}
		var due <-chan time.Time
		if !again.IsZero() {
			due = time.After(time.Until(again))
		}
		select {
		case <-ctx.Done():
		case <-membersChanged:
			retry.Pause(ctx, endpointsQuiet)
		case <-nodeChanged:
		case <-due:
		}
	}
	return nil
}

// ClusterMembers is what gossip says of the machines of a node's cluster.
type ClusterMembers struct{ *Node }

// Members is gossip's list, in which a machine that came back in another
// cluster, as after it lost its disk, counts as failed.
func (c ClusterMembers) Members() []membership.Member {
	ours := c.cluster()
	list := c.gossip.Members()
	for i, m := range list {
		if theirs := m.Tags[tagCluster]; ours != "" && theirs != "" && theirs != ours {
			list[i].State = membership.Failed
		}
	}
	return list
}

// Changed returns a channel closed at gossip's next change.
func (c ClusterMembers) Changed() <-chan struct{} { return c.gossip.Changed() }

// voters returns the client URLs of the voters that live, as gossip has it, and
// of those in doubt only where there are no others: by the time the leader is
// sure of a death, this machine's watches are somewhere else already. It also
// returns when to look again, if only time changes the answer. It refuses to
// go on where this machine is to join a cluster and has another's data. A machine
// that was with its own cluster is where it belongs: there it is the stranger that
// lost its data and founded a cluster.
func (n *Node) voters(clusterID string, suspicions suspicions, now time.Time) (
	list []string, again time.Time, err error) {
	var urls, doubtful []string
	var stranger membership.Member
	for _, m := range n.gossip.Members() {
		theirs := m.Tags[tagCluster]
		n.company = n.company || m.ID != n.cfg.Machine && theirs != "" && theirs == clusterID
		if m.State != membership.Alive && m.State != membership.Suspect || m.ID == n.cfg.Machine || theirs == "" {
			continue
		}
		if clusterID == "" {
			clusterID = theirs
			n.mu.Lock()
			n.clusterID = theirs
			n.change.Notify()
			n.mu.Unlock()
		}
		if theirs != clusterID {
			if theirs != n.predecessor() { // which ends, or follows
				stranger = m
			}
			continue
		}
		n.company = true
		gone, at := suspicions.observe(m, now)
		if !at.IsZero() && (again.IsZero() || at.Before(again)) {
			again = at
		}
		if url := m.Tags[tagEtcd]; url != "" && !gone {
			urls = append(urls, url)
		} else if url != "" {
			doubtful = append(doubtful, url)
		}
	}
	if stranger.ID != "" && !n.company && len(n.cfg.Join) > 0 {
		return nil, again, &OtherClusterError{Address: stranger.Address, Theirs: stranger.Tags[tagCluster],
			Ours: clusterID, StateDir: n.cfg.StateDir}
	}
	if len(urls) == 0 {
		urls = doubtful
	}
	slices.Sort(urls)
	return urls, again, nil
}
