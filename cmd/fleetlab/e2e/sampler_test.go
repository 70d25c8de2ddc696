//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cmd/fleetlab/lab"
)

// sampleEvery is how often the sampler looks.
const sampleEvery = 10 * time.Millisecond

// sampler looks at the processes of the fleet's units on all machines all the
// time, by their cgroups, from the host: whatever fleettop and systemd say.
type sampler struct {
	machines []*lab.Machine
	quit     chan struct{}
	done     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	groups  map[string]string
	now     map[place][]int // units' processes as of the last look, as the host numbers them
	lives   []life
	blind   map[string]bool // machines left out when copies are counted
	doubles map[string]time.Time
}

// place is a unit on a machine.
type place struct{ machine, unit string }

// life is the time a unit's processes were seen on a machine without a change of its first process.
type life struct {
	place
	pid      int
	from, to time.Time
}

func startSampler(machines []*lab.Machine) *sampler {
	s := &sampler{machines: machines, quit: make(chan struct{}), groups: map[string]string{}, now: map[place][]int{},
		blind: map[string]bool{}, doubles: map[string]time.Time{}}
	s.done.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			s.look()
			select {
			case <-s.quit:
				return
			case <-tick.C:
			}
		}
	})
	return s
}

func (s *sampler) stop() {
	close(s.quit)
	s.done.Wait()
}

// look takes one sample.
func (s *sampler) look() {
	found := map[place][]int{}
	for _, m := range s.machines {
		if dir := s.group(m); dir != "" {
			unitsIn(dir, func(unit string, pids []int) { found[place{m.Name, unit}] = pids })
		}
	}
	at := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = found
	copies := map[string]int{}
	for p, pids := range found {
		if !s.blind[p.machine] {
			copies[p.unit]++
		}
		i := slices.IndexFunc(s.lives, func(l life) bool { return l.place == p && l.pid == pids[0] })
		if i < 0 {
			s.lives = append(s.lives, life{place: p, pid: pids[0], from: at})
			i = len(s.lives) - 1
		}
		s.lives[i].to = at
	}
	for unit, n := range copies {
		if _, known := s.doubles[unit]; n > 1 && !known {
			s.doubles[unit] = at
		}
	}
}

// group returns the cgroup of a machine's services in the hierarchy its systemd
// runs on; empty while it is off.
func (s *sampler) group(m *lab.Machine) string {
	s.mu.Lock()
	dir := s.groups[m.Name]
	s.mu.Unlock()
	if dir != "" {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	dir = ""
	if pid := m.Pid1(); pid != 0 {
		dir = servicesGroup(pid)
	}
	s.mu.Lock()
	s.groups[m.Name] = dir
	s.mu.Unlock()
	return dir
}

// servicesGroup returns the directory of system.slice, of the systemd whose PID 1 is pid.
func servicesGroup(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	roots := map[string][]string{"0": {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"},
		"name=systemd": {"/sys/fs/cgroup/systemd"}}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		key := parts[1]
		if parts[0] == "0" {
			key = "0"
		}
		path, isInit := strings.CutSuffix(parts[2], "/init.scope")
		for _, root := range roots[key] {
			dir := filepath.Join(root, path, "system.slice")
			if _, err := os.Stat(dir); isInit && err == nil {
				return dir
			}
		}
	}
	return ""
}

// unitsIn calls f for each unit below a slice that has processes and isn't part of the machine itself.
func unitsIn(dir string, f func(unit string, pids []int)) {
	entries, _ := os.ReadDir(dir) // gone with its machine is empty
	for _, e := range entries {
		name := e.Name()
		switch {
		case !e.IsDir() || ofTheMachine(name):
		case strings.HasSuffix(name, ".slice"):
			unitsIn(filepath.Join(dir, name), f)
		case strings.HasSuffix(name, ".service"):
			text, _ := os.ReadFile(filepath.Join(dir, name, "cgroup.procs"))
			var pids []int
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			slices.Sort(pids)
			if len(pids) > 0 {
				f(name, pids)
			}
		}
	}
}

// ofTheMachine reports whether a cgroup is one every machine has.
func ofTheMachine(name string) bool {
	return strings.HasPrefix(name, "systemd-") || strings.HasPrefix(name, "dbus") || name == lab.UnitName
}

// running returns the machines a unit has processes on, as of the last look.
func (s *sampler) running(unit string) []*lab.Machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	var on []*lab.Machine
	for _, m := range s.machines {
		if len(s.now[place{m.Name, unit}]) > 0 {
			on = append(on, m)
		}
	}
	return on
}

