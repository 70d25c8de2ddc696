package trust

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/keys"
)

// joinAddresses is how many machines' addresses a line of join-command names.
const joinAddresses = 3

const viewPatience = 5 * time.Second // how long a request waits for a view to be current

// Keys implements server.KeyKeeper.
func (s *Service) Keys(ctx context.Context) (*api.KeyList, error) {
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	return s.list(ctx, "")
}

func (s *Service) list(ctx context.Context, text string) (*api.KeyList, error) {
	sealed, _, err := s.cfg.Keystore.load(ctx)
	if err != nil {
		return nil, err
	}
	ring := s.credentials.identity.Ring()
	if sealed.Generation == 0 {
		sealed.IDs = ring.IDs()
	}
	snap, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	list := &api.KeyList{Phase: string(keys.PhaseOf(sealed.IDs, sealed.Newest)), Text: text}
	for i, id := range sealed.IDs {
		newest := len(sealed.IDs) == 1 || id == sealed.Newest
		list.Keys = append(list.Keys, api.KeyInfo{ID: id, Primary: i == 0, Newest: newest})
	}
	if list.Phase != "" {
		list.Since = sealed.Since
	}
	healths := s.cfg.Health.Health()
	for id, m := range snap.Machines {
		h := api.KeyHolder{Machine: id, Name: m.Name, Live: healths[id].State.Runs(), Keys: m.Keys}
		list.Machines = append(list.Machines, h)
		if !slices.Equal(h.Keys, sealed.IDs) {
			list.Waiting = append(list.Waiting, h.Name)
		}
	}
	slices.Sort(list.Waiting)
	slices.SortFunc(list.Machines, func(a, b api.KeyHolder) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Machine, b.Machine))
	})
	return list, nil
}

// Rotate implements server.KeyKeeper.
func (s *Service) Rotate(ctx context.Context, by string) (*api.KeyList, error) {
	sealed, revision, err := s.cfg.Keystore.load(ctx)
	if err != nil {
		return nil, err
	}
	ring := s.credentials.identity.Ring()
	if len(sealed.IDs) > 1 || len(ring.IDs()) > 1 {
		return nil, api.Refuse(api.CodeConflict, "see `fleettop key list`, and `fleettop key rotate --finish` if it "+
			"waits for machines that stay off",
			"a rotation is under way already")
	}
	newest := keys.Generate()
	now := time.Now()
	next, err := keys.NewRing(ring.Primary(), newest).Seal(sealed.Generation+1, newest.ID(), now)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Keystore.swap(ctx, revision, next); err != nil {
		return nil, err
	}
	text := "key " + newest.ID() + " was made and goes to all machines; key " + ring.Primary().ID() +
		" is used until all have it"
	s.log.Info("the cluster's key is rotated: "+text, "by", by)
	s.record(ctx, by, text)
	return s.list(ctx, text)
}

// FinishRotation implements server.KeyKeeper.
func (s *Service) FinishRotation(ctx context.Context, by string) (*api.KeyList, error) {
	step, err := s.step(ctx, true, cmp.Or(by, "somebody"))
	switch {
	case err != nil:
		return nil, err
	case len(step.Wait) > 0:
		return nil, api.Refuse(api.CodeConflict, "wait for them, or power them off first",
			"these machines run and don't have the keys yet: %s", strings.Join(step.Wait, ", "))
	case step.Next.Empty():
		return nil, api.Refuse(api.CodeConflict, "begin one with `fleettop key rotate`", "no rotation is under way")
	}
	return s.list(ctx, step.Text)
}

// JoinToken implements server.KeyKeeper.
func (s *Service) JoinToken(ctx context.Context, by string) (*api.JoinToken, error) {
	now := time.Now()
	t, err := s.credentials.identity.Ring().Primary().NewToken(now)
	if err != nil {
		return nil, err
	}
	snap, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	addresses := []string{s.cfg.APIAddress}
	healths := s.cfg.Health.Health()
	for _, id := range slices.Sorted(maps.Keys(snap.Machines)) {
		m := snap.Machines[id]
		if id != s.cfg.Machine && healths[id].State == cluster.Up && m.APIAddress != "" && len(addresses) < joinAddresses {
			addresses = append(addresses, m.APIAddress)
		}
	}
	s.record(ctx, by, "a token to join was made; it is good for one machine until "+t.Expires.UTC().Format(time.RFC3339))
	return &api.JoinToken{Token: t.Text(), Addresses: addresses, Expires: t.Expires, User: s.cfg.User}, nil
}

// snapshot is the cluster's state now, for a request: it waits for the store
// for a while, and then says that it can't be reached.
func (s *Service) snapshot(ctx context.Context) (*cluster.Snapshot, error) {
	lease := s.cfg.View.Hold()
	defer lease.Release()
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	return lease.Snapshot(ctx, 0)
}
