//go:build e2e && figures

package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// condition is something that all machines of a cluster suffer and survive.
type condition struct {
	name, what string
	begin, end func(f *fleet, m *lab.Machine) // nil for nothing
	// disk: the daemons' state is on a disk of its own. Meanwhile runs beside, for
	// a machine, until its channel is closed.
	disk      bool
	meanwhile func(f *fleet, m *lab.Machine, end <-chan struct{})
}

const idleName = "idle"

var conditions = []condition{
	{name: idleName, what: "nothing to do"},
	{name: "cpu", what: "a busy loop for each core on every machine", begin: beginLoad, end: endLoad},
	{name: "loss5", what: "5 % of the packets between two machines lost, each way",
		begin: lossy(5), end: perfect},
	{name: "loss20", what: "20 % of the packets between two machines lost, each way",
		begin: lossy(20), end: perfect},
	{name: "latency", what: "200 ms ± 50 from machine to machine, each way", begin: func(f *fleet, m *lab.Machine) {
		f.must(m.Slow(100*time.Millisecond, 25*time.Millisecond))
	}, end: perfect},
	{name: "memory", what: "a process takes all the memory of its machine, again and again", begin: beginHog, end: endHog},
	{name: "fsync", what: "every state disk stalls for 0.5 to 2 s, every 2 to 8 s", disk: true, meanwhile: stallNowAndThen},
}

// chosenConditions are those named by -conditions.
func chosenConditions(t *testing.T) []condition {
	if *steadyConditions == "" {
		return conditions
	}
	var names []string
	byName := map[string]condition{}
	for _, c := range conditions {
		names, byName[c.name] = append(names, c.name), c
	}
	var chosen []condition
	for name := range strings.SplitSeq(*steadyConditions, ",") {
		c, ok := byName[name]
		if !ok {
			t.Fatalf("-conditions: there is no %q: choose of %s", name, strings.Join(names, ","))
		}
		chosen = append(chosen, c)
	}
	return chosen
}

// The loops are named so that they don't count as the fleet's units. Every
// machine believes that the host's cores are its own.
func beginLoad(f *fleet, m *lab.Machine) {
	for i := range runtime.NumCPU() {
		f.on(m, "systemd-run", "--quiet", "--collect", "--unit=systemd-busy"+strconv.Itoa(i), "sh", "-c", "while :; do :; done")
	}
}

func endLoad(f *fleet, m *lab.Machine) {
	for i := range runtime.NumCPU() {
		f.on(m, "systemctl", "stop", "systemd-busy"+strconv.Itoa(i))
	}
}

// lossy loses a share of the packets between two machines, half of it on the cable of each.
func lossy(percent float64) func(*fleet, *lab.Machine) {
	cable := 100 * (1 - math.Sqrt(1-percent/100))
	return func(f *fleet, m *lab.Machine) { f.must(m.Lossy(cable)) }
}

func perfect(f *fleet, m *lab.Machine) { f.must(m.Perfect()) }

// memoryLimit is what a machine has under pressure: its system and its daemon
// need about 150 MiB of it.
const memoryLimit = 256 << 20

// beginHog limits a machine's memory and has a process take all there is: the
// kernel takes back whatever it can, the daemon's program among it, then kills
// the process, and systemd starts it again. The program is copied and the daemon
// restarted, since the kernel counts a page against who read it first.
func beginHog(f *fleet, m *lab.Machine) {
	f.must(m.LimitMemory(memoryLimit))
	f.on(m, "sh", "-c", fmt.Sprintf("cp %[1]s %[1]s.new && mv %[1]s.new %[1]s", lab.BinaryPath))
	f.must(m.RestartFleettop(f.ctx))
	f.on(m, "systemd-run", "--quiet", "--collect", "--unit=systemd-hog", "--property=OOMScoreAdjust=1000", "--property=Restart=always",
		"--property=RestartSec=200ms", "--property=StartLimitIntervalSec=0", "tail", "/dev/zero")
}

func endHog(f *fleet, m *lab.Machine) {
	f.on(m, "systemctl", "stop", "systemd-hog")
	f.must(m.LimitMemory(0))
}

// stallNowAndThen stalls the disk with a machine's state again and again.
func stallNowAndThen(f *fleet, m *lab.Machine, end <-chan struct{}) {
	between := func(least, most time.Duration) time.Duration { return least + rand.N(most-least) }
	for {
		select {
		case <-end:
			return
		case <-f.ctx.Done():
			return
		case <-time.After(between(2*time.Second, 8*time.Second)):
		}
		f.stall(between(500*time.Millisecond, 2*time.Second), m)
	}
}

// stress keeps a condition on the machines of a fleet.
type stress struct {
	f    *fleet
	c    condition
	ends map[*lab.Machine]func() // each ends it on a machine; may be called again
}

func startStress(f *fleet, c condition) *stress {
	s := &stress{f: f, c: c, ends: map[*lab.Machine]func(){}}
	for _, m := range f.machines {
		if c.begin != nil {
			c.begin(f, m)
		}
		end := make(chan struct{})
		var beside sync.WaitGroup
		if c.meanwhile != nil {
			beside.Go(func() { c.meanwhile(f, m, end) })
		}
		s.ends[m] = sync.OnceFunc(func() {
			close(end)
			beside.Wait()
			if c.end != nil && m.Running() {
				c.end(f, m)
			}
		})
	}
	// Also where the test ends early: nothing may go on without it.
	f.t.Cleanup(func() {
		for _, m := range f.machines {
			if c.meanwhile != nil {
				s.ends[m]()
			}
		}
	})
	return s
}

// relieve ends what runs beside a machine that is to lose its power; what the
// machine itself suffers goes on till then.
func (s *stress) relieve(m *lab.Machine) {
	if s.c.meanwhile != nil {
		s.ends[m]()
	}
}

// stop ends the condition on all machines.
func (s *stress) stop() {
	for _, m := range s.f.machines {
		s.ends[m]()
	}
}

// check is what throughout looks at: whether the test's time is over, and, where
// growth is looked for, now and then what the daemons take.
func (s *stress) check(idle []*growth, d time.Duration) func() error {
	every := min(max(d/200, 5*time.Second), 5*time.Minute)
	next := time.Now()
	return func() error {
		if len(idle) == 0 || time.Now().Before(next) {
			return s.f.ctx.Err()
		}
		next = next.Add(every)
		for _, g := range idle {
			if err := g.sample(s.f); err != nil {
				return err
			}
		}
		return nil
	}
}
