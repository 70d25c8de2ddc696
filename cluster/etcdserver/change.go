package etcdserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrNotReady means that etcd refuses a step for now: a learner is not in
// sync yet, or the voters were not all connected for the last five seconds.
// Try again in a second.
var ErrNotReady = errors.New("etcd is not ready for this step yet")

// ErrNoMember means that there is no such member (any more).
var ErrNoMember = errors.New("no such etcd member")

// Ticket lets a machine that was added as a learner join. It holds no secret.
type Ticket struct {
	ClusterID string `json:"clusterID"`
	Machine   string `json:"machine"`
	PeerURL   string `json:"peerURL"`
	Member    uint64 `json:"member"` // etcd's ID of the member to start
	// InitialCluster lists the members, in etcd's form. It is outdated by
	// any change of them.
	InitialCluster string `json:"initialCluster"`
}

// Members returns the cluster's members, sorted by ID. Its error is that of the
// request, which may be tried again.
func Members(ctx context.Context, client *clientv3.Client) ([]Member, error) {
	r, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list etcd's members: %w", err)
	}
	out := make([]Member, 0, len(r.Members))
	for _, m := range r.Members {
		out = append(out, member(m))
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func member(m *etcdserverpb.Member) Member {
	return Member{ID: m.ID, Machine: m.Name, PeerURL: strings.Join(m.PeerURLs, ","), Learner: m.IsLearner,
		Started: m.Name != ""}
}

// Do carries out a step. Doing one that is done already is not an error. It
// returns an error wrapping ErrNotReady if etcd refuses it for now, and
// ErrNoMember if its member is gone.
func Do(ctx context.Context, client *clientv3.Client, s Step) error {
	var err error
	switch s.Kind {
	case AddLearner:
		// Added again within the second it would even get the same ID.
		if _, err = client.MemberAddAsLearner(ctx, []string{s.PeerURL}); errors.Is(err, rpctypes.ErrPeerURLExist) ||
			errors.Is(err, rpctypes.ErrMemberExist) {
			err = nil
		}
	case Promote:
		if _, err = client.MemberPromote(ctx, s.Member); errors.Is(err, rpctypes.ErrMemberNotLearner) {
			err = nil
		}
	case Remove:
		if _, err = client.MemberRemove(ctx, s.Member); errors.Is(err, rpctypes.ErrMemberNotFound) {
			err = nil
		}
	case UpdatePeerURL:
		_, err = client.MemberUpdate(ctx, s.Member, []string{s.PeerURL})
	default:
		return fmt.Errorf("no such step: %q", s.Kind)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrMemberLearnerNotReady), errors.Is(err, rpctypes.ErrUnhealthy),
		errors.Is(err, rpctypes.ErrMemberNotEnoughStarted), errors.Is(err, rpctypes.ErrTooManyLearners),
		errors.Is(err, rpctypes.ErrPeerURLExist):
		err = errors.Join(ErrNotReady, err)
	case errors.Is(err, rpctypes.ErrMemberNotFound):
		err = ErrNoMember
	}
	return fmt.Errorf("%s %s (%s): %w", s.Kind, s.Machine, s.PeerURL, err)
}

// LostError says that a machine without data is a member which ran before. A
// member that comes back without its log breaks raft's promises, and etcd panics.
type LostError struct{ Member uint64 }

// Error implements error.
func (e *LostError) Error() string {
	return fmt.Sprintf("this machine's etcd member %x ran before and its log is gone: it is removed, and joins anew",
		e.Member)
}

// TicketFor makes the ticket for a machine that was added as a learner at
// peerURL and has not started yet. It returns ErrNoMember if it was not added,
// and a *LostError if its member started before: the caller has no data.
// Any machine with a client can make it, so that a machine asks for its own.
func TicketFor(ctx context.Context, client *clientv3.Client, clusterID, machine, peerURL string) (Ticket, error) {
	members, err := Members(ctx, client)
	if err != nil {
		return Ticket{}, err
	}
	t := Ticket{ClusterID: clusterID, Machine: machine, PeerURL: peerURL}
	found := false
	var list []string
	for _, m := range members {
		name := m.Machine
		switch {
		case m.Started && m.Machine == machine:
			return Ticket{}, &LostError{Member: m.ID}
		case m.PeerURL == peerURL:
			name, found = machine, !m.Started
			t.Member = m.ID
		case name == "":
			name = fmt.Sprintf("%x", m.ID) // etcd compares the URLs only, and wants some name
		}
		for u := range strings.SplitSeq(m.PeerURL, ",") {
			list = append(list, name+"="+u)
		}
	}
	if !found {
		return Ticket{}, fmt.Errorf("ticket for %s at %s: %w", machine, peerURL, ErrNoMember)
	}
	t.InitialCluster = strings.Join(list, ",")
	return t, nil
}
