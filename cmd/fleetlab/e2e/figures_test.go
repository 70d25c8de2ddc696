//go:build e2e && figures

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cmd/fleetlab/lab"
)

const (
	filesCount  = 1000 // unit files submitted
	activeCount = 300  // of which run
	idleMeasure = time.Minute
	listings    = 20 // of each kind
)

// figure is one line of the table that TestFigures ends with.
type figure struct{ what, measured, target, verdict, fleet, load string }

// TestFigures measures a fleet of three machines with a thousand unit files:
// submit, start, list, idle, and the death of a machine with a hundred units.
func TestFigures(t *testing.T) {
	f := newFleet(t, 3, setup{unwatched: true, limit: 2*testLimit + idleMeasure})
	n1 := f.machines[0]
	var table []figure
	add := func(what, measured, target string, reached bool, fleet string) {
		table = append(table, figure{what, measured, target, verdict(reached), fleet, loadAverage(t)})
	}
	f.write(n1, manySleepers())

	took := f.timed(n1, "fleettop submit /root/bench-*.service")
	add("submit 1,000", seconds(took), "1 s", took <= time.Second, "6 s")

	began := time.Now()
	returned := f.timed(n1, fmt.Sprintf("fleettop start $(seq -f /root/bench-%%04g.service 1 %d)", activeCount))
	took = f.allActive(f.machines, began).Sub(began)
	add("start 300, to all active", seconds(took), "4 s", took <= 4*time.Second, "7.5 to 9.8 s")
	t.Logf("`fleettop start` returned after %s", seconds(returned))
	for _, m := range f.machines {
		t.Logf("%s runs %d units", m.Name, len(f.entered(m)))
	}

	for verb, fleets := range map[string]string{"list-units": "52 ms", "list-unit-files": "0.96 s"} {
		list := f.listing(n1, verb)
		median := quantile(list, 0.5)
		add(verb+", whole process", fmt.Sprintf("%.1f ms", median.Seconds()*1000), "30 ms", median <= 30*time.Millisecond,
			fleets)
		t.Logf("%s: median, p90 and max in seconds: %s", verb, summary(list))
	}

	leader := f.leader()
	for m, use := range f.idle(idleMeasure) {
		what, target, most, fleets := m.Name+" idle", "1 %", 1.0, "2.3 to 3.1 %, 19-24 MiB"
		if m == leader {
			what, target, most, fleets = m.Name+" idle, leader with etcd", "1.5 %, 90 MiB", 1.5,
				"10.5 % and etcd's 6-7 %, 50 MiB"
		}
		add(what, fmt.Sprintf("%.2f %%, %d MiB", use.cpu, use.rss>>20), target,
			use.cpu < most && (m != leader || use.rss < 90<<20), fleets)
		t.Logf("%s: %s", what, use)
	}

	victim := f.others(leader)[0]
	died, err := victim.Kill()
	f.must(err)
	took = f.allActive(f.others(victim), died).Sub(died)
	add("a machine with 100 of 300 dies, all active", seconds(took), "4 s", took <= 4*time.Second, "30.6 s")
	t.Logf("the timeline: %s", phasesOf(f.failoverTold(f.others(victim)[0], victim, died)))

	var out strings.Builder
	line := func(c figure) {
		fmt.Fprintf(&out, "%-45s %-18s %-15s %-5s %-34s %s\n", c.what, c.measured, c.target, c.verdict, c.fleet, c.load)
	}
	line(figure{"figure", "fleettop", "at most", "", "fleet 1.0", "load average"})
	for _, row := range table {
		line(row)
	}
	t.Logf("\n%s", out.String())
}

// manySleepers are the thousand unit files.
func manySleepers() map[string]string {
	var names []string
	for i := range filesCount {
		names = append(names, fmt.Sprintf("bench-%04d.service", i+1))
	}
	return sleepers(names...)
}

// timed runs a shell command on a machine and tells how long it took.
func (f *fleet) timed(m *lab.Machine, command string) time.Duration {
	f.t.Helper()
	began := time.Now()
	f.on(m, "sh", "-c", command)
	return time.Since(began)
}

// allActive waits until as many units as were started are active on machines,
// and returns when the last of them was, by the machines' own systemd. It looks
// at their cgroups meanwhile, which takes little from what it measures.
func (f *fleet) allActive(machines []*lab.Machine, since time.Time) time.Time {
	f.t.Helper()
	var last time.Time
	f.eventually("all units to be active", time.Minute, func() error {
		groups := 0
		for _, m := range machines {
			found, err := filepath.Glob(filepath.Join(f.procs.group(m), "bench-*.service"))
			f.must(err)
			groups += len(found)
		}
		if groups < activeCount {
			return fmt.Errorf("%d of %d run", groups, activeCount)
		}
		active := 0
		for _, m := range machines {
			for _, at := range f.entered(m) {
				active++
				if at.After(last) {
					last = at
				}
			}
		}
		if active != activeCount {
			return fmt.Errorf("%d are active, not %d", active, activeCount)
		}
		return nil
	})
	if !last.After(since) {
		f.t.Fatal("no unit became active since")
	}
	return last
}

