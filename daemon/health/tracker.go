package health

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/units/broadcast"
)

// DefaultGrace is how long a daemon may stay away while its machine lives.
const DefaultGrace = 10 * time.Second

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
	// Probe looks at a machine's daemon; membership.Probe if nil.
	Probe func(ctx context.Context, addr, id string, p membership.Patience, tell func(membership.Verdict))
	// Ask asks another machine what it sees; membership.Ask if nil.
	Ask func(ctx context.Context, addr, witness, id string, limit time.Duration) membership.Verdict
	// Tell tells another machine of a doubt; membership.Doubt if nil.
	Tell func(ctx context.Context, addr, id string, limit time.Duration)
	// Decides reports whether this machine leads or may come to lead, so that
	// others are worth asking for its verdicts. It always does if nil.
	Decides func() bool
	// Interval is gossip's between probes; its default if zero.
	Interval time.Duration
	Log      *slog.Logger
}

// State is the verdicts at one moment. Its map is never changed, and must not be.
type State struct {
	Health map[string]cluster.Health // by machine ID
	// Hold is why the units of failed machines are not to be moved: too many
	// vanished at once. Empty while they are.
	Hold string
	// Gathering is until when the machines of a cluster that was down as a whole
	// have to come back; zero when they have.
	Gathering time.Time
	// Missing are the machines it waits for till then.
	Missing []string
	// Session is the session of this machine (cluster.Run) in which it judged so, with
	// the store in view; 0 where it had none. In another session the verdicts say nothing.
	Session int
}

// Tracker keeps a verdict on every machine that the store or gossip knows.
type Tracker struct {
	cfg     Config
	members Members
	view    View

	changed broadcast.Signal // of state

	mu    sync.Mutex // guards state
	state State

	// What follows belongs to Run's goroutine.
	began    time.Time
	suspects map[string]*suspect
	ways     map[string]*way // to machines that were probed
	whys     map[string]string
	first    map[string]time.Time
	seenUp   map[string]bool // machines that were up at some time
	knew     bool            // whether the store's machines were known at the look before
	absent   map[string]*absences
	passed   []time.Time          // when a doubt about a machine came to nothing, lately
	seated   map[string]time.Time // since when each run is in the store
	left     map[string]departure
	census   census
	results  chan result
	rounds   chan round
	doubts   chan string // machines that another one missed an answer of
	present  chan presence
	missed   map[string]time.Time // machines that were silent in the last roll call
	rolled   time.Time            // the last roll call
	probing  sync.WaitGroup
	machines map[string]cluster.Machine // as of the last look
	runs     map[string]cluster.Run
	live     bool

	told      map[string]time.Time // when another machine's doubt was noted
	spreading map[string]bool      // doubts of this machine that were told

	session  int       // this machine's own, as the store last had it; 0 for none
	seatedAt time.Time // since when
}

type departure struct {
	how  cluster.Departure
	said time.Time // by its own clock: tells one departure from the next
	seen time.Time
	// before: it was so when the machines were first seen here.
	before bool
}

// New returns a Tracker. It judges while Run runs.
func New(cfg Config, members Members, view View) *Tracker {
	if cfg.Grace == 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.Probe == nil {
		cfg.Probe = membership.Probe
	}
	if cfg.Ask == nil {
		cfg.Ask = membership.Ask
	}
	if cfg.Tell == nil {
		cfg.Tell = membership.Doubt
	}
	if cfg.Decides == nil {
		cfg.Decides = func() bool { return true }
	}
	if cfg.Interval == 0 {
		cfg.Interval = membership.DefaultProbeInterval
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Tracker{
		cfg: cfg, members: members, view: view,
		state:    State{Health: map[string]cluster.Health{}},
		suspects: map[string]*suspect{}, ways: map[string]*way{}, whys: map[string]string{}, first: map[string]time.Time{},
		seenUp: map[string]bool{}, absent: map[string]*absences{}, seated: map[string]time.Time{},
		left:    map[string]departure{},
		results: make(chan result), rounds: make(chan round), doubts: make(chan string, doubtsAtOnce),
		told: map[string]time.Time{}, spreading: map[string]bool{},
		present: make(chan presence), missed: map[string]time.Time{},
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
func (t *Tracker) Changed() <-chan struct{} { return t.changed.Changed() }

// Run gathers evidence and judges until ctx ends; it returns when its probes have ended.
func (t *Tracker) Run(ctx context.Context) {
	t.began = time.Now()
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
			case r := <-t.rounds:
				t.takeRound(r)
			case id := <-t.doubts:
				quiet = !t.noteDoubt(id, time.Now())
			case p := <-t.present:
				quiet = !t.notePresence(p)
			case <-stored:
				// Most changes in the store are of units, and say nothing of machines.
				snap, live, _, stored = t.view.LastKnown()
				quiet = t.seen(snap, live)
			}
		}
	}
}

