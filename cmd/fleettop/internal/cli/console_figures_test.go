//go:build figures

package cli

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
	"fleettop/daemon/stats"
	"fleettop/tui/tuitest"
)

var (
	figuresRounds = flag.Int("figures.rounds", 12, "rounds of keys for each round-trip time")
	figuresIdle   = flag.Duration("figures.idle", 20*time.Second, "how long the idle console is watched")
)

// TestConsoleFigures prints what the console needs for 10,000 units on 1,000 machines: a real
// process on a terminal, a daemon's API server, and a proxy between them that takes as long as a
// network does. Beside each key a program that only repeats what is typed shows what the host itself
// takes at that moment. Nothing is asserted: the table is for people, and depends on the host.
func TestConsoleFigures(t *testing.T) {
	const machines, perMachine = 1000, 10
	c := apitest.Start(t, machines, func(cfg *server.Config) {
		cfg.Stats = &evenFigures{machines: machines, perMachine: perMachine}
		cfg.SlowReader, cfg.Heartbeat = 10*time.Second, 5*time.Second // a daemon's own
	})
	c.Fill(perMachine)
	echo, err := tuitest.StartPty(exec.Command("sh", "-c", "stty raw -echo; echo ready; exec cat"), 120, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close(0)
	if err := echo.Await("ready", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Log("                        |       key to screen        |  an echo  |         idle, without figures       |   with figures on the screen  |")
	t.Log("round trip  first frame |   p50      p99    esc, p50 |    p99    |  of a core  wake-ups/s  memory      |  of a core  wake-ups/s        |")
	for _, rtt := range []time.Duration{0, 80 * time.Millisecond, 300 * time.Millisecond} {
		proxy := newSlowProxy(t, strings.TrimPrefix(c.Endpoint, "unix://"), rtt)
		began := time.Now()
		p := person{t, onTerminalWith(t, 120, 40, nil, "--endpoint=http://"+proxy)}
		if err := p.Await("1000/1000 machines up", time.Minute); err != nil {
			t.Fatal(err)
		}
		first := time.Since(began)
		time.Sleep(2 * time.Second)
		keys, escapes, echoes := pressKeys(t, c, p, echo)
		p.types("1")
		p.sees("Timeline")
		time.Sleep(5 * time.Second)
		looked := p.watched(t, *figuresIdle)
		p.types("6") // where no figures are shown
		p.sees("start the unit")
		time.Sleep(5 * time.Second)
		idle := p.watched(t, *figuresIdle)
		t.Logf("%-10s %10s  | %7s %8s %8s   | %8s  | %8.2f %% %9.1f %9d MiB   | %8.2f %% %9.1f            |", rtt,
			first.Round(10*time.Millisecond), part(keys, 50), part(keys, 99), part(escapes, 50), part(echoes, 99), idle.core*100,
			idle.wakeups, idle.memory>>20, looked.core*100, looked.wakeups)
		p.types("q")
		if code := ends(t, p); code != 0 {
			t.Errorf("the console ends with %d", code)
		}
	}
}

// part is the time that so many of a hundred took at most.
func part(took []time.Duration, percent int) time.Duration {
	slices.Sort(took)
	return took[(len(took)-1)*percent/100].Round(100 * time.Microsecond)
}

// step is a key, and what is on the screen after it.
type step struct{ keys, sees string }

// pressKeys presses keys while ten units a second change, and returns what each took to be seen. Esc
// is counted apart: a terminal sends it as the beginning of other keys too, so it is waited for a moment.
func pressKeys(t *testing.T, c *apitest.Cluster, p person, echo *tuitest.Pty) (took, escapes, echoes []time.Duration) {
	ctx, stop := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				c.Report(n*37%10000+1, 1000+n)
			}
		}
	})
	defer changing.Wait()
	defer stop()
	timed := func(on *tuitest.Pty, keys, sees string) time.Duration {
		time.Sleep(time.Duration(40+rand.IntN(60)) * time.Millisecond)
		began := time.Now()
		if err := on.Type(keys); err != nil {
			t.Fatal(err)
		}
		if err := on.Await(sees, 20*time.Second); err != nil {
			t.Fatalf("after %q: %v", keys, err)
		}
		return time.Since(began)
	}
	steps := []step{{"2", "RESTARTS"}, {"N", "UNIT▴"}, {"G", "web@9999.service"}, {"g", "web@1.service"}, {"M", "▾MEM"},
		{"S", "STATE▴"}, {"/", "/"}, {"w", "/w"}, {"e", "/we"}, {"b", "/web"}, {"@", "/web@"}, {"7", "/web@7"},
		{"\r", "filter web@7"}, {"\x1b", "10000 units"}, {"\r", "›"}, {"\x1b", "10000 units"}, {"3", "ROLE"}, {"G", "n999"},
		{"4", "4 timeline"}, {"6", "start the unit"}, {"1", "─ Timeline"}}
	for round := range *figuresRounds {
		for i, s := range steps {
			d := timed(p.Pty, s.keys, s.sees)
			if s.keys == "\x1b" {
				escapes = append(escapes, d)
			} else {
				took = append(took, d)
			}
			word := fmt.Sprintf("<%d.%d>", round, i)
			echoes = append(echoes, timed(echo, word+"\r\n", word))
		}
	}
	return took, escapes, echoes
}

