package engine

import (
	"time"

	"fleettop/cluster"
	"fleettop/daemon/fencing"
	"fleettop/units"
)

// fenceModel is the fence of a machine on paper. Its units end as late as they may.
type fenceModel struct {
	until time.Time     // the deadline
	next  time.Time     // renewal
	drift time.Duration // by which a lease is longer by the machine's clock than by the leader's
}

// endFenced ends the exclusive units of a machine whose fence has ended.
func (s *sim) endFenced(n *node) {
	if s.clock.Now().Before(n.fence.until.Add(units.FenceStop)) {
		return
	}
	for name := range n.running {
		if name[0] == 'x' {
			s.say("%s's fence ends %s", n.id, name)
			delete(n.running, name)
		}
	}
}

// renewFence renews a machine's fence. The answer may get lost.
func (s *sim) renewFence(n *node) {
	now := s.clock.Now()
	if now.Before(n.fence.next) {
		return
	}
	n.fence.next = now.Add(500 * time.Millisecond)
	if n.session.RenewFence(s.ctx, fencing.Lease) != nil || !s.calm && s.chance(20) {
		return
	}
	if !now.Before(n.fence.until) { // a new one is raised, and what runs without one stopped
		for name := range n.running {
			if name[0] == 'x' {
				delete(n.running, name)
			}
		}
	}
	n.fence.until = now.Add(fencing.Lease + n.fence.drift)
}

// exclusive does what is to be done with an exclusive unit, and returns what is said of it.
func (s *sim) exclusive(n *node, a cluster.Assignment) cluster.Status {
	st := cluster.Status{Machine: n.id, Epoch: a.Epoch, Generation: a.Generation,
		Status: units.Status{Name: a.Unit, Hash: a.Hash, Load: "loaded", Active: "active"}}
	_, runs := n.running[a.Unit]
	switch {
	case a.Leaving && runs && !s.stopped(n, a.Unit):
	case a.Leaving:
		delete(n.running, a.Unit)
		st.Load, st.Active = "not-found", "inactive"
	case runs:
	case s.clock.Now().Before(n.fence.until) && (s.calm || s.chance(70)) && n.session.Confirm(s.ctx, a) == nil:
		s.say("%s starts %s", n.id, a.Unit)
		n.running[a.Unit] = a.Epoch
	default:
		st.Active = "inactive"
	}
	return st
}

// stopped reports whether a unit that is to be stopped has ended: exclusive ones take their time.
func (s *sim) stopped(n *node, name string) bool {
	return name[0] != 'x' || s.calm || s.chance(30)
}
