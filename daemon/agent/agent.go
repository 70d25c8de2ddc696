package agent

import (
	"context"
	"errors"
	"fmt"
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
	NotesPath string // a file on a file system that doesn't survive a reboot
	Log       *slog.Logger
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
	// jobsAtOnce bounds the jobs in flight.
	jobsAtOnce = 256

	rewatchLeast = 50 * time.Millisecond
	rewatchMost  = 2 * time.Second
)

// Agent keeps a machine's units as assigned. Run owns all its state.
type Agent struct {
	cfg      Config
	log      *slog.Logger
	sessions chan cluster.Session
	pings    chan struct{}

	want     map[string]cluster.Assignment // nil without a current snapshot
	held     map[string]units.Status       // nil without a current list
	notes    map[string]Note
	flights  map[string]*flight
	finished chan *flight

	notesDirty bool
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
}

// New returns an Agent. Nothing happens before Run.
func New(cfg Config) *Agent {
	return &Agent{cfg: cfg, log: cfg.Log, sessions: make(chan cluster.Session, 1), pings: make(chan struct{}),
		flights: map[string]*flight{}, finished: make(chan *flight)}
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
	retry := time.NewTimer(fullPass)
	defer retry.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case a.want = <-assigned:
		case held := <-statuses:
			a.reporter.failures(a.held, held, a.want)
			a.held = held
		case f := <-a.finished:
			a.land(f)
		case s := <-a.sessions:
			a.reporter.setSession(s)
			register()
		case <-a.pings:
			continue
		case <-pass.C:
		case <-retry.C:
		}
		a.step(ctx)
		retry.Reset(a.untilRetry())
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
// look at a start that waits for a stop or for the manager's word on its outcome.
func (a *Agent) untilRetry() time.Duration {
	least := fullPass
	if a.leaving() {
		least = time.Second
	}
	for unit, n := range a.notes {
		if a.flights[unit] == nil && !n.RetryAt.IsZero() {
			least = min(least, time.Until(n.RetryAt))
		}
		if !n.settled(a.held[unit], time.Now()) {
			least = min(least, time.Until(n.done.Add(settleLimit)))
		}
	}
	return max(least, 10*time.Millisecond)
}

// step plans, sets steps going and reports.
func (a *Agent) step(ctx context.Context) {
	if a.want != nil && a.held != nil {
		a.prune()
		a.launch(ctx, Plan(a.want, a.held, a.notes, time.Now()))
	}
	if a.notesDirty {
		a.notesDirty = false
		if err := writeNotes(a.cfg.NotesPath, a.notes); err != nil {
			a.log.Warn("notes not kept; after a restart of the daemon running units are adopted as they are", "error", err)
		}
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
func (a *Agent) launch(ctx context.Context, steps []Step) {
	batches := map[StepKind][]Step{}
	for _, s := range steps {
		if f := a.flights[s.Unit]; f != nil {
			if (f.kind == Start || f.kind == Restart) && superseded(f.steps[0], s) {
				f.cancel()
			}
			continue
		}
		switch s.Kind {
		case Adopt:
			a.note(s.Unit, noteOf(s.Assignment))
		case Unload, Load:
			if !a.flying(s.Kind) {
				batches[s.Kind] = append(batches[s.Kind], s)
			}
		case Stop:
			a.fly(ctx, s.Kind, []Step{s})
		case Start, Restart:
			if len(a.flights) < jobsAtOnce && !a.leaving() {
				a.fly(ctx, s.Kind, []Step{s})
			}
		}
	}
	for _, kind := range []StepKind{Unload, Load} {
		if len(batches[kind]) > 0 {
			a.fly(ctx, kind, batches[kind])
		}
	}
}

// superseded tells whether a start in flight is no longer what is wanted.
func superseded(flying, due Step) bool {
	return due.Kind == Unload || due.Kind == Stop || due.Kind == Load ||
		due.Assignment.Restart > flying.Assignment.Restart
}

// flying tells whether a batch of a kind is in flight.
func (a *Agent) flying(kind StepKind) bool {
	for _, f := range a.flights {
		if f.kind == kind {
			return true
		}
	}
	return false
}

// leaving tells whether a unit that was taken away is being stopped: starts
// wait for it, as one may conflict with the other, but not for ever.
func (a *Agent) leaving() bool {
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
			files[i] = units.UnitFile{Name: s.Unit, Content: s.Assignment.Content, Hash: s.Assignment.Hash}
		}
		f.errs, f.err = m.Load(ctx, files)
	case Stop:
		one(m.Stop(ctx, name))
	case Start:
		one(m.Start(ctx, name))
	case Restart:
		one(m.Restart(ctx, name))
	}
}

// land notes what became of a flight.
func (a *Agent) land(f *flight) {
	f.cancel()
	now := time.Now()
	for _, s := range f.steps {
		delete(a.flights, s.Unit)
		err := f.errs[s.Unit]
		if err == nil {
			err = f.err
		}
		switch {
		case errors.Is(err, context.Canceled):
		case f.kind == Unload && err == nil:
			a.forget(s.Unit)
		case err != nil:
			a.failed(s, err, now)
		case f.kind == Load:
			if _, had := a.held[s.Unit]; !had || a.notes[s.Unit].Error != "" {
				a.forget(s.Unit)
			}
			a.holds(s)
		case s.Assignment.Unit == "":
			a.note(s.Unit, Note{Desired: units.Inactive})
		default:
			n := noteOf(s.Assignment)
			if f.kind == Start || f.kind == Restart {
				n.started, n.done = f.since, now
			}
			a.note(s.Unit, n)
		}
	}
}

