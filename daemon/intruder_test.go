package daemon

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
	"fleettop/daemon/peers"
)

// intruder tries a machine's ports with a key of its own, or none.
type intruder struct {
	t      *testing.T
	target *machine
	ring   keys.Ring
	id     *keys.Identity // nil without a key
}

const intruderID = "ffffffffffffffffffffffffffffffff"

func newIntruder(t *testing.T, target *machine, ring keys.Ring) *intruder {
	t.Helper()
	in := &intruder{t: t, target: target, ring: ring}
	if !ring.Empty() {
		in.identify(time.Now)
	}
	return in
}

// identify mints a certificate by a clock.
func (in *intruder) identify(now func() time.Time) {
	in.t.Helper()
	id, err := keys.NewIdentity(keys.Config{Machine: intruderID, Address: net.IPv4(127, 0, 0, 1), Ring: in.ring,
		Dir: in.t.TempDir(), Now: now})
	if err != nil {
		in.t.Fatal(err)
	}
	in.id = id
}

// ways are the ways in, by the port that each tries.
func (in *intruder) ways() map[string]func() error {
	return map[string]func() error{"gossip": in.gossip, "the API": in.api, "etcd's client port": in.etcd,
		"etcd's peer port": in.peer}
}

// tryAll returns what came of trying each port once. On a busy machine a try may
// fail for want of time: it shows who gets in, and untilIn who is let in.
func (in *intruder) tryAll() map[string]error {
	results := map[string]error{}
	for port, try := range in.ways() {
		results[port] = try()
	}
	return results
}

// untilIn tries each port until it is let in.
func (in *intruder) untilIn() {
	in.t.Helper()
	for port, try := range in.ways() {
		deadline := time.Now().Add(patience)
		for err := try(); err != nil; err = try() {
			if time.Now().After(deadline) {
				in.t.Errorf("%s lets nobody with this key in within %s: %v", port, patience, err)
				break
			}
		}
	}
}

func (in *intruder) limit() (context.Context, context.CancelFunc) {
	return context.WithTimeout(in.t.Context(), 5*time.Second)
}

