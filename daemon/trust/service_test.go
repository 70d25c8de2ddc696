package trust

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/cluster/memstore"
	"fleettop/daemon/keys"
	"fleettop/daemon/view"
)

const patience = 60 * time.Second

// rig is a Service of the only machine of a cluster, with a real keystore.
type rig struct {
	t           *testing.T
	cluster     *memstore.Cluster
	credentials *Credentials
	gossip      *gossip
	etcd        *etcd
	service     *Service
	keyFile     string
}

type health struct{}

func (health) Health() map[string]cluster.Health {
	return map[string]cluster.Health{someID: {State: cluster.Up}}
}
func (health) Changed() <-chan struct{} { return nil }

// gossip takes up keys, but for those times that it fails.
type gossip struct {
	mu       sync.Mutex
	failures int
	primary  []byte
}

func (g *gossip) Members() []membership.Member {
	return []membership.Member{{ID: someID, Address: "127.0.0.1:7370", State: membership.Alive},
		{ID: "gone", Address: "127.0.0.2:7370", State: membership.Failed}}
}

func (g *gossip) SetKeys(primary []byte, _ [][]byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures > 0 {
		g.failures--
		return errors.New("gossip takes no keys now")
	}
	g.primary = primary
	return nil
}

// etcd notes which keys were accepted when it began.
type etcd struct {
	credentials *Credentials
	mu          sync.Mutex
	read        []string
	reloads     int
}

func (e *etcd) AwaitAdmission(context.Context) {}
func (e *etcd) Trouble() error                 { return nil }
func (e *etcd) Outdated() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !slices.Equal(e.read, e.credentials.KeyIDs())
}

func (e *etcd) Reload(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read = e.credentials.KeyIDs()
	e.reloads++
	return nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, cluster: memstore.New(), gossip: &gossip{}, keyFile: filepath.Join(t.TempDir(), "key")}
	if err := keys.NewRing(keys.Generate()).Create(r.keyFile); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	var err error
	r.credentials, err = Open(Config{Machine: someID, Address: "127.0.0.1", KeyFile: r.keyFile, Dir: t.TempDir(),
		Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.etcd = &etcd{credentials: r.credentials, read: r.credentials.KeyIDs()}
	store := r.cluster.Open()
	v := view.New(store, log, time.Second)
	r.run(func(ctx context.Context) error { v.Run(ctx); return nil })
	r.service = NewService(ServiceConfig{Machine: someID, GossipAddress: "127.0.0.1:7370",
		APIAddress: "127.0.0.1:7374", KeyFile: r.keyFile,
		Credentials: r.credentials, Keystore: Keystore{Client: startEtcd(t), Prefix: "/fleettop"},
		Store: store, Timeline: store, View: v, Health: health{}, Gossip: r.gossip, Etcd: r.etcd, Log: log})
	err = store.UpdateMachine(t.Context(), someID, func(m *cluster.Machine) error {
		m.Name, m.GossipAddress, m.Keys = "n1", "127.0.0.1:7370", r.credentials.KeyIDs()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs a part until the test ends.
func (r *rig) run(part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("a part ended with %v", err)
		}
	})
}

// until waits for a condition.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("no %s within %s; the machine's record is %+v", what, patience, r.cluster.Snapshot().Machines[someID])
		}
	}
}

func (r *rig) recorded() []string { return r.cluster.Snapshot().Machines[someID].Keys }

