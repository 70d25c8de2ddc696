//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// counting logs a number every 10 ms, beginning anew with each start.
const counting = "[Unit]\nDescription=Counts\n[Service]\n" +
	`ExecStart=/bin/bash -c 'i=0; while :; do echo "$INVOCATION_ID $i"; i=$((i+1)); read -t 0.01 <> <(:); done'` + "\n"

// tally is a line of counting.
type tally struct {
	run     string // of the unit
	n       int
	machine string
}

// viewing is `fleettop journal --follow` at work on a machine.
type viewing struct {
	cmd  *exec.Cmd
	mu   sync.Mutex // guards what follows
	all  []string   // lines, as they came
	errs strings.Builder
	done chan error
}

// follow runs `fleettop journal --follow` on a machine.
func (f *fleet) follow(m *lab.Machine, args ...string) *viewing {
	f.t.Helper()
	return f.followAs(m, append([]string{"fleettop", "journal", "--follow"}, args...)...)
}

// followAs runs a command on a machine that doesn't end, and reads what it writes.
func (f *fleet) followAs(m *lab.Machine, args ...string) *viewing {
	f.t.Helper()
	v := &viewing{cmd: m.Command(f.ctx, args...), done: make(chan error, 1)}
	out, err := v.cmd.StdoutPipe()
	f.must(err)
	v.cmd.Stderr = &v.errs
	f.must(v.cmd.Start())
	go func() {
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			v.mu.Lock()
			v.all = append(v.all, strings.TrimSuffix(line, "\n"))
			v.mu.Unlock()
		}
		v.done <- v.cmd.Wait()
	}()
	f.t.Cleanup(func() {
		_ = v.cmd.Cancel()
		<-v.done
		if f.t.Failed() {
			lines := v.lines()
			f.t.Logf("the viewer said %q and ended with:\n%s", v.errs.String(),
				strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	return v
}

func (v *viewing) lines() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.all)
}

// shows waits until a line that contains text came behind the first so many.
func (f *fleet) shows(v *viewing, text string, behind int) {
	f.t.Helper()
	f.eventually("the log to show "+text, soon, func() error {
		lines := v.lines()
		for _, l := range lines[min(behind, len(lines)):] {
			if strings.Contains(l, text) {
				return nil
			}
		}
		return fmt.Errorf("%d lines, without it", len(lines))
	})
}

var (
	tallyForm   = regexp.MustCompile(`^\w{3} \d\d [0-9:]{8} (\S+) bash\[\d+\]: ([0-9a-f]{32}) (\d+)$`)
	dividerForm = regexp.MustCompile(`^-- .* moved (\S+) → (\S+), outage ([0-9.]+)s --$`)
)

// tallies reads the numbers out of lines in the short form, in order.
func tallies(lines []string) []tally {
	var list []tally
	for _, l := range lines {
		if m := tallyForm.FindStringSubmatch(l); m != nil {
			n, _ := strconv.Atoi(m[3])
			list = append(list, tally{m[2], n, m[1]})
		}
	}
	return list
}

// gapless checks that each run counts from 0 on, each number once, in order,
// and returns the runs in the order they began, with their last numbers.
func gapless(t *testing.T, list []tally) (runs []tally) {
	t.Helper()
	for _, c := range list {
		if len(runs) == 0 || runs[len(runs)-1].run != c.run {
			runs = append(runs, tally{c.run, -1, c.machine})
		}
		last := &runs[len(runs)-1]
		if c.n != last.n+1 || c.machine != last.machine {
			t.Fatalf("run %.8s on %s: after %d comes %d of %s", c.run, last.machine, last.n, c.n, c.machine)
		}
		last.n = c.n
	}
	seen := map[string]bool{}
	for _, r := range runs {
		if seen[r.run] {
			t.Fatalf("run %.8s comes in two pieces", r.run)
		}
		seen[r.run] = true
	}
	return runs
}

// TestJournalFollowsUnit follows a unit through restarts of the daemons, a
// stop and start, and the death of its machine, which then comes back.
func TestJournalFollowsUnit(t *testing.T) {
	f := newFleet(t, 3, setup{})
	f.start(f.machines[0], map[string]string{"count.service": counting})
	began := time.Now()
	home := f.home("count.service")
	watcher := f.others(home)[0]
	v := f.follow(watcher, "--lines=all", "count.service")
	f.shows(v, "bash", 0)

	f.must(watcher.RestartFleettop(f.ctx))
	seen := len(v.lines())
	f.shows(v, "bash", seen+50)
	f.must(home.RestartFleettop(f.ctx))
	seen = len(v.lines())
	f.shows(v, "bash", seen+50)
	f.settled(f.machines...)

	f.verb(watcher, "stop", "count.service")
	f.verb(watcher, "start", "count.service")
	seen = len(v.lines())
	f.shows(v, "bash", seen+50)

	if home != f.home("count.service") {
		t.Fatal("it was to be started where it had been")
	}
	_, err := home.Kill()
	f.must(err)
	f.shows(v, "moved "+home.Name, seen)
	seen = len(v.lines())
	f.shows(v, "bash", seen+100)
	target := f.home("count.service")
	f.verb(watcher, "stop", "count.service")
	f.shows(v, "Stopped", seen)

	lines := v.lines()
	runs := gapless(t, tallies(lines))
	if len(runs) != 3 || runs[0].machine != home.Name || runs[1].machine != home.Name || runs[2].machine != target.Name {
		t.Fatalf("there were to be two runs on %s and one on %s: %+v", home.Name, target.Name, runs)
	}
	f.divided(lines, home.Name, target.Name)
	for _, r := range runs {
		t.Logf("run %.8s on %s: %d numbers, each once and in order", r.run, r.machine, r.n+1)
	}
	if last := f.logged(target, runs[2].run); last != runs[2].n {
		t.Errorf("the journal of %s has the numbers to %d, the viewer those to %d", target.Name, last, runs[2].n)
	}
	// What the watcher could see before the machine died is all that it had told.
	f.must(home.Boot(f.ctx))
	f.must(home.WaitBooted(f.ctx))
	f.settled(f.machines...)
	since := began.Add(-time.Minute).Format(time.RFC3339)
	merged := gapless(t, tallies(strings.Split(f.verb(watcher, "journal", "--since="+since, "count.service"), "\n")))
	if len(merged) != 3 || merged[2] != runs[2] || merged[0] != runs[0] {
		t.Fatalf("with the old machine back there are %+v, not %+v", merged, runs)
	}
	if last := f.logged(home, runs[1].run); merged[1].n != last || last < runs[1].n {
		t.Errorf("the old machine had logged the numbers to %d, followed were those to %d, and told afterwards those to %d",
			last, runs[1].n, merged[1].n)
	}
	t.Logf("the old machine had logged %d numbers more than it could tell; they were told when it was back",
		merged[1].n-runs[1].n)
}

// divided checks that a divider with the outage stands between the lines of two machines.
func (f *fleet) divided(lines []string, from, to string) {
	f.t.Helper()
	at := slices.IndexFunc(lines, func(l string) bool { return dividerForm.MatchString(l) })
	if at < 0 {
		f.t.Fatal("no divider tells of the move and its outage")
	}
	m := dividerForm.FindStringSubmatch(lines[at])
	before, after := tallies(lines[:at]), tallies(lines[at:])
	if m[1] != from || m[2] != to || len(before) == 0 || len(after) == 0 {
		f.t.Fatalf("the divider is %q", lines[at])
	}
	for _, c := range before {
		if c.machine == to {
			f.t.Fatalf("a line of %s stands before the divider", to)
		}
	}
	for _, c := range after {
		if c.machine != to {
			f.t.Fatalf("a line of %s stands behind the divider", c.machine)
		}
	}
	f.t.Logf("divider: %s", lines[at])
}

// logged is the last number of a run that a machine's own journal has.
func (f *fleet) logged(m *lab.Machine, run string) int {
	f.t.Helper()
	last := -1
	for line := range strings.Lines(f.on(m, "journalctl", "--output=cat", "--unit=count.service")) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), run+" "); ok {
			last, _ = strconv.Atoi(n)
		}
	}
	return last
}

