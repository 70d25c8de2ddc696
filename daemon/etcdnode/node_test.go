package etcdnode

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/cluster/memstore"
	"fleettop/daemon/keys"
	"fleettop/daemon/view"
	"fleettop/units/broadcast"
)

const patience = 60 * time.Second

// network is gossip that hears every machine.
type network struct {
	changed broadcast.Signal

	mu      sync.Mutex // guards members
	members map[string]membership.Member
}

// gossip is one machine's part in it.
type gossip struct {
	*network
	id string
}

func (g *gossip) Changed() <-chan struct{} { return g.changed.Changed() }

func (g *gossip) Members() []membership.Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []membership.Member
	for _, m := range g.members {
		list = append(list, m)
	}
	return list
}

func (g *gossip) SetTags(tags map[string]string) error {
	g.mu.Lock()
	g.members[g.id] = membership.Member{ID: g.id, Address: g.id + ":7370", State: membership.Alive, Tags: tags}
	g.mu.Unlock()
	g.changed.Notify()
	return nil
}

func (g *gossip) Join(context.Context, []string) error { return nil }

// credentials are those of a machine with these keys, which uses no TLS.
type credentials []string

func (c credentials) KeyIDs() []string                            { return c }
func (c credentials) Changed() <-chan struct{}                    { return nil }
func (c credentials) EtcdServer() keys.Files                      { return keys.Files{} }
func (c credentials) EtcdClient() (*tls.Config, error)            { return nil, nil }
func (c credentials) RejectionLogger(string) func(string, string) { return func(string, string) {} }

// health has all machines up.
type health struct{ ids []string }

func (h health) Changed() <-chan struct{} { return nil }
func (h health) Health() map[string]cluster.Health {
	up := map[string]cluster.Health{}
	for _, id := range h.ids {
		up[id] = cluster.Health{State: cluster.Up}
	}
	return up
}

// freeAddresses are addresses that no program listens on.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var list []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l.Addr().String())
	}
	return list
}

func configOf(t *testing.T, net *network, id string) Config {
	t.Helper()
	at := freeAddresses(t, 2)
	return Config{Machine: id, Name: id, StateDir: t.TempDir(), NewCluster: "cluster-of-" + id, PeerAddr: at[0],
		ClientAddr:  at[1],
		Credentials: credentials{"k1"}, Gossip: &gossip{net, id}, Log: slog.New(slog.DiscardHandler)}
}

// open runs a node until stop, or the end of the test.
func open(t *testing.T, cfg Config, records Records) (n *Node, stop func()) {
	t.Helper()
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx, records) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, n.Close()); err != nil {
			t.Errorf("%s ended with %v", cfg.Machine, err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, patience)
		}
	}
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A node without data founds a cluster, unless it is to join one, and comes
// back to the same cluster.
func TestNodeFoundsAndResumes(t *testing.T) {
	net := &network{members: map[string]membership.Member{}}
	cfg := configOf(t, net, "m1")
	n, stop := open(t, cfg, memstore.New().Open())
	until(t, "vote", n.Votes)
	if _, err := n.Client().Put(limit(t), "k", "v"); err != nil {
		t.Fatal(err)
	}
	until(t, "tag with its etcd", func() bool { return (&gossip{net, "m1"}).Members()[0].Tags[tagEtcd] == n.ClientURL() })
	stop()

	cfg.NewCluster = "another"
	n, stop = open(t, cfg, memstore.New().Open())
	until(t, "vote again", n.Votes)
	if got, err := n.Client().Get(limit(t), "k"); err != nil || len(got.Kvs) != 1 || n.cluster() != "cluster-of-m1" ||
		n.founded {
		t.Errorf("it came back in %s (founded: %v) with %v, %v", n.cluster(), n.founded, got, err)
	}
	stop()

	joining := configOf(t, net, "m2")
	joining.Join = []string{"m1:7370"}
	if n, _ = open(t, joining, memstore.New().Open()); n.member() != nil || n.founded {
		t.Error("a machine that is to join a cluster founded one")
	}
}

