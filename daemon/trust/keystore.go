package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/daemon/keys"
	"fleettop/units/retry"
)

// Keystore is where the cluster keeps its sealed ring, and the tokens that were
// used. Its keys are outside of the store's, which all machines watch.
type Keystore struct {
	Client *clientv3.Client
	Prefix string // of all keys of the cluster, without a slash at its end
}

func (k Keystore) ring() string           { return k.Prefix + "/keys/ring" }
func (k Keystore) token(id string) string { return k.Prefix + "/keys/token/" + id }

// storePatience is how long a request is tried again that fails.
const storePatience = 5 * time.Second

// tryAgain tries again what fails: this machine's etcd is away for a moment
// when it takes up a new key.
func tryAgain(ctx context.Context, try func() error) error {
	began := time.Now()
	err := try()
	for err != nil && ctx.Err() == nil && time.Since(began) < storePatience {
		retry.Pause(ctx, retryLeast)
		err = try()
	}
	return err
}

// load returns the sealed ring and the revision to swap it by. Its generation
// is 0 if the cluster never rotated its key.
func (k Keystore) load(ctx context.Context) (keys.Sealed, int64, error) {
	var r *clientv3.GetResponse
	err := tryAgain(ctx, func() (err error) {
		r, err = k.Client.Get(ctx, k.ring())
		return err
	})
	if err != nil {
		return keys.Sealed{}, 0, fmt.Errorf("%w: read the cluster's keys: %w", cluster.ErrUnavailable, err)
	}
	if len(r.Kvs) == 0 {
		return keys.Sealed{}, 0, nil
	}
	s, err := unmarshalSealed(r.Kvs[0].Value)
	return s, r.Kvs[0].ModRevision, err
}

func unmarshalSealed(raw []byte) (keys.Sealed, error) {
	var s keys.Sealed
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("the cluster's sealed keys can't be read: %w: is there a daemon of another version?", err)
	}
	return s, nil
}

// swap replaces the sealed ring, if it is still the one of that revision. An
// answer may be lost, as this machine's etcd restarts for what was written; what
// became of it is found out then.
func (k Keystore) swap(ctx context.Context, revision int64, s keys.Sealed) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var r *clientv3.TxnResponse
	tries := 0
	err = tryAgain(ctx, func() (err error) {
		tries++
		r, err = k.Client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k.ring()), "=", revision)).
			Then(clientv3.OpPut(k.ring(), string(raw))).Else(clientv3.OpGet(k.ring())).Commit()
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: write the cluster's keys: %w", cluster.ErrUnavailable, err)
	}
	if r.Succeeded || tries > 1 && isOrFollows(r.Responses[0].GetResponseRange().Kvs, raw, s) {
		return nil
	}
	return fmt.Errorf("somebody else changed the cluster's keys at the same time: %w: see `fleettop key list`",
		cluster.ErrConflict)
}

// isOrFollows reports whether what is there is the sealed ring that was written, or
// what the rotation has made of it since.
func isOrFollows(there []*mvccpb.KeyValue, raw []byte, s keys.Sealed) bool {
	if len(there) == 0 {
		return false
	}
	if bytes.Equal(there[0].Value, raw) {
		return true
	}
	now, err := unmarshalSealed(there[0].Value)
	return err == nil && now.Generation > s.Generation && now.Newest == s.Newest
}

// watch calls f with the sealed ring now and after each change, until f fails,
// the connection breaks or ctx ends.
func (k Keystore) watch(ctx context.Context, f func(keys.Sealed) error) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	r, err := k.Client.Get(ctx, k.ring())
	if err != nil {
		return err
	}
	var s keys.Sealed
	if len(r.Kvs) > 0 {
		if s, err = unmarshalSealed(r.Kvs[0].Value); err != nil {
			return err
		}
	}
	changes := k.Client.Watch(ctx, k.ring(), clientv3.WithRev(r.Header.Revision+1))
	for {
		if err := f(s); err != nil {
			return err
		}
		change, ok := <-changes
		if !ok {
			return errors.New("the watch of the cluster's keys ended")
		}
		if err := change.Err(); err != nil {
			return err
		}
		for _, e := range change.Events {
			if e.Type != clientv3.EventTypePut {
				continue
			}
			if s, err = unmarshalSealed(e.Kv.Value); err != nil {
				return err
			}
		}
	}
}

// use notes that a token was used, and reports whether this was the first time.
// It is forgotten once the token would be too old anyway.
func (k Keystore) use(ctx context.Context, t keys.Token, now time.Time) (bool, error) {
	lease, err := k.Client.Grant(ctx, int64((t.Expires.Sub(now)+2*keys.TokenLifetime)/time.Second))
	if err != nil {
		return false, fmt.Errorf("%w: note the token's use: %w", cluster.ErrUnavailable, err)
	}
	key := k.token(t.ID())
	r, err := k.Client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, now.UTC().Format(time.RFC3339), clientv3.WithLease(lease.ID))).Commit()
	if err != nil {
		return false, fmt.Errorf("%w: note the token's use: %w", cluster.ErrUnavailable, err)
	}
	return r.Succeeded, nil
}
