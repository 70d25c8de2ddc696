package etcdserver

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fleettop/units/wording"
)

// Member is a member of the etcd cluster.
type Member struct {
	ID      uint64
	Machine string // empty until it first started; PeerURL identifies it then
	PeerURL string
	Learner bool
	Started bool
}

// Candidate is a machine of the cluster, as the leader sees it. All
// machines that are known belong in the list, also those that are members: a
// member whose machine isn't in it counts as having left.
type Candidate struct {
	Machine string
	PeerURL string
	Alive   bool
	Since   time.Time // since when it has been alive, or dead
	Left    bool      // it left for good, or is about to
	// Lost is the ID of a member whose log this machine no longer has, as
	// after its disk was replaced; 0 for none. That member must not run again.
	Lost uint64
}

// StepKind is what a step does.
type StepKind string

// Steps.
const (
	AddLearner    StepKind = "add learner"
	Promote       StepKind = "promote"
	Remove        StepKind = "remove"
	UpdatePeerURL StepKind = "update-peer-url"
)

// Step is one change of the etcd cluster's members.
type Step struct {
	Kind    StepKind
	Machine string // empty for a member that never started and whose machine is unknown
	PeerURL string // of an UpdatePeerURL step: the new one
	Member  uint64 // etcd's ID; 0 for AddLearner
	Reason  string
}

// DefaultReplaceAfter is how long a voter may be gone before it is replaced.
const DefaultReplaceAfter = 5 * time.Minute

// learnerPatience is how long a learner may be gone, as through a restart of
// its daemon, before it is removed.
const learnerPatience = 30 * time.Second

// NextStep returns the next change of the members that brings the cluster
// closer to one voter for one or two machines, three from three machines on
// and five from seven on, or false if there is nothing to do now. With two
// machines the second is a learner. Machines join as learners; two learners
// are promoted one right after the other, so that the number of voters is
// even for no longer than that. A voter that left, or was gone for
// replaceAfter, is removed when a live machine can take its place, and then
// replaced: etcd refuses to add anybody while one of three voters is dead. A
// member that lost its log is removed at once, and its machine joins anew.
// A member whose machine has another address now gets a new peer URL. Nothing is
// done without a live quorum, or that would end it. The result depends on
// nothing but the arguments, and not on their order.
func NextStep(members []Member, candidates []Candidate, now time.Time, replaceAfter time.Duration) (Step, bool) {
	c := survey(members, candidates, now, replaceAfter)
	if c.live() < quorum(len(c.voters)) {
		return Step{}, false
	}
	for _, rule := range []func() (Step, bool){c.dropLearner, c.updatePeerURL, c.dropDoomed, c.promote, c.add, c.evenOut} {
		if step, ok := rule(); ok {
			return step, true
		}
	}
	return Step{}, false
}

func quorum(voters int) int { return voters/2 + 1 }

// seat is a member together with what is known of its machine.
type seat struct {
	Member
	home   string // the peer URL by its machine's record; empty if that isn't known
	alive  bool
	lost   bool // its log is gone: its machine is alive, and it is not
	doomed bool // to be removed as soon as it is safe
	reason string
}

// cluster is what the rules look at. All lists are sorted by preference.
type cluster struct {
	voters, learners []seat
	spares           []Candidate // alive, here to stay, and not a member
	homes            []string    // the peer URLs of machines that are alive
	machines         int         // here to stay, alive or not
	want             int         // voters
}

