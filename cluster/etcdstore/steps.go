package etcdstore

import (
	"context"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
)

// Limits of one transaction, below etcd's own (128 operations, 1.5 MiB).
const (
	mostOps     = 120
	mostBytes   = 1 << 20
	mostValue   = 1400 << 10 // a value of its own
	concurrency = 4          // batches in flight: they share etcd's disk syncs
	mostRounds  = 8          // attempts at a batch whose guards keep failing
)

// step is one guarded write among others. Steps share transactions as long as
// their guards hold; the ones whose guards don't are found and left out.
type step struct {
	index  int // in the caller's list
	guards []clientv3.Cmp
	writes []clientv3.Op
	size   int // bytes written
	// reads are the keys that judge wants to see, and found has the same
	// order, nil for an absent key. judge says why the step can't be taken,
	// or returns nil and may have set guards by what it saw.
	reads []clientv3.Op
	judge func(s *step, found []*mvccpb.KeyValue) error
	blind bool // guards are not complete before judge was called
}

// keys are the keys a step writes.
func (s *step) keys() []string {
	keys := make([]string, len(s.writes))
	for i, op := range s.writes {
		keys[i] = string(op.KeyBytes())
	}
	return keys
}

// fence is a guard on every transaction of a call.
type fence struct {
	guard clientv3.Cmp
	read  clientv3.Op
	holds func(*mvccpb.KeyValue) bool
}

// take takes all steps it can and puts each one's error into errs, at its
// index. It returns the revision of the last write. err is for what failed as
// a whole: then the steps not known to be taken have it as their error too.
func (s *Store) take(ctx context.Context, steps []*step, f *fence, errs []error) (revision int64, err error) {
	for _, wave := range waves(steps) {
		if err != nil {
			fail(wave, errs, err)
			continue
		}
		group, failed := errgroup.WithContext(ctx)
		group.SetLimit(concurrency)
		list := batches(wave)
		revisions := make([]int64, len(list))
		for i, batch := range list {
			group.Go(func() (err error) {
				if failed.Err() != nil { // what runs already is left to its own result
					return fail(batch, errs, context.Cause(failed))
				}
				revisions[i], err = s.takeBatch(ctx, batch, f, errs)
				return err
			})
		}
		err = group.Wait()
		revision = max(revision, slices.Max(revisions))
	}
	return revision, err
}

// takeBatch takes the steps of one batch in as few transactions as their guards allow.
func (s *Store) takeBatch(ctx context.Context, batch []*step, f *fence, errs []error) (int64, error) {
	known := !slices.ContainsFunc(batch, func(st *step) bool { return st.blind })
	for range mostRounds {
		var guards []clientv3.Cmp
		var writes, reads []clientv3.Op
		if f != nil {
			guards, reads = append(guards, f.guard), append(reads, f.read)
		}
		for _, st := range batch {
			guards, writes, reads = append(guards, st.guards...), append(writes, st.writes...), append(reads, st.reads...)
		}
		if !known {
			guards, writes = nil, reads // look first
		}
		resp, err := s.commit(ctx, guards, writes, reads)
		if err != nil {
			return 0, fail(batch, errs, err)
		}
		if known && resp.Succeeded {
			return resp.Header.Revision, nil
		}
		found := make([]*mvccpb.KeyValue, len(reads))
		for i, r := range resp.Responses {
			if kvs := r.GetResponseRange().Kvs; len(kvs) > 0 {
				found[i] = kvs[0]
			}
		}
		if f != nil {
			if !f.holds(found[0]) {
				return 0, fail(batch, errs, cluster.ErrNotLeader)
			}
			found = found[1:]
		}
		known = true
		batch = slices.DeleteFunc(slices.Clone(batch), func(st *step) bool {
			errs[st.index] = st.judge(st, found[:len(st.reads)])
			found = found[len(st.reads):]
			return errs[st.index] != nil
		})
		if len(batch) == 0 {
			return 0, nil
		}
	}
	fail(batch, errs, fmt.Errorf("written by others all the time: %w", cluster.ErrConflict))
	return 0, nil
}

func fail(batch []*step, errs []error, err error) error {
	for _, st := range batch {
		errs[st.index] = err
	}
	return err
}

// waves splits steps so that no two of a wave write the same key, and what
// writes one key stays in order.
func waves(steps []*step) [][]*step {
	var list [][]*step
	after := map[string]int{} // by key: the first wave that may write it
	for _, st := range steps {
		wave := 0
		for _, k := range st.keys() {
			wave = max(wave, after[k])
		}
		for _, k := range st.keys() {
			after[k] = wave + 1
		}
		if wave == len(list) {
			list = append(list, nil)
		}
		list[wave] = append(list[wave], st)
	}
	return list
}

// batches splits steps so that each batch fits into one transaction.
func batches(steps []*step) [][]*step {
	var list [][]*step
	guards, writes, reads, size := 1, 0, 1, 0 // one for the fence
	for _, st := range steps {
		guards, writes, reads, size = guards+len(st.reads), writes+len(st.writes), reads+len(st.reads), size+st.size
		if len(list) == 0 || max(guards, writes, reads) > mostOps || size > mostBytes {
			list = append(list, nil)
			guards, writes, reads, size = 1+len(st.reads), len(st.writes), 1+len(st.reads), st.size
		}
		list[len(list)-1] = append(list[len(list)-1], st)
	}
	return list
}
