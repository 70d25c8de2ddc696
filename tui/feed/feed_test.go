package feed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/feed"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// daemon is one on paper, that can go away.
type daemon struct {
	name string

	mu      sync.Mutex // guards what follows
	away    bool
	lines   chan *api.Line
	end     chan struct{} // closed when it goes away
	watched int
	looked  int
	stats   error // what figures are refused with
	hangs   bool
	cause   error // a watch was given up for while it hung
	closed  int
}

func newDaemon(name string) *daemon {
	return &daemon{name: name, lines: make(chan *api.Line), end: make(chan struct{})}
}

func (d *daemon) Endpoint() string { return "unix:///" + d.name }

func (d *daemon) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = true
	close(d.end)
	d.end = make(chan struct{})
}

func (d *daemon) back() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away = false
}

func (d *daemon) Watch(ctx context.Context, o api.WatchOptions, f func(*api.State, *api.Line) error) error {
	d.mu.Lock()
	away, end := d.away, d.end
	d.watched++
	d.mu.Unlock()
	if away {
		return &client.UnreachableError{Endpoint: d.Endpoint(), Err: errors.New("connection refused")}
	}
	if !o.WhatIf {
		return errors.New("what-if is not asked for")
	}
	if o.Heartbeat <= 0 || o.Heartbeat > time.Second {
		return fmt.Errorf("it is asked for a heartbeat each %s", o.Heartbeat)
	}
	beat := time.NewTicker(o.Heartbeat)
	defer beat.Stop()
	var s api.State
	first := tuitest.Cluster(2, 2)
	first.Self = d.name
	for l := first; ; {
		for d.hung() {
			if ctx.Err() != nil {
				d.mu.Lock()
				d.cause = context.Cause(ctx)
				d.mu.Unlock()
				return ctx.Err()
			}
			time.Sleep(5 * time.Millisecond)
		}
		o.Alive()
		s.Apply(l)
		if err := f(&s, l); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return errors.New("the daemon ended the stream")
		case l = <-d.lines:
		case <-beat.C:
			l = &api.Line{Kind: api.LineHeartbeat}
		}
	}
}

func (d *daemon) hang(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hangs = on
}

func (d *daemon) hung() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hangs
}

// Close counts.
func (d *daemon) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
}

func (d *daemon) Stats(ctx context.Context, f func(api.Stats) error) error {
	d.mu.Lock()
	d.looked++
	refused := d.stats
	d.mu.Unlock()
	if refused != nil {
		return refused
	}
	if err := f(api.Stats{Machine: tuitest.MachineID(1), CPU: 1, CPUs: 2}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (d *daemon) Events(context.Context, string, int) ([]cluster.Event, error) {
	return []cluster.Event{tuitest.Event(1, time.Hour, cluster.Event{Kind: cluster.EventLeader,
		Text: "n1 leads the cluster"})}, nil
}

// await reads snapshots until one is as wanted.
func await(t *testing.T, f *feed.Feed[*daemon], what string, good func(*state.Snapshot) bool) *state.Snapshot {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case s := <-f.Snapshots():
			if good(s) {
				return s
			}
		case <-deadline:
			t.Fatalf("there is no snapshot with %s", what)
		}
	}
}

func TestAnotherDaemonAndBack(t *testing.T) {
	one, two := newDaemon("one"), newDaemon("two")
	f := feed.Start(t.Context(), feed.Config[*daemon]{Client: one, Other: func(m api.Machine) (*daemon, error) {
		if m.ID == tuitest.MachineID(2) {
			return two, nil
		}
		return nil, fmt.Errorf("%s can't be reached", m.Name)
	}})
	defer f.Close()
	await(t, f, "the first daemon", func(s *state.Snapshot) bool {
		return s.Conn.Up && s.Self == "one" &&
			len(s.Timeline) == 1
	})
	one.leave()
	s := await(t, f, "the loss", func(s *state.Snapshot) bool { return !s.Conn.Up })
	if len(s.Rows) != 2 {
		t.Errorf("with the connection the data is lost: %d rows", len(s.Rows))
	}
	await(t, f, "the second daemon", func(s *state.Snapshot) bool { return s.Conn.Up && s.Self == "two" })
	if f.Current() != two {
		t.Errorf("actions go to %s", f.Current().Endpoint())
	}
	two.leave()
	s = await(t, f, "no daemon", func(s *state.Snapshot) bool { return !s.Conn.Up && !s.Conn.Retry.IsZero() })
	if s.Conn.Err == "" {
		t.Error("it does not say why")
	}
	one.back()
	await(t, f, "the first daemon again", func(s *state.Snapshot) bool { return s.Conn.Up && s.Self == "one" })
}

// In time that is turned by hand, so that a slow machine changes nothing.
func TestBatches(t *testing.T) { synctest.Test(t, batches) }

func batches(t *testing.T) {
	d := newDaemon("one")
	f := feed.Start(t.Context(), feed.Config[*daemon]{Client: d})
	defer f.Close()
	await(t, f, "the cluster", func(s *state.Snapshot) bool { return s.Conn.Up })
	const lines = 400
	began := time.Now()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range lines {
			st := tuitest.Runs("web@1.service", 1, 10, "active", "running")
			st.Restarts = i + 1
			d.lines <- &api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st}}
			time.Sleep(time.Millisecond)
		}
	}()
	n := 0
	await(t, f, "the last change", func(s *state.Snapshot) bool {
		n++
		return s.Row("web@1.service").Restarts == lines
	})
	<-sent
	if most := int(time.Since(began)/(100*time.Millisecond)) + 2; n > most {
		t.Errorf("%d snapshots in %s, want at most %d", n, time.Since(began), most)
	}
	// What a person must see does not wait for the next batch.
	m := tuitest.Machine(2)
	m.Health.State = cluster.Suspect
	time.Sleep(50 * time.Millisecond)
	began = time.Now()
	d.lines <- &api.Line{Kind: api.LineChange, Machines: []api.Machine{m}}
	await(t, f, "a suspect", func(s *state.Snapshot) bool { return s.Machine(m.ID).Word == "suspect" })
	if took := time.Since(began); took != 0 {
		t.Errorf("a suspicion is shown after %s, expected at once", took)
	}
}

