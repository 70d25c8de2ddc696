//go:build e2e && figures

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/tui/tuitest"
)

const (
	floodLines   = 60_000
	latencyCount = 60
	manyUnits    = 50
	manyRate     = 10 // lines a second of each
	manyMeasure  = 20 * time.Second
)

// flood logs as fast as it can, when it is told to.
const flood = "[Service]\n" +
	`ExecStart=/bin/bash -c 'while [ ! -e /root/flood ]; do sleep 0.1; done; seq -f "line %%.0f of a unit that logs as fast as it can" 1 ` + "60000" + `; echo flooded; sleep infinity'` + "\n"

// TestJournalFigures measures the logs: how many lines a second come through
// daemon, API and command line beside journalctl's own, how long one takes to the
// screen, and what it takes to follow fifty units.
func TestJournalFigures(t *testing.T) {
	f := newFleet(t, 2, setup{unwatched: true, limit: 2 * testLimit})
	n1, n2 := f.machines[0], f.machines[1]
	for _, m := range f.machines {
		f.must(m.WriteFile("/etc/systemd/journald.conf.d/rate.conf", []byte("[Journal]\nRateLimitIntervalSec=0\n"), 0o644))
		f.on(m, "systemctl", "restart", "systemd-journald")
	}
	f.start(n1, map[string]string{"flood.service": flood})
	home := n1
	if strings.Contains(f.verb(n1, "list-units", "--no-legend"), n2.IP.String()) {
		home = n2
	}
	other := f.others(home)[0]
	f.must(home.WriteFile("/root/flood", nil, 0o644))
	f.eventually("the unit to have logged it all", 2*time.Minute, func() error {
		if f.on(home, "journalctl", "--output=cat", "--lines=1", "--unit=flood.service") != "flooded" {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	ours := []string{"fleettop", "journal", "--follow", "--lines=all", "flood.service"}
	theirs := f.rate(home, "journalctl", "--follow", "--lines=all", "--output=json", "--unit=flood.service")
	for what, at := range map[string]*lab.Machine{"on its machine": home, "from another machine": other} {
		rate := f.rate(at, ours...)
		f.t.Logf("read %s: %.0f lines/s, %.2f times journalctl -f -o json's %.0f", what, rate, rate/theirs, theirs)
		if rate < theirs/2 {
			t.Errorf("less than half of what journalctl delivers")
		}
	}
	rate := f.rate(home, append(ours, "--output=json")...)
	f.t.Logf("read on its machine as JSON: %.0f lines/s, %.2f times journalctl's", rate, rate/theirs)

	f.latency(home, other)
	f.many(other)
}

// rate runs a command until it has written what the flood ends with, and
// tells how many lines a second it wrote.
func (f *fleet) rate(m *lab.Machine, args ...string) float64 {
	f.t.Helper()
	cmd := m.Command(f.ctx, args...)
	out, err := cmd.StdoutPipe()
	f.must(err)
	began := time.Now()
	f.must(cmd.Start())
	defer stopped(cmd)
	in := bufio.NewReaderSize(out, 1<<20)
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		f.must(err)
		if bytes.HasSuffix(line, []byte(": flooded\n")) || bytes.Contains(line, []byte(`"MESSAGE":"flooded"`)) {
			if n < floodLines {
				f.t.Fatalf("%v wrote %d lines only", args, n)
			}
			return float64(n) / time.Since(began).Seconds()
		}
	}
}

func stopped(cmd *exec.Cmd) {
	_ = cmd.Cancel()
	_ = cmd.Wait() // it was killed
}

// latency measures from echo in a unit to the line on a viewer's output.
func (f *fleet) latency(machines ...*lab.Machine) {
	f.t.Helper()
	f.start(machines[0], map[string]string{"clock.service": "[Service]\n" +
		`ExecStart=/bin/bash -c 'while read -t 0.2$((RANDOM%%100)) <> <(:) || true; do echo "at $EPOCHREALTIME"; done'` + "\n"})
	for i, m := range machines {
		cmd := m.Command(f.ctx, "fleettop", "journal", "--follow", "--lines=0", "--output=cat", "clock.service")
		out, err := cmd.StdoutPipe()
		f.must(err)
		f.must(cmd.Start())
		in := bufio.NewReader(out)
		var took []time.Duration
		for len(took) < latencyCount {
			line, err := in.ReadString('\n')
			now := time.Now()
			f.must(err)
			seconds, us, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "at "), ".")
			s, err1 := strconv.ParseInt(seconds, 10, 64)
			u, err2 := strconv.ParseInt(us, 10, 64)
			if !ok || err1 != nil || err2 != nil {
				continue
			}
			took = append(took, now.Sub(time.Unix(s, u*1000)))
		}
		stopped(cmd)
		median := quantile(took, 0.5)
		f.t.Logf("line to screen, viewer %d: median %.1f ms, p90 %.1f ms, most %.1f ms; load %s", i+1,
			median.Seconds()*1000, quantile(took, 0.9).Seconds()*1000, quantile(took, 1).Seconds()*1000, loadAverage(f.t))
		if median > 50*time.Millisecond {
			f.t.Logf("more than 50 ms")
		}
	}
	f.verb(machines[0], "destroy", "clock.service")
}

