package connectivity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/cluster/memstore"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
	"fleettop/daemon/view"
)

// net3 is three machines with a Service each, behind real APIs, whose connections can be cut.
type net3 struct {
	t        *testing.T
	mu       sync.Mutex      // guards what follows
	cut      map[string]bool // "from to"
	services map[string]*Service
	urls     map[string]string
}

func (n *net3) reaches(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut[from+" "+to]
}

func (n *net3) lose(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[from+" "+to] = true
}

// seat is one machine's place in the network.
type seat struct {
	*net3
	id string
}

func (s seat) Members() []membership.Member {
	var list []membership.Member
	for _, id := range []string{"m1", "m2", "m3"} {
		m := membership.Member{ID: id, State: membership.Alive, LastSeen: time.Now().Add(-100 * time.Millisecond)}
		if !s.reaches(s.id, id) {
			m.State, m.LastSeen = membership.Failed, time.Now().Add(-12*time.Second)
		}
		list = append(list, m)
	}
	return list
}

// Client implements Peers: a connection that is cut swallows what is sent.
func (s seat) Client(id string) (*client.Client, error) {
	addr := s.urls[id]
	c := client.DialWith("machine "+id, func(ctx context.Context) (net.Conn, error) {
		if !s.reaches(s.id, id) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	})
	s.t.Cleanup(c.Close)
	return c, nil
}

func (s seat) probe(ctx context.Context, addr, id string, p membership.Patience, report func(membership.Verdict)) {
	if addr != "probe of "+id {
		s.t.Errorf("%s is probed at %q", id, addr)
	}
	if s.reaches(s.id, id) {
		report(membership.Reached)
		report(membership.Answered)
		return
	}
	report(membership.Silent)
}

