package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/etcdstore"
	"fleettop/cluster/membership"
	"fleettop/units/retry"
)

// storeIdentity says whose store an etcd holds below a prefix. An etcd that
// several clusters may reach needs it: without, two of them would take each
// other's machines for their own, and move each other's units.
type storeIdentity struct {
	Cluster string    `json:"cluster"` // its ID
	Keys    []string  `json:"keys"`    // IDs of its keys, then of those it had before; none for a cluster without a key
	Founder string    `json:"founder"` // the name of the machine that founded it
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
		"to become a member, or give this machine's cluster another place there with --etcd-prefix", where, key(e.Theirs.Keys), key(e.Keys))
}

// errNotFounded means that a machine which is to join found an empty store.
var errNotFounded = &cluster.UnusableError{Cause: "no cluster was founded there yet",
	Advice: "start a daemon without --join on the first machine, with the same --etcd-endpoints and --etcd-prefix"}

const entryLimit = 2 * time.Second // of one look at the store's identity

// enterStore returns when the store is known to be this cluster's, and founds
// the cluster in an empty one. It returns a *StoreTakenError if the store is
// another cluster's. An embedded etcd is reached with the cluster's key alone.
func (n *node) enterStore(ctx context.Context) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for silent := 1; ctx.Err() == nil && !n.etcd.isAdmitted(); silent++ {
		limited, cancel := context.WithTimeout(ctx, entryLimit)
		id, err := n.identify(limited)
		cancel()
		taken := new(StoreTakenError)
		switch {
		case err == nil:
			n.etcd.admit(id.Cluster)
		case errors.As(err, &taken):
			return err
		default:
			if n.etcd.diagnose(ctx, err) == nil && silent == 2 && ctx.Err() == nil {
				n.log.Warn("the cluster's store takes connections and doesn't answer: has it lost its quorum? trying again",
					"error", err)
			}
			delay.Wait(ctx)
		}
	}
	return nil
}

func (n *node) keyIDs() []string {
	if n.guard.identity == nil {
		return nil
	}
	return n.guard.identity.Ring().IDs()
}

func (n *node) identityKey() string { return n.cfg.EtcdPrefix + "/identity" }

// identify reads whose store this is, or makes it ours if it is nobody's.
func (n *node) identify(ctx context.Context) (storeIdentity, error) {
	machines := n.cfg.EtcdPrefix + "/v1/machine/"
	found, err := n.etcd.client.Txn(ctx).
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
		known = known || strings.TrimPrefix(string(kv.Key), machines) == n.cfg.MachineID
		for _, k := range m.Keys {
			theirs[k] = true
		}
	}
	joins := len(n.cfg.Join) > 0 || n.etcd.peers.existed
	taken := &StoreTakenError{Endpoints: n.cfg.EtcdEndpoints, Prefix: n.cfg.EtcdPrefix, Keys: n.keyIDs()}
	if kvs := found.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		if err := json.Unmarshal(kvs[0].Value, &id); err != nil {
			return id, &cluster.UnusableError{Cause: fmt.Sprintf("%s can't be read: %v", n.identityKey(), err),
				Advice: "restore it, or choose another --etcd-prefix"}
		}
		taken.Theirs, taken.SameKey = id, id.matches(n.keyIDs())
		if !taken.SameKey || !known && !joins {
			return id, taken
		}
		return id, nil
	}
	id = storeIdentity{Cluster: newRunID(), Keys: n.keyIDs(), Founder: n.cfg.Name, Since: time.Now()}
	if records := found.Responses[1].GetResponseRange().Kvs; len(records) > 0 {
		// An older daemon's, which wrote no identity.
		old := storeIdentity{Founder: "an earlier version"}
		for k := range theirs {
			old.Keys = append(old.Keys, k)
		}
		slices.Sort(old.Keys)
		if taken.Theirs = old; !old.matches(n.keyIDs()) {
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
	made, err := n.etcd.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(n.identityKey()), "=", 0)).
		Then(clientv3.OpPut(n.identityKey(), string(raw))).Commit()
	if err != nil {
		return id, cmp.Or(etcdstore.Refusal(err), err)
	}
	if !made.Succeeded {
		return n.identify(ctx)
	}
	n.log.Info("founded a new cluster", "cluster", id.Cluster, "prefix", n.cfg.EtcdPrefix)
	return id, nil
}

