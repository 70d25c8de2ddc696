package etcdnode

import (
	"context"
	"time"

	"fleettop/cluster"
)

// Verdicts are the verdicts on machines, by machine ID.
type Verdicts interface {
	Health() map[string]cluster.Health
	Changed() <-chan struct{}
}

// ReplaceDeadLeader has this machine's member stand for raft's leadership where the
// machine that holds it is dead, so that raft's own timeout isn't waited for. It
// does so once for each verdict, and runs until ctx ends.
func (n *Node) ReplaceDeadLeader(ctx context.Context, verdicts Verdicts) {
	done := map[string]time.Time{} // machine to since when it was taken for dead
	for ctx.Err() == nil {
		judged, changed := verdicts.Changed(), n.Changed()
		if server := n.member(); server != nil && n.Votes() {
			health, leader := verdicts.Health(), server.Leader()
			turn, dead := succession(leader, n.cfg.Machine, server.Voters(), health)
			if since := health[leader].Since; dead && !done[leader].Equal(since) {
				done[leader] = since
				n.log.Info("the machine of etcd's leader is dead: electing another one", "machine", leader)
				if err := server.Succeed(ctx, leader, turn); err != nil && ctx.Err() == nil {
					n.log.Warn("could not stand for etcd's leadership; another member will, or this one a moment later",
						"error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-judged:
		case <-changed:
		}
	}
}

// succession reports whether the machine of raft's leader is dead while most of the
// voters are up, and how many of those stand for election before this machine.
func succession(leader, self string, voters []string, health map[string]cluster.Health) (turn int, dead bool) {
	h, known := health[leader]
	if !known || leader == self || h.State.Runs() || !h.BackAt.IsZero() {
		return 0, false
	}
	up := 0
	for _, v := range voters {
		if v == self {
			up++
			continue
		}
		if health[v].State != cluster.Up {
			continue
		}
		up++
		if v < self {
			turn++
		}
	}
	return turn, up > len(voters)/2
}