func newNet(t *testing.T) *net3 {
	n := &net3{t: t, cut: map[string]bool{}, services: map[string]*Service{}, urls: map[string]string{}}
	mem := memstore.New()
	log := slog.New(slog.DiscardHandler)
	for i := range 3 {
		id := fmt.Sprintf("m%d", i+1)
		store := mem.Open()
		v := view.New(store, log, time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { v.Run(ctx) })
		m := cluster.Machine{ID: id, Name: fmt.Sprintf("n%d", i+1), ProbeAddress: "probe of " + id}
		if err := store.UpdateMachine(ctx, id, func(r *cluster.Machine) error { *r = m; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Register(ctx, cluster.Run{Machine: id, ID: "run-" + id, Since: time.Now()}, time.Minute); err != nil {
			t.Fatal(err)
		}
		s := New(Config{Self: id, View: v, Members: seat{n, id}, Store: store, Peers: seat{n, id}, Probe: seat{n, id}.probe})
		handler := server.New(server.Config{Store: store, View: v, Self: id, Connectivity: s, Log: log})
		web := httptest.NewServer(server.AsRole(api.MachineRole, handler))
		n.services[id], n.urls[id] = s, web.Listener.Addr().String()
		t.Cleanup(func() {
			web.CloseClientConnections()
			web.Close()
			cancel()
			running.Wait()
			store.Close()
		})
	}
	return n
}

// TestConnectivity: each machine answers for itself, and one that is cut off is told of in time.
func TestConnectivity(t *testing.T) {
	n := newNet(t)
	got := n.services["m1"].Connectivity(t.Context())
	if len(got.Views) != 3 || got.Asked != "m1" || got.Sentences[0] != "Every machine reaches every other one, and the store." {
		t.Fatalf("all is well: %+v", got)
	}
	for i, v := range got.Views {
		if v.Machine != got.Machines[i].ID || len(v.Contacts) != 2 {
			t.Errorf("%+v at %d", v, i)
		}
		for _, c := range v.Contacts {
			if !c.Well() || c.GossipAge < 0.1 || c.GossipAge > 60 || c.APITook <= 0 {
				t.Errorf("%s sees %+v", v.Machine, c)
			}
		}
	}

	// m3 is cut off from m1, and m2 still reaches it.
	n.lose("m1", "m3")
	got = n.services["m1"].Connectivity(t.Context())
	if v := got.Views[2]; v.Error != "it did not answer within 0.9 s" || v.Contacts != nil {
		t.Errorf("the machine that is cut off says %+v", v)
	}
	if c := got.Views[0].Of("m3"); c.Letters() != "--S-" || c.GossipAge < 12 || c.Probe != api.Silent || c.API != api.Silent {
		t.Errorf("m1 sees %+v", c)
	}
	if c := got.Views[1].Of("m3"); !c.Well() {
		t.Errorf("m2 sees %+v", c)
	}
	// The answer is there soon after the time that the others have: what it waits for is given up then.
	if limit := 20.0; got.Took < answerWithin.Seconds() || got.Took > limit {
		t.Errorf("it took %g s", got.Took)
	}
}

// TestPartsOfTheAnswerEndInTime: whatever this machine waits for leaves its answer time to travel.
func TestPartsOfTheAnswerEndInTime(t *testing.T) {
	if own := stateWithin + tryWithin; own > answerWithin*4/5 || answerWithin >= time.Second {
		t.Errorf("a machine's own answer may take %s of %s", own, answerWithin)
	}
}

// refusing is a store that doesn't answer.
type refusing struct{}

func (refusing) Events(ctx context.Context, _ time.Time, _ int) ([]cluster.Event, error) {
	return nil, errors.New("no quorum")
}

func TestStoreThatIsLost(t *testing.T) {
	n := newNet(t)
	s := n.services["m2"]
	s.cfg.Store = refusing{}
	got := n.services["m1"].Connectivity(t.Context())
	if got.Views[1].Store != api.Silent || got.Sentences[0] != "n2 does not reach the store." {
		t.Errorf("%+v", got)
	}
}

func TestChosen(t *testing.T) {
	snap := &cluster.Snapshot{Machines: map[string]cluster.Machine{}}
	var members []membership.Member
	for i := range 9 {
		id := fmt.Sprintf("m%d", i+1)
		snap.Machines[id] = cluster.Machine{ID: id, Name: fmt.Sprintf("n%d", i+1)}
		members = append(members, membership.Member{ID: id, State: membership.Alive})
	}
	set := func(id string, f func(*cluster.Machine)) {
		m := snap.Machines[id]
		f(&m)
		snap.Machines[id] = m
	}
	set("m4", func(m *cluster.Machine) { m.Departure = cluster.Left })
	set("m8", func(m *cluster.Machine) { m.Seat = cluster.Voter })
	members[8].State = membership.Suspect
	members[6].Unanswered = time.Now()
	members = append(members, membership.Member{ID: "stranger", State: membership.Failed},
		membership.Member{ID: "gone", State: membership.Left})
	all, more := chosen("m5", snap, members, 20)
	if len(all) != 9 || more != 0 || all[0].ID != "m1" || all[8].ID != "stranger" {
		t.Errorf("%v and %d more", all, more)
	}
	few, more := chosen("m5", snap, members, 5)
	ids := ""
	for _, m := range few {
		ids += m.ID + " "
	}
	if ids != "m5 m7 m8 m9 stranger " || more != 4 {
		t.Errorf("%s and %d more", ids, more)
	}
}

func TestErrorsInAFewWords(t *testing.T) {
	for err, want := range map[error]string{
		fmt.Errorf("dial: %w", syscall.ECONNREFUSED):                                   "it refused the connection",
		fmt.Errorf("dial: %w", syscall.EHOSTUNREACH):                                   "there is no route to it",
		&client.UnreachableError{Endpoint: "x", Advice: "y", Err: io.ErrUnexpectedEOF}: "unexpected EOF",
		errors.New("one\ntwo"):                                                         "one",
	} {
		if got := brief(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	old := api.Refuse(api.CodeNotFound, "", "nothing at /v1/connectivity")
	if got := whyUnknown(t.Context(), old); got != "its daemon is of an older version, which can't tell" {
		t.Error(got)
	}
}
