package etcdnode

import (
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
)

const (
	// slowList is how long it takes to list etcd's members where etcd isn't calm:
	// as long as raft waits before it elects another leader.
	slowList = 500 * time.Millisecond
	// calmFor is how long etcd must have been calm before it grows beyond three
	// voters. The first three are needed as soon as possible.
	calmFor = 5 * time.Second
)

// calm knows since when etcd has been calm. A voter more is work for the
// others: on an overloaded machine it costs the cluster its quorum.
type calm struct{ since time.Time } // zero while it isn't

// observe notes that the members were listed now: how long that took, and
// whether a machine with a member is in doubt.
func (c *calm) observe(now time.Time, took time.Duration, doubt bool) {
	switch {
	case doubt || took >= slowList:
		c.since = time.Time{}
	case c.since.IsZero():
		c.since = now
	}
}

// allows reports whether a step may be taken now. What mends is never held
// back, nor is a step out of an even number of voters.
func (c *calm) allows(step etcdserver.Step, members []etcdserver.Member, now time.Time) bool {
	voters := 0
	for _, m := range members {
		if !m.Learner {
			voters++
		}
	}
	if voters%2 == 0 || step.Kind != etcdserver.AddLearner && step.Kind != etcdserver.Promote {
		return true
	}
	if c.since.IsZero() {
		return false
	}
	return voters < 3 || now.Sub(c.since) >= calmFor
}

// doubtful reports whether a machine with a member isn't surely up.
func doubtful(members []etcdserver.Member, healths map[string]cluster.Health) bool {
	for _, m := range members {
		if h, known := healths[m.Machine]; m.Started && known && h.State != cluster.Up {
			return true
		}
	}
	return false
}