// many follows fifty units with one viewer, the command line and then the
// console, and measures what that takes of all daemons and the viewer.
func (f *fleet) many(viewer *lab.Machine) {
	f.t.Helper()
	files := map[string]string{}
	for i := range manyUnits {
		files[fmt.Sprintf("many-%02d.service", i)] = "[Service]\n" +
			fmt.Sprintf(`ExecStart=/bin/bash -c 'exec 3<> <(:); while :; do read -t %.3f -u 3; echo "a line of fifty units"; done'`, 1.0/manyRate) + "\n"
	}
	f.start(viewer, files)
	idle, _ := f.cpuOver(manyMeasure, nil)
	f.manyPrinted(viewer, idle)
	f.manyShown(viewer, idle)
}

// manyPrinted follows the units with the command line.
func (f *fleet) manyPrinted(viewer *lab.Machine, idle float64) {
	f.t.Helper()
	cmd := viewer.Command(f.ctx, "fleettop", "journal", "--follow", "--lines=0", "many-*")
	out, err := cmd.StdoutPipe()
	f.must(err)
	f.must(cmd.Start())
	var lines atomic.Int64
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines.Add(1)
		}
	}()
	f.following("the command line", cmd, idle, func() int { return int(lines.Load()) })
	stopped(cmd)
	<-read
}

// manyShown follows the units on the log screen of a console on a terminal.
func (f *fleet) manyShown(viewer *lab.Machine, idle float64) {
	f.t.Helper()
	cmd := viewer.Command(f.ctx, "fleettop")
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	screen, err := tuitest.StartPty(cmd, 120, 40)
	f.must(err)
	count := regexp.MustCompile(`following ([\d,]+) lines`)
	for _, step := range []struct{ keys, sees string }{{"", "machines up"}, {"2/many-\r", fmt.Sprint(manyUnits, " units")},
		{"*", fmt.Sprint(manyUnits, " marked")}, {"l", "following"}} {
		f.must(screen.Type(step.keys))
		f.must(screen.Await(step.sees, soon))
	}
	lines := func() (n int) {
		f.must(screen.AwaitThat("the number of lines", soon, func(text string) bool {
			found := count.FindStringSubmatch(text)
			if found == nil {
				return false
			}
			n, err = strconv.Atoi(strings.ReplaceAll(found[1], ",", ""))
			return err == nil
		}))
		return n
	}
	lines()
	f.following("the console", cmd, idle, lines)
	f.must(screen.Type("q"))
	f.must(screen.Close(soon))
}

// following measures a viewer that has begun to follow the fifty units; lines
// is how many it has seen.
func (f *fleet) following(what string, cmd *exec.Cmd, idle float64, lines func() int) {
	f.t.Helper()
	before := lines()
	busy, viewing := f.cpuOver(manyMeasure, cmd)
	rate := float64(lines()-before) / manyMeasure.Seconds()
	f.t.Logf("following %d units at %.0f lines/s with %s takes %.1f %% of a core in all (the viewer %.1f %%); the daemons without it take %.1f %%; load %s",
		manyUnits, rate, what, busy-idle, viewing, idle, loadAverage(f.t))
	if rate < 0.8*manyUnits*manyRate {
		f.t.Errorf("only %.0f lines/s were followed", rate)
	}
	if busy-idle > 10 {
		f.t.Logf("more than 10 %% of a core")
	}
}

// cpuOver measures for a while what all daemons and a viewer take, and the
// viewer alone, in percent of a core.
func (f *fleet) cpuOver(d time.Duration, viewer *exec.Cmd) (all, viewing float64) {
	f.t.Helper()
	sum := func() (total, own time.Duration) {
		for _, m := range f.machines {
			total += f.counters(m).cpu
		}
		if viewer != nil {
			own = f.cpuOf(viewer.Process.Pid)
			for _, child := range childrenOf(viewer.Process.Pid) {
				own += f.cpuOf(child)
			}
		}
		return total + own, own
	}
	began := time.Now()
	before, ownBefore := sum()
	f.throughout("measuring", d, func() error { return f.ctx.Err() })
	after, ownAfter := sum()
	over := time.Since(began).Seconds()
	return (after - before).Seconds() / over * 100, (ownAfter - ownBefore).Seconds() / over * 100
}

// cpuOf is what the kernel has counted of a process.
func (f *fleet) cpuOf(pid int) time.Duration {
	f.t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	f.must(err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		f.must(err)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// childrenOf are the processes that nsenter started.
func childrenOf(pid int) (children []int) {
	id := strconv.Itoa(pid)
	list, _ := os.ReadFile(filepath.Join("/proc", id, "task", id, "children")) // a kernel without it has none to tell
	for _, word := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(word); err == nil {
			children = append(children, child)
		}
	}
	return children
}
