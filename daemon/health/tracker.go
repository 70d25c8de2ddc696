package health

import (
	"context"
	"log/slog"
	"maps"
	"reflect"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
)

const (
	// DefaultGrace is how long a daemon may stay away while its machine lives.
	DefaultGrace = 10 * time.Second
	probeTimeout = 150 * time.Millisecond
	probePause   = 100 * time.Millisecond // between probes that are answered
)

// Members is the part of membership.Membership a Tracker listens to.
type Members interface {
	Members() []membership.Member
	Changed() <-chan struct{}
}

// View is the part of view.View a Tracker reads.
type View interface {
	LastKnown() (snap *cluster.Snapshot, live bool, asOf time.Time, changed <-chan struct{})
}

// Config says how to judge.
type Config struct {
	Self  string        // this machine's ID
	Grace time.Duration // for a daemon to come back; DefaultGrace if zero
	// Probe looks at a machine's daemon; it returns when ctx ends.
	// membership.Probe with a timeout of 0.15 s if nil.
	Probe func(ctx context.Context, addr, id string) membership.Verdict
	Log   *slog.Logger
}

// State is the verdicts at one moment. Its map is never changed, and must not be.
type State struct {
	Health map[string]cluster.Health // by machine ID
	// Hold is why the units of failed machines are not to be moved: too many
	// vanished at once. Empty while they are.
	Hold string
}

// Tracker keeps a verdict on every machine that the store or gossip knows.
type Tracker struct {
	cfg     Config
	members Members
	view    View

	mu      sync.Mutex // guards what follows
	state   State
	changed chan struct{} // closed and replaced when state changes

	// What follows belongs to Run's goroutine.
	suspects map[string]*suspect
	first    map[string]time.Time
	left     map[string]departure
	census   census
	results  chan result
	probing  sync.WaitGroup
	machines map[string]cluster.Machine // as of the last look
	runs     map[string]cluster.Run
	live     bool
}

// suspect is a machine being probed.
type suspect struct {
	stop       context.CancelFunc
	verdict    membership.Verdict
	silent     int
	lastAnswer time.Time
}

type departure struct {
	how  cluster.Departure
	said time.Time // by its own clock: tells one departure from the next
	seen time.Time
}

type result struct {
	id      string
	of      *suspect
	verdict membership.Verdict
	at      time.Time
}

// New returns a Tracker. It judges while Run runs.
func New(cfg Config, members Members, view View) *Tracker {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Probe == nil {
		cfg.Probe = func(ctx context.Context, addr, id string) membership.Verdict {
			return membership.Probe(ctx, addr, id, probeTimeout)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Tracker{
		cfg: cfg, members: members, view: view, changed: make(chan struct{}),
		state:    State{Health: map[string]cluster.Health{}},
		suspects: map[string]*suspect{}, first: map[string]time.Time{}, left: map[string]departure{},
		results: make(chan result),
	}
}

// Health returns the verdict on each machine, by ID. The map must not be changed.
func (t *Tracker) Health() map[string]cluster.Health { return t.State().Health }

// State returns the verdicts and whether to hold, as of one moment.
func (t *Tracker) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// Changed returns a channel that is closed at the next change of a verdict or
// of the hold. Get the channel first and the state after it, and no change is missed.
func (t *Tracker) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// Run gathers evidence and judges until ctx ends; it returns when its probes have ended.
func (t *Tracker) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer t.probing.Wait()
	defer cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		gossip := t.members.Changed()
		snap, live, _, stored := t.view.LastKnown()
		again := t.judgeAll(ctx, snap, live)
		if !again.IsZero() {
			timer.Reset(max(time.Until(again), 0))
		} else {
			timer.Stop()
		}
		for quiet := true; quiet; {
			quiet = false
			select {
			case <-ctx.Done():
				return
			case <-gossip:
			case <-timer.C:
			case r := <-t.results:
				t.take(r)
			case <-stored:
				// Most changes in the store are of units, and say nothing of machines.
				snap, live, _, stored = t.view.LastKnown()
				quiet = t.seen(snap, live)
			}
		}
	}
}

// seen tells whether a snapshot says of the machines what the last one judged by did.
func (t *Tracker) seen(snap *cluster.Snapshot, live bool) bool {
	return snap != nil && live == t.live && sameMap(snap.Machines, t.machines) && sameMap(snap.Runs, t.runs)
}

