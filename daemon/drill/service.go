package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/view"
	"fleettop/units"
	"fleettop/units/fence"
	"fleettop/units/retry"
	"fleettop/units/wording"
)

const (
	// freshFor is how old a request may be, by two machines' clocks: one that comes
	// late, as the machine was cut off, would surprise.
	freshFor = 20 * time.Second
	// answerPause is for the answers that say that the drill begins.
	answerPause = 500 * time.Millisecond
	// readyLimit is how long the units of a machine that is back may take to start
	// until the drill is said to be over all the same.
	readyLimit = time.Minute
	writeLimit = 5 * time.Second
	watchLeast = 50 * time.Millisecond
	watchMost  = 2 * time.Second
)

// Store is the part of cluster.Store that a Service uses.
type Store interface {
	Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
	UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error
	Record(ctx context.Context, events ...cluster.Event) error
}

// View is the part of view.View that a Service uses.
type View interface{ Hold() *view.Lease }

// Health is what this daemon shows of machines.
type Health interface {
	Of(snap *cluster.Snapshot, live bool) map[string]cluster.Health
}

// Config says of which machine, and with what.
type Config struct {
	Self, Name     string
	StateDir, Boot string
	NotesPath      string // the agent's
	Store          Store
	View           View
	Health         Health
	Manager        units.Manager
	// Agent is what else acts on the units, and is stopped before they are killed.
	Agent *Part
	// Sessions has this machine's session with the cluster.
	Sessions interface {
		Session() (cluster.Session, <-chan struct{})
	}
	Log *slog.Logger
}

// Service carries out the drills that are asked of this machine, and tells when
// it is back from one.
type Service struct{ cfg Config }

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg} }

// Run watches this machine's record until ctx ends. A drill ends it as the
// daemon, by another program in its place; where that fails it returns an error.
func (s *Service) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		session, changed := s.cfg.Sessions.Session()
		if session != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	delay := retry.NewDelay(watchLeast, watchMost)
	for ctx.Err() == nil {
		if err := s.follow(ctx, delay.Reset); errors.Is(err, errOut) {
			return err
		} else if err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("this machine's record can't be followed; trying again", "error", err)
		}
		delay.Wait(ctx)
	}
	return nil
}

// errOut means that a drill took the units, and that this process can't go on.
var errOut = errors.New("the drill can't go on in this process")

func (s *Service) follow(ctx context.Context, works func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	snap, changes, err := s.cfg.Store.Watch(ctx, cluster.Scope{Machine: s.cfg.Self})
	if err != nil {
		return err
	}
	works()
	for {
		d := snap.Machines[s.cfg.Self].Drill
		switch {
		case d.Out():
			err = s.back(ctx, d)
		case d.UnderWay():
			err = s.take(ctx, snap, d)
		}
		if err != nil {
			return err
		}
		c, open := <-changes
		if !open {
			return errors.New("the watch ended")
		}
		for more := true; more; { // what was written meanwhile counts, not what came first
			snap = snap.With(c)
			select {
			case c, more = <-changes:
			default:
				more = false
			}
		}
	}
}

// update changes the record if it still has the drill.
func (s *Service) update(ctx context.Context, id string, change func(*cluster.Drill)) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	return s.cfg.Store.UpdateMachine(ctx, s.cfg.Self, cluster.OfKnown(func(m *cluster.Machine) error {
		if m.Drill.ID != id {
			return cluster.ErrConflict
		}
		change(&m.Drill)
		return nil
	}))
}

// take carries out a drill that was asked for, or says why it doesn't.
func (s *Service) take(ctx context.Context, own *cluster.Snapshot, d cluster.Drill) error {
	if r := s.check(ctx, own.Revision, d); r != nil {
		s.cfg.Log.Warn("a drill was not begun", "drill", d.ID, "by", d.By, "why", r.Why)
		return s.update(ctx, d.ID, func(d *cluster.Drill) { d.Refused = r.Error() })
	}
	began := time.Now().Add(answerPause)
	withdrawn := false
	err := s.update(ctx, d.ID, func(d *cluster.Drill) {
		if withdrawn = !d.UnderWay(); !withdrawn {
			d.Began = began
		}
	})
	if err != nil || withdrawn {
		return err
	}
	d.Began = began
	s.record(ctx, cluster.Event{Kind: cluster.EventDrill, Machine: s.cfg.Self, Time: time.Now(), By: d.By, Drill: d.ID,
		State: cluster.Failed, Text: fmt.Sprintf("drill: %s is taken out for %s, as by a loss of power", s.cfg.Name, wording.Age(d.For))})
	retry.Pause(ctx, time.Until(began))
	err = s.out(ctx, d)
	if err == nil || errors.Is(err, errOut) {
		return err
	}
	s.cfg.Log.Error("the drill was ended before it began; starting again", "error", err)
	text := fmt.Sprintf("drill: %s was not taken out: %v; its daemon starts again, and its units with it", s.cfg.Name, err)
	return errors.Join(errOut, err, s.over(ctx, d, "", text), replaceProgram())
}