// snapshot returns the first process of each unit on each machine.
func (s *sampler) snapshot() map[place]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := map[place]int{}
	for p, pids := range s.now {
		first[p] = pids[0]
	}
	return first
}

// unchanged fails the test where a unit that ran before has another process
// now, or had one meanwhile. Units on machines left out are not looked at.
func (s *sampler) unchanged(t testing.TB, before map[place]int, without ...*lab.Machine) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range slices.SortedFunc(maps.Keys(before), func(a,
		b place) int {
		return strings.Compare(a.unit+a.machine, b.unit+b.machine)
	}) {
		if slices.ContainsFunc(without, func(m *lab.Machine) bool { return m.Name == p.machine }) {
			continue
		}
		pids := s.now[p]
		if len(pids) == 0 || pids[0] != before[p] {
			t.Errorf("%s on %s was process %d and is %v now", p.unit, p.machine, before[p], pids)
		}
	}
}

// leaveOut stops counting copies on a machine that the cluster can't reach, or counts them again.
func (s *sampler) leaveOut(m *lab.Machine, out bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blind[m.Name] = out
}

// neverTwice fails the test if some unit ever ran on two machines at once; global ones may.
func (s *sampler) neverTwice(t testing.TB, global ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for unit, at := range s.doubles {
		if !slices.Contains(global, unit) {
			t.Errorf("%s ran on two machines at %s", unit, at.Format("15:04:05.000"))
		}
	}
}

// String tells what ran where and when.
func (s *sampler) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, l := range s.lives {
		fmt.Fprintf(&b, "%s on %s, process %d, %s to %s\n", l.unit, l.machine, l.pid, l.from.Format("15:04:05.000"),
			l.to.Format("15:04:05.000"))
	}
	return b.String()
}

// activeAt returns when systemd says that a unit became active, and whether it
// is. Machines share the host's clock.
func (f *fleet) activeAt(m *lab.Machine, unit string) (time.Time, bool) {
	f.t.Helper()
	text := f.on(m, "systemctl", "show", "--property=ActiveState,ActiveEnterTimestampMonotonic", unit)
	var at time.Time
	active := false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ActiveState":
			active = value == "active"
		case "ActiveEnterTimestampMonotonic":
			us, err := strconv.ParseInt(value, 10, 64)
			f.must(err)
			var mono unix.Timespec
			f.must(unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono))
			at = time.Now().Add(time.Duration(us)*time.Microsecond - time.Duration(mono.Nano()))
		}
	}
	return at, active
}

// movedTo waits until a unit is active on another machine than it was, and
// returns that machine and how long after a moment that was.
func (f *fleet) movedTo(unit string, from *lab.Machine, since time.Time, limit time.Duration) (
	*lab.Machine, time.Duration) {
	f.t.Helper()
	var to *lab.Machine
	var outage time.Duration
	f.eventually(unit+" to run elsewhere", limit, func() error {
		for _, m := range f.procs.running(unit) {
			if m == from {
				continue
			}
			if at, active := f.activeAt(m, unit); active && at.After(since) {
				to, outage = m, at.Sub(since)
				return nil
			}
		}
		return fmt.Errorf("it does not")
	})
	return to, outage
}

// lastSeen returns when a unit's processes were last seen on a machine.
func (s *sampler) lastSeen(p place) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last time.Time
	for _, l := range s.lives {
		if l.place == p && l.to.After(last) {
			last = l.to
		}
	}
	return last
}

// firstSeen returns when a unit's processes were first seen on a machine.
func (s *sampler) firstSeen(p place) (first time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if l.place == p && (first.IsZero() || l.from.Before(first)) {
			first = l.from
		}
	}
	return first
}

// empty returns an error while units run on a machine.
func (f *fleet) empty(m *lab.Machine) error {
	for p := range f.procs.snapshot() {
		if p.machine == m.Name {
			return fmt.Errorf("%s runs there", p.unit)
		}
	}
	return nil
}

// of returns the lives of a unit, in the order they began.
func (s *sampler) of(unit string) (list []life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if l.unit == unit {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b life) int { return a.from.Compare(b.from) })
	return list
}
