package etcdserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const testCluster = "cluster-one"

// limit ends what must not take that long on a busy machine.
func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// freeAddr returns an address that was free a moment ago.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newConfig(t testing.TB, machine string) Config {
	t.Helper()
	return Config{Dir: t.TempDir(), Machine: machine, PeerAddr: freeAddr(t), ClientAddr: freeAddr(t),
		Logger: slog.New(slog.DiscardHandler)}
}

// bootstrapped starts a cluster of one.
func bootstrapped(t testing.TB) *Server {
	t.Helper()
	cfg := newConfig(t, "m0")
	cfg.ClusterID = testCluster
	s, err := Bootstrap(limit(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// restarted starts a server that was closed again, and waits until it serves.
func restarted(t testing.TB, closed *Server) *Server {
	t.Helper()
	s, err := Restart(limit(t), closed.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	<-s.Ready()
	return s
}

// ownClient is a server's client to itself.
func ownClient(t testing.TB, s *Server) *clientv3.Client {
	t.Helper()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func clientOf(t testing.TB, servers ...*Server) *clientv3.Client {
	t.Helper()
	cfg := ClientConfig{Logger: slog.New(slog.DiscardHandler)}
	for _, s := range servers {
		cfg.Endpoints = append(cfg.Endpoints, s.ClientURL())
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// settle takes steps until there is none left, starting learners as machines
// would. It returns the steps.
func settle(t testing.TB, client *clientv3.Client, candidates []Candidate, start func(machine string)) []string {
	t.Helper()
	ctx := limit(t)
	var steps []string
	for {
		members, err := Members(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		step, ok := NextStep(members, candidates, time.Now(), DefaultReplaceAfter)
		if !ok {
			return steps
		}
		err = Do(ctx, client, step)
		switch {
		case errors.Is(err, ErrNotReady):
			time.Sleep(20 * time.Millisecond)
			continue
		case err != nil:
			t.Fatal(err)
		}
		steps = append(steps, string(step.Kind)+" "+step.Machine)
		if step.Kind == AddLearner {
			start(step.Machine)
		}
	}
}

// fleet is the machines of a test by name, all alive since since.
type fleet struct {
	since   time.Time
	configs map[string]Config
	servers map[string]*Server
}

// grow makes a cluster of three voters.
func grow(t testing.TB) (*fleet, *clientv3.Client, []string) {
	t.Helper()
	first := bootstrapped(t)
	f := &fleet{since: time.Now(), configs: map[string]Config{"m0": first.cfg}, servers: map[string]*Server{"m0": first}}
	client := clientOf(t, first)
	for _, name := range []string{"m1", "m2"} {
		f.configs[name] = newConfig(t, name)
	}
	steps := settle(t, client, f.candidates(), func(m string) { f.join(t, client, m) })
	return f, clientOf(t, f.servers["m0"], f.servers["m1"], f.servers["m2"]), steps
}

func (f *fleet) candidates() []Candidate {
	var out []Candidate
	for name, cfg := range f.configs {
		out = append(out, Candidate{Machine: name, PeerURL: cfg.PeerURL(), Alive: true, Since: f.since})
	}
	return out
}

func (f *fleet) join(t testing.TB, client *clientv3.Client, machine string) {
	t.Helper()
	cfg, ctx := f.configs[machine], limit(t)
	for {
		ticket, err := TicketFor(ctx, client, testCluster, machine, cfg.PeerURL())
		if err != nil {
			t.Fatal(err)
		}
		s, err := Join(ctx, cfg, ticket)
		if err == nil {
			t.Cleanup(s.Close)
			f.servers[machine] = s
			return
		}
		// The member that etcd asked may not have heard of the newest one yet.
		if !strings.Contains(err.Error(), "get a new ticket") || ctx.Err() != nil {
			t.Fatal(err)
		}
		if err := Discard(cfg.Dir); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fleet) leader(t testing.TB) string {
	t.Helper()
	for name, s := range f.servers {
		if s.IsLeader() {
			return name
		}
	}
	t.Fatal("nobody leads")
	return ""
}

// write retries a put until it succeeds.
func write(t testing.TB, client *clientv3.Client, key, value string) {
	t.Helper()
	ctx := limit(t)
	for {
		// What was proposed to a dead leader is lost, and told to nobody.
		try, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		_, err := client.Put(try, key, value)
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("put %s: %v", key, err)
		}
	}
}

func read(t testing.TB, client *clientv3.Client, key string) string {
	t.Helper()
	ctx := limit(t)
	r, err := client.Get(ctx, key)
	for ; err != nil; r, err = client.Get(ctx, key) {
		// A new voter may not have heard of its promotion yet.
		if ctx.Err() != nil || !strings.Contains(err.Error(), "learner") {
			t.Fatal(err)
		}
	}
	if len(r.Kvs) == 0 {
		return ""
	}
	return string(r.Kvs[0].Value)
}

// The life of a cluster: it grows, loses its leader, replaces it, and takes it back.
func TestGrowLoseReplace(t *testing.T) {
	f, client, steps := grow(t)
	if got, want := strings.Join(steps, ", "), "add learner m1, add learner m2, promote m1, promote m2"; got != want {
		t.Errorf("grew by %s, want %s", got, want)
	}
	write(t, client, "k", "before")

	dead := f.leader(t)
	killed := f.servers[dead]
	delete(f.servers, dead)
	start := time.Now()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		killed.shut(false)
	}()
	defer func() { <-gone }()
	ctx := limit(t)
	for elected := false; !elected; time.Sleep(5 * time.Millisecond) {
		for _, s := range f.servers {
			elected = elected || s.IsLeader()
		}
		if ctx.Err() != nil {
			t.Fatal("no new leader")
		}
	}
	t.Logf("a new etcd leader %s after the old one was killed", time.Since(start).Round(time.Millisecond))
	write(t, client, "k", "after")
	t.Logf("writes go on %s after", time.Since(start).Round(time.Millisecond))

	// Gone for good: a fourth machine takes its place.
	var live []*Server
	for _, s := range f.servers {
		live = append(live, s)
	}
	client = clientOf(t, live...)
	f.configs["m3"] = newConfig(t, "m3")
	candidates := f.candidates()
	for i := range candidates {
		if candidates[i].Machine == dead {
			candidates[i].Alive, candidates[i].Since = false, time.Now().Add(-DefaultReplaceAfter)
		}
	}
	steps = settle(t, client, candidates, func(m string) { f.join(t, client, m) })
	if got, want := strings.Join(steps, ", "), "remove "+dead+", add learner m3, promote m3"; got != want {
		t.Errorf("replaced by %s, want %s", got, want)
	}
	if got := read(t, clientOf(t, f.servers["m3"]), "k"); got != "after" {
		t.Errorf("the new voter reads %q, want %q", got, "after")
	}

	// The old one comes back, learns that it was removed, and may start over.
	old, err := Restart(limit(t), f.configs[dead])
	if err != nil {
		if !errors.Is(err, ErrRemoved) {
			t.Fatal(err)
		}
	} else {
		select {
		case <-old.Done():
		case <-limit(t).Done():
			t.Fatal("a removed member runs on")
		}
		if !errors.Is(old.Err(), ErrRemoved) {
			t.Errorf("a removed member ended with %v", old.Err())
		}
		old.Close()
	}
	if err := Discard(f.configs[dead].Dir); err != nil || HasData(f.configs[dead].Dir) {
		t.Errorf("discard: %v", err)
	}

	// One that is removed while it runs ends, and answers what it is asked.
	last := f.servers["m3"]
	delete(f.servers, "m3")
	var rest []*Server
	for _, s := range f.servers {
		rest = append(rest, s)
	}
	step := Step{Kind: Remove, Machine: "m3", PeerURL: f.configs["m3"].PeerURL(), Member: last.MemberID()}
	client, ctx = clientOf(t, rest...), limit(t)
	for err = Do(ctx, client, step); err != nil && !errors.Is(err, ErrNoMember); err = Do(ctx, client, step) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // for some seconds after a change etcd loses no member
	}
	select {
	case <-last.Done():
	case <-limit(t).Done():
		t.Fatal("a removed member runs on")
	}
	last.Close()
	if last, err = Restart(limit(t), f.configs["m3"]); err == nil {
		if last.IsLearner() {
			t.Error("a removed member is a learner")
		}
		last.Close()
	} else if !errors.Is(err, ErrRemoved) {
		t.Error(err)
	}
}

// Two voters come back with each other's addresses, one after the other, the
// second after so long that it needs a snapshot: whoever sends that has to
// find it first.
func TestVotersThatMoved(t *testing.T) {
	f, client, _ := grow(t)
	f.servers["m1"].Close()
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() {
			for range 50 {
				_, err := client.Put(limit(t), "k", "much")
				for errors.Is(err, rpctypes.ErrLeaderChanged) { // a slow machine
					_, err = client.Put(limit(t), "k", "much")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	f.servers["m2"].Close()
	m1, m2 := f.configs["m1"], f.configs["m2"]
	m1.PeerAddr, m1.ClientAddr, m2.PeerAddr, m2.ClientAddr = m2.PeerAddr, m2.ClientAddr, m1.PeerAddr, m1.ClientAddr
	back := func(cfg Config, want string, dead ...string) *Server {
		t.Helper()
		s, err := Restart(limit(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		f.configs[cfg.Machine] = cfg
		candidates := f.candidates()
		for i := range candidates {
			candidates[i].Alive = !slices.Contains(dead, candidates[i].Machine)
		}
		if got := strings.Join(settle(t, clientOf(t, f.servers["m0"]), candidates, nil), ", "); got != want {
			t.Errorf("%s came back, and was followed by %q, want %q", cfg.Machine, got, want)
		}
		select {
		case <-s.Ready():
		case <-limit(t).Done():
			t.Fatalf("%s is not heard of again", cfg.Machine)
		}
		return s
	}
	second := back(m2, "update-peer-url m1, update-peer-url m2", "m1")
	first := back(m1, "update-peer-url m1")
	f.servers["m0"].Close()
	write(t, clientOf(t, first, second), "k", "without m0")
}

// What a follower handed on to a leader that died is answered when there is
// another leader, and not when etcd's patience ends, which is an error.
func TestWritesOutliveTheirLeader(t *testing.T) {
	f, _, _ := grow(t)
	dead := f.leader(t)
	killed := f.servers[dead]
	delete(f.servers, dead)
	var writers sync.WaitGroup
	var mu sync.Mutex // guards what follows
	var slowest time.Duration
	lost := 0
	ctx, stop := context.WithCancel(limit(t))
	for _, s := range f.servers {
		client := clientOf(t, s)
		for i := range 16 {
			writers.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					_, err := client.Put(limit(t), fmt.Sprint(i), "v")
					mu.Lock()
					slowest = max(slowest, time.Since(began))
					if errors.Is(err, rpctypes.ErrLeaderChanged) {
						lost++
					} else if err != nil {
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
	}
	// A request that would never end by itself ends with its leader's time.
	var begun sync.WaitGroup
	for name, s := range f.servers {
		begun.Add(1)
		writers.Go(func() {
			_, err := s.withinTerm(limit(t), nil, nil, func(ctx context.Context, _ any) (any, error) {
				begun.Done()
				<-ctx.Done()
				return nil, ctx.Err()
			})
			if !errors.Is(err, rpctypes.ErrGRPCLeaderChanged) {
				t.Errorf("%s ended a request with %v, expected word that the leader changed", name, err)
			}
		})
	}
	begun.Wait()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		killed.shut(false)
	}()
	for elected := false; !elected; time.Sleep(5 * time.Millisecond) {
		for _, s := range f.servers {
			elected = elected || s.IsLeader()
		}
	}
	stop()
	writers.Wait()
	<-gone
	t.Logf("%d writes were lost, the slowest answer took %s", lost, slowest.Round(time.Millisecond))
}

func TestRestartKeepsData(t *testing.T) {
	s := bootstrapped(t)
	write(t, clientOf(t, s), "k", "v")
	start := time.Now()
	s.Close()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("Close took %s", d)
	}
	if s.Err() != nil {
		t.Errorf("error %v after Close", s.Err())
	}
	again := restarted(t, s)
	if again.ClusterID() != testCluster || again.MemberID() != s.MemberID() {
		t.Errorf("restarted as %s/%x", again.ClusterID(), again.MemberID())
	}
	if got := read(t, ownClient(t, again), "k"); got != "v" {
		t.Errorf("read %q after the restart, want v", got)
	}
}

func TestRestartDoesNotWaitForItsQuorum(t *testing.T) {
	first := bootstrapped(t)
	client := clientOf(t, first)
	second := newConfig(t, "m1")
	f := &fleet{configs: map[string]Config{"m1": second}, servers: map[string]*Server{}}
	if err := Do(limit(t), client, Step{Kind: AddLearner, Machine: "m1", PeerURL: second.PeerURL()}); err != nil {
		t.Fatal(err)
	}
	f.join(t, client, "m1")
	promote := Step{Kind: Promote, Machine: "m1", Member: f.servers["m1"].MemberID()}
	for ctx := limit(t); ; {
		err := Do(ctx, client, promote)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrNotReady) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	first.Close()
	f.servers["m1"].Close()
	alone, err := Restart(limit(t), first.cfg)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-alone.Ready():
		t.Error("one of two voters claims to have a quorum")
	case <-alone.Done():
		t.Errorf("ended: %v", alone.Err())
	case <-time.After(3 * election):
	}
	start := time.Now()
	alone.Close()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("Close without a quorum took %s", d)
	}
}

func TestCloseIsQuickWithOpenWatches(t *testing.T) {
	s := bootstrapped(t)
	client := clientOf(t, s)
	events := client.Watch(clientv3.WithRequireLeader(context.Background()), "k")
	write(t, client, "k", "v")
	<-events
	start := time.Now()
	s.Close()
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("Close took %s", d)
	}
}

func TestLargeTransactions(t *testing.T) {
	s := bootstrapped(t)
	ops := make([]clientv3.Op, MaxTxnOps)
	value := strings.Repeat("x", MaxRequestBytes/MaxTxnOps-64)
	for i := range ops {
		ops[i] = clientv3.OpPut(fmt.Sprintf("k%04d", i), value)
	}
	if _, err := clientOf(t, s).Txn(limit(t)).Then(ops...).Commit(); err != nil {
		t.Error(err)
	}
}

func TestForeignDataIsRefused(t *testing.T) {
	s := bootstrapped(t)
	s.Close()
	with := func(change func(*Config)) Config {
		cfg := s.cfg
		change(&cfg)
		return cfg
	}
	other := with(func(c *Config) { c.ClusterID = "cluster-two" })
	twin := with(func(c *Config) { c.Machine = "m9" })
	ticket := Ticket{ClusterID: "cluster-two", Machine: "m0", PeerURL: s.cfg.PeerURL(), InitialCluster: "m0=" +
		s.cfg.PeerURL()}
	for _, c := range []struct {
		name  string
		start func() (*Server, error)
		want  []string
	}{
		{"restart in another cluster", func() (*Server, error) { return Restart(limit(t), other) }, []string{testCluster, "cluster-two", "--state-dir"}},
		{"bootstrap of another cluster", func() (*Server, error) { return Bootstrap(limit(t), other) }, []string{testCluster, "cluster-two", "--state-dir"}},
		{"join of another cluster", func() (*Server, error) { return Join(limit(t), s.cfg, ticket) }, []string{testCluster, "cluster-two", "--state-dir"}},
		{"another machine", func() (*Server, error) { return Restart(limit(t), twin) }, []string{"machine m0", "machine m9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			started, err := c.start()
			if err == nil {
				started.Close()
				t.Fatal("started")
			}
			var foreign *ForeignDataError
			if !errors.As(err, &foreign) {
				t.Errorf("%v is no ForeignDataError", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
		})
	}
	if _, err := Bootstrap(limit(t), s.cfg); !errors.Is(err, ErrHasData) {
		t.Errorf("second bootstrap: %v, want %v", err, ErrHasData)
	}
	if has, err := readMarker(s.cfg.Dir); has.ClusterID != testCluster || err != nil {
		t.Errorf("after the refusals the data belongs to %q, %v", has.ClusterID, err)
	}
	marker := filepath.Join(s.cfg.Dir, markerFile)
	for _, content := range []string{"", "{"} {
		if err := os.WriteFile(marker, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restart(limit(t), s.cfg); err == nil || !strings.Contains(err.Error(), "restore") {
			t.Errorf("with a broken marker: %v", err)
		}
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	if _, err := Restart(limit(t), s.cfg); err == nil || !strings.Contains(err.Error(), "says whose") {
		t.Errorf("without the marker: %v", err)
	}
}

func TestStartErrorsSayWhatToDo(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no machine", func(c *Config) { c.Machine = "" }, "machine-id"},
		{"no ID", func(c *Config) { c.ClusterID = "" }, "needs an ID"},
		{"no port", func(c *Config) { c.PeerAddr = "127.0.0.1" }, "give host:port"},
		{"port taken", func(c *Config) { c.PeerAddr = busy.Addr().String() }, "choose another"},
		{"half a certificate", func(c *Config) { c.TLS.CertFile = "x" }, "all three"},
		{"unwritable", func(c *Config) { c.Dir = "/proc/nothing" }, "--state-dir"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := newConfig(t, "m0")
			cfg.ClusterID = testCluster
			c.change(&cfg)
			s, err := Bootstrap(limit(t), cfg)
			if err == nil {
				s.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q lacks %q", err, c.want)
			}
		})
	}
	if _, err := Restart(limit(t), newConfig(t, "m0")); err == nil || !strings.Contains(err.Error(), "no etcd data") {
		t.Errorf("restart of nothing: %v", err)
	}
	if _, err := NewClient(ClientConfig{}); err == nil || !strings.Contains(err.Error(), "--etcd-endpoints") {
		t.Errorf("client of nothing: %v", err)
	}
}

func TestTicketsArePersonalAndFresh(t *testing.T) {
	first := bootstrapped(t)
	client := clientOf(t, first)
	cfg := newConfig(t, "m1")
	if _, err := TicketFor(limit(t), client, testCluster, "m1", cfg.PeerURL()); !errors.Is(err, ErrNoMember) {
		t.Errorf("ticket for a stranger: %v", err)
	}
	step := Step{Kind: AddLearner, Machine: "m1", PeerURL: cfg.PeerURL()}
	for range 2 { // the second time it is there already
		if err := Do(limit(t), client, step); err != nil {
			t.Fatal(err)
		}
	}
	ticket, err := TicketFor(limit(t), client, testCluster, "m1", cfg.PeerURL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(limit(t), newConfig(t, "m2"), ticket); err == nil || !strings.Contains(err.Error(), "of its own") {
		t.Errorf("join with somebody else's ticket: %v", err)
	}
	members, err := Members(limit(t), client)
	if err != nil || len(members) != 2 {
		t.Fatal(members, err)
	}
	var learner Member
	for _, m := range members {
		if m.Learner {
			learner = m
		}
	}
	promote := Step{Kind: Promote, PeerURL: learner.PeerURL, Member: learner.ID}
	if err := Do(limit(t), client, promote); !errors.Is(err, ErrNotReady) {
		t.Errorf("promotion of a learner that never started: %v, want %v", err, ErrNotReady)
	}
	// Somebody else joins the list; the old ticket is refused.
	if err := Do(limit(t), client, Step{Kind: AddLearner, PeerURL: "http://" + freeAddr(t)}); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(limit(t), cfg, ticket); err == nil || !strings.Contains(err.Error(), "new ticket") {
		t.Errorf("join with an outdated ticket: %v", err)
	}
	if ticket, err = TicketFor(limit(t), client, testCluster, "m1", cfg.PeerURL()); err != nil {
		t.Fatal(err)
	}
	joined, err := Join(limit(t), cfg, ticket)
	if err != nil {
		t.Fatal(err)
	}
	defer joined.Close()
	if !joined.IsLearner() {
		t.Error("joined, and is no learner")
	}
	drop := Step{Kind: Remove, Member: learner.ID}
	for range 2 {
		if err := Do(limit(t), client, drop); err != nil {
			t.Fatal(err)
		}
	}
	if err := Do(limit(t), client, promote); !errors.Is(err, ErrNoMember) {
		t.Errorf("promotion of nobody: %v, want %v", err, ErrNoMember)
	}
}

func TestLogIsSparing(t *testing.T) {
	var out bytes.Buffer
	lg := newZap(slog.New(slog.NewTextHandler(&out, nil)), nil)
	for range 3 {
		lg.Info("chatter")
		lg.Warn("lost a peer")
		lg.Error("rejecting")
	}
	want := []string{"level=INFO msg=\"etcd: lost a peer\"", "level=WARN msg=\"etcd: rejecting\""}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	for i, w := range want {
		if !strings.Contains(lines[i], w) {
			t.Errorf("line %q lacks %q", lines[i], w)
		}
	}
}
