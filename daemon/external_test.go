package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/etcdnode"
)

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// startEtcd starts an etcd that belongs to no cluster of ours.
func startEtcd(t *testing.T) *etcdserver.Server {
	t.Helper()
	port := freePorts(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := etcdserver.Bootstrap(ctx, etcdserver.Config{Dir: t.TempDir(), Machine: "etcd", ClusterID: "outside",
		PeerAddr: loopback(port), ClientAddr: loopback(port + 1), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func etcdClient(t *testing.T, s *etcdserver.Server) *clientv3.Client {
	t.Helper()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// onEtcd makes a machine use an etcd.
func (m *machine) onEtcd(endpoint string) *machine {
	m.cfg.EtcdEndpoints = []string{endpoint}
	return m
}

// untilUp waits until a machine sees n machines up, and no other.
func (m *machine) untilUp(n int) {
	m.t.Helper()
	m.until("machines that are up", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		if err != nil {
			return false, err
		}
		up := 0
		for _, x := range list.Machines {
			if x.Health.State == cluster.Up {
				up++
			}
		}
		return up == n && len(list.Machines) == n, nil
	})
}

// refused waits for the end of a daemon that must not run, and returns why it ended.
func (m *machine) refused() *etcdnode.StoreTakenError {
	m.t.Helper()
	select {
	case <-m.done:
	case <-time.After(patience):
		m.t.Fatalf("%s runs on", m.cfg.Name)
	}
	taken := new(etcdnode.StoreTakenError)
	if !errors.As(m.err, &taken) {
		m.t.Fatalf("%s ended with %v; expected an etcdnode.StoreTakenError", m.cfg.Name, m.err)
	}
	m.t.Log(m.err)
	return taken
}

func TestTwoClustersOnOneEtcd(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	store := etcdClient(t, etcd)
	dump := func(prefix string) map[string]int64 {
		r, err := store.Get(t.Context(), prefix, clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		keys := map[string]int64{}
		for _, kv := range r.Kvs {
			key := string(kv.Key)
			// What the first cluster goes on to write of its own.
			found := strings.Contains(key, "/verdict/") || strings.Contains(key, "/whatif/")
			ownMachine := strings.HasSuffix(key, "01") || strings.HasSuffix(key, "02")
			if !strings.Contains(key, "/status/") && !strings.Contains(key, "/event/") && !(found && ownMachine) {
				keys[key] = kv.ModRevision
			}
		}
		return keys
	}
	a1 := newMachine(t, 1).onEtcd(etcd.ClientURL())
	a2 := newMachine(t, 2, a1).onEtcd(etcd.ClientURL())
	a2.start() // it waits for the founder
	a2.until("word that it waits", func(ctx context.Context, c *client.Client) (bool, error) {
		_, err := c.Machines(ctx)
		return err != nil && strings.Contains(err.Error(), "no cluster was founded there yet"), nil
	})
	a1.start()
	a1.untilUp(2)
	before := dump("/fleettop/")

	// A second cluster, by mistake at the same place: it is refused by name, and touches nothing.
	b1 := newMachine(t, 11).onEtcd(etcd.ClientURL())
	b2 := newMachine(t, 12, b1).onEtcd(etcd.ClientURL())
	for _, m := range []*machine{b1, b2} {
		m.start()
		if taken := m.refused(); taken.SameKey || taken.Theirs.Founder != "n1" ||
			!strings.Contains(m.err.Error(), a1.ring().IDs()[0]) || !strings.Contains(m.err.Error(), b1.ring().IDs()[0]) ||
			!strings.Contains(m.err.Error(), "--etcd-prefix") {
			t.Errorf("refused with %+v", taken)
		}
	}
	// A machine with the key, but not told to join.
	stray := newMachine(t, 3, a1).onEtcd(etcd.ClientURL())
	stray.cfg.Join = nil
	stray.start()
	if taken := stray.refused(); !taken.SameKey || !strings.Contains(stray.err.Error(), "start with --join") {
		t.Errorf("refused with %+v", taken)
	}
	after := dump("/fleettop/")
	for key, revision := range before {
		if after[key] != revision {
			t.Errorf("%s was written", key)
		}
	}
	for key := range after {
		if _, ok := before[key]; !ok {
			t.Errorf("%s is new", key)
		}
	}

	// At a place of its own the second cluster lives beside the first.
	for _, m := range []*machine{b1, b2} {
		m.cfg.EtcdPrefix = "/fleettop-b"
		m.start()
	}
	b2.untilUp(2)
	a2.untilUp(2)
	b1.act(api.Submit, api.ActionRequest{Files: []api.File{{Name: "b.service", Content: b1.unit()}}})
	if list, err := a1.client().Units(t.Context(), false); err != nil || len(list.Units) > 0 {
		t.Errorf("the first cluster has the second's units: %+v, %v", list, err)
	}
	// The founder and a member come back without --join.
	a1.halt()
	a1.start()
	a1.untilUp(2)
	a2.halt()
	a2.cfg.Join = nil
	a2.start()
	a2.untilUp(2)
}

// The identity in the store follows a rotation of the key, or the machines
// would be refused at their next start.
func TestStoreIdentityFollowsTheKey(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	m := newMachine(t, 1).onEtcd(etcd.ClientURL())
	m.start()
	m.untilUp(1)
	m.rotate((*client.Client).RotateKey)
	m.untilKeys("one key", func(l *api.KeyList) bool { return len(l.Keys) == 1 })
	store := etcdClient(t, etcd)
	m.until("the new key in the identity", func(ctx context.Context, _ *client.Client) (bool, error) {
		r, err := store.Get(ctx, "/fleettop/identity")
		ids := m.ring().IDs()
		return err == nil && len(ids) == 1 && len(r.Kvs) == 1 &&
			strings.Contains(string(r.Kvs[0].Value), `["`+ids[0]+`",`), err
	})
	m.halt()
	m.start()
	m.untilUp(1)
}

// An etcd that can't be used is said within five seconds, in the log and in
// answers, with the cause, and never as a lost quorum.
func TestUnusableEtcdIsSaid(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + nowhere.Addr().String()
	nowhere.Close()
	guarded := startEtcd(t)
	admin := etcdClient(t, guarded)
	for _, do := range []func() error{
		func() error { _, err := admin.UserAdd(t.Context(), "root", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := admin.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct{ name, endpoint, cause string }{
		{"scheme", "https://" + strings.TrimPrefix(etcd.ClientURL(), "http://"), "speaks plain HTTP"},
		{"refused", refusing, "connection refused"},
		{"permission", guarded.ClientURL(), "etcd refuses this daemon: user name is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, 21+i).onEtcd(c.endpoint)
			began := time.Now()
			m.start()
			m.until("the cause in the log", func(context.Context, *client.Client) (bool, error) {
				return m.log.contains("the cluster's store can't be used") && m.log.contains(c.cause), nil
			})
			took := time.Since(began)
			t.Logf("said after %s", took.Round(time.Millisecond))
			if !m.log.contains("level=WARN msg=\"the cluster's store can't be used") ||
				took > 20*time.Second { // five on a machine with nothing else to do
				t.Errorf("said after %s: %s", took, m.log.text())
			}
			m.until("the cause in an answer", func(ctx context.Context, client *client.Client) (bool, error) {
				_, err := client.Machines(ctx)
				if err == nil {
					return false, errors.New("it answers as if all were well")
				}
				if strings.Contains(err.Error(), "quorum") {
					t.Fatal(err)
				}
				return strings.Contains(err.Error(), c.cause), nil
			})
			if n := strings.Count(m.log.text(), "can't be used"); n > 1 {
				t.Errorf("the log says it %d times: %s", n, m.log.text())
			}
		})
	}
}

// An etcd that was used and then refuses is said as well, and that it is back.
func TestEtcdThatGoesAndComesBack(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	m := newMachine(t, 1).onEtcd(etcd.ClientURL())
	m.start()
	m.untilUp(1)
	admin := etcdClient(t, etcd)
	for _, do := range []func() error{
		func() error { _, err := admin.UserAdd(t.Context(), "root", "secret"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := admin.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	m.until("word of the refusal", func(context.Context, *client.Client) (bool, error) {
		return m.log.contains("etcd refuses this daemon: user name is empty"), nil
	})
	root, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.ClientURL()}, Username: "root", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.AuthDisable(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.until("word that it is back", func(context.Context, *client.Client) (bool, error) {
		return m.log.contains("can be used again"), nil
	})
	m.untilUp(1)
}

// TestFounderThatDiedBeforeItsRecord: the cluster is founded, and its founder missed the answer, or died before it
// wrote its own record. It is the founder still, and no stranger.
func TestFounderThatDiedBeforeItsRecord(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	m := newMachine(t, 1).onEtcd(etcd.ClientURL())
	m.start()
	m.untilUp(1)
	m.halt()
	admin := etcdClient(t, etcd)
	if gone, err := admin.Delete(t.Context(), "/fleettop/v1/", clientv3.WithPrefix()); err != nil || gone.Deleted == 0 {
		t.Fatalf("%d keys deleted: %v", gone.Deleted, err)
	}
	m.start()
	m.untilUp(1)
}

func TestEtcdPrefixForms(t *testing.T) {
	for prefix, good := range map[string]bool{"": true, "/fleettop": true, "/a/b-c_d.1": true, "fleettop": false,
		"/": false, "/a/": false, "/a//b": false, "/a b": false, "/\x00": false} {
		cfg := Config{EtcdEndpoints: []string{"http://127.0.0.1:2379"}, EtcdPrefix: prefix}
		if err := cfg.completeEtcd(); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "--etcd-prefix") {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	embedded := Config{EtcdPrefix: "/other"}
	if err := embedded.completeEtcd(); err == nil {
		t.Error("a prefix for an embedded etcd was taken")
	}
}
