package etcdstore

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"fleettop/cluster"
	"fleettop/cluster/storetest"
)

// endpoint is the etcd server that all tests share, each under a prefix of its own.
var endpoint string

var prefixes atomic.Int64

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "rapid.checks" })
	if !chosen {
		flag.Set("rapid.checks", "25") // each writes to a real store
	}
	os.Exit(withServer(m.Run))
}

func withServer(run func() int) int {
	dir, err := os.MkdirTemp("", "etcdstore")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	server, address, err := serve(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start etcd:", err)
		return 1
	}
	defer server.Close()
	endpoint = address
	return run()
}

// config describes a member of an etcd cluster that keeps its data and its
// clients' socket in a directory. members maps names to peer URLs.
func config(dir, name string, members map[string]url.URL) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = name, filepath.Join(dir, name+"data")
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, name+"client")}}
	cfg.ListenPeerUrls = []url.URL{members[name]}
	cfg.AdvertiseClientUrls, cfg.AdvertisePeerUrls = cfg.ListenClientUrls, cfg.ListenPeerUrls
	var initial []string
	for m, peer := range members {
		initial = append(initial, m+"="+peer.String())
	}
	cfg.InitialCluster = strings.Join(initial, ",")
	cfg.TickMs, cfg.ElectionMs = 50, 500
	cfg.UnsafeNoFsync = true // the data doesn't outlive the test
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	return cfg
}

// serve starts a one-member etcd in a directory.
func serve(dir string) (*embed.Etcd, string, error) {
	cfg := config(dir, "a", map[string]url.URL{"a": {Scheme: "unix", Path: filepath.Join(dir, "peer")}})
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", err
	}
	if err := ready(server); err != nil {
		return nil, "", err
	}
	return server, cfg.AdvertiseClientUrls[0].String(), nil
}

// ready waits until a member serves.
func ready(server *embed.Etcd) error {
	select {
	case <-server.Server.ReadyNotify():
		return nil
	case err := <-server.Err():
		return err
	case <-time.After(30 * time.Second):
		return errors.New("not ready in time")
	}
}

func dial(t testing.TB, endpoint string, opts ...grpc.DialOption) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second,
		DialOptions:       opts,
		DialKeepAliveTime: time.Second, DialKeepAliveTimeout: time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// opener opens stores under one fresh prefix.
func opener(t testing.TB, opts ...grpc.DialOption) func() *Store {
	prefix := fmt.Sprintf("/test%d/", prefixes.Add(1))
	return func() *Store {
		t.Helper()
		s := New(dial(t, endpoint, opts...), Options{Prefix: prefix, Logger: quiet(), OwnClient: true})
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func() cluster.Store {
		open := opener(t)
		return func() cluster.Store { return open() }
	})
}