// hostile logs, at the word of a file, what logs can contain.
const hostile = `#!/bin/bash
n=0
while :; do
	echo "plain $n"
	n=$((n+1))
	if [ -e /root/now ]; then
		rm /root/now
		printf 'bell \a and \e[31mred\e[0m\n'
		printf 'bytes \xff\xfe and \x01\n'
		echo "<3>large $(head -c 1048576 /dev/zero | tr '\0' x)"
		echo '<2>urgent'
	fi
	sleep 0.01
done
`

// TestJournalOddities follows a log through rotation, vacuuming and a restart
// of journald, with binary content, escape sequences and a line of 1 MiB.
func TestJournalOddities(t *testing.T) {
	f := newFleet(t, 1, setup{})
	n1 := f.machines[0]
	f.must(n1.WriteFile("/etc/systemd/journald.conf.d/line.conf", []byte("[Journal]\nLineMax=4M\n"), 0o644))
	f.on(n1, "systemctl", "restart", "systemd-journald")
	f.must(n1.WriteFile("/root/hostile.sh", []byte(hostile), 0o755))
	f.start(n1, map[string]string{"hostile.service": "[Service]\nExecStart=/root/hostile.sh\n"})
	v := f.follow(n1, "--lines=all", "--output=json", "hostile.service")
	f.shows(v, "plain", 0)
	for _, upset := range [][]string{{"journalctl", "--rotate"}, {"journalctl", "--rotate", "--vacuum-files=1"},
		{"systemctl", "restart", "systemd-journald"},
		{"journalctl", "--sync", "--rotate"}, {"systemctl", "kill", "--signal=KILL", "systemd-journald"}} {
		f.on(n1, upset...)
		f.shows(v, "plain", len(v.lines())+30)
	}
	seen := len(v.lines())
	f.must(n1.WriteFile("/root/now", nil, 0o644))
	f.shows(v, "urgent", seen)
	f.verb(n1, "stop", "hostile.service")
	f.shows(v, "Stopped", seen)

	next, found := 0, map[string]bool{}
	for _, line := range v.lines() {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		switch message := fields["MESSAGE"].(type) {
		case string:
			if rest, ok := strings.CutPrefix(message, "plain "); ok {
				if n, _ := strconv.Atoi(rest); n != next {
					// What journald itself lost as it was killed can't be told.
					has := f.on(n1, "bash", "-c",
						fmt.Sprintf("journalctl --quiet --output=cat --unit=hostile.service | grep -cx 'plain %d' || true", next))
					if has != "0" || n != next+1 {
						t.Errorf("after %d comes %d, and the journal has the next one %s times", next-1, n, has)
					}
					t.Logf("journald lost line %d", next)
					next = n
				}
				next++
			}
			found["large"] = found["large"] || len(message) == len("large ")+1<<20 && fields["PRIORITY"] == "3"
			found["escape"] = found["escape"] || message == "bell \a and \x1b[31mred\x1b[0m"
			found["urgent"] = found["urgent"] || message == "urgent"
		case []any:
			found["binary"] = found["binary"] || fmt.Sprint(message) == fmt.Sprint([]byte("bytes \xff\xfe and \x01"))
		}
	}
	for _, what := range []string{"large", "escape", "binary", "urgent"} {
		if !found[what] {
			t.Errorf("the %s line was not told", what)
		}
	}
	t.Logf("%d plain lines followed without a gap", next)

	short := f.verb(n1, "journal", "--lines=all", "hostile.service")
	if !strings.Contains(short, `bell ^G and ^[[31mred^[[0m`) || !strings.Contains(short, `bytes \xff\xfe and ^A`) || strings.ContainsAny(short, "\x1b\a") {
		t.Error("control characters are not shown for what they are")
	}
	urgent := f.verb(n1, "journal", "--lines=all", "--priority=crit", "--output=cat", "hostile.service")
	if urgent != "urgent" {
		t.Errorf("of priority crit there is %q", urgent)
	}
	last := fmt.Sprint("plain ", next-1)
	if one := f.verb(n1, "journal", "--output=cat", "--grep=^"+last+"$", "hostile.service@n1"); one != last {
		t.Errorf("the pattern finds %q", one)
	}
	// A reader that has had enough ends it quietly.
	f.on(n1, "bash", "-c",
		"set -o pipefail; fleettop journal --lines=all hostile.service | head -1; [ $? = 141 -o $? = 0 ]")
}
