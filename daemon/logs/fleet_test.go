package logs

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/api/server"
	"fleettop/daemon/view"
	"fleettop/journal"
)

// memLog is a log in memory. It implements journal.Source.
type memLog struct {
	machine string

	mu      sync.Mutex // guards what follows
	entries []journal.Entry
	tails   map[*memTail]bool
	opened  int // tails, in all
	refused error
}

// refuse makes nobody able to read it, until the error is nil.
func (m *memLog) refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = err
}

func (m *memLog) log(unit, message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, journal.Entry{Time: time.Now(), Machine: m.machine, Unit: unit, Priority: journal.Info,
		Message: message,
		Cursor:  journal.Cursor(strconv.Itoa(len(m.entries) + 1))})
	for t := range m.tails {
		t.ring()
	}
}

func (m *memLog) Read(_ context.Context, units []string, q journal.Query, upTo journal.Position,
	f func(journal.Entry) error) (journal.Cursor, error) {
	m.mu.Lock()
	list, refused := m.entries, m.refused
	m.mu.Unlock()
	if refused != nil {
		return "", refused
	}
	if n, ok := upTo.(int); ok {
		list = list[:n]
	}
	end := journal.Cursor(strconv.Itoa(len(list)))
	if q.After != "" {
		n, err := strconv.Atoi(string(q.After))
		if err != nil {
			return "", journal.ErrUnknownCursor
		}
		list = list[n:]
	}
	var out []journal.Entry
	for _, e := range list {
		if slices.Contains(units, e.Unit) && q.Match(&e) && q.Lines >= 0 {
			out = append(out, e)
		}
	}
	if q.Lines > 0 {
		out = out[max(0, len(out)-q.Lines):]
	}
	for _, e := range out {
		if err := f(e); err != nil {
			return end, err
		}
	}
	return end, nil
}

type memTail struct {
	m    *memLog
	wake chan struct{}
	at   int
}

func (t *memTail) ring() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (m *memLog) Tail() (journal.Tail, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused != nil {
		return nil, m.refused
	}
	t := &memTail{m: m, wake: make(chan struct{}, 1), at: len(m.entries)}
	if m.tails == nil {
		m.tails = map[*memTail]bool{}
	}
	m.tails[t] = true
	m.opened++
	return t, nil
}

func (t *memTail) Wake() <-chan struct{} { return t.wake }

func (t *memTail) Next(w journal.Wanted) (list []journal.Entry, lost int, err error) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	for ; t.at < len(t.m.entries); t.at++ {
		if e := t.m.entries[t.at]; w.Units[e.Unit] {
			list = append(list, e)
		}
	}
	return list, 0, nil
}

func (t *memTail) Position([]string) journal.Position { return t.at }

func (t *memTail) Close() error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	delete(t.m.tails, t)
	return nil
}

// verdicts are what the daemons think of the machines.
type verdicts struct {
	mu      sync.Mutex // guards what follows
	states  map[string]cluster.Health
	changed chan struct{}
}

// Of implements server.Health.
func (v *verdicts) Of(*cluster.Snapshot, bool) map[string]cluster.Health { return v.Health() }

func (v *verdicts) Health() map[string]cluster.Health {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.states)
}

func (v *verdicts) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

func (v *verdicts) set(id string, s cluster.HealthState) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.states[id] = cluster.Health{State: s}
	close(v.changed)
	v.changed = make(chan struct{})
}

// daemonAt is one machine's daemon: its log, its service and its API.
type daemonAt struct {
	id      string
	log     *memLog
	service *Service
	address string
	server  *http.Server
	stop    context.CancelFunc
}

// fleet is a cluster of daemons in this process.
type fleet struct {
	t      testing.TB
	mem    *memstore.Cluster
	store  *memstore.Store
	view   *view.View
	health *verdicts
	leader cluster.Leader
	at     map[string]*daemonAt // by machine
	mu     sync.Mutex           // guards links and the daemons' addresses
	links  map[string]*client.Client
}

