//go:build !race

package simulation

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
)

var (
	oneSeed = flag.Uint64("sim.seed", 0, "the one seed to run, with its whole story")
	seeds   = flag.Uint64("sim.seeds", 20, "how many seeds are run")
	goOn    = flag.Bool("sim.on", false, "go on after a violation")
	first   = flag.Uint64("sim.first", 1, "the first of them")
)

const (
	fewest    = 3                // faults in a story, and most
	most      = 9                //
	longest   = 4 * time.Second  // between two faults
	converges = 90 * time.Second // after the last one; a machine that failed often is on trial for a minute
	patience  = 3 * time.Minute  // by the clock on the wall: a story takes a quarter of a second of a core
)

// sim is a cluster and what happens to it.
type sim struct {
	t        *testing.T
	seed     uint64
	dir      string
	story    *story
	net      *network
	truth    *memstore.Cluster
	admin    *memstore.Store
	machines []*machine
	voters   int
	runs     int
	auditor  *auditor
	due      []due

	dice   sync.Mutex // guards rng
	rng    *rand.Rand
	failed sync.Once

	mu     sync.Mutex // guards what follows
	stores map[int]*memstore.Store
	reach  map[int]bool      // machines that reach the store
	head   int               // the voter that leads the store; 0 for none
	voting bool              // a new head is being chosen
	stall  bool              // the store answers nobody
	late   time.Duration     // that a message to the store or from it may take
	lost   map[int]lostStore // by machines that don't reach it
}

var violated atomic.Bool // in any story

// due is something that is to happen.
type due struct {
	at time.Time
	f  func()
}

// TestMain has less garbage collected, as a story is short and makes much of it, and has
// what machines write kept in memory, where there is room for that: each write is synced.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1000)
	const memory = "/dev/shm"
	if os.Getenv("TMPDIR") == "" && unix.Access(memory, unix.W_OK) == nil {
		os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}

// TestSimulation: whatever happens, what fleettop promises holds.
func TestSimulation(t *testing.T) {
	from, n := *first, *seeds
	if *oneSeed != 0 {
		from, n = *oneSeed, 1
	}
	var next atomic.Uint64 // after from
	for range runtime.GOMAXPROCS(0) {
		t.Run("stories", func(t *testing.T) {
			t.Parallel()
			for seed := from + next.Add(1) - 1; seed < from+n && (*goOn || !violated.Load()); seed = from + next.Add(1) - 1 {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					dir := t.TempDir()
					defer time.AfterFunc(patience, func() { tellStuck(seed) }).Stop()
					synctest.Test(t, func(t *testing.T) { run(t, seed, dir) })
				})
			}
		})
	}
}

// tellStuck ends the test program for a story in which no time passes any more, and names the goroutines that
// something else than time keeps: the others wait for it to pass.
func tellStuck(seed uint64) {
	stacks := make([]byte, 64<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var kept []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if head, _, _ := strings.Cut(stack, "\n"); strings.Contains(head, "synctest bubble") &&
			!strings.Contains(head, "durable") {
			kept = append(kept, stack)
		}
	}
	panic(fmt.Sprintf("the story of seed %d goes on for %s and no time passes in it:\n%s", seed, patience,
		strings.Join(kept, "\n\n")))
}

func run(t *testing.T, seed uint64, dir string) {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := &sim{t: t, seed: seed, dir: dir, rng: rng, story: &story{began: time.Now()}, truth: memstore.New(),
		stores: map[int]*memstore.Store{}, reach: map[int]bool{}, lost: map[int]lostStore{}, voters: 3}
	s.admin = s.truth.Open()
	s.net = newNetwork(rand.New(rand.NewPCG(seed, 8)))
	s.net.twice = rng.IntN(6)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.auditor = newAuditor(s)
	size := 5 + rng.IntN(3)
	if s.chance(20) {
		size = 3
	}
	for k := range size {
		s.machines = append(s.machines, &machine{sim: s, n: k + 1, id: fmt.Sprintf("%032x", k+1),
			addr: fmt.Sprint(firstNet, k+1), metadata: map[string]string{"rack": string(rune('a' + k%2))}})
	}
	for _, m := range s.machines {
		m.boot()
	}
	var audit sync.WaitGroup
	audit.Go(func() { s.auditor.run(ctx) })
	for range 9 {
		s.changeUnit()
	}
	s.pass(3 * time.Second)
	if s.chance(20) {
		s.pass(aftermath)
		s.blackout()
	}
	for range fewest + s.roll(most-fewest+1) {
		s.fault()
		s.pass(s.within(100*time.Millisecond, longest))
		if t.Failed() {
			break
		}
	}
	if !t.Failed() {
		s.calm()
		s.awaitConvergence()
	}
	cancel()
	audit.Wait()
	for _, m := range s.machines {
		m.killDaemon()
	}
	time.Sleep(time.Minute) // what gossip has under way ends
	if *oneSeed != 0 {
		t.Log("\n" + s.story.text())
	}
}

// pass lets time pass, and checks what must hold at any time.
func (s *sim) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && !s.t.Failed(); {
		time.Sleep(min(50*time.Millisecond, time.Until(end)))
		s.doDue()
		s.auditor.look()
	}
}

func (s *sim) awaitConvergence() {
	var err error
	for end := time.Now().Add(converges); time.Now().Before(end) && !s.t.Failed(); {
		s.pass(500 * time.Millisecond)
		if err = s.converged(); err == nil {
			return
		}
	}
	s.fail("not as it should be %s after the last fault: %v", converges, err)
}