// use is what a process needs.
type use struct {
	core    float64 // of a core
	wakeups float64 // a second
	memory  int64   // bytes, resident
}

// watched watches the console for a while.
func (p person) watched(t *testing.T, while time.Duration) use {
	t.Helper()
	pid := p.Cmd.Process.Pid
	cpu, switches := usedBy(t, pid)
	began := time.Now()
	time.Sleep(while)
	cpuAfter, switchesAfter := usedBy(t, pid)
	seconds := time.Since(began).Seconds()
	return use{(cpuAfter - cpu).Seconds() / seconds, float64(switchesAfter-switches) / seconds, residentOf(t, pid)}
}

// usedBy is the processor time of a process and how often its threads went to sleep.
func usedBy(t *testing.T, pid int) (cpu time.Duration, switches int64) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("process %d has no threads (%v)", pid, err)
	}
	for _, task := range tasks {
		if raw, err := os.ReadFile(task + "/schedstat"); err == nil {
			ns, _ := strconv.ParseInt(strings.Fields(string(raw))[0], 10, 64)
			cpu += time.Duration(ns)
		}
		switches += field(task+"/status", "voluntary_ctxt_switches:")
	}
	return cpu, switches
}

func residentOf(t *testing.T, pid int) int64 {
	t.Helper()
	return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:") << 10
}

// field is a number of a file of /proc; 0 where there is none.
func field(path, name string) int64 {
	raw, _ := os.ReadFile(path)
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// evenFigures tells figures as many machines do, each at a time of its own.
type evenFigures struct {
	server.StatsKeeper
	machines, perMachine int
}

// Stats implements server.StatsKeeper.
func (f *evenFigures) Stats(ctx context.Context, _, _ bool, emit func(api.Stats) error) error {
	tick := time.NewTicker(stats.Every / 100)
	defer tick.Stop()
	for n := 0; ; {
		for range f.machines / 100 {
			m := n % f.machines
			st := api.Stats{Time: time.Now(), Machine: apitest.Machine(m + 1).ID, CPU: rand.Float64() * 4, CPUs: 8,
				Memory: 3 << 30, MemoryTotal: 16 << 30, Load1: 1.5, Uptime: 1e6}
			for k := range f.perMachine {
				st.Units = append(st.Units, api.UnitStats{Name: apitest.FilledUnit(m + k*f.machines + 1), CPU: rand.Float64(),
					Memory: int64(rand.IntN(1 << 28))})
			}
			if err := emit(st); err != nil {
				return err
			}
			n++
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// newSlowProxy passes connections on to a unix socket, and takes as long for it as a network with
// this round-trip time does. It returns its address.
func newSlowProxy(t *testing.T, socket string, rtt time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", socket)
			if err != nil {
				near.Close()
				continue
			}
			go passLate(far, near, rtt*3/2, rtt/2) // the handshake of TCP comes before the first byte
			go passLate(near, far, rtt/2, rtt/2)
		}
	}()
	return l.Addr().String()
}

// passLate copies from one connection to another, each byte late: the first by a delay of its own.
func passLate(to, from net.Conn, first, late time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1<<16)
	go func() {
		defer to.Close()
		for x := range pieces {
			time.Sleep(time.Until(x.due))
			if _, err := to.Write(x.data); err != nil {
				from.Close()
			}
		}
	}()
	defer close(pieces)
	for buf, wait := make([]byte, 64<<10), first; ; wait = late {
		n, err := from.Read(buf)
		if n > 0 {
			pieces <- piece{slices.Clone(buf[:n]), time.Now().Add(wait)}
		}
		if err != nil {
			return
		}
	}
}