func survey(members []Member, candidates []Candidate, now time.Time, replaceAfter time.Duration) *cluster {
	c := &cluster{}
	taken := map[string]bool{}
	for _, m := range members {
		taken[m.Machine] = m.Started && !slices.ContainsFunc(candidates, m.isLostBy)
	}
	// The dead last: who is alive at an address is who it is of.
	rank := func(c Candidate) int {
		if c.Alive {
			return 0
		}
		return 1
	}
	candidates = slices.SortedFunc(slices.Values(candidates), func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Machine, b.Machine))
	})
	for _, m := range members {
		patience := replaceAfter
		if m.Learner {
			patience = min(learnerPatience, replaceAfter)
		}
		s := seat{Member: m, doomed: true, reason: "its machine is not in the cluster any more"}
		if i := slices.IndexFunc(candidates, m.isLostBy); i >= 0 {
			s.Machine, s.lost, s.reason = candidates[i].Machine, true, "its data is gone, so it joins anew"
			c.place(s)
			continue
		}
		for _, cand := range candidates {
			if !m.is(cand) || !m.Started && taken[cand.Machine] {
				continue
			}
			taken[cand.Machine] = true
			s.Machine, s.home, s.alive = cand.Machine, cand.PeerURL, cand.Alive
			s.reason = "it left for good"
			s.doomed = cand.Left
			if gone := now.Sub(cand.Since); !cand.Left && !cand.Alive && gone >= patience {
				s.doomed = true
				s.reason = fmt.Sprintf("gone for %s", gone.Round(time.Second))
			}
			break
		}
		c.place(s)
	}
	for _, cand := range candidates {
		if cand.Alive {
			c.homes = append(c.homes, cand.PeerURL)
		}
		if cand.Left {
			continue
		}
		c.machines++
		if cand.Alive && !taken[cand.Machine] {
			c.spares = append(c.spares, cand)
		}
	}
	bySeat := func(a, b seat) int {
		return cmp.Or(cmp.Compare(a.Machine, b.Machine), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(c.voters, bySeat)
	slices.SortFunc(c.learners, bySeat)
	slices.SortFunc(c.spares, func(a, b Candidate) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Machine, b.Machine))
	})
	switch {
	// Five voters stay five until there aren't five machines: a machine more
	// or less must not take voters in and out.
	case c.machines >= 7, c.machines >= 5 && len(c.voters) >= 4:
		c.want = 5
	case c.machines >= 3:
		c.want = 3
	default:
		c.want = 1
	}
	return c
}

func (c *cluster) place(s seat) {
	if s.Learner {
		c.learners = append(c.learners, s)
	} else {
		c.voters = append(c.voters, s)
	}
}

// isLostBy reports whether the machine has lost the member's log.
func (m Member) isLostBy(c Candidate) bool { return c.Lost != 0 && c.Lost == m.ID }

// is reports whether the member runs on the machine. Before its first start
// etcd knows it by its URL only.
func (m Member) is(c Candidate) bool {
	if m.Machine != "" {
		return m.Machine == c.Machine
	}
	return m.PeerURL == c.PeerURL
}

func (c *cluster) live() int {
	n := 0
	for _, v := range c.voters {
		if v.alive {
			n++
		}
	}
	return n
}

func (c *cluster) even() bool { return len(c.voters)%2 == 0 }

// kept are the voters that are to stay.
func (c *cluster) kept() int {
	n := 0
	for _, v := range c.voters {
		if !v.doomed {
			n++
		}
	}
	return n
}

func (c *cluster) ready() []seat {
	return slices.DeleteFunc(slices.Clone(c.learners), func(s seat) bool { return !s.alive || !s.Started || s.doomed })
}

// safe reports whether the others are a live quorum of themselves.
func (c *cluster) safe(v seat) bool {
	live := c.live()
	if v.alive {
		live--
	}
	return len(c.voters) > 1 && live >= quorum(len(c.voters)-1)
}

func (c *cluster) dropLearner() (Step, bool) {
	for _, l := range c.learners {
		if l.doomed {
			return remove(l, l.reason), true
		}
	}
	if c.want > 1 && !c.even() && c.kept() == c.want && len(c.voters) == c.want && len(c.learners) > 0 {
		return remove(c.learners[len(c.learners)-1], fmt.Sprintf("%d voters are enough", c.want)), true
	}
	return Step{}, false
}

