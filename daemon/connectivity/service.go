package connectivity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/view"
)

const (
	// answerWithin is how long the other machines may take for their answers; the
	// whole answer is there within a second.
	answerWithin = 900 * time.Millisecond
	// stateWithin is how long a machine waits for a current state, and tryWithin how
	// long it then waits for the others. Together they leave its answer time to travel.
	stateWithin = 200 * time.Millisecond
	tryWithin   = 450 * time.Millisecond
)

// Members is the part of membership.Membership that is read.
type Members interface{ Members() []membership.Member }

// Peers reaches the other machines.
type Peers interface {
	Client(machineID string) (*client.Client, error)
}

// Store is asked one small question.
type Store interface {
	Events(ctx context.Context, since time.Time, limit int) ([]cluster.Event, error)
}

// Config is what a Service works with. All but Probe must be set.
type Config struct {
	Self    string
	View    *view.View
	Members Members
	Store   Store
	Peers   Peers
	// Probe looks at a machine's daemon; membership.Probe if nil.
	Probe func(ctx context.Context, addr, id string, p membership.Patience, report func(membership.Verdict))
}

// Service implements server.ConnectivityKeeper. Its goroutines end with the
// requests they are for.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Probe == nil {
		cfg.Probe = membership.Probe
	}
	return &Service{cfg: cfg}
}

// Connectivity returns what each machine sees of each other one, within about a
// second: a machine that doesn't answer by then has a view with an error.
func (s *Service) Connectivity(ctx context.Context) api.Connectivity {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	lease := s.cfg.View.Hold()
	defer lease.Release()
	snap, _ := s.state(ctx, lease)
	out := api.Connectivity{Asked: s.cfg.Self}
	out.Machines, out.More = chosen(s.cfg.Self, snap, s.cfg.Members.Members(), api.ConnectionsMost)
	ids := make([]string, len(out.Machines))
	for i, m := range out.Machines {
		ids[i] = m.ID
	}
	out.Views = make([]api.Connections, len(ids))
	var asking sync.WaitGroup
	for i, id := range ids {
		asking.Go(func() { out.Views[i] = s.ask(ctx, id, ids) })
	}
	asking.Wait()
	out.Took = api.Seconds(time.Since(began))
	out.Sentences = out.Diagnose()
	return out
}

// ask returns what a machine sees of the others.
func (s *Service) ask(ctx context.Context, id string, ids []string) api.Connections {
	if id == s.cfg.Self {
		return s.Local(ctx, ids)
	}
	c, err := s.cfg.Peers.Client(id)
	if err != nil {
		return api.Connections{Machine: id, Error: noAddress}
	}
	v, err := c.LocalConnections(ctx, ids)
	if err != nil {
		return api.Connections{Machine: id, Error: whyUnknown(ctx, err)}
	}
	v.Machine = id
	return *v
}

// noAddress is why a machine's API isn't asked: gossip tells where it is.
const noAddress = "it can't be asked, as gossip holds it to be gone"

// whyUnknown says why a machine told nothing.
func whyUnknown(ctx context.Context, err error) string {
	var refused *api.Error
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("it did not answer within %.1f s", answerWithin.Seconds())
	case errors.As(err, &refused) && refused.Code == api.CodeNotFound:
		return "its daemon is of an older version, which can't tell"
	}
	return brief(err)
}

// brief is an error of the network in a few words.
func brief(err error) string {
	var away *client.UnreachableError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refused the connection"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to it"
	case errors.As(err, &away):
		return away.Err.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// Local returns what this machine sees of machines, within 0.7 s.
func (s *Service) Local(ctx context.Context, ids []string) api.Connections {
	lease := s.cfg.View.Hold()
	defer lease.Release()
	v := api.Connections{Machine: s.cfg.Self}
	var trying sync.WaitGroup
	trying.Go(func() { v.Store, v.StoreTook = s.tryStore(ctx) })
	snap, asOf := s.state(ctx, lease)
	if !asOf.IsZero() {
		v.StateAge = api.Seconds(max(0, time.Since(asOf)))
	}
	others := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == s.cfg.Self })
	v.Contacts = make([]api.Contact, len(others))
	members := map[string]membership.Member{}
	for _, m := range s.cfg.Members.Members() {
		members[m.ID] = m
	}
	for i, id := range others {
		c := &v.Contacts[i]
		*c = known(id, members, snap, time.Now())
		trying.Go(func() { c.Probe, c.ProbeTook = s.probe(ctx, snap.Machines[id].ProbeAddress, id) })
		trying.Go(func() { c.API, c.APITook, c.APIError = s.tryAPI(ctx, id) })
	}
	trying.Wait()
	return v
}