// The leader gives two more machines their seats, and takes one back from a
// machine that leaves, whose data goes.
func TestVotersGrowAndShrink(t *testing.T) {
	net, mem := &network{members: map[string]membership.Member{}}, memstore.New()
	ids := []string{"m1", "m2", "m3"}
	nodes, dirs := map[string]*Node{}, map[string]string{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, id := range ids {
		cfg, store := configOf(t, net, id), mem.Open()
		if id != "m1" {
			cfg.Join = []string{"m1:7370"}
		}
		n, _ := open(t, cfg, store)
		nodes[id], dirs[id] = n, cfg.StateDir
		if err := store.UpdateMachine(t.Context(), id, func(m *cluster.Machine) error {
			m.Name, m.EtcdPeerURL, m.EtcdClientURL = id, n.PeerURL(), n.ClientURL()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { n.FollowSeat(ctx, store) })
	}
	store, log := mem.Open(), slog.New(slog.DiscardHandler)
	v := view.New(store, log, time.Second)
	running.Go(func() { v.Run(ctx) })
	voters := &Voters{Client: nodes["m1"].Client(), Records: store, Timeline: store, View: v, Health: health{ids},
		Log: log}
	leading, resign := context.WithCancel(ctx)
	var leader sync.WaitGroup
	leader.Go(func() { _ = voters.Run(leading) })
	t.Cleanup(func() { resign(); leader.Wait() })
	until(t, "three voters", func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool {
			return !nodes[id].Votes() || mem.Snapshot().Machines[id].Seat != cluster.Voter
		})
	})
	resign()
	leader.Wait()

	if err := errors.Join(store.DeleteMachine(t.Context(), "m3"), nodes["m3"].Leave(limit(t))); err != nil {
		t.Fatal(err)
	}
	until(t, "end of its member", func() bool { return nodes["m3"].member() == nil })
	if etcdserver.HasData(dirs["m3"]) {
		t.Error("a machine that left has its data still")
	}
	if members, err := etcdserver.Members(limit(t), nodes["m1"].Client()); err != nil || len(members) != 2 {
		t.Errorf("members after it left: %v, %v", members, err)
	}
	events, err := store.Events(t.Context(), time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range events {
		texts = append(texts, e.Text)
	}
	for _, want := range []string{"m2 learns to become a voter", "m2 votes", "m3 votes"} {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(text, want) }) {
			t.Errorf("the timeline has %q, expected %q", texts, want)
		}
	}
}

// onEtcd is the configuration of a node on an etcd that is there already.
func onEtcd(t *testing.T, id, endpoint string, keyIDs ...string) Config {
	cfg := configOf(t, &network{members: map[string]membership.Member{}}, id)
	cfg.Endpoints, cfg.Prefix, cfg.Credentials = []string{endpoint}, "/fleettop", credentials(keyIDs)
	return cfg
}

// The store of an etcd that several clusters may reach belongs to the one whose
// key its identity names, and to its machines.
func TestStoreIsOneClusters(t *testing.T) {
	at := freeAddresses(t, 2)
	server, err := etcdserver.Bootstrap(t.Context(), etcdserver.Config{Dir: t.TempDir(), Machine: "etcd",
		ClusterID: "outside",
		PeerAddr:  at[0], ClientAddr: at[1], Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	enter := func(cfg Config) (*Node, error) {
		n, _ := open(t, cfg, memstore.New().Open())
		return n, n.EnterStore(limit(t))
	}
	founder, err := enter(onEtcd(t, "m1", server.ClientURL(), "k1"))
	if err != nil || founder.Gate() != nil {
		t.Fatalf("an empty store: %v, %v", err, founder.Gate())
	}
	stranger, err := enter(onEtcd(t, "m2", server.ClientURL(), "k2"))
	taken := new(StoreTakenError)
	if !errors.As(err, &taken) || taken.SameKey || taken.Theirs.Founder != "m1" || stranger.Gate() == nil {
		t.Errorf("a machine with another key: %v, %v", err, stranger.Gate())
	}
	if _, err = enter(onEtcd(t, "m3", server.ClientURL(), "k1")); !errors.As(err, &taken) || !taken.SameKey {
		t.Errorf("a machine that isn't told to join: %v", err)
	}
	joining := onEtcd(t, "m3", server.ClientURL(), "k1")
	joining.Join = []string{"m1:7370"}
	member, err := enter(joining)
	if err != nil || member.cluster() != founder.cluster() {
		t.Errorf("a machine that joins: %v, in %s instead of %s", err, member.cluster(), founder.cluster())
	}
}