// holds remembers at once that the manager has a file, without waiting to be told.
func (a *Agent) holds(s Step) {
	if a.held == nil {
		return
	}
	a.held = maps.Clone(a.held)
	h, ok := a.held[s.Unit]
	if !ok {
		h = units.Status{Name: s.Unit, Load: "loaded", Active: "inactive", Sub: "dead", Since: time.Now()}
	}
	h.Hash = s.Assignment.Hash
	a.held[s.Unit] = h
}

// failed quarantines a unit with its error. A job that ran and failed is
// carried out: its Restart= has had its say, and so will the next verb.
func (a *Agent) failed(s Step, err error, now time.Time) {
	n := noteOf(s.Assignment)
	n.Error = err.Error()
	retry := retryJob
	var job *units.JobError
	switch {
	case s.Assignment.Unit == "":
	case errors.As(err, &job):
		retry = 0
	case errors.Is(err, units.ErrNotLoaded):
		n, retry = a.notes[s.Unit], 0
	case s.Kind == Load:
		retry = retryLoad
	}
	if retry > 0 {
		n.RetryAt = now.Add(retry)
		// How often, not when next: the status stays the same from try to try.
		n.Error += fmt.Sprintf("; it is tried again every %.0f s", retry.Seconds())
	}
	a.log.Warn("could not "+s.Kind.String(), "unit", s.Unit, "error", err)
	a.note(s.Unit, n)
}

func (a *Agent) note(unit string, n Note) {
	a.notes[unit] = n
	a.notesDirty = true
}

func (a *Agent) forget(unit string) {
	delete(a.notes, unit)
	a.notesDirty = true
}

// statuses is what is to be reported: every unit held or refused.
func (a *Agent) statuses() map[string]cluster.Status {
	out := make(map[string]cluster.Status, len(a.held))
	now := time.Now()
	for name, h := range a.held {
		n := a.notes[name]
		s := cluster.Status{Machine: a.cfg.Machine, Status: h, Error: n.Error, Generation: n.Generation}
		if !n.settled(h, now) {
			s.Generation = 0
		}
		if w, ok := a.want[name]; ok {
			s.Epoch = w.Epoch
		}
		out[name] = s
	}
	for name, w := range a.want {
		n := a.notes[name]
		if _, ok := out[name]; !ok && n.Error != "" {
			out[name] = cluster.Status{Machine: a.cfg.Machine, Epoch: w.Epoch, Generation: n.Generation, Error: n.Error,
				Status: units.Status{Name: name, Hash: w.Hash, Load: "error", Active: "inactive", Sub: "dead"}}
		}
	}
	return out
}

// watchAssignments sends what this machine is assigned at every change, and nil when that is no longer known.
func (a *Agent) watchAssignments(ctx context.Context, out chan<- map[string]cluster.Assignment) {
	retry := rewatchLeast
	for ctx.Err() == nil {
		snap, changes, err := a.cfg.Store.Watch(ctx, cluster.Scope{Machine: a.cfg.Machine})
		if err == nil {
			retry = rewatchLeast
			for open := true; open; {
				if !send(ctx, out, assignmentsOf(snap, a.cfg.Machine)) {
					return
				}
				var c cluster.Change
				if c, open = <-changes; open {
					snap = snap.With(c)
				}
			}
			if !send(ctx, out, nil) {
				return
			}
		}
		pause(ctx, retry)
		retry = min(2*retry, rewatchMost)
	}
}

func assignmentsOf(snap *cluster.Snapshot, machine string) map[string]cluster.Assignment {
	m := make(map[string]cluster.Assignment, len(snap.Assignments))
	for k, v := range snap.Assignments {
		if k.Machine == machine {
			m[k.Unit] = v
		}
	}
	return m
}

// watchManager sends the statuses of all units held at every change, and nil when they are no longer known.
func (a *Agent) watchManager(ctx context.Context, out chan<- map[string]units.Status) {
	retry := rewatchLeast
	for ctx.Err() == nil {
		list, changes, err := a.cfg.Manager.Watch(ctx)
		if err != nil {
			a.log.Warn("the manager of units doesn't answer; trying again", "error", err, "in", retry)
			pause(ctx, retry)
			retry = min(2*retry, rewatchMost)
			continue
		}
		retry = rewatchLeast
		held := map[string]units.Status{}
		for open := true; open; {
			held = maps.Clone(held)
			for _, s := range list {
				if s.Load == "not-found" {
					delete(held, s.Name)
				} else {
					held[s.Name] = s
				}
			}
			if !send(ctx, out, held) {
				return
			}
			list, open = <-changes
		}
		if !send(ctx, out, nil) {
			return
		}
	}
}

func send[T any](ctx context.Context, out chan<- T, v T) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
