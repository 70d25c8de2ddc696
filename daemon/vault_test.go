package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/daemon/keys"
)

// forgetful is etcd carrying out transactions whose answers are lost.
type forgetful struct {
	clientv3.KV
	losses int
	after  func() // what happens meanwhile
}

type forgetfulTxn struct {
	clientv3.Txn
	kv *forgetful
}

func (f *forgetful) Txn(ctx context.Context) clientv3.Txn { return &forgetfulTxn{f.KV.Txn(ctx), f} }

func (t *forgetfulTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *forgetfulTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *forgetfulTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t *forgetfulTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.Txn.Commit()
	if t.kv.losses == 0 {
		return r, err
	}
	t.kv.losses--
	if t.kv.after != nil {
		t.kv.after()
	}
	return nil, errors.New("server closed the stream without sending trailers")
}

// TestSwapWithoutAnAnswer: a new ring makes this machine's etcd restart, often
// before it has told that the ring was taken.
func TestSwapWithoutAnAnswer(t *testing.T) {
	log, port := slog.New(slog.DiscardHandler), freePorts(t)
	at := func(offset int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+offset)) }
	server, err := etcdserver.Bootstrap(t.Context(), etcdserver.Config{Dir: t.TempDir(), Machine: "m1", ClusterID: "c1", ClientAddr: at(0), PeerAddr: at(1), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	forgets := &forgetful{KV: client.KV}
	sure := vault{client: &clientv3.Client{KV: client.KV}}
	client.KV = forgets
	v := vault{client: client}
	seal := func(generation int64, newest string) keys.Sealed {
		s, err := keys.NewRing(keys.Generate()).Seal(generation, newest, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	revision := func() int64 {
		_, r, err := sure.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}

	forgets.losses = 2
	if err := v.swap(t.Context(), 0, seal(1, "a")); err != nil {
		t.Errorf("what was written: %v", err)
	}
	forgets.losses, forgets.after = 1, func() {
		if err := sure.swap(t.Context(), revision(), seal(3, "b")); err != nil {
			t.Error(err)
		}
	}
	if err := v.swap(t.Context(), revision(), seal(2, "b")); err != nil {
		t.Errorf("what was written, and carried on since: %v", err)
	}
	forgets.losses, forgets.after = 1, func() {
		if err := sure.swap(t.Context(), revision(), seal(4, "c")); err != nil {
			t.Error(err)
		}
	}
	if err := v.swap(t.Context(), revision()-1, seal(4, "d")); !errors.Is(err, cluster.ErrConflict) {
		t.Errorf("what somebody else was faster with: %v", err)
	}
}
