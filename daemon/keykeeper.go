package daemon

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/keys"
)

// joinAddresses is how many machines' addresses a line of join-command names.
const joinAddresses = 3

// keyKeeper is the API's way to the cluster's keys.
type keyKeeper struct{ n *node }

// keyKeeper is nil without a key.
func (n *node) keyKeeper() server.KeyKeeper {
	if n.guard.identity == nil {
		return nil
	}
	return keyKeeper{n}
}

// Keys implements server.KeyKeeper.
func (k keyKeeper) Keys(ctx context.Context) (*api.KeyList, error) {
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	return k.list(ctx, "")
}

func (k keyKeeper) list(ctx context.Context, text string) (*api.KeyList, error) {
	n := k.n
	s, _, err := n.vault().load(ctx)
	if err != nil {
		return nil, err
	}
	ring := n.guard.identity.Ring()
	if s.Generation == 0 {
		s.IDs = ring.IDs()
	}
	snap, err := n.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	list := &api.KeyList{Phase: string(keys.PhaseOf(s.IDs, s.Newest)), Text: text}
	for i, id := range s.IDs {
		list.Keys = append(list.Keys, api.KeyInfo{ID: id, Primary: i == 0, Newest: len(s.IDs) == 1 || id == s.Newest})
	}
	if list.Phase != "" {
		list.Since = s.Since
	}
	healths := n.health.Health()
	for id, m := range snap.Machines {
		h := api.KeyHolder{Machine: id, Name: m.Name, Live: healths[id].State.Runs(), Keys: m.Keys}
		list.Machines = append(list.Machines, h)
		if !slices.Equal(h.Keys, s.IDs) {
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
func (k keyKeeper) Rotate(ctx context.Context, by string) (*api.KeyList, error) {
	n := k.n
	s, revision, err := n.vault().load(ctx)
	if err != nil {
		return nil, err
	}
	ring := n.guard.identity.Ring()
	if len(s.IDs) > 1 || len(ring.IDs()) > 1 {
		return nil, api.Refuse(api.CodeConflict, "see `fleettop key list`, and `fleettop key rotate --finish` if it waits for machines that stay off",
			"a rotation is under way already")
	}
	newest := keys.Generate()
	now := time.Now()
	sealed, err := keys.NewRing(ring.Primary(), newest).Seal(s.Generation+1, newest.ID(), now)
	if err != nil {
		return nil, err
	}
	if err := n.vault().swap(ctx, revision, sealed); err != nil {
		return nil, err
	}
	text := "key " + newest.ID() + " was made and goes to all machines; key " + ring.Primary().ID() + " is used until all have it"
	n.log.Info("the cluster's key is rotated: "+text, "by", by)
	n.recordKeys(ctx, by, text)
	return k.list(ctx, text)
}

// FinishRotation implements server.KeyKeeper.
func (k keyKeeper) FinishRotation(ctx context.Context, by string) (*api.KeyList, error) {
	step, err := k.n.stepKeys(ctx, true, cmp.Or(by, "somebody"))
	switch {
	case err != nil:
		return nil, err
	case len(step.Wait) > 0:
		return nil, api.Refuse(api.CodeConflict, "wait for them, or power them off first", "these machines run and don't have the keys yet: %s", strings.Join(step.Wait, ", "))
	case step.Next.Empty():
		return nil, api.Refuse(api.CodeConflict, "begin one with `fleettop key rotate`", "no rotation is under way")
	}
	return k.list(ctx, step.Text)
}

// JoinToken implements server.KeyKeeper.
func (k keyKeeper) JoinToken(ctx context.Context, by string) (*api.JoinToken, error) {
	n := k.n
	now := time.Now()
	t, err := n.guard.identity.Ring().Primary().NewToken(now)
	if err != nil {
		return nil, err
	}
	snap, err := n.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	addresses := []string{n.cfg.apiAddress()}
	healths := n.health.Health()
	for _, id := range sortedIDs(snap.Machines) {
		m := snap.Machines[id]
		if id != n.cfg.MachineID && healths[id].State == cluster.Up && m.APIAddress != "" && len(addresses) < joinAddresses {
			addresses = append(addresses, m.APIAddress)
		}
	}
	n.recordKeys(ctx, by, "a token to join was made; it is good for one machine until "+t.Expires.UTC().Format(time.RFC3339))
	return &api.JoinToken{Token: t.Text(), Addresses: addresses, Expires: t.Expires, User: n.cfg.Manager == ManagerSystemdUser}, nil
}

// snapshot is the cluster's state now, for a request: it waits for the store
// for a while, and then says that it can't be reached.
func (n *node) snapshot(ctx context.Context) (*cluster.Snapshot, error) {
	lease := n.view.Hold()
	defer lease.Release()
	ctx, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	return lease.Snapshot(ctx, 0)
}

func sortedIDs(machines map[string]cluster.Machine) []string {
	ids := make([]string, 0, len(machines))
	for id := range machines {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
