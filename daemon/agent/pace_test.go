package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
)

func bare() *Agent {
	a := New(Config{Log: slog.New(slog.DiscardHandler)})
	a.notes = map[string]Note{}
	return a
}

// TestNoSpin: what is overdue and can't go, as the store is away or a batch is
// under way, waits for that, and isn't looked at again and again meanwhile.
func TestNoSpin(t *testing.T) {
	overdue := Note{Desired: units.Launched, Error: "disk full", RetryAt: t0.Add(-time.Hour)}
	a := bare()
	a.notes["u.service"] = overdue
	if wait := a.untilRetry(t0); wait != fullPass {
		t.Errorf("without a snapshot the agent looks again in %v", wait)
	}
	a.want = map[string]cluster.Assignment{"u.service": assigned(units.Launched, 2, 0, "h1")}
	a.held = map[string]units.Status{}
	a.flights["v.service"] = &flight{kind: Load}
	if wait := a.untilRetry(t0); wait != fullPass {
		t.Errorf("while another batch is loaded the agent looks again in %v", wait)
	}
	a.notes["w.service"] = Note{Error: "disk full", RetryAt: t0.Add(3 * time.Second)}
	if wait := a.untilRetry(t0); wait != 3*time.Second {
		t.Errorf("the next try is in 3 s, and the agent looks again in %v", wait)
	}
}

// TestPace: few starts go at first, more as they end and as the lease is
// renewed in time, and one by one while a renewal is late.
func TestPace(t *testing.T) {
	const lease = 3 * time.Second
	p := pace{lease: lease}
	expect := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d starts at once, want %d", what, got, want)
		}
	}
	second := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Second))) }
	expect("without a session", p.allow(0, time.Time{}, t0), startsAtOnce)
	expect("at first", p.allow(0, second(-0.5), second(0)), startsFirst)
	for range 8 {
		p.ended()
	}
	expect("when some have ended", p.allow(20, second(-0.5), second(0.3)), startsFirst+8)
	expect("renewed in time", p.allow(24, second(0.5), second(0.6)), 2*startsFirst+16)
	expect("nearly late", p.allow(40, second(0.5), second(2)), 2*startsFirst+16)
	expect("late", p.allow(40, second(0.5), second(2.1)), 1)
	expect("later still", p.allow(40, second(0.5), second(2.9)), 1)
	expect("renewed, and late again", p.allow(40, second(1.4), second(3)), 1)
	expect("in time again", p.allow(40, second(3), second(3.1)), startsFirst+8)
	for n := range 10 {
		p.allow(300, second(4+float64(n)), second(4+float64(n)))
	}
	expect("after long", p.allow(300, second(13), second(13.1)), startsAtOnce)
	expect("of the next lot", p.allow(0, second(13), second(13.2)), startsFirst)
}

// lateSession is a session whose lease isn't renewed.
type lateSession struct {
	cluster.Session
	renewed time.Time
}

func (s lateSession) Renewed() time.Time { return s.renewed }

// TestStartsWaitForTheLease: what is withheld is looked at again soon.
func TestStartsWaitForTheLease(t *testing.T) {
	a := bare()
	a.pace.lease = 3 * time.Second
	a.session = lateSession{renewed: t0.Add(-2 * time.Second)}
	a.cfg.Manager = brokenManager{}
	var steps []Step
	for i := range 5 {
		steps = append(steps, Step{Kind: Start, Unit: string(rune('a'+i)) + ".service", Assignment: assigned(units.Launched, 2, 0, "h1")})
	}
	a.launch(t.Context(), steps, t0)
	if a.starts != 1 {
		t.Errorf("%d starts go while a renewal is late", a.starts)
	}
	if wait := a.untilRetry(t0); wait > time.Second {
		t.Errorf("the others are looked at in %v", wait)
	}
	a.session = lateSession{renewed: t0}
	a.launch(t.Context(), steps, t0)
	if a.starts != 5 || a.withheld {
		t.Errorf("%d starts go when it is in time again", a.starts)
	}
	for range 5 {
		a.land(<-a.finished)
	}
}