// seen reports whether a snapshot says of the machines what the last one judged by did.
func (t *Tracker) seen(snap *cluster.Snapshot, live bool) bool {
	return snap != nil && live == t.live &&
		cluster.SameMap(snap.Machines, t.machines) && cluster.SameMap(snap.Runs, t.runs)
}

// judgeAll judges every machine, starts and ends probes, publishes what
// changed, and returns when to judge again at the latest.
func (t *Tracker) judgeAll(ctx context.Context, snap *cluster.Snapshot, live bool) (again time.Time) {
	now := time.Now()
	soonest := func(when time.Time) {
		if !when.IsZero() && (again.IsZero() || when.Before(again)) {
			again = when
		}
	}
	t.see(snap, live, now)
	if t.changedSession(now) { // what was seen in the session before is forgotten
		for id := range t.suspects {
			t.probe(ctx, id, false)
		}
		clear(t.told)
	}
	members := t.members.Members()
	all := t.gather(members, now)
	t.spread(ctx, members, all)
	old := t.State()
	next := State{Health: make(map[string]cluster.Health, len(all))}
	changed := len(all) != len(old.Health)
	deaf, found := map[string]bool{}, make(map[string]verdict, len(all))
	for id, e := range all {
		found[id] = judge(e, old.Health[id].State, now, t.cfg.Grace)
	}
	t.postpone(found, all, now)
	for id, e := range all {
		was, known := old.Health[id]
		v := found[id]
		t.absent[id].after(was.State, v, e, now)
		h := v.health(e, was, t.whys[id], now)
		if !known || h != was {
			changed = true
		}
		if !known || h.State != was.State {
			level := slog.LevelInfo
			if passing(was.State) && passing(h.State) {
				level = slog.LevelDebug // a machine with a slow network is suspect every second
			}
			t.cfg.Log.Log(ctx, level, "machine is "+string(h.State), "machine", id, "was", was.State, "evidence", h.Evidence)
		}
		if known && was.State == cluster.Suspect && h.State == cluster.Up {
			t.passed = append(t.passed, now)
		}
		next.Health[id], t.whys[id] = h, v.why
		if v.deaf {
			deaf[id] = true
		}
		if v.state == cluster.Up {
			t.seenUp[id] = true
		}
		soonest(v.again)
		t.probe(ctx, id, e.doubtful(h.State))
	}
	for id := range t.suspects {
		if _, ok := all[id]; !ok {
			t.probe(ctx, id, false)
		}
	}
	soonest(t.callRoll(ctx, all, now))
	var when time.Time
	next.Hold, when = t.census.count(now, t.cfg.Grace, next.Health, t.machines, deaf, t.runs)
	soonest(when)
	if next.Hold != "" {
		for id, h := range next.Health {
			if h.State == cluster.Failed {
				t.absent[id].excuse()
			}
		}
	}
	if t.live {
		next.Session = t.session
		next.Gathering, next.Missing = gathering(t.began.Add(t.cfg.Grace), now, t.machines, t.seenUp)
		soonest(next.Gathering)
	}
	if changed || next.Hold != old.Hold || next.Session != old.Session || !next.Gathering.Equal(old.Gathering) ||
		len(next.Missing) != len(old.Missing) {
		t.publish(next)
	}
	return again
}

// passing reports whether a machine in a state may be in another one a moment later.
func passing(s cluster.HealthState) bool { return s == cluster.Up || s == cluster.Suspect }

// see takes note of what the store shows.
func (t *Tracker) see(snap *cluster.Snapshot, live bool, now time.Time) {
	if snap != nil {
		t.machines, t.runs = snap.Machines, snap.Runs
	}
	if !live || !t.live {
		clear(t.seated) // a session that is seen after a gap may have ended in it
	}
	t.live = live
	if !live {
		return
	}
	for id := range t.runs {
		if _, ok := t.seated[id]; !ok {
			t.seated[id] = now
		}
	}
	maps.DeleteFunc(t.seated, func(id string, _ time.Time) bool { _, ok := t.runs[id]; return !ok })
}

// changedSession reports whether this machine has another session with the store than before.
func (t *Tracker) changedSession(now time.Time) bool {
	own := t.runs[t.cfg.Self].Session
	if !t.live || own == t.session {
		return false
	}
	t.session, t.seatedAt = own, now
	return true
}

// health is a verdict as others are told it. Within a state the time it began is kept.
func (v verdict) health(e evidence, was cluster.Health, why string, now time.Time) cluster.Health {
	if was.State == v.state {
		if v.why != why {
			was.Evidence = v.text
		}
		was.BackAt, was.Blocked = v.back, v.blocked
		return was
	}
	h := cluster.Health{State: v.state, Since: now, Evidence: v.text, BackAt: v.back, Blocked: v.blocked}
	if h.State == cluster.Suspect || h.State == cluster.Failed {
		h.SilentSince = e.silence()
	}
	return h
}

