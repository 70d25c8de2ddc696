package trust

import (
	"context"
	"errors"
	"log/slog"
	"net"
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

// startEtcd returns a client of an etcd that ends with the test.
func startEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	var addresses [2]string
	var listeners []net.Listener // closed when both are chosen
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses[i] = l.Addr().String()
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		l.Close()
	}
	server, err := etcdserver.Bootstrap(t.Context(), etcdserver.Config{Dir: t.TempDir(), Machine: "m1", ClusterID: "c1",
		ClientAddr: addresses[0], PeerAddr: addresses[1], Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestSwapWithoutAnAnswer: a new ring makes this machine's etcd restart, often
// before it has told that the ring was taken.
func TestSwapWithoutAnAnswer(t *testing.T) {
	client := startEtcd(t)
	forgets := &forgetful{KV: client.KV}
	sure := Keystore{Client: &clientv3.Client{KV: client.KV}}
	client.KV = forgets
	k := Keystore{Client: client}
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
	if err := k.swap(t.Context(), 0, seal(1, "a")); err != nil {
		t.Errorf("what was written: %v", err)
	}
	forgets.losses, forgets.after = 1, func() {
		if err := sure.swap(t.Context(), revision(), seal(3, "b")); err != nil {
			t.Error(err)
		}
	}
	if err := k.swap(t.Context(), revision(), seal(2, "b")); err != nil {
		t.Errorf("what was written, and carried on since: %v", err)
	}
	forgets.losses, forgets.after = 1, func() {
		if err := sure.swap(t.Context(), revision(), seal(4, "c")); err != nil {
			t.Error(err)
		}
	}
	if err := k.swap(t.Context(), revision()-1, seal(4, "d")); !errors.Is(err, cluster.ErrConflict) {
		t.Errorf("what somebody else was faster with: %v", err)
	}
}