func (s *sim) fail(format string, args ...any) {
	s.failed.Do(func() {
		s.story.say("", "VIOLATION: "+format, args...)
		violated.Store(true)
		s.t.Errorf("%s\n%s\n\nagain: go test ./daemon/simulation -run TestSimulation -sim.seed %d",
			fmt.Sprintf(format, args...), s.story.text(), s.seed)
	})
}

func (s *sim) within(least, most time.Duration) time.Duration {
	s.dice.Lock()
	defer s.dice.Unlock()
	return least + time.Duration(s.rng.Int64N(int64(most-least)))
}

func (s *sim) chance(percent int) bool { return s.roll(100) < percent }

func (s *sim) roll(n int) int {
	s.dice.Lock()
	defer s.dice.Unlock()
	return s.rng.IntN(n)
}

func (s *sim) byAddress(addr string) *machine {
	for _, m := range s.machines {
		if strings.HasPrefix(addr, m.addr+":") {
			return m
		}
	}
	panic("no machine has " + addr)
}

// linked reports whether two machines have both ways between them.
func (s *sim) linked(a, b *machine) bool {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	return a == b || !s.net.cut[[2]int{a.n, b.n}] && !s.net.cut[[2]int{b.n, a.n}]
}

// hidden reports whether a machine is cut off from most of the others, though it may reach the store through one of them.
func (s *sim) hidden(m *machine) bool {
	sees, others := 0, 0
	for _, o := range s.machines {
		if o != m && o.awake() {
			others++
			if s.linked(m, o) {
				sees++
			}
		}
	}
	return 2*sees < others
}

// plugStore takes note of a daemon's way to the store; nil for none.
func (s *sim) plugStore(m *machine, store *memstore.Store) {
	s.mu.Lock()
	if store == nil {
		delete(s.stores, m.n)
	} else {
		store.SetReachable(false)
		s.stores[m.n] = store
	}
	s.mu.Unlock()
	s.rewire()
}

// rewire works out who reaches the store: a majority of the voters agree on a
// head, which takes a moment, and a machine reaches it through one of them.
func (s *sim) rewire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	voters := s.machines[:min(s.voters, len(s.machines))]
	follows := func(head *machine) (n int) {
		for _, v := range voters {
			if v.awake() && s.linked(head, v) {
				n++
			}
		}
		return n
	}
	leads := func(v *machine) bool { return v.awake() && 2*follows(v) > len(voters) }
	if s.head != 0 && !leads(s.machines[s.head-1]) {
		s.head = 0
	}
	if s.head == 0 && !s.voting {
		for _, v := range voters {
			if leads(v) {
				s.voting = true
				time.AfterFunc(s.within(200*time.Millisecond, time.Second), func() {
					s.mu.Lock()
					s.voting = false
					for _, v := range voters {
						if s.head == 0 && leads(v) {
							s.head = v.n
						}
					}
					s.mu.Unlock()
					s.rewire()
				})
				break
			}
		}
	}
	for _, m := range s.machines {
		reaches := false
		for _, v := range voters {
			reaches = reaches || s.head != 0 && !s.stall && m.awake() && v.awake() && s.linked(m, v) &&
				s.linked(v, s.machines[s.head-1])
		}
		s.reach[m.n] = reaches
		s.noteReach(m, reaches)
		if store := s.stores[m.n]; store != nil {
			store.SetReachable(reaches)
		}
	}
}

// wouldReach reports whether a machine would reach the store if its daemon ran, and
// another machine that does reaches it.
func (s *sim) wouldReach(m *machine) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == 0 || s.stall {
		return false
	}
	for _, v := range s.machines[:min(s.voters, len(s.machines))] {
		if v != m && v.awake() && s.linked(m, v) && s.linked(v, s.machines[s.head-1]) {
			return true
		}
	}
	return false
}

func (s *sim) reaches(m *machine) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reach[m.n]
}

// converged tells what is not yet as it must end.
func (s *sim) converged() error {
	snap := s.truth.Snapshot()
	if snap.Leader.Term == 0 {
		return fmt.Errorf("nobody leads")
	}
	copies := map[string][]string{}
	for _, m := range s.machines {
		if v := snap.Verdicts[m.id]; v.State != cluster.Up {
			return fmt.Errorf("%s is %q: %s", m.name(), v.State, v.Evidence)
		}
		for name := range m.manager.Load().running() {
			copies[name] = append(copies[name], m.name())
			if a, ok := snap.Assignments[cluster.UnitOnMachine{Machine: m.id, Unit: name}]; !ok || a.Desired != "launched" {
				return fmt.Errorf("%s runs %s, which isn't its own", m.name(), name)
			}
		}
	}
	for name, u := range snap.Units {
		want := 0
		if u.Desired == "launched" {
			want = 1
		}
		if name == "global.service" && want > 0 {
			want = len(s.machines)
		}
		if strings.HasPrefix(name, "flaky") {
			want = min(want, len(copies[name]))
		}
		if len(copies[name]) != want {
			return fmt.Errorf("%s runs %d times (%v), wanted %d; %s", name, len(copies[name]), copies[name], want,
				snap.WhyUnplaced(name))
		}
		delete(copies, name)
	}
	for name, where := range copies {
		return fmt.Errorf("%s was destroyed and runs on %v", name, where)
	}
	return nil
}