func newFleet(t testing.TB, machines ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, mem: memstore.New(), health: &verdicts{states: map[string]cluster.Health{},
		changed: make(chan struct{})},
		at: map[string]*daemonAt{}, links: map[string]*client.Client{}}
	f.store = f.mem.Open()
	f.view = view.New(f.store, slog.New(slog.DiscardHandler), time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.view.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	session, err := f.store.Register(ctx, cluster.Run{Machine: "m1", ID: "r", Address: "x"}, time.Minute)
	f.must(err)
	f.leader, err = f.store.Campaign(ctx, session)
	f.must(err)
	t.Cleanup(func() { _ = session.Close(context.Background(), true) })
	for _, id := range machines {
		f.must(f.store.UpdateMachine(ctx, id, func(m *cluster.Machine) error {
			m.Name, m.Address = "n"+id[1:], "x"
			return nil
		}))
		f.at[id] = &daemonAt{id: id, log: &memLog{machine: id}}
		f.up(id)
	}
	t.Cleanup(func() {
		for _, d := range f.at {
			f.down(d.id, cluster.Up)
		}
	})
	return f
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// up starts a machine's daemon.
func (f *fleet) up(id string) {
	f.t.Helper()
	d := f.at[id]
	log := slog.New(slog.DiscardHandler)
	d.service = New(Config{Self: id, Source: d.log, View: f.view, Health: f.health, Peers: f, Timeline: f.store, Log: log})
	handler := server.New(server.Config{Store: f.store, View: f.view, Health: f.health, Self: id, Logs: d.service,
		Log: log, Heartbeat: 50 * time.Millisecond})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	f.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	f.mu.Lock()
	d.server, d.stop, d.address = server.HTTPServer(ctx, server.AsRole(api.MachineRole, handler),
		log), cancel, l.Addr().String()
	f.mu.Unlock()
	go d.server.Serve(l)
	f.health.set(id, cluster.Up)
}

// down ends a machine's daemon; the others think of it as they are told.
func (f *fleet) down(id string, s cluster.HealthState) {
	d := f.at[id]
	if d.server != nil {
		d.stop()
		d.server.Close()
		d.server = nil
	}
	f.mu.Lock()
	if c := f.links[id]; c != nil {
		c.Close()
		delete(f.links, id)
	}
	f.mu.Unlock()
	f.health.set(id, s)
}

// Client implements Peers.
func (f *fleet) Client(id string) (*client.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.at[id]
	if f.links[id] == nil || f.links[id].Endpoint() != "http://"+d.address {
		c, err := client.Dial("http://" + d.address)
		if err != nil {
			return nil, err
		}
		f.links[id] = c
	}
	return f.links[id], nil
}

// place moves a unit, which is made if need be.
func (f *fleet) place(unit, from, to string) {
	f.t.Helper()
	ctx := f.t.Context()
	if _, known := f.mem.Snapshot().Units[unit]; !known {
		_, err := f.store.PutUnits(ctx, []cluster.Unit{{Name: unit, Generation: 1, Desired: "launched"}})
		f.must(err)
	}
	m := cluster.Move{Unit: unit, Generation: 1, To: &cluster.Assignment{Machine: to, Unit: unit, Desired: "launched",
		Generation: 1, Epoch: f.mem.Snapshot().Revision}}
	if from != "" {
		a := f.mem.Snapshot().Assignments[cluster.UnitOnMachine{Machine: from, Unit: unit}]
		m.From = &a
	}
	found := cluster.Findings{Verdicts: map[string]*cluster.Health{}}
	for id, h := range f.health.Health() {
		found.Verdicts[id] = &h
	}
	_, errs, err := f.store.Apply(ctx, f.leader.Term, []cluster.Move{m}, found)
	f.must(err)
	f.must(errs[0])
}

// viewer follows, or reads to the end.
type viewing struct {
	t    testing.TB
	mu   sync.Mutex // guards list
	list []journal.Entry
	done chan error
	stop context.CancelFunc
}

func (f *fleet) watch(at string, o api.JournalOptions) *viewing {
	f.t.Helper()
	c, err := client.Dial("http://" + f.at[at].address)
	f.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	v := &viewing{t: f.t, done: make(chan error, 1), stop: cancel}
	go func() {
		v.done <- c.Journal(ctx, o, func(l journal.Entry) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.list = append(v.list, l)
			return nil
		})
		c.Close()
	}()
	f.t.Cleanup(func() { v.end() })
	return v
}

// end ends it, and returns how.
func (v *viewing) end() error {
	v.stop()
	err := <-v.done
	v.done <- err
	return err
}

// texts are what was told: messages, and dividers in brackets.
func (v *viewing) texts() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []string
	for _, l := range v.list {
		switch l.Kind {
		case "":
			out = append(out, l.Message)
		case journal.KindPosition:
		default:
			out = append(out, "["+l.Text+"]")
		}
	}
	return out
}

// until waits until so many lines and dividers were told.
func (v *viewing) until(n int) []string {
	v.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		got := v.texts()
		if len(got) >= n {
			return got
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("waited for %d lines, got %q", n, got)
		}
		time.Sleep(time.Millisecond)
	}
}

// all reads to the end.
func (f *fleet) all(at string, o api.JournalOptions) []string {
	f.t.Helper()
	v := f.watch(at, o)
	select {
	case err := <-v.done:
		v.done <- err
		f.must(err)
	case <-time.After(60 * time.Second):
		f.t.Fatalf("it does not end: %q", v.texts())
	}
	return v.texts()
}

func equal(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func numbered(text string, from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint(text, i))
	}
	return list
}