func (in *intruder) gossip() error {
	cfg := membership.Config{ID: intruderID, BindAddr: "127.0.0.1", BindPort: freePorts(in.t),
		Logger: slog.New(slog.DiscardHandler)}
	if !in.ring.Empty() {
		cfg.SecretKey = in.ring.Primary().Gossip()
	}
	m, err := membership.Open(cfg)
	if err != nil {
		in.t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := in.limit()
	defer cancel()
	if err := m.Join(ctx, []string{in.target.cfg.gossipAddress()}); err != nil {
		return err
	}
	return m.Leave(ctx)
}

func (in *intruder) api() error {
	ctx, cancel := in.limit()
	defer cancel()
	p := peers.New(peers.Config{Identity: in.id,
		Address: func(string) (string, error) { return in.target.cfg.apiAddress(), nil }})
	defer p.Close()
	c, err := p.Client(in.target.cfg.MachineID)
	if err != nil {
		return err
	}
	_, err = c.Machines(ctx)
	return err
}

func (in *intruder) etcd() error {
	ctx, cancel := in.limit()
	defer cancel()
	scheme, cfg := "http://", (*tls.Config)(nil)
	if in.id != nil {
		var err error
		scheme = "https://"
		if cfg, err = in.id.EtcdConfig(); err != nil {
			return err
		}
		// Whatever the server shows is fine with an intruder.
		cfg.VerifyConnection, cfg.InsecureSkipVerify = nil, true
	}
	c, err := etcdserver.NewClient(etcdserver.ClientConfig{Endpoints: []string{scheme + in.target.cfg.etcdClient()},
		TLSConfig: cfg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_, err = c.Get(ctx, "/fleettop/v1/", nil...)
	return err
}

func (in *intruder) peer() error {
	ctx, cancel := in.limit()
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	scheme := "http://"
	if in.id != nil {
		cert, err := in.id.Certificate()
		if err != nil {
			return err
		}
		scheme = "https://"
		transport.TLSClientConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, InsecureSkipVerify: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+in.target.cfg.etcdPeer()+"/members", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}

func (w *lockedWriter) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

func TestIntruders(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	other := newMachine(t, 2)

	expired := newIntruder(t, m, m.ring())
	expired.identify(func() time.Time { return time.Now().Add(-2 * keys.Lifetime) })
	early := newIntruder(t, m, m.ring())
	early.identify(func() time.Time { return time.Now().Add(keys.Lifetime) })
	for name, in := range map[string]*intruder{
		"plain text":                        newIntruder(t, m, keys.Ring{}),
		"another key":                       newIntruder(t, m, keys.NewRing(keys.Generate())),
		"the key of another cluster":        newIntruder(t, m, other.ring()),
		"a certificate that is too old":     expired,
		"a certificate of the days to come": early,
	} {
		for port, err := range in.tryAll() {
			// Gossip has no certificates that could be too old: the key counts.
			if byKey := in == expired || in == early; err == nil && !(byKey && port == "gossip") {
				t.Errorf("%s opens %s", name, port)
			}
		}
	}
	newIntruder(t, m, m.ring()).untilIn()
	refused := newIntruder(t, m, keys.NewRing(keys.Generate()))
	for listener, try := range map[string]func() error{"gossip": refused.gossip, "API": refused.api,
		"etcd": refused.etcd} {
		m.until("log of who was refused at "+listener, func(context.Context, *client.Client) (bool, error) {
			if m.log.contains("listener=" + listener) {
				return true, nil
			}
			return false, try()
		})
		if n := strings.Count(m.log.text(), "listener="+listener); n != 1 {
			t.Errorf("the log names the source that was refused at %s %d times, expected once", listener, n)
		}
	}
}

// TestJoinServerLeadsNowhereElse makes sure that asking for the join server
// gets no client into the API.
func TestJoinServerLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	for _, path := range []string{"/v1/machines", "/v1/watch", "/metrics", "/healthz", "/join"} {
		conn, err := tls.Dial("tcp", m.cfg.apiAddress(), &tls.Config{InsecureSkipVerify: true,
			ServerName: keys.JoinServerName})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		conn.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s without a certificate: %s", path, resp.Status)
		}
	}
}

func TestMachinesMayLookAndNotAct(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	in := newIntruder(t, m, m.ring())
	p := peers.New(peers.Config{Identity: in.id, Address: func(string) (string, error) { return m.cfg.apiAddress(), nil }})
	defer p.Close()
	c, err := p.Client(m.cfg.MachineID)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Units(ctx, false); err != nil {
		t.Error(err)
	}
	_, err = c.Act(ctx, api.ActionRequest{Verb: api.Start, Files: []api.File{{Name: "a.service",
		Content: "[Service]\nExecStart=/bin/true\n"}}})
	if err == nil || !strings.Contains(err.Error(), "for operators") {
		t.Errorf("a machine could start a unit: %v", err)
	}
	wrong, err := p.Client(strings.Repeat("0", 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Units(ctx, false); err == nil || !strings.Contains(err.Error(), "answers there") {
		t.Errorf("another machine's answer was taken: %v", err)
	}
}

// A machine that was tried out without a key, on loopback, can become the
// first one of a cluster.
func TestKeyForAClusterThatHadNone(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(keys.DefaultFile); err == nil {
		t.Fatalf("this machine has a key in %s, so that no daemon of the test can be without one", keys.DefaultFile)
	}
	m1 := newMachine(t, 1)
	key := m1.cfg.KeyFile
	m1.cfg.KeyFile = ""
	m1.start()
	m1.untilVoting(1)
	newIntruder(t, m1, keys.Ring{}).untilIn() // without a key, on loopback, everyone is
	m1.halt()
	m1.cfg.KeyFile = key
	m1.startThree()
}

// A daemon that has another cluster's key says so to the verbs, whether it is
// new or comes back with its data, and finds the cluster when it has the key.
func TestVerbsSayThatTheKeyIsAnother(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.start()
	m1.untilVoting(1)
	m2 := newMachine(t, 2, m1)
	right := m2.ring()
	if err := keys.NewRing(keys.Generate()).Save(m2.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	says := func() {
		t.Helper()
		m2.until("a refusal that names the key", func(ctx context.Context, c *client.Client) (bool, error) {
			_, err := c.Machines(ctx)
			if err == nil {
				return false, nil
			}
			said := err.Error()
			return strings.Contains(said, "its cluster key is another") && strings.Contains(said, "join-command") &&
				!strings.Contains(said, "quorum"), nil
		})
	}
	m2.start()
	says()
	m2.halt()
	if err := right.Save(m2.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	m2.start()
	m2.until("two machines", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 2, err
	})
	m2.halt()
	if err := keys.NewRing(keys.Generate()).Save(m2.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	m2.start()
	says()
}