// tendIdentity keeps the keys in the store's identity those of the cluster,
// until ctx ends. Only the leader does.
func (n *node) tendIdentity(ctx context.Context) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for ctx.Err() == nil && !n.cfg.embedsEtcd() && n.guard.identity != nil {
		changed := n.guard.changed()
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

func (n *node) writeIdentity(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, entryLimit)
	defer cancel()
	found, err := n.etcd.client.Get(ctx, n.identityKey())
	if err != nil || len(found.Kvs) == 0 {
		return err
	}
	var id storeIdentity
	if err := json.Unmarshal(found.Kvs[0].Value, &id); err != nil {
		return err
	}
	keys := n.keyIDs()
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
	_, err = n.etcd.client.Txn(ctx).If(unchanged).Then(clientv3.OpPut(n.identityKey(), string(raw))).Commit()
	return err
}

// errUnknownStore is what the store answers until it is known to be this cluster's.
var errUnknownStore = fmt.Errorf("%w: it is not known yet to be this cluster's", cluster.ErrUnavailable)

// gate is the store's: nothing is read or written before it is known whose it is.
func (l *etcdLink) gate() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.admitted:
		return nil
	case l.why != nil:
		return l.why
	}
	return errUnknownStore
}

// trouble returns why the store can't be used, if that is known.
func (l *etcdLink) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		return l.apart
	}
	return l.why
}

// setApart notes why this machine has found no other one of its cluster.
func (l *etcdLink) setApart(err error) {
	var apart error
	if none := (*membership.NoSeedError)(nil); errors.As(err, &none) {
		advice := "see that a daemon runs there, and that its ports are open"
		if none.OtherKey {
			advice = membership.OtherKeyAdvice
		}
		apart = &cluster.UnusableError{Cause: "no machine of the cluster takes this one: " + strings.Join(none.Failures, "; "), Advice: advice}
	}
	if errors.Is(err, errNoCluster) {
		apart = &cluster.UnusableError{Cause: "the machines that answer are in no cluster yet", Advice: "start a daemon without --join on the first machine"}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apart = apart
}

func (l *etcdLink) isAdmitted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.admitted
}

func (l *etcdLink) admit(clusterID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admitted, l.why, l.clusterID = true, nil, clusterID
	l.change.Notify()
}

// awaitAdmission returns when the store is this cluster's, or ctx ends.
func (l *etcdLink) awaitAdmission(ctx context.Context) {
	for !l.isAdmitted() {
		changed := l.changed()
		if l.isAdmitted() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// usable notes that the store answered.
func (l *etcdLink) usable() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		l.log.Info("the cluster's store can be used again")
	}
	l.why = nil
}

// diagnose finds out why an etcd that is not embedded can't be used, after a
// request to it failed, and says so once for each reason. It returns nil where
// it can, as far as can be seen from outside: etcd may have lost its quorum.
func (l *etcdLink) diagnose(ctx context.Context, failed error) error {
	if l.cfg.embedsEtcd() || ctx.Err() != nil {
		return nil
	}
	unusable := new(cluster.UnusableError)
	if !errors.As(failed, &unusable) || errors.Is(failed, l.trouble()) {
		unusable = nil
		client := etcdserver.ClientConfig{Endpoints: l.cfg.EtcdEndpoints, TLS: l.cfg.EtcdTLS}
		if cause, advice := etcdserver.Diagnose(ctx, client); cause != "" {
			unusable = &cluster.UnusableError{Cause: cause, Advice: advice}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if unusable == nil {
		l.why = nil
		return nil
	}
	if l.why == nil || l.why.Error() != unusable.Error() {
		l.log.Warn(unusable.Error(), "advice", unusable.Advice)
	}
	l.why = unusable
	return unusable
}