// updatePeerURL makes members known where their machines are now. Where an address
// went from one machine to another, the member it was of gives it up first:
// etcd takes it for two of them only once.
func (c *cluster) updatePeerURL() (Step, bool) {
	seats := slices.Concat(c.voters, c.learners)
	for _, s := range seats {
		if moved := !s.alive || s.home != s.PeerURL; moved && !s.lost && slices.Contains(c.homes, s.PeerURL) {
			return Step{Kind: UpdatePeerURL, Machine: s.Machine, PeerURL: nowhere(s.ID), Member: s.ID, Reason: s.PeerURL +
				" is another machine's now"}, true
		}
	}
	for _, s := range seats {
		if s.alive && !s.doomed && !c.held(s.home) {
			return Step{Kind: UpdatePeerURL, Machine: s.Machine, PeerURL: s.home, Member: s.ID, Reason: "it was at " +
				s.PeerURL + " and is at " + s.home}, true
		}
	}
	return Step{}, false
}

// held reports whether a member has a peer URL.
func (c *cluster) held(url string) bool {
	has := func(s seat) bool { return s.PeerURL == url }
	return slices.ContainsFunc(c.voters, has) || slices.ContainsFunc(c.learners, has)
}

// nowhere is a peer URL of a member's own where no member is; dialing it fails at once.
func nowhere(id uint64) string {
	return fmt.Sprintf("http://127.%d.%d.%d:1", byte(id>>16), byte(id>>8), byte(id))
}

// dropDoomed removes a voter that is gone, if that makes the number odd, or
// shrinks the cluster, or another machine can take its place.
func (c *cluster) dropDoomed() (Step, bool) {
	if !c.even() && len(c.voters) <= c.want && len(c.ready()) == 0 && len(c.spares) == 0 {
		return Step{}, false
	}
	// The dead first: removing a living one that leaves takes a vote away.
	for _, alive := range []bool{false, true} {
		for _, v := range c.voters {
			if v.doomed && v.alive == alive && c.safe(v) {
				return remove(v, v.reason), true
			}
		}
	}
	return Step{}, false
}

// promote makes voters of learners: one if that makes the number odd, or
// replaces the only voter, and one of two that are both ready.
func (c *cluster) promote() (Step, bool) {
	ready := c.ready()
	missing := c.want - c.kept()
	if len(ready) == 0 || missing <= 0 {
		return Step{}, false
	}
	if !c.even() && len(c.voters) == c.kept() && (len(ready) < 2 || missing < 2) {
		return Step{}, false
	}
	l := ready[0]
	return Step{Kind: Promote, Machine: l.Machine, PeerURL: l.PeerURL, Member: l.ID,
		Reason: fmt.Sprintf("%d machines get %s", c.machines, wording.Count(c.want, "voter"))}, true
}

func (c *cluster) add() (Step, bool) {
	missing := c.want - c.kept()
	reason := fmt.Sprintf("%d machines get %s", c.machines, wording.Count(c.want, "voter"))
	if c.want == 1 && missing <= 0 && !c.even() && c.machines == 2 {
		missing, reason = 1, "of two machines one votes and the other stands by"
	}
	i := slices.IndexFunc(c.spares, func(s Candidate) bool { return !c.held(s.PeerURL) })
	if missing <= len(c.learners) || len(c.learners) >= maxLearners || i < 0 {
		return Step{}, false
	}
	// A member that starts asks all others for their version. Two that start
	// at once would wait for each other until that times out, after six seconds.
	if slices.ContainsFunc(c.learners, func(l seat) bool { return l.alive && !l.Started }) {
		return Step{}, false
	}
	s := c.spares[i]
	return Step{Kind: AddLearner, Machine: s.Machine, PeerURL: s.PeerURL, Reason: reason}, true
}

// evenOut removes a voter where no machine is left to make the number odd.
func (c *cluster) evenOut() (Step, bool) {
	if !c.even() || (c.kept() < c.want && len(c.learners) > 0) {
		return Step{}, false
	}
	for _, alive := range []bool{false, true} {
		for _, v := range slices.Backward(c.voters) {
			if v.alive == alive && c.safe(v) {
				return remove(v, fmt.Sprintf("%s tolerate no more failures than %s",
					wording.Count(len(c.voters), "voter"), wording.Count(len(c.voters)-1, "voter"))), true
			}
		}
	}
	return Step{}, false
}

func remove(s seat, reason string) Step {
	return Step{Kind: Remove, Machine: s.Machine, PeerURL: s.PeerURL, Member: s.ID, Reason: reason}
}
