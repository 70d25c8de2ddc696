package etcdnode

import (
	"fmt"

	"fleettop/cluster/membership"
)

// RecoveredError says that this machine's cluster was recovered on another one while
// this one, a voter, was away: its data is void.
type RecoveredError struct {
	Name, Address string // of a machine of the recovered cluster
	Old, New      string // cluster IDs
	StateDir      string
}

// Error implements error.
func (e *RecoveredError) Error() string {
	return fmt.Sprintf("this machine was a voter of cluster %s, which was recovered without it and is cluster %s now (%s at %s is in it): "+
		"its units run on untouched; to have it join that one, run `fleettop recover --rejoin` here, which moves its old data in %s "+
		"away, and start the daemon again", e.Old, e.New, e.Name, e.Address, e.StateDir)
}

// followRecovery returns the ID of this machine's cluster, which is another one where gossip hears a
// machine of a cluster that was recovered from it. A machine with data of its own doesn't go on: it
// would be a voter of a cluster that is gone.
func (n *Node) followRecovery(clusterID string) (string, error) {
	for _, m := range n.gossip.Members() {
		theirs, from := m.Tags[tagCluster], m.Tags[tagSucceeds]
		if m.ID == n.cfg.Machine || m.State != membership.Alive && m.State != membership.Suspect || from == "" || theirs == "" {
			continue
		}
		switch {
		case theirs == clusterID && n.predecessor() == "":
			n.mu.Lock()
			n.succeeds = from // so that a machine that was away hears it of every other one
			n.mu.Unlock()
		case theirs != clusterID && from == clusterID:
			if n.member() != nil {
				return "", &RecoveredError{Name: m.Tags[TagName], Address: m.Address, Old: clusterID, New: theirs, StateDir: n.cfg.StateDir}
			}
			n.log.Warn("the cluster was recovered by an operator: going on in the new one, units untouched", "machine", m.Tags[TagName],
				"cluster", theirs, "before", clusterID)
			clusterID = theirs
			n.mu.Lock()
			n.clusterID, n.succeeds = theirs, from
			n.change.Notify()
			n.mu.Unlock()
		}
	}
	return clusterID, nil
}

// predecessor is the ID of the cluster that this machine's one was recovered from; empty for none.
func (n *Node) predecessor() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.succeeds
}
