package agent

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// Store is the part of cluster.Store an agent needs.
type Store interface {
	Watch(context.Context, cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
	Record(context.Context, ...cluster.Event) error
}

// Config is what an Agent works with.
type Config struct {
	Machine   string // this machine's ID
	Name      string // this machine's name, for events
	Store     Store
	Manager   units.Manager
	Fence     Fence  // nil where the manager has none
	NotesPath string // a file on a file system that doesn't survive a reboot
	// Show is told what the units do at each change; nil for none. It must not block. The map is its own.
	Show func(map[string]units.Status)
	Log  *slog.Logger
	// Lease is how long a session lives without a renewal. Zero: the agent's
	// pace doesn't depend on that.
	Lease time.Duration
}

const (
	// fullPass is how often everything is looked at again, whether or not anything was heard.
	fullPass = time.Minute
	// retryLoad is how long a file that could not be loaded waits for the next try.
	retryLoad = 30 * time.Second
	// retryJob is how long a job that could not be submitted waits.
	retryJob = 2 * time.Second
	// stopsFirst is how long starts wait for the stops of units that were taken away.
	stopsFirst = 5 * time.Second

	rewatchLeast = 50 * time.Millisecond
	rewatchMost  = 2 * time.Second
)

// Agent keeps a machine's units as assigned. Run owns all its state.
type Agent struct {
	cfg      Config
	log      *slog.Logger
	sessions chan cluster.Session
	pings    chan struct{}

	ctx   context.Context // of Run
	began time.Time       // Run

	want     map[string]cluster.Assignment // nil without a current snapshot
	leaving  map[string]cluster.Assignment // those that are to be stopped and unloaded, which is then said
	held     map[string]units.Status       // nil without a current list
	notes    map[string]Note
	flights  map[string]*flight
	session  cluster.Session // nil before the first
	starts   int             // in flight
	pace     pace            // of starts
	withheld bool            // a start that is due didn't go, for the pace
	guard    guard           // what units ask of the contact with the cluster
	fence    string          // the ID of the fence that stands, as of this step
	order    order           // in which they start and stop
	finished chan *flight

	awake time.Time            // since when the agent hasn't been held up
	heard map[string]time.Time // when it was told of the state that a unit held is in

	notesDirty bool
	notesLost  bool // the last write of them failed
	reporter   *reporter
}

// flight is a step being carried out, on one unit or, for Load and Unload, on a batch.
type flight struct {
	kind   StepKind
	steps  []Step
	since  time.Time
	cancel context.CancelFunc

	errs map[string]error // a failure of one unit
	err  error            // a failure as a whole

	session cluster.Session // that confirms the start of an exclusive unit; nil for others

	path string // of a unit released
}

// starts reports whether the flight is of the kind that is bounded.
func (f *flight) starts() bool { return f.kind == Start || f.kind == Restart }

// New returns an Agent. Nothing happens before Run.
func New(cfg Config) *Agent {
	return &Agent{cfg: cfg, log: cfg.Log, sessions: make(chan cluster.Session, 1), pings: make(chan struct{}),
		pace: pace{lease: cfg.Lease}, heard: map[string]time.Time{}, flights: map[string]*flight{},
		finished: make(chan *flight)}
}

// SetSession gives the agent the session its reports go under, in place of the one before.
func (a *Agent) SetSession(ctx context.Context, s cluster.Session) {
	select {
	case a.sessions <- s:
	case <-ctx.Done():
	}
}

// Ping returns once Run's loop takes notice, or an error when ctx ends before:
// an agent that is stuck can be told from one that has nothing to do.
func (a *Agent) Ping(ctx context.Context) error {
	select {
	case a.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run reconciles from the first session on until ctx ends. Jobs in flight are
// let go, not undone: units stay exactly as they are.
func (a *Agent) Run(ctx context.Context) error {
	var err error
	if a.notes, err = readNotes(a.cfg.NotesPath); err != nil {
		a.log.Warn("starting without notes; running units are adopted", "error", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	a.ctx, a.began = ctx, time.Now()
	a.reporter = newReporter(a.cfg)
	reporterDone := make(chan struct{})
	go func() { defer close(reporterDone); a.reporter.run(ctx) }()
	assigned := make(chan map[string]cluster.Assignment)
	assignedDone := make(chan struct{})
	registered := make(chan struct{})
	register := sync.OnceFunc(func() { close(registered) })
	go func() {
		defer close(assignedDone)
		// Before, a leader that took this machine for dead may still be moving its units.
		select {
		case <-registered:
			a.watchAssignments(ctx, assigned)
		case <-ctx.Done():
		}
	}()
	statuses := make(chan map[string]units.Status)
	statusesDone := make(chan struct{})
	go func() { defer close(statusesDone); a.watchManager(ctx, statuses) }()

	pass := time.NewTicker(fullPass)
	defer pass.Stop()
	again := time.NewTimer(fullPass)
	defer again.Stop()
	due := time.Now().Add(fullPass)
	stood := "" // the fence, as of the last look
	for ctx.Err() == nil {
		var fence <-chan struct{}
		if a.cfg.Fence != nil {
			fence = a.cfg.Fence.Changed()
			if id := a.cfg.Fence.ID(); id != stood {
				stood = id
				again.Reset(0)
			}
		}
		select {
		case <-ctx.Done():
			continue
		case all := <-assigned:
			a.want, a.leaving = split(all)
		case <-fence:
		case held := <-statuses:
			a.hear(held, time.Now())
		case f := <-a.finished:
			a.land(f)
		case s := <-a.sessions:
			a.session = s
			if a.cfg.Fence != nil {
				a.cfg.Fence.SetSession(s)
			}
			a.reporter.setSession(s)
			register()
		case <-a.pings:
			continue
		case <-pass.C:
		case <-again.C:
			select {
			case held := <-statuses: // what is known decides, not which came first
				a.hear(held, time.Now())
			default:
			}
		}
		now := time.Now()
		if now.Sub(due) > heldUp {
			a.awake = now
		}
		a.step(ctx, now)
		wait := a.untilRetry(now)
		due = time.Now().Add(wait)
		again.Reset(wait)
	}
	cancel()
	for len(a.flights) > 0 {
		a.land(<-a.finished)
	}
	<-assignedDone
	<-statusesDone
	<-reporterDone
	return nil
}

// untilRetry is the time to the earliest note to be retried, or to the next
// look at a start that waits for a stop or for the manager's word on its
// outcome. What was due in the step at now and did not go waits for something
// that ends with a step of its own: a batch, a list, a snapshot.
func (a *Agent) untilRetry(now time.Time) time.Duration {
	least := a.untilIsolation(now)
	if a.stopping() {
		least = time.Second
	}
	if a.withheld {
		least = min(least, a.pace.lease/6)
	}
	for unit, n := range a.notes {
		if n.RetryAt.After(now) {
			least = min(least, n.RetryAt.Sub(now))
		}
		if h, held := a.held[unit]; held {
			if wait := n.unsettled(h, now, a.since(unit)); wait > 0 {
				least = min(least, wait)
			}
			if wait := settleLimit - now.Sub(h.Since); n.startFailed() && h.Active == "active" && wait > 0 {
				least = min(least, wait)
			}
		}
	}
	return max(least, 10*time.Millisecond)
}

// hear takes in what the manager holds, and when a state was heard of: that a
// unit's next state isn't heard of yet means nothing for as long as this one took.
func (a *Agent) hear(held map[string]units.Status, now time.Time) {
	a.reporter.failures(a.held, held, a.want)
	a.tellHands(a.held, held)
	for name := range a.heard {
		if _, ok := held[name]; !ok {
			delete(a.heard, name)
		}
	}
	for name, h := range held {
		if before, ok := a.held[name]; !ok || !before.Since.Equal(h.Since) {
			a.heard[name] = now
		}
	}
	a.held = held
	if a.cfg.Show != nil {
		a.cfg.Show(maps.Clone(held))
	}
}

// since returns since when the agent would have heard of a change of a unit's state.
func (a *Agent) since(unit string) time.Time {
	if heard := a.heard[unit]; heard.After(a.awake) {
		return heard
	}
	return a.awake
}

// step plans, sets steps going and reports.
func (a *Agent) step(ctx context.Context, now time.Time) {
	if a.held != nil {
		a.isolate(now)
	}
	if a.want != nil && a.held != nil {
		a.prune()
		a.noticeHands(a.held)
		a.order.update(a.want, a.held)
		a.guard.update(a.want, a.leaving, a.held)
		a.checkFence()
		a.launch(ctx, a.fenced(Plan(a.want, a.held, a.notes, now)), now)
		a.conclude(now)
	}
	if a.notesDirty {
		a.notesDirty = false
		err := writeNotes(a.cfg.NotesPath, a.notes)
		if err != nil && !a.notesLost {
			a.log.Warn("notes not kept; after a restart of the daemon running units are adopted as they are", "error", err)
		}
		a.notesLost = err != nil
	}
	if a.want != nil && a.held != nil {
		a.reporter.report(a.statuses())
	}
}

// prune drops notes of units that are neither wanted nor held.
func (a *Agent) prune() {
	for unit := range a.notes {
		_, wanted := a.want[unit]
		_, held := a.held[unit]
		if !wanted && !held {
			a.forget(unit)
		}
	}
}

// launch sets the steps going that may go now. A batch waits for the batch of its kind before it.
func (a *Agent) launch(ctx context.Context, steps []Step, now time.Time) {
	most := a.pace.allow(a.starts, a.renewed(), now)
	a.withheld = false
	batches := map[StepKind][]Step{}
	due := make(map[string]StepKind, len(steps)+len(a.flights))
	for _, s := range steps {
		due[s.Unit] = s.Kind
	}
	for unit, f := range a.flights {
		due[unit] = f.kind
	}
	for _, s := range steps {
		if f := a.flights[s.Unit]; f != nil {
			if f.starts() && superseded(f.steps[0], s) {
				f.cancel()
			}
			continue
		}
		if a.order.waits(s, due) {
			continue
		}
		switch s.Kind {
		case Adopt:
			n := noteOf(s.Assignment)
			if was := a.notes[s.Unit]; was.Generation == n.Generation {
				n.ByHand = was.ByHand
			}
			a.note(s.Unit, n)
		case Unload, Load:
			if !a.flying(s.Kind) {
				batches[s.Kind] = append(batches[s.Kind], s)
			}
		case Stop, Release:
			a.fly(ctx, s.Kind, []Step{s})
		case Start, Restart:
			switch {
			case a.stopping():
			case a.starts < most:
				a.fly(ctx, s.Kind, []Step{s})
			default:
				a.withheld = most < startsAtOnce
			}
		}
	}
	for _, kind := range []StepKind{Unload, Load} {
		if len(batches[kind]) > 0 {
			a.fly(ctx, kind, batches[kind])
		}
	}
}

// renewed is when the last renewal of the session that was answered was sent; zero without a session.
func (a *Agent) renewed() time.Time {
	if a.session == nil {
		return time.Time{}
	}
	return a.session.Renewed()
}

// superseded reports whether a start in flight is no longer what is wanted.
func superseded(flying, due Step) bool {
	return due.Kind == Unload || due.Kind == Stop || due.Kind == Load ||
		due.Assignment.Restart > flying.Assignment.Restart
}

// flying reports whether a batch of a kind is in flight.
func (a *Agent) flying(kind StepKind) bool {
	for _, f := range a.flights {
		if f.kind == kind {
			return true
		}
	}
	return false
}

// stopping reports whether a unit that was taken away is being stopped: starts
// wait for it, as one may conflict with the other, but not for ever.
func (a *Agent) stopping() bool {
	for name, f := range a.flights {
		if _, ours := a.want[name]; f.kind == Stop && !ours && time.Since(f.since) < stopsFirst {
			return true
		}
	}
	return false
}

func (a *Agent) fly(ctx context.Context, kind StepKind, steps []Step) {
	ctx, cancel := context.WithCancel(ctx)
	f := &flight{kind: kind, steps: steps, since: time.Now(), cancel: cancel}
	for _, s := range steps {
		a.flights[s.Unit] = f
	}
	if f.starts() {
		a.starts++
		if a.guard.of[steps[0].Unit].exclusive {
			f.session = a.session
		}
	}
	go func() {
		a.perform(ctx, f)
		a.finished <- f
	}()
}

func (a *Agent) perform(ctx context.Context, f *flight) {
	m, name := a.cfg.Manager, f.steps[0].Unit
	one := func(err error) { f.errs = map[string]error{name: err} }
	switch f.kind {
	case Unload:
		names := make([]string, len(f.steps))
		for i, s := range f.steps {
			names[i] = s.Unit
		}
		f.errs, f.err = m.Unload(ctx, names)
	case Load:
		files := make([]units.UnitFile, len(f.steps))
		for i, s := range f.steps {
			files[i] = units.UnitFile{Name: s.Unit, Content: s.Assignment.Content, Hash: s.Assignment.Hash,
				TakeOver: s.Assignment.TakeOver}
		}
		f.errs, f.err = m.Load(ctx, files)
	case Stop, Isolate:
		one(m.Stop(ctx, name))
	case Start, Restart:
		if f.session != nil { // what is known here may be older than the fence
			if err := f.session.Confirm(ctx, f.steps[0].Assignment); err != nil {
				one(err)
				return
			}
		}
		if f.kind == Restart {
			one(m.Restart(ctx, name))
			return
		}
		one(m.Start(ctx, name))
	case Release:
		var err error
		f.path, err = a.release(ctx, name)
		one(err)
	}
}