// A rotation goes through the file, the certificate, gossip and etcd, until the
// old key is accepted nowhere. A step that fails is taken again, and the
// machine's record never names keys that it doesn't have everywhere.
func TestServiceRotates(t *testing.T) {
	r := newRig(t)
	old := r.credentials.KeyIDs()[0]
	r.gossip.failures = 2
	r.run(r.service.Run)
	r.run(r.service.Lead)
	list, err := r.service.Rotate(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if list.Phase != string(keys.Spreading) || len(list.Keys) != 2 || !list.Keys[0].Primary || list.Keys[0].ID != old {
		t.Errorf("a rotation begins with %+v", *list)
	}
	r.until("single new key", func() bool { return len(r.recorded()) == 1 && r.recorded()[0] != old })
	next := r.recorded()[0]
	ring, err := keys.Load(r.keyFile)
	if err != nil || !slices.Equal(ring.IDs(), []string{next}) || !slices.Equal(r.credentials.InUse(), []string{next}) {
		t.Errorf("recorded is %s; the file has %v (%v), in use are %v", next, ring.IDs(), err, r.credentials.InUse())
	}
	r.gossip.mu.Lock()
	defer r.gossip.mu.Unlock()
	if !slices.Equal(r.gossip.primary, ring.Primary().Gossip()) || r.gossip.failures > 0 {
		t.Error("gossip uses another key")
	}
	if r.etcd.Outdated() || r.etcd.reloads < 2 {
		t.Errorf("etcd was begun again %d times, outdated %v; expected once for the new key and once for the end of "+
			"the old one",
			r.etcd.reloads, r.etcd.Outdated())
	}
	if list, err := r.service.Keys(t.Context()); err != nil || list.Phase != "" || len(list.Waiting) > 0 {
		t.Errorf("after the rotation: %+v, %v", list, err)
	}
}

// A machine that joins gets the key for its token, once.
func TestKeyForAToken(t *testing.T) {
	r := newRig(t)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: r.service.JoinServer(),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	go func() { _ = server.Serve(tls.NewListener(inner, r.credentials.Identity().ServerConfig())) }()
	t.Cleanup(func() { server.Close() })
	token, err := r.service.JoinToken(t.Context(), "ann")
	if err != nil || !slices.Equal(token.Addresses, []string{"127.0.0.1:7374"}) {
		t.Fatalf("%+v, %v", token, err)
	}
	address := []string{inner.Addr().String()}
	grant, err := FetchKey(t.Context(), token.Token, address)
	if err != nil || !slices.Equal(grant.Ring.IDs(), r.credentials.KeyIDs()) ||
		!slices.Equal(grant.Gossip, []string{"127.0.0.1:7370"}) {
		t.Fatalf("granted %v %v, %v", grant.Ring.IDs(), grant.Gossip, err)
	}
	if _, err := FetchKey(t.Context(), token.Token, address); err == nil ||
		!strings.Contains(err.Error(), "used already") {
		t.Errorf("the token was taken twice: %v", err)
	}
	foreign, err := keys.Generate().NewToken(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FetchKey(t.Context(), foreign.Text(), address); err == nil ||
		!strings.Contains(err.Error(), "not a machine of the cluster") {
		t.Errorf("another cluster's token: %v", err)
	}
	events, err := r.cluster.Open().Events(t.Context(), time.Time{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range events {
		texts = append(texts, e.Text)
		if strings.Contains(e.Text, token.Token) {
			t.Error("the timeline shows a token")
		}
	}
	for _, want := range []string{"a token to join was made", "was given the cluster's key", "a second time"} {
		if !strings.Contains(strings.Join(texts, "\n"), want) {
			t.Errorf("the timeline has %q, expected %q in it", texts, want)
		}
	}
}

// The key that was there is kept beside the new one.
func TestKeepKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	first, second := keys.NewRing(keys.Generate()), keys.NewRing(keys.Generate())
	for _, c := range []struct {
		ring  keys.Ring
		aside bool
	}{{first, false}, {first, false}, {second, true}} {
		aside, err := KeepKey(c.ring, file)
		if err != nil || (aside != "") != c.aside {
			t.Errorf("kept aside as %q, %v; expected one: %v", aside, err, c.aside)
		}
		if c.aside {
			if kept, err := keys.Load(aside); err != nil || !kept.Equal(first) {
				t.Errorf("aside is %s, %v", kept, err)
			}
		}
		if got, err := keys.Load(file); err != nil || !got.Equal(c.ring) {
			t.Errorf("the file has %s, %v; expected %s", got, err, c.ring)
		}
	}
}