func TestFiguresOnlyWhileSomebodyLooks(t *testing.T) {
	d := newDaemon("one")
	f := feed.Start(t.Context(), feed.Config[*daemon]{Client: d})
	defer f.Close()
	id := tuitest.MachineID(1)
	s := await(t, f, "the cluster", func(s *state.Snapshot) bool { return s.Conn.Up && len(s.Timeline) == 1 })
	if s.Machine(id).Use != nil {
		t.Error("there are figures, and nobody looks")
	}
	f.Look(true)
	await(t, f, "figures", func(s *state.Snapshot) bool {
		return s.Machine(id).Use != nil &&
			s.Machine(id).Use.History[0] == 0.5
	})
	f.Look(false)
	m := tuitest.Machine(2)
	d.lines <- &api.Line{Kind: api.LineChange, Machines: []api.Machine{m}, Leader: &cluster.Leader{Machine: m.ID}}
	await(t, f, "no figures", func(s *state.Snapshot) bool { return s.Machine(id).Use == nil })
}

// TestADaemonThatHangsIsNoticed stops a daemon's sign of life for a while: that
// is said, taken back, and when it lasts another daemon is asked.
func TestADaemonThatHangsIsNoticed(t *testing.T) {
	one, same, two := newDaemon("one"), newDaemon("one by its address"), newDaemon("two")
	f := feed.Start(t.Context(), feed.Config[*daemon]{Client: one, Other: func(m api.Machine) (*daemon, error) {
		if m.ID == tuitest.MachineID(2) {
			return two, nil
		}
		return same, nil
	}})
	await(t, f, "the cluster", func(s *state.Snapshot) bool { return s.Conn.Up })
	same.hang(true)
	one.hang(true)
	began := time.Now()
	s := await(t, f, "a word on the silence", func(s *state.Snapshot) bool { return s.Conn.Quiet })
	if !s.Conn.Up || s.Conn.Endpoint != one.Endpoint() {
		t.Errorf("after %s the connection is %+v", time.Since(began), s.Conn)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("after %s it is called silent", took)
	}
	one.hang(false)
	await(t, f, "a sign of life", func(s *state.Snapshot) bool { return s.Conn.Up && !s.Conn.Quiet })
	one.hang(true)
	await(t, f, "the other daemon", func(s *state.Snapshot) bool { return s.Conn.Up && s.Self == "two" })
	f.Close()
	if one.cause == nil || strings.Contains(one.cause.Error(), "12s") { // which is for where there is no other
		t.Errorf("the first daemon was given up for %v", one.cause)
	}
	same.mu.Lock()
	defer same.mu.Unlock()
	if same.watched > 2 {
		t.Errorf("the daemon that hangs was asked %d times by its other address", same.watched)
	}
	if one.closed != 0 || two.closed != 1 {
		t.Errorf("the first daemon's client was closed %d times, the other's %d, want 0 and 1", one.closed, two.closed)
	}
}

// TestOtherClientsAreNotKept lets machines come, change their addresses and go.
func TestOtherClientsAreNotKept(t *testing.T) {
	one := newDaemon("one")
	var mu sync.Mutex
	var made []*daemon
	f := feed.Start(t.Context(), feed.Config[*daemon]{Client: one, Other: func(m api.Machine) (*daemon, error) {
		mu.Lock()
		defer mu.Unlock()
		d := newDaemon(m.Name + " at " + m.APIAddress)
		d.away = true
		made = append(made, d)
		return d, nil
	}})
	await(t, f, "the cluster", func(s *state.Snapshot) bool { return s.Conn.Up })
	for n := range 4 {
		m := tuitest.Machine(2)
		m.APIAddress = fmt.Sprintf("10.0.0.2:%d", 7000+n)
		one.lines <- &api.Line{Kind: api.LineChange, Machines: []api.Machine{m},
			Gone: &api.Gone{Machines: []string{tuitest.MachineID(1)}}}
		await(t, f, "the address", func(s *state.Snapshot) bool { return s.Machine(m.ID).APIAddress == m.APIAddress })
		one.leave()
		await(t, f, "the loss", func(s *state.Snapshot) bool { return !s.Conn.Up && !s.Conn.Retry.IsZero() })
		one.back()
		await(t, f, "the daemon again", func(s *state.Snapshot) bool { return s.Conn.Up })
	}
	f.Close()
	for _, d := range made {
		if d.closed != 1 {
			t.Errorf("the client of %s was closed %d times", d.name, d.closed)
		}
	}
	if len(made) < 4 {
		t.Errorf("%d clients were made", len(made))
	}
}

// TestLookNeverBlocks says again and again who looks, while the feed is busy.
func TestLookNeverBlocks(t *testing.T) {
	stop := make(chan struct{})
	d := newDaemon("one")
	f := feed.Start(t.Context(), feed.Config[*daemon]{Client: d, Other: func(api.Machine) (*daemon, error) {
		<-stop // the feed's own goroutine is held up here
		return nil, errors.New("can't be reached")
	}})
	await(t, f, "the cluster", func(s *state.Snapshot) bool { return s.Conn.Up })
	d.leave()
	await(t, f, "the loss", func(s *state.Snapshot) bool { return !s.Conn.Up })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			f.Look(i%2 == 0)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("Look blocks")
	}
	close(stop)
	f.Close()
}
