package etcdstore

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
)

// PutUnits implements cluster.Store. After an error wrapping
// cluster.ErrUnavailable, entries that have it may or may not have been written.
func (s *Store) PutUnits(ctx context.Context, list []cluster.Unit) ([]error, error) {
	errs := make([]error, len(list))
	steps := make([]*step, 0, len(list))
	for i, u := range list {
		st, err := s.putStep(i, u)
		if err != nil {
			errs[i] = fmt.Errorf("write %s: %w", u.Name, err)
			continue
		}
		steps = append(steps, st)
	}
	if _, err := s.take(ctx, steps, nil, errs); err != nil {
		return errs, fmt.Errorf("write units: %w", err)
	}
	return errs, nil
}

func (s *Store) putStep(i int, u cluster.Unit) (*step, error) {
	if u.Generation < 1 {
		return nil, fmt.Errorf("generation %d is not a generation: the first is 1", u.Generation)
	}
	value, err := encode(u)
	if err != nil {
		return nil, err
	}
	if len(value) > mostValue {
		return nil, fmt.Errorf("%d KiB are more than the store can take: make the file smaller", len(value)>>10)
	}
	key := s.keys.unit(u.Name)
	return &step{
		index:  i,
		guards: []clientv3.Cmp{clientv3.Compare(clientv3.Version(key), "=", u.Generation-1)},
		writes: []clientv3.Op{clientv3.OpPut(key, value)},
		size:   len(key) + len(value),
		reads:  []clientv3.Op{clientv3.OpGet(key, clientv3.WithKeysOnly())},
		judge: func(_ *step, found []*mvccpb.KeyValue) error {
			now := found[0]
			switch {
			case now != nil && u.Generation == 1:
				return fmt.Errorf("write %s: %w", u.Name, cluster.ErrExists)
			case now == nil && u.Generation > 1:
				return fmt.Errorf("write %s: %w", u.Name, cluster.ErrNotFound)
			case now != nil && now.Version != u.Generation-1:
				return fmt.Errorf("write %s: %w", u.Name, cluster.ErrConflict)
			}
			return nil
		},
	}, nil
}

// DeleteUnits implements cluster.Store.
func (s *Store) DeleteUnits(ctx context.Context, names []string) ([]error, error) {
	errs := make([]error, len(names))
	for from := 0; from < len(names); from += mostOps {
		batch := names[from:min(from+mostOps, len(names))]
		ops := make([]clientv3.Op, len(batch))
		for i, name := range batch {
			ops[i] = clientv3.OpDelete(s.keys.unit(name))
		}
		resp, err := s.commit(ctx, nil, ops, nil)
		if err != nil {
			for i := from; i < len(names); i++ {
				errs[i] = err
			}
			return errs, fmt.Errorf("delete units: %w", err)
		}
		for i, r := range resp.Responses {
			if r.GetResponseDeleteRange().Deleted == 0 {
				errs[from+i] = fmt.Errorf("delete %s: %w", batch[i], cluster.ErrNotFound)
			}
		}
	}
	return errs, nil
}
