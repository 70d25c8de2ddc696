package engine

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/cluster/schedule"
	"fleettop/daemon/health"
	"fleettop/units"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "replay one seed of the simulation, loudly")
	simSeeds = flag.Uint64("sim.seeds", 200, "how many seeds the simulation runs")
)

const (
	simTick   = 50 * time.Millisecond
	simLease  = 3 * time.Second
	simDetect = 700 * time.Millisecond // from silence to the verdict
	simSteps  = 300
	simSettle = 200 // steps without faults, at most, until all is as it should be
)

// sim is a cluster on paper: machines with an agent each, a network that cuts
// them off, daemons that stop between any two steps, all driven by one seed in one goroutine.
type sim struct {
	t      *testing.T
	rng    *rand.Rand
	ctx    context.Context
	clock  *memstore.ManualClock
	truth  *memstore.Cluster
	admin  *memstore.Store
	nodes  []*node
	newest map[string]cluster.Assignment // the latest of each unit
	calm   bool                          // no more faults
	seq    int
}

// node is one machine.
type node struct {
	id      string
	on, cut bool
	dark    time.Time // since when nobody hears it
	store   *memstore.Store
	session cluster.Session
	run     string
	view    *cluster.Snapshot
	running map[string]int64 // units, with the epoch they were started for
	planner *schedule.Planner
	term    *term
	lapses  *lapses
	fence   fenceModel
	late    *look // decided and not written yet
	delay   int
}

func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		runSim(t, *simSeed)
		return
	}
	for seed := uint64(1); seed <= *simSeeds && !t.Failed(); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("replay it with: go test ./daemon/engine/ -run TestSimulation -v -sim.seed %d", seed)
				}
			}()
			runSim(t, seed)
		})
	}
}

func runSim(t *testing.T, seed uint64) {
	clock := memstore.NewManualClock(time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC))
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 1)), ctx: t.Context(), clock: clock,
		truth: memstore.NewWithClock(clock), newest: map[string]cluster.Assignment{}}
	s.admin = s.truth.Open()
	for k := range 3 + s.rng.IntN(3) {
		s.nodes = append(s.nodes, &node{id: fmt.Sprintf("n%d", k+1), running: map[string]int64{}})
	}
	for range simSteps {
		s.fault()
		s.step()
		if t.Failed() {
			return
		}
	}
	s.calm = true
	for _, n := range s.nodes {
		if n.on && n.cut {
			s.heal(n)
		}
	}
	if !slices.ContainsFunc(s.nodes, func(n *node) bool { return n.on }) {
		s.boot(s.nodes[0])
	}
	for k := 0; ; k++ {
		s.step()
		err := s.settled()
		if err == nil || t.Failed() {
			return
		}
		if k == simSettle {
			t.Errorf("not settled: %v", err)
			return
		}
	}
}

func (s *sim) say(format string, args ...any) {
	if *simSeed != 0 {
		s.t.Logf("%s rev %d: "+format, append([]any{s.clock.Now().Format("05.00"), s.truth.Snapshot().Revision}, args...)...)
	}
}

func (s *sim) chance(percent int) bool { return s.rng.IntN(100) < percent }

func (s *sim) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// fault lets something happen from outside.
func (s *sim) fault() {
	n := s.nodes[s.rng.IntN(len(s.nodes))]
	switch s.rng.IntN(40) {
	case 0, 1, 2, 3:
		if !n.on {
			s.boot(n)
		}
	case 4:
		if n.on {
			s.say("%s loses power", n.id)
			s.dark(n)
			n.on, n.cut, n.session, n.view, n.term, n.late, n.running = false, false, nil, nil, nil, nil, map[string]int64{}
			n.fence = fenceModel{}
			s.must(n.store.Close())
		}
	case 5:
		if n.on && !n.cut {
			s.say("%s is cut off", n.id)
			s.dark(n)
			n.cut = true
			n.store.SetReachable(false)
		}
	case 6, 7:
		if n.cut {
			s.heal(n)
		}
	case 8, 9, 10, 11:
		s.changeUnit()
	case 12:
		s.must(s.admin.UpdateMachine(s.ctx, n.id, func(m *cluster.Machine) error {
			m.Name = n.id
			to := []cluster.Schedulability{cluster.Schedulable, cluster.Schedulable, cluster.Cordoned, cluster.Drained}[s.rng.IntN(4)]
			if to == cluster.Drained {
				m.SetDrained(s.rng.IntN(3), s.rng.IntN(4) == 0, s.clock.Now())
			} else {
				m.SetSchedule(to, s.clock.Now())
			}
			s.say("%s is %q", n.id, m.Schedule)
			return nil
		}))
	}
}

