package etcdstore

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"fleettop/cluster"
)

// deaths lets etcd's leader die under the next write.
type deaths struct{ next atomic.Int32 }

const (
	before = 1 + iota // it is carried out
	after
)

func (d *deaths) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	txn, ok := req.(*pb.TxnRequest)
	if !ok || len(txn.Success) == 0 || txn.Success[0].GetRequestRange() != nil {
		return invoke(ctx, method, req, reply, conn, opts...)
	}
	switch d.next.Swap(0) {
	case before:
		return rpctypes.ErrGRPCLeaderChanged
	case after:
		if err := invoke(ctx, method, req, reply, conn, opts...); err != nil {
			return err
		}
		return rpctypes.ErrGRPCLeaderChanged
	default:
		return invoke(ctx, method, req, reply, conn, opts...)
	}
}

// TestLeaderDiesUnderAWrite: whether it had been carried out or not, it is in
// the end, once, and is said to be; what was refused is not said to be made.
func TestLeaderDiesUnderAWrite(t *testing.T) {
	t.Parallel()
	for name, death := range map[string]int32{"before it was carried out": before, "after it was carried out": after} {
		t.Run(name, func(t *testing.T) {
			var d deaths
			s := opener(t, grpc.WithChainUnaryInterceptor(d.intercept))()
			ctx := t.Context()
			dies := func(what string, write func() error) {
				t.Helper()
				d.next.Store(death)
				if err := write(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if d.next.Load() != 0 {
					t.Errorf("%s: nobody died", what)
				}
			}
			first := func(errs []error, err error) error { return errors.Join(append(errs, err)...) }
			unit := func(generation int64) cluster.Unit {
				return cluster.Unit{Name: "a.service", Generation: generation, At: time.Unix(generation, 0)}
			}

			var n cluster.Session
			dies("register", func() (err error) {
				n, err = s.Register(ctx, cluster.Run{Machine: "m1", ID: "run"}, 10*time.Second)
				return err
			})
			var l cluster.Leader
			dies("campaign", func() (err error) { l, err = s.Campaign(ctx, n); return err })
			dies("create", func() error { return first(s.PutUnits(ctx, []cluster.Unit{unit(1)})) })
			dies("change", func() error { return first(s.PutUnits(ctx, []cluster.Unit{unit(2)})) })
			here, there := cluster.Assignment{Machine: "m1", Unit: "a.service", Epoch: 1}, cluster.Assignment{Machine: "m2",
				Unit: "a.service", Epoch: 2}
			apply := func(m cluster.Move) error {
				revision, errs, err := s.Apply(ctx, l.Term, []cluster.Move{m}, cluster.Findings{})
				if revision == 0 && err == nil {
					err = errors.New("at no revision")
				}
				return first(errs, err)
			}
			dies("place", func() error { return apply(cluster.Move{Unit: "a.service", To: &here, Generation: 2}) })
			dies("move", func() error { return apply(cluster.Move{Unit: "a.service", From: &here, To: &there, Generation: 2}) })
			dies("cordon", func() error {
				return s.UpdateMachine(ctx, "m1", func(m *cluster.Machine) error { m.Schedule = cluster.Cordoned; return nil })
			})
			dies("record", func() error { return s.Record(ctx, cluster.Event{Text: "once"}) })
			dies("report", func() error { return n.PutStatuses(ctx, []cluster.Status{{Machine: "m1"}}, []string{"b.service"}) })

			snap, _, err := s.Watch(ctx, cluster.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			if got := snap.Units["a.service"].Generation; got != 2 {
				t.Errorf("the unit has generation %d, want 2", got)
			}
			if len(snap.Assignments) != 1 || snap.Machines["m1"].Schedule != cluster.Cordoned || snap.Leader.Term != l.Term {
				t.Errorf("in the end there are %+v, %+v and %+v, whose term is said to be %d", snap.Assignments, snap.Machines,
					snap.Leader, l.Term)
			}
			if events, err := s.Events(ctx, time.Time{}, 10); err != nil || len(events) != 1 {
				t.Errorf("the timeline has %+v, %v", events, err)
			}

			// The same content, but not by this write.
			d.next.Store(death)
			if err := first(s.PutUnits(ctx, []cluster.Unit{unit(2)})); !errors.Is(err, cluster.ErrUnavailable) {
				t.Errorf("a write that is refused: %v, want that nothing is known", err)
			}
			// A withdrawal leaves no trace to know it by.
			d.next.Store(death)
			err = apply(cluster.Move{Unit: "a.service", From: &there, Generation: 2})
			if death == before && err != nil || death == after && !errors.Is(err, cluster.ErrUnavailable) {
				t.Errorf("a withdrawal: %v", err)
			}
			dies("destroy", func() error { return first(s.DeleteUnits(ctx, []string{"a.service"})) })
		})
	}
}