// sameMap tells whether two maps are one; snapshots share what didn't change.
func sameMap[V any](a, b map[string]V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// take notes a probe's result.
func (t *Tracker) take(r result) {
	s := t.suspects[r.id]
	if s != r.of || r.verdict == membership.Unknown {
		return
	}
	s.verdict = r.verdict
	if r.verdict == membership.Silent {
		s.silent++
		return
	}
	s.silent, s.lastAnswer = 0, r.at
}

// judgeAll judges every machine, starts and ends probes, publishes what
// changed, and returns when to judge again at the latest.
func (t *Tracker) judgeAll(ctx context.Context, snap *cluster.Snapshot, live bool) (again time.Time) {
	now := time.Now()
	if snap != nil {
		t.machines, t.runs = snap.Machines, snap.Runs
	}
	t.live = live
	all := t.gather(now)
	old := t.State()
	next := State{Health: make(map[string]cluster.Health, len(all))}
	changed := len(all) != len(old.Health)
	for id, e := range all {
		was, known := old.Health[id]
		h, when := judge(e, was.State, now, t.cfg.Grace)
		if known && h.State == was.State {
			h = was
		} else {
			changed = true
			t.cfg.Log.Info("machine is "+string(h.State), "machine", id, "was", was.State, "evidence", h.Evidence)
		}
		next.Health[id] = h
		if !when.IsZero() && (again.IsZero() || when.Before(again)) {
			again = when
		}
		t.probe(ctx, id, e.doubtful(h.State))
	}
	for id := range t.suspects {
		if _, ok := all[id]; !ok {
			t.probe(ctx, id, false)
		}
	}
	var when time.Time
	next.Hold, when = t.census.count(now, t.cfg.Grace, next.Health, t.machines)
	if !when.IsZero() && (again.IsZero() || when.Before(again)) {
		again = when
	}
	if changed || next.Hold != old.Hold {
		t.publish(next)
	}
	return again
}

func (t *Tracker) publish(s State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = s
	close(t.changed)
	t.changed = make(chan struct{})
}

// gather puts together what is known of each machine.
func (t *Tracker) gather(now time.Time) map[string]evidence {
	all := make(map[string]evidence, len(t.machines))
	all[t.cfg.Self] = evidence{}
	for id, m := range t.machines {
		e := evidence{departure: m.Departure}
		if m.Departure != cluster.NotDeparted {
			if d := t.left[id]; d.how != m.Departure || !d.said.Equal(m.DepartureAt) {
				t.left[id] = departure{m.Departure, m.DepartureAt, now}
			}
			e.departedSeen = t.left[id].seen
		} else {
			delete(t.left, id)
		}
		all[id] = e
	}
	for _, m := range t.members.Members() {
		e := all[m.ID]
		e.gossip, e.since, e.lastSeen = m.State, m.Since, m.LastSeen
		all[m.ID] = e
	}
	for id, e := range all {
		if _, ok := t.first[id]; !ok {
			t.first[id] = now
		}
		_, e.registered = t.runs[id]
		e.self, e.storeKnown, e.firstSeen = id == t.cfg.Self, t.live, t.first[id]
		if s := t.suspects[id]; s != nil {
			e.probe, e.silent, e.lastAnswer = s.verdict, s.silent, s.lastAnswer
		}
		all[id] = e
	}
	maps.DeleteFunc(t.first, func(id string, _ time.Time) bool { _, ok := all[id]; return !ok })
	return all
}

// probe starts or ends the probing of a machine.
func (t *Tracker) probe(ctx context.Context, id string, wanted bool) {
	s := t.suspects[id]
	if !wanted {
		if s != nil {
			s.stop()
			delete(t.suspects, id)
		}
		return
	}
	addr := t.machines[id].ProbeAddress
	if s != nil || addr == "" {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	s = &suspect{stop: stop}
	t.suspects[id] = s
	t.probing.Go(func() {
		for ctx.Err() == nil {
			r := result{id: id, of: s, verdict: t.cfg.Probe(ctx, addr, id), at: time.Now()}
			select {
			case t.results <- r:
			case <-ctx.Done():
				return
			}
			if r.verdict == membership.Silent {
				continue // it took its time already
			}
			select {
			case <-time.After(probePause):
			case <-ctx.Done():
			}
		}
	})
}