func (s *sim) dark(n *node) {
	if n.dark.IsZero() {
		n.dark = s.clock.Now()
	}
}

func (s *sim) boot(n *node) {
	s.seq++
	n.on, n.dark, n.run, n.store, n.planner = true, time.Time{}, fmt.Sprintf("run%d",
		s.seq), s.truth.Open(), schedule.New()
	n.lapses, n.fence = &lapses{}, fenceModel{drift: time.Duration(s.rng.IntN(3)-1) * lapseAfter(0) / 100}
	s.say("%s boots, %s", n.id, n.run)
	s.must(n.store.UpdateMachine(s.ctx, n.id, func(m *cluster.Machine) error { m.Name, m.Fences = n.id, true; return nil }))
}

func (s *sim) heal(n *node) {
	s.say("%s is back", n.id)
	n.cut, n.dark = false, time.Time{}
	n.store.SetReachable(true)
}

func (s *sim) changeUnit() {
	names := []string{"a.service", "b.service", "w@1.service", "w@2.service", "w@3.service", "g.service", "f.service",
		"x.service", "x@1.service", "x@2.service"}
	name := names[s.rng.IntN(len(names))]
	old := s.truth.Snapshot().Units[name]
	if old.Name != "" && s.chance(15) {
		s.say("destroy %s", name)
		_, err := s.admin.DeleteUnits(s.ctx, []string{name})
		s.must(err)
		return
	}
	options := map[string]string{"g.service": "Global=true", "f.service": "MachineOf=a.service",
		"x.service": "Exclusive=true", "x@1.service": "Exclusive=true", "x@2.service": "Exclusive=true\nConflicts=x@*.service",
		"w@1.service": "Conflicts=w@*.service",
		"w@2.service": "Conflicts=w@*.service"}[name]
	content := fmt.Sprintf("[Service]\nExecStart=/bin/sleep %d\n[X-Fleet]\n%s\n", s.rng.IntN(2), options)
	sum := sha1.Sum([]byte(content))
	desired := []units.DesiredState{units.Launched, units.Launched, units.Launched, units.Loaded,
		units.Inactive}[s.rng.IntN(5)]
	s.say("put %s %s", name, desired)
	errs, err := s.admin.PutUnits(s.ctx, []cluster.Unit{{Name: name, Content: content, Hash: hex.EncodeToString(sum[:]),
		Desired: desired, Generation: old.Generation + 1}})
	s.must(err)
	s.must(errs[0])
}

// step lets time pass and every machine that runs do its part, in any order.
func (s *sim) step() {
	s.clock.Advance(simTick)
	for _, n := range s.nodes {
		s.endFenced(n)
	}
	for _, k := range s.rng.Perm(len(s.nodes)) {
		if n := s.nodes[k]; n.on && !n.cut {
			s.work(n)
			s.check()
		}
	}
}

func (s *sim) work(n *node) {
	if n.view == nil || s.calm || s.chance(70) { // else its view lags
		n.view = s.truth.Snapshot()
	}
	if n.session != nil {
		select {
		case <-n.session.Done():
			n.session, n.term, n.late = nil, nil, nil
		default:
		}
	}
	if n.session == nil {
		session, err := n.store.Register(s.ctx, cluster.Run{Machine: n.id, ID: n.run, Address: n.id + ":1"}, simLease)
		s.must(err)
		n.session = session
		if s.calm || s.chance(70) { // else its watch goes on, and lags
			n.view = s.truth.Snapshot()
		}
	}
	n.lapses.observe(n.view, s.clock.Now)
	s.lead(n)
	s.renewFence(n)
	s.agent(n)
}

