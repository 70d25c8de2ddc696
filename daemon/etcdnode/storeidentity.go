package etcdnode

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdstore"
	"fleettop/units/retry"
)

// storeIdentity says whose store an etcd holds below a prefix. An etcd that
// several clusters may reach needs it: without, two of them would take each
// other's machines for their own, and move each other's units.
type storeIdentity struct {
	Cluster string    `json:"cluster"` // its ID
	Keys    []string  `json:"keys"`    // IDs of its keys, then of those it had before; none for a cluster without a key
	Founder string    `json:"founder"` // the name of the machine that founded it
	Machine string    `json:"machine"` // its ID; empty where an earlier version wrote this
	Since   time.Time `json:"since"`
}

// formerKeys is how many keys an identity has at most. A machine that was off
// while the key was rotated still has an old one, and gets the new one by it.
const formerKeys = 16

// matches reports whether a machine with these keys is the cluster's.
func (s storeIdentity) matches(keys []string) bool {
	if len(s.Keys) == 0 || len(keys) == 0 {
		return len(s.Keys) == len(keys)
	}
	return slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(s.Keys, k) })
}

// StoreTakenError says that an etcd holds another cluster's state.
type StoreTakenError struct {
	Endpoints []string
	Prefix    string
	Theirs    storeIdentity
	Keys      []string // of this machine
	SameKey   bool     // and it is not in that cluster
}

// Error implements error.
func (e *StoreTakenError) Error() string {
	key := func(ids []string) string {
		if len(ids) == 0 {
			return "no key"
		}
		return "key " + ids[0]
	}
	where := fmt.Sprintf("the etcd at %s holds, below %s, the cluster that %s founded at %s",
		strings.Join(e.Endpoints, ","), e.Prefix, e.Theirs.Founder, e.Theirs.Since.UTC().Format(time.RFC3339))
	if e.SameKey {
		return where + ", and this machine is not in it: start with --join and a machine of it to become a member, " +
			"or give a cluster of its own another place there with --etcd-prefix"
	}
	return fmt.Sprintf("%s with %s, and this machine has %s: run here the line that `fleettop join-command` prints there "+
		"to become a member, or give this machine's cluster another place there with --etcd-prefix", where,
		key(e.Theirs.Keys), key(e.Keys))
}

// errNotFounded means that a machine which is to join found an empty store.
var errNotFounded = &cluster.UnusableError{Cause: "no cluster was founded there yet",
	Advice: "start a daemon without --join on the first machine, with the same --etcd-endpoints and --etcd-prefix"}

func (n *Node) identityKey() string { return n.cfg.Prefix + "/identity" }

// identify reads whose store this is, or makes it ours if it is empty.
func (n *Node) identify(ctx context.Context) (storeIdentity, error) {
	machines := n.cfg.Prefix + "/v1/machine/"
	found, err := n.client.Txn(ctx).
		Then(clientv3.OpGet(n.identityKey()), clientv3.OpGet(machines, clientv3.WithPrefix())).Commit()
	if err != nil {
		return storeIdentity{}, cmp.Or(etcdstore.Refusal(err), err)
	}
	var id storeIdentity
	known := false // this machine, in that cluster
	theirs := map[string]bool{}
	for _, kv := range found.Responses[1].GetResponseRange().Kvs {
		var m cluster.Machine
		if json.Unmarshal(kv.Value, &m) != nil {
			continue
		}
		known = known || strings.TrimPrefix(string(kv.Key), machines) == n.cfg.Machine
		for _, k := range m.Keys {
			theirs[k] = true
		}
	}
	joins := len(n.cfg.Join) > 0 || n.seeds.existed
	taken := &StoreTakenError{Endpoints: n.cfg.Endpoints, Prefix: n.cfg.Prefix, Keys: n.cfg.Credentials.KeyIDs()}
	if kvs := found.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		if err := json.Unmarshal(kvs[0].Value, &id); err != nil {
			return id, &cluster.UnusableError{Cause: fmt.Sprintf("%s can't be read: %v", n.identityKey(), err),
				Advice: "restore it, or choose another --etcd-prefix"}
		}
		taken.Theirs, taken.SameKey = id, id.matches(n.cfg.Credentials.KeyIDs())
		// The founder may have died, or missed the answer, before it wrote its own record.
		if founder := id.Machine == n.cfg.Machine; !taken.SameKey || !known && !joins && !founder {
			return id, taken
		}
		return id, nil
	}
	id = storeIdentity{Cluster: n.cfg.NewCluster, Keys: n.cfg.Credentials.KeyIDs(), Founder: n.cfg.Name,
		Machine: n.cfg.Machine, Since: time.Now()}
	if records := found.Responses[1].GetResponseRange().Kvs; len(records) > 0 {
		// An older daemon's, which wrote no identity.
		old := storeIdentity{Founder: "an earlier version"}
		for k := range theirs {
			old.Keys = append(old.Keys, k)
		}
		slices.Sort(old.Keys)
		if taken.Theirs = old; !old.matches(n.cfg.Credentials.KeyIDs()) {
			return id, taken
		}
		if taken.SameKey = true; !known && !joins {
			return id, taken
		}
	} else if len(n.cfg.Join) > 0 {
		return id, errNotFounded
	}
	raw, err := json.Marshal(id)
	if err != nil {
		return id, err
	}
	made, err := n.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(n.identityKey()), "=", 0)).
		Then(clientv3.OpPut(n.identityKey(), string(raw))).Commit()
	if err != nil {
		return id, cmp.Or(etcdstore.Refusal(err), err)
	}
	if !made.Succeeded {
		return n.identify(ctx)
	}
	n.log.Info("founded a new cluster", "cluster", id.Cluster, "prefix", n.cfg.Prefix)
	return id, nil
}

// KeepIdentity keeps the keys in the store's identity those of the cluster,
// until ctx ends, and returns nil. Only the leader does.
func (n *Node) KeepIdentity(ctx context.Context) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for ctx.Err() == nil && !n.cfg.embeds() && n.cfg.Credentials.KeyIDs() != nil {
		changed := n.cfg.Credentials.Changed()
		if err := n.writeIdentity(ctx); err != nil {
			delay.Wait(ctx)
			continue
		}
		delay.Reset()
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return nil
}

func (n *Node) writeIdentity(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, entryLimit)
	defer cancel()
	found, err := n.client.Get(ctx, n.identityKey())
	if err != nil || len(found.Kvs) == 0 {
		return err
	}
	var id storeIdentity
	if err := json.Unmarshal(found.Kvs[0].Value, &id); err != nil {
		return err
	}
	keys := n.cfg.Credentials.KeyIDs()
	for _, former := range id.Keys {
		if !slices.Contains(keys, former) && len(keys) < formerKeys {
			keys = append(keys, former)
		}
	}
	if slices.Equal(keys, id.Keys) {
		return nil
	}
	id.Keys = keys
	raw, err := json.Marshal(id)
	if err != nil {
		return err
	}
	unchanged := clientv3.Compare(clientv3.ModRevision(n.identityKey()), "=", found.Kvs[0].ModRevision)
	_, err = n.client.Txn(ctx).If(unchanged).Then(clientv3.OpPut(n.identityKey(), string(raw))).Commit()
	return err
}
