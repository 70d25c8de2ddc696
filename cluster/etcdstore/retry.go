package etcdstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

// lost reports whether a request got no answer because etcd has another leader
// now. It was carried out or, more likely, it was not. The embedded etcd says
// so as soon as it has that leader; any other one lets the request time out.
func lost(err error) bool { return errors.Is(err, rpctypes.ErrLeaderChanged) }

// errUnknown is for a transaction that must not be said to have been refused.
var errUnknown = fmt.Errorf("its leader died, and the change was made or another client made another: %w",
	cluster.ErrUnavailable)

// commitAgain takes a transaction that was lost, and that was sent when the
// store was at a revision or further. Where its guards don't hold any more it
// looks whether that is because it was carried out.
func (s *Store) commitAgain(ctx context.Context, sentAt int64, guards []clientv3.Cmp, then, otherwise []clientv3.Op) (
	*clientv3.TxnResponse, error) {
	resp, err := s.client.Txn(ctx).If(guards...).Then(then...).Else(otherwise...).Commit()
	if err != nil {
		return nil, err
	}
	if resp.Succeeded {
		for _, r := range resp.Responses {
			if d := r.GetResponseDeleteRange(); d != nil {
				d.Deleted = max(d.Deleted, 1) // what is gone was there for the first try
			}
		}
		return resp, nil
	}
	var puts, looks []clientv3.Op
	writes := false
	for _, op := range then {
		writes = writes || !op.IsGet()
		if op.IsPut() {
			puts, looks = append(puts, op), append(looks, clientv3.OpGet(string(op.KeyBytes())))
		}
	}
	if !writes {
		return resp, nil
	}
	found, err := s.client.Txn(ctx).Then(looks...).Commit()
	if err != nil {
		return nil, err
	}
	// Nobody else puts the same values meanwhile: they tell of a moment or of a run.
	revision := int64(0)
	for i, put := range puts {
		kvs := found.Responses[i].GetResponseRange().Kvs
		if len(kvs) == 0 || string(kvs[0].Value) != string(put.ValueBytes()) || kvs[0].ModRevision <= sentAt ||
			i > 0 && kvs[0].ModRevision != revision {
			return nil, errUnknown
		}
		revision = kvs[0].ModRevision
	}
	if revision == 0 {
		return nil, errUnknown
	}
	resp.Succeeded, resp.Header.Revision, resp.Responses = true, revision, nil
	return resp, nil
}