// lead is a node's part as leader or candidate.
func (s *sim) lead(n *node) {
	judged := s.judged(n)
	if l := n.view.Leader; (deposed{}).dead(l, judged.Health, n.id) {
		s.must(n.store.Evict(s.ctx, l.Machine, l.Run))
	}
	if n.term == nil {
		if s.truth.Snapshot().Leader.Run != "" {
			return
		}
		l, err := n.store.Campaign(s.ctx, n.session)
		if errors.Is(err, cluster.ErrSessionLost) {
			return
		}
		s.must(err)
		s.say("%s leads, term %d", n.id, l.Term)
		n.term = newTerm(l, n.planner)
		n.term.lapses = n.lapses
	}
	if n.late == nil {
		if !n.term.ready(n.view) {
			return
		}
		look := n.term.look(n.view, judged, s.clock.Now())
		for _, r := range look.evict {
			s.must(n.store.Evict(s.ctx, r.Machine, r.ID))
		}
		n.late = &look
		if !s.calm && s.chance(20) {
			n.delay = s.rng.IntN(80)
		}
	}
	if n.delay--; n.delay > 0 {
		return
	}
	s.write(n)
}

// write writes what a leader decided, maybe a while ago and maybe in vain.
func (s *sim) write(n *node) {
	moves, found := n.late.moves, n.late.found
	n.late = nil
	if len(moves)+found.Size() == 0 {
		return
	}
	before := s.truth.Snapshot()
	revision, errs, err := n.store.Apply(s.ctx, n.term.leader.Term, moves, found)
	for k, m := range moves {
		if errs == nil || errs[k] == nil {
			s.say("%s moves %s: %s", n.id, m.Unit, m.Reason)
		}
	}
	if before.Leader.Term != n.term.leader.Term {
		if !errors.Is(err, cluster.ErrNotLeader) || s.truth.Snapshot() != before {
			s.t.Errorf("term %d wrote in term %d: %v", n.term.leader.Term, before.Leader.Term, err)
		}
	}
	switch {
	case err != nil:
		n.term = nil
	case !s.calm && s.chance(5): // the answer got lost: the outcome is unknown to the leader
		s.must(n.store.Resign(s.ctx, n.term.leader))
		n.term = nil
	default:
		n.term.applied(moves, revision, errs, s.clock.Now())
		n.term.events()
	}
}

// judged is what a node's tracker says of the others.
func (s *sim) judged(n *node) health.State {
	st := health.State{Health: map[string]cluster.Health{}}
	for _, o := range s.nodes {
		h := cluster.Health{State: cluster.Up, Since: s.clock.Now()}
		silent := s.clock.Now().Sub(o.dark)
		_, registered := n.view.Runs[o.id]
		switch {
		case o == n:
		case !o.on && o.store == nil:
			continue
		case !o.dark.IsZero() && silent < simDetect:
			h.State = cluster.Suspect
		case !o.dark.IsZero():
			h = cluster.Health{State: cluster.Failed, Since: o.dark.Add(simDetect), SilentSince: o.dark}
		case !registered:
			h.State = cluster.DaemonGone
		}
		st.Health[o.id] = h
	}
	return st
}

// agent makes the machine run what the node knows to be its own.
func (s *sim) agent(n *node) {
	var puts []cluster.Status
	want := map[string]int64{}
	for k, a := range n.view.Assignments {
		if k.Machine == n.id && isExclusive(&a) {
			puts = append(puts, s.exclusive(n, a))
			if _, runs := n.running[k.Unit]; runs {
				want[k.Unit] = a.Epoch
			}
		} else if k.Machine == n.id {
			want[k.Unit] = a.Epoch
			puts = append(puts, cluster.Status{Machine: n.id, Epoch: a.Epoch, Generation: a.Generation,
				Status: units.Status{Name: k.Unit, Hash: a.Hash, Load: "loaded", Active: "active"}})
		}
	}
	var gone []string
	for name := range n.running {
		if _, ok := want[name]; !ok && !s.stopped(n, name) {
			want[name] = n.running[name]
		} else if !ok {
			gone = append(gone, name)
		}
	}
	n.running = want
	slices.SortFunc(puts, func(a, b cluster.Status) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(gone)
	if n.view.Statuses != nil && !s.reported(n, puts, gone) {
		if err := n.session.PutStatuses(s.ctx, puts, gone); err != nil && !errors.Is(err, cluster.ErrSessionLost) {
			s.t.Fatal(err)
		}
	}
}

// reported reports whether the store says already what a node has to say.
func (s *sim) reported(n *node, puts []cluster.Status, gone []string) bool {
	for _, p := range puts {
		if o, ok := n.view.Statuses[cluster.UnitOnMachine{Machine: n.id, Unit: p.Name}]; !ok || o.Epoch != p.Epoch || o.Load != p.Load ||
			o.Generation != p.Generation {
			return false
		}
	}
	return len(gone) == 0
}