// entered returns when each active unit of a machine became active.
func (f *fleet) entered(m *lab.Machine) []time.Time {
	f.t.Helper()
	var mono unix.Timespec
	f.must(unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono))
	boot := time.Now().Add(-time.Duration(mono.Nano()))
	text := f.on(m, "systemctl", "show", "--property=ActiveState,ActiveEnterTimestampMonotonic", "bench-*.service")
	var list []time.Time
	for unit := range strings.SplitSeq(text, "\n\n") {
		if !strings.Contains(unit, "ActiveState=active") {
			continue
		}
		_, rest, _ := strings.Cut(unit, "ActiveEnterTimestampMonotonic=")
		value, _, _ := strings.Cut(rest, "\n")
		us, err := strconv.ParseInt(value, 10, 64)
		f.must(err)
		list = append(list, boot.Add(time.Duration(us)*time.Microsecond))
	}
	return list
}

// listing times a verb as a process of the host, from its start to its end.
func (f *fleet) listing(m *lab.Machine, verb string) []time.Duration {
	f.t.Helper()
	socket, err := m.HostPath("/run/fleettop/fleettop.sock")
	f.must(err)
	var list []time.Duration
	for range listings {
		cmd := exec.CommandContext(f.ctx, binary(f.t), "--endpoint", "unix://"+socket, verb)
		began := time.Now()
		out, err := cmd.Output()
		list = append(list, time.Since(began))
		f.must(err)
		want := activeCount
		if verb == "list-unit-files" {
			want = filesCount
		}
		if lines := bytes.Count(out, []byte("\n")); lines != want+1 {
			f.t.Fatalf("%s wrote %d lines, not %d", verb, lines, want+1)
		}
	}
	return list
}

// use is what a daemon took over a time.
type use struct {
	cpu      float64 // percent of a core
	rss      int64   // bytes, at the end
	threads  int
	switches float64 // context switches a second
}

func (u use) String() string {
	return fmt.Sprintf("%.2f %% of a core, %d MiB resident, %d threads, %.0f context switches a second", u.cpu, u.rss>>20,
		u.threads, u.switches)
}

// idle leaves the fleet alone for a while and returns what its daemons took.
func (f *fleet) idle(d time.Duration) func(yield func(*lab.Machine, use) bool) {
	f.t.Helper()
	f.throughout("the cluster to come to rest", 5*time.Second, func() error { return f.ctx.Err() })
	began := time.Now()
	first := map[*lab.Machine]counters{}
	for _, m := range f.machines {
		first[m] = f.counters(m)
	}
	f.throughout("idling", d, func() error { return f.ctx.Err() })
	over := time.Since(began).Seconds()
	return func(yield func(*lab.Machine, use) bool) {
		for _, m := range f.machines {
			last := f.counters(m)
			if !yield(m, use{
				cpu:      (last.cpu - first[m].cpu).Seconds() / over * 100,
				switches: float64(last.switches-first[m].switches) / over,
				rss:      last.rss, threads: last.threads,
			}) {
				return
			}
		}
	}
}

// counters are what the kernel has counted of a daemon since it began.
type counters struct {
	cpu      time.Duration
	switches int64
	rss      int64
	threads  int
}

// counters reads those of a machine's daemon.
func (f *fleet) counters(m *lab.Machine) counters {
	f.t.Helper()
	pids, err := os.ReadFile(filepath.Join(servicesGroup(m.Pid1()), lab.UnitName, "cgroup.procs"))
	f.must(err)
	proc := filepath.Join("/proc", strings.TrimSpace(string(pids)))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	f.must(err)
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		f.must(err)
		return n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	c := counters{cpu: time.Duration(number(fields[11])+number(fields[12])) * tick}
	tasks, err := filepath.Glob(filepath.Join(proc, "task/*/status"))
	f.must(err)
	c.threads = len(tasks)
	for _, path := range append(tasks, filepath.Join(proc, "status")) {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that ended
		}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimSpace(value); {
			case key == "VmRSS":
				c.rss = number(strings.TrimSuffix(value, " kB")) << 10
			case strings.HasSuffix(key, "voluntary_ctxt_switches") && path != filepath.Join(proc, "status"):
				c.switches += number(value)
			}
		}
	}
	return c
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// loadAverage is the host's, over one, five and fifteen minutes: no figure means much without it.
func loadAverage(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