func (t *Tracker) publish(s State) {
	t.mu.Lock()
	t.state = s
	t.mu.Unlock()
	t.changed.Notify()
}

// gather puts together what is known of each machine.
func (t *Tracker) gather(members []membership.Member, now time.Time) map[string]evidence {
	all := make(map[string]evidence, len(t.machines))
	all[t.cfg.Self] = evidence{}
	for id, m := range t.machines {
		e := evidence{recorded: true, departure: m.Departure}
		if m.Departure != cluster.NotDeparted {
			if d := t.left[id]; d.how != m.Departure || !d.said.Equal(m.DepartureAt) {
				t.left[id] = departure{m.Departure, m.DepartureAt, now, !t.knew}
			}
			e.departedSeen, e.departedBefore = t.left[id].seen, t.left[id].before
		} else {
			delete(t.left, id)
		}
		all[id] = e
	}
	t.knew = t.knew || t.machines != nil
	unanswered := map[string]time.Time{}
	for _, m := range members {
		e := all[m.ID]
		e.gossip, e.since, e.lastSeen, e.gossipAddr = m.State, m.Since, m.LastSeen, m.Address
		e.lastPacket, e.overTCP = m.LastPacket, m.OverTCP
		e.interval = t.cfg.Interval
		unanswered[m.ID] = t.unanswered(m, now)
		e.unanswered = !unanswered[m.ID].IsZero()
		e.clearView = t.clearView(m, unanswered[m.ID], members)
		if w := t.ways[m.ID]; w != nil && m.LastAck.After(w.at) {
			delete(t.ways, m.ID) // it answers in time again
		}
		all[m.ID] = e
	}
	t.passed = slices.DeleteFunc(t.passed, func(at time.Time) bool { return now.Sub(at) > lossyLasts })
	t.keepLeft(all)
	for id, e := range all {
		if _, ok := t.first[id]; !ok {
			t.first[id], t.absent[id] = now, &absences{}
		}
		run, registered := t.runs[id]
		e.self, e.storeKnown, e.firstSeen, e.began = id == t.cfg.Self, t.live, t.first[id], t.began
		e.registered, e.registeredAt, e.boot = registered, t.seated[id], run.Boot
		if m, ok := t.machines[id]; ok {
			e.gossipAddr, e.probeAddr = m.GossipAddress, m.ProbeAddress
		}
		if s := t.suspects[id]; s != nil {
			e.probe, e.silent, e.looked = s.verdict, s.silent, s.looked
			e.lastAnswer, e.answered = s.lastAnswer, s.answered
		}
		if e.gossip == membership.Alive && (e.looked.silent() && e.unanswered || t.failedSince(id, unanswered[id])) {
			e.gossip = membership.Suspect // as it will be a moment later
		}
		e.lossy = len(t.passed) >= lossyDoubts
		e.roundTrip = t.ways[id].roundTrip(now)
		e.unheard = e.silence().Before(t.seatedAt)
		t.absent[id].before(&e, now)
		all[id] = e
	}
	deaf := map[string]bool{}
	for id, e := range all {
		if e.registered && !e.self && e.gossip != membership.Alive {
			deaf[id] = true
		}
	}
	for id, e := range all {
		if e.others = len(deaf); deaf[id] {
			e.others--
		}
		all[id] = e
	}
	gone := func(id string) bool { _, ok := all[id]; return !ok }
	maps.DeleteFunc(t.first, func(id string, _ time.Time) bool { return gone(id) })
	maps.DeleteFunc(t.absent, func(id string, _ *absences) bool { return gone(id) })
	maps.DeleteFunc(t.told, func(id string, _ time.Time) bool { return gone(id) })
	maps.DeleteFunc(t.spreading, func(id string, _ bool) bool { return gone(id) })
	maps.DeleteFunc(t.ways, func(id string, _ *way) bool { return gone(id) })
	maps.DeleteFunc(t.whys, func(id string, _ string) bool { return gone(id) })
	maps.DeleteFunc(t.seenUp, func(id string, _ bool) bool { return gone(id) })
	return all
}

// failedSince reports whether a machine failed that has given no sign of life
// since a time; zero if it has.
func (t *Tracker) failedSince(id string, unanswered time.Time) bool {
	h := t.State().Health[id]
	return !unanswered.IsZero() && h.State == cluster.Failed && !unanswered.After(h.Since)
}

// keepLeft keeps the word of a machine that left for good while gossip still has it:
// its record is removed as soon as it is gone.
func (t *Tracker) keepLeft(all map[string]evidence) {
	for id, d := range t.left {
		if _, recorded := t.machines[id]; recorded {
			continue
		}
		e, heard := all[id]
		if !heard || d.how != cluster.Left {
			delete(t.left, id)
			continue
		}
		e.departure, e.departedSeen = d.how, d.seen
		all[id] = e
	}
}