// TestBatchesLeaveRoomForStarts: a batch being loaded is no start.
func TestBatchesLeaveRoomForStarts(t *testing.T) {
	a := bare()
	a.cfg.Manager = brokenManager{}
	batch := &flight{kind: Load}
	for i := range startsAtOnce {
		a.flights[string(rune('a'+i%26))+string(rune('a'+i/26))+".service"] = batch
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, unit := range []string{"x.service", "y.service"} {
		a.launch(ctx, []Step{{Kind: Start, Unit: unit, Assignment: assigned(units.Launched, 2, 0, "h1")}}, t0)
	}
	if a.starts != 2 {
		t.Fatalf("%d of 2 starts go while a batch is loaded", a.starts)
	}
	a.land(<-a.finished)
	a.land(<-a.finished)
	if a.starts != 0 {
		t.Errorf("%d starts are still counted", a.starts)
	}
}

var errBroken = errors.New("it is broken")

// brokenManager does nothing but fail.
type brokenManager struct{ units.Manager }

func (brokenManager) Load(context.Context, []units.UnitFile) (map[string]error, error) {
	return nil, errBroken
}
func (brokenManager) Start(context.Context, string) error { return units.ErrNotLoaded }

// restlessManager has watches that end at once, holds a unit, and says at a start that it doesn't.
type restlessManager struct {
	brokenManager
	watches, starts, loads atomic.Int64
}

func (m *restlessManager) Watch(context.Context) ([]units.Status, <-chan []units.Status, error) {
	m.watches.Add(1)
	ended := make(chan []units.Status)
	close(ended)
	return []units.Status{{Name: "u.service", Hash: "h1", Load: "loaded", Active: "inactive"}}, ended, nil
}

func (m *restlessManager) Load(context.Context, []units.UnitFile) (map[string]error, error) {
	m.loads.Add(1)
	return nil, nil
}

func (m *restlessManager) Start(context.Context, string) error {
	m.starts.Add(1)
	return units.ErrNotLoaded
}

// TestNeverWithoutAPause: a manager that contradicts itself is asked now and
// then, not as often as it answers.
func TestNeverWithoutAPause(t *testing.T) {
	mem := memstore.New().Open()
	defer mem.Close()
	manager := &restlessManager{}
	a := New(Config{Machine: "m1", Name: "n1", Store: mem, Manager: manager, NotesPath: filepath.Join(t.TempDir(), "notes.json"),
		Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	s, err := mem.Register(ctx, cluster.Run{Machine: "m1", ID: "r1", Address: "a"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	give(t, mem, s, cluster.Assignment{Machine: "m1", Unit: "u.service", Desired: units.Launched, Generation: 1, Hash: "h1", Epoch: 1})
	a.SetSession(ctx, s)
	for end := time.Now().Add(20 * time.Second); manager.starts.Load()+manager.loads.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the unit was neither loaded nor started")
		}
	}
	const while = 1500 * time.Millisecond
	began := time.Now()
	<-time.After(while)
	past := max(1, int64(time.Since(began)/while)) // more than one on a machine that stood still
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// The first waits are 50, 100, 200, ... ms, each with a jitter of a half.
	if n := manager.watches.Load(); n > 12*past {
		t.Errorf("%d watches in %v", n, time.Since(began))
	}
	if n := manager.starts.Load() + manager.loads.Load(); n > 6*past {
		t.Errorf("%d starts and loads in %v", n, time.Since(began))
	}
}

// give assigns a unit as a leader.
func give(t *testing.T, store *memstore.Store, s cluster.Session, a cluster.Assignment) {
	t.Helper()
	errs, err := store.PutUnits(t.Context(), []cluster.Unit{{Name: a.Unit, Content: a.Content, Hash: a.Hash, Desired: a.Desired, Generation: 1}})
	if err != nil || errs[0] != nil {
		t.Fatal(err, errs)
	}
	l, err := store.Campaign(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, errs, err := store.Apply(t.Context(), l.Term, []cluster.Move{{Unit: a.Unit, To: &a, Generation: 1}}, cluster.Findings{}); err != nil || errs[0] != nil {
		t.Fatal(err, errs)
	}
}

// counting counts the lines logged at each level.
type counting struct {
	slog.Handler
	warnings int
}

func (c *counting) Enabled(context.Context, slog.Level) bool { return true }

func (c *counting) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		c.warnings++
	}
	return nil
}

// TestTheSameFaultIsLoggedOnce: a step that fails again and again in the same way is told once.
func TestTheSameFaultIsLoggedOnce(t *testing.T) {
	lines := &counting{}
	a := bare()
	a.log = slog.New(lines)
	s := Step{Kind: Load, Unit: "u.service", Assignment: assigned(units.Launched, 2, 0, "h1")}
	for range 5 {
		a.failed(s, errors.New("no space left on device"), t0)
	}
	a.failed(s, errors.New("read-only file system"), t0)
	if lines.warnings != 2 {
		t.Errorf("two faults, five and one times, are %d warnings", lines.warnings)
	}
}
