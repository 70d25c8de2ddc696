package health

import (
	"cmp"
	"context"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

// Any machine's gossip may be the first to miss an answer. It tells the machines
// that decide, so that they look at once: their own gossip asks each machine only
// now and then.

const (
	// doubtLasts is how long another machine's word is a doubt: by then this
	// machine's own gossip has missed an answer, or had one.
	doubtLasts = 2 * time.Second
	// doubtsAtOnce is how many may wait to be noted.
	doubtsAtOnce = 16
	// mostTold is how many machines are told, where all are candidates.
	mostTold = 5
	// doubtReaches is how long it may take to tell them, in probe intervals.
	doubtReaches = 2
)

// Doubt notes that another machine's gossip missed an answer of a machine. It doesn't block.
func (t *Tracker) Doubt(id string) {
	select {
	case t.doubts <- id:
	default: // more than can be true
	}
}

// noteDoubt notes another machine's doubt, and reports whether it changes anything.
func (t *Tracker) noteDoubt(id string, now time.Time) bool {
	_, noted := t.told[id]
	if noted || id == t.cfg.Self || t.machines[id].ProbeAddress == "" || !t.cfg.Decides() {
		return false
	}
	t.told[id] = now
	return true
}

// unanswered returns since when gossip has had no answer of a member: this
// machine's own, or that of one that said so. It is zero where there is no doubt.
func (t *Tracker) unanswered(m membership.Member, now time.Time) time.Time {
	at, told := t.told[m.ID]
	if !told {
		return m.Unanswered
	}
	s := t.suspects[m.ID]
	over := now.Sub(at) >= doubtLasts && t.State().Health[m.ID].State != cluster.Failed
	if over || s != nil && s.answered.After(at) || m.State != membership.Alive || m.LastSeen.After(at) {
		delete(t.told, m.ID)
		return m.Unanswered
	}
	if m.Unanswered.IsZero() || at.Before(m.Unanswered) {
		return at
	}
	return m.Unanswered
}

// spread tells the machines that decide of new doubts of this machine's own
// gossip. One that misses the answers of many is itself at fault, and says nothing.
func (t *Tracker) spread(ctx context.Context, members []membership.Member, all map[string]evidence) {
	doubted := 0
	for _, m := range members {
		if m.State == membership.Alive && !m.Unanswered.IsZero() {
			doubted++
		}
	}
	for _, m := range members {
		if m.State != membership.Alive || m.Unanswered.IsZero() {
			delete(t.spreading, m.ID)
			continue
		}
		e := all[m.ID]
		if t.spreading[m.ID] || e.self || e.departure != cluster.NotDeparted ||
			!e.clearView || doubted > fewOf(len(members)) {
			continue
		}
		t.spreading[m.ID] = true
		for _, addr := range t.deciders(members, m.ID) {
			t.probing.Go(func() { t.cfg.Tell(ctx, addr, m.ID, doubtReaches*t.cfg.Interval) })
		}
	}
}

// fewOf is how many of the machines may be in doubt before it is rather this
// machine's own network.
func fewOf(machines int) int { return 1 + machines/5 }

// deciders returns the probe addresses of the other machines that lead or may come
// to lead: etcd's voters, or the first few where etcd is another one's.
func (t *Tracker) deciders(members []membership.Member, but string) []string {
	var voters, machines []cluster.Machine
	for _, m := range members {
		machine := t.machines[m.ID]
		if m.ID == t.cfg.Self || m.ID == but || m.State != membership.Alive || machine.ProbeAddress == "" {
			continue
		}
		machines = append(machines, machine)
		if machine.Seat == cluster.Voter {
			voters = append(voters, machine)
		}
	}
	if len(voters) == 0 {
		voters = machines
	}
	slices.SortFunc(voters, func(a, b cluster.Machine) int { return cmp.Compare(a.ID, b.ID) })
	var addrs []string
	for _, m := range voters[:min(len(voters), mostTold)] {
		addrs = append(addrs, m.ProbeAddress)
	}
	return addrs
}