// check is the last look before the drill, with all that is known here.
func (s *Service) check(ctx context.Context, revision int64, d cluster.Drill) *Refusal {
	if late := time.Since(d.Asked).Abs(); late > freshFor {
		return refuse("set the machines' clocks, and ask again", "the drill of %s was asked for %s away from now, by its clock",
			s.cfg.Name, late.Round(time.Second))
	}
	if err := CheckLength(d.For); err != nil {
		return refuse("ask for another length", "%v", err)
	}
	lease := s.cfg.View.Hold()
	defer lease.Release()
	limited, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	snap, err := lease.Snapshot(limited, revision)
	if err != nil {
		return refuse("try again when it can", "%s can't see the cluster's state: %v", s.cfg.Name, err)
	}
	return Check(snap, s.cfg.Health.Of(snap, true), s.cfg.Self, d.ID)
}

// out takes the machine out. It doesn't return where that succeeds.
func (s *Service) out(ctx context.Context, d cluster.Drill) error {
	s.cfg.Agent.Stop()
	held, err := heldBy(ctx, s.cfg.Manager)
	if err != nil {
		return fmt.Errorf("its units are not known: %w", err)
	}
	own, err := s.assigned(ctx)
	if err != nil {
		return fmt.Errorf("its units are not known: %w", err)
	}
	var list []Unit
	for k, a := range own.Assignments {
		if k.Machine == s.cfg.Self && slices.Contains(held, k.Unit) {
			list = append(list, Unit{k.Unit, a.Content})
		}
	}
	slices.SortFunc(list, func(a, b Unit) int { return cmp.Compare(a.Name, b.Name) })
	if err := arm(ctx, s.cfg.Manager, list); err != nil {
		return err
	}
	m := mark{ID: d.ID, Boot: s.cfg.Boot, Until: fence.Now() + d.For}
	if err := m.write(s.cfg.StateDir); err != nil {
		return err
	}
	err = kill(ctx, s.cfg.Manager, held)
	if err == nil {
		err = keepSockets()
	}
	if err == nil {
		return errors.Join(errOut, replaceProgram())
	}
	// What was killed is started as if it were new.
	return errors.Join(err, forget(ctx, s.cfg.Manager), os.RemoveAll(s.cfg.NotesPath), removeMark(s.cfg.StateDir))
}

// assigned returns a snapshot that has this machine's assignments as they are now.
func (s *Service) assigned(ctx context.Context) (*cluster.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	snap, _, err := s.cfg.Store.Watch(ctx, cluster.Scope{Machine: s.cfg.Self})
	return snap, err
}

// replaceProgram has this process begin anew, without a goodbye of any part of it.
// It returns only where that fails.
func replaceProgram() error {
	return fmt.Errorf("execute this program again: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// back tells that the drill is over when this machine is a full member again.
func (s *Service) back(ctx context.Context, d cluster.Drill) error {
	lease := s.cfg.View.Hold()
	defer lease.Release()
	limited, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		snap, live, _, changed := lease.Latest()
		if live && s.ready(snap) {
			break
		}
		select {
		case <-changed:
			continue
		case <-limited.Done():
		}
		break
	}
	if ctx.Err() != nil {
		return nil
	}
	text := fmt.Sprintf("drill: %s is back, and ready %.1f s after the %s that it was out", s.cfg.Name,
		time.Since(d.Ends()).Seconds(), wording.Age(d.For))
	if early := time.Until(d.Ends()); early > 0 {
		text = fmt.Sprintf("drill: %s is back %s before the end of the drill: it was booted, or its daemon started again",
			s.cfg.Name, wording.Age(early))
	}
	return s.over(ctx, d, cluster.Up, text)
}

// ready reports whether the leader takes this machine for up, and its units have started or failed.
func (s *Service) ready(snap *cluster.Snapshot) bool {
	if snap.Verdicts[s.cfg.Self].State != cluster.Up {
		return false
	}
	for k, a := range snap.Assignments {
		if k.Machine != s.cfg.Self || a.Desired != units.Launched || a.Finished {
			continue
		}
		st, reported := snap.Statuses[k]
		if !reported || st.Epoch != a.Epoch || st.Error == "" && st.Active == "activating" || st.Generation < a.Generation {
			return false
		}
	}
	return true
}

// over takes the drill out of the record, and puts that on the timeline.
func (s *Service) over(ctx context.Context, d cluster.Drill, state cluster.HealthState, text string) error {
	if err := s.update(ctx, d.ID, func(d *cluster.Drill) { *d = cluster.Drill{} }); err != nil {
		return err
	}
	s.record(ctx, cluster.Event{Kind: cluster.EventDrill, Machine: s.cfg.Self, Time: time.Now(), By: d.By, Drill: d.ID,
		State: state, Text: text})
	return nil
}

func (s *Service) record(ctx context.Context, e cluster.Event) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	if err := s.cfg.Store.Record(ctx, e); err != nil {
		s.cfg.Log.Warn("the drill is not in the timeline", "event", e.Text, "error", err)
	}
}

// Part is a part of the daemon that can be stopped before the others. Call NewPart.
type Part struct {
	run  func(context.Context) error
	stop chan struct{}
	once sync.Once
	done chan struct{}
}

// NewPart returns a part that runs as run does.
func NewPart(run func(context.Context) error) *Part {
	return &Part{run: run, stop: make(chan struct{}), done: make(chan struct{})}
}

// Run runs the part until ctx ends or it is stopped.
func (p *Part) Run(ctx context.Context) error {
	defer close(p.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return p.run(ctx)
}

// Stop ends the part, and returns when it has ended. Run must have been called, or be about to be.
func (p *Part) Stop() {
	p.once.Do(func() { close(p.stop) })
	<-p.done
}