// state is the newest state, and when it was current where it isn't any more. It is
// an empty one where this daemon never saw the store.
func (s *Service) state(ctx context.Context, lease *view.Lease) (*cluster.Snapshot, time.Time) {
	ctx, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	snap, asOf, err := lease.Reach(ctx, 0)
	if err != nil {
		snap, _, asOf, _ = lease.Latest()
	}
	if snap == nil {
		snap = &cluster.Snapshot{}
	}
	return snap, asOf
}

// known is what this machine knows of another one without asking it.
func known(id string, members map[string]membership.Member, snap *cluster.Snapshot, now time.Time) api.Contact {
	c := api.Contact{Machine: id}
	if m, ok := members[id]; ok {
		c.Gossip = string(m.State)
		if seen := slices.MaxFunc([]time.Time{m.LastSeen, m.LastAck}, time.Time.Compare); !seen.IsZero() {
			c.GossipAge = api.Seconds(max(0, now.Sub(seen)))
		}
	}
	if run, ok := snap.Runs[id]; ok {
		c.Session, c.SessionAge = true, api.Seconds(max(0, now.Sub(run.Since)))
	}
	return c
}

// tryStore reads something small from the store.
func (s *Service) tryStore(ctx context.Context) (result string, took float64) {
	ctx, cancel := context.WithTimeout(ctx, stateWithin+tryWithin)
	defer cancel()
	began := time.Now()
	_, err := s.cfg.Store.Events(ctx, began, 1)
	result = api.Answered
	if err != nil {
		result = api.Silent
	}
	return result, api.Seconds(time.Since(began))
}

// probe looks at another machine's daemon as the daemons do that judge it.
func (s *Service) probe(ctx context.Context, addr, id string) (result string, took float64) {
	if addr == "" {
		return api.NotTried, 0
	}
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	began := time.Now()
	result = api.Silent
	s.cfg.Probe(ctx, addr, id, membership.Patience{Allowed: tryWithin * 9 / 10}, func(v membership.Verdict) {
		if v != membership.Unknown || ctx.Err() == nil {
			result, took = string(v), api.Seconds(time.Since(began))
		}
	})
	switch membership.Verdict(result) {
	case membership.Unknown: // it could not be made from here
		return api.NotTried, 0
	case membership.Silent:
		took = api.Seconds(time.Since(began))
	}
	return result, took
}

// tryAPI asks another machine's daemon for its version.
func (s *Service) tryAPI(ctx context.Context, id string) (result string, took float64, why string) {
	c, err := s.cfg.Peers.Client(id)
	if err != nil {
		return api.NotTried, 0, noAddress
	}
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	began := time.Now()
	_, err = c.Version(ctx)
	took = api.Seconds(time.Since(began))
	var timeout net.Error
	switch {
	case err == nil:
		return api.Answered, took, ""
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return api.Silent, took, ""
	}
	return api.Refused, took, brief(err)
}

// chosen are the machines that are asked, by name, and how many more there are:
// where there are too many, those that gossip doubts come first, then this one and the voters.
func chosen(self string, snap *cluster.Snapshot, members []membership.Member, most int) ([]api.MachineRef, int) {
	type candidate struct {
		api.MachineRef
		rank int
	}
	all := map[string]candidate{}
	for id, m := range snap.Machines {
		if m.Departure == cluster.Left {
			continue
		}
		c := candidate{api.MachineRef{ID: id, Name: m.Name, Address: m.Address}, 2}
		if m.Seat == cluster.Voter {
			c.rank = 1
		}
		all[id] = c
	}
	for _, m := range members {
		c, recorded := all[m.ID]
		switch {
		case !recorded && (m.State == membership.Left || snap.Machines[m.ID].Departure == cluster.Left):
			continue
		case !recorded:
			c = candidate{api.MachineRef{ID: m.ID, Address: m.Address}, 2}
		}
		if m.State != membership.Alive || !m.Unanswered.IsZero() {
			c.rank = 0
		}
		all[m.ID] = c
	}
	own := all[self]
	own.ID, own.rank = self, -1
	all[self] = own
	list := make([]candidate, 0, len(all))
	for _, c := range all {
		list = append(list, c)
	}
	byName := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.Label(), b.Label()), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rank, b.rank), byName(a, b)) })
	more := max(0, len(list)-most)
	list = list[:len(list)-more]
	slices.SortFunc(list, byName)
	refs := make([]api.MachineRef, len(list))
	for i, c := range list {
		refs[i] = c.MachineRef
	}
	return refs, more
}
