package process

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// family starts a child in its group, one in a session of its own, one that
// double-forked away, and one without an environment, and writes all their numbers.
const family = `[Service]
ExecStart=/bin/sh -c 'sleep 1000 & A=$$!; setsid sleep 1000 & B=$$!; (setsid sh -c "sleep 1000 & echo $$! > %[1]s/c; wait" &) ; env -i /bin/sleep 1000 & D=$$!; while ! test -s %[1]s/c; do sleep 0.01; done; echo $$A $$B $$D $$(cat %[1]s/c) > %[1]s/tmp; mv %[1]s/tmp %[1]s/pids; %[2]s'
`

func (b *bench) family(name, last, more string) []int {
	b.Helper()
	b.load(name, fmt.Sprintf(family, b.dir, last)+more)
	b.start(name)
	var pids []int
	for _, s := range strings.Fields(b.read("pids")) {
		pid, err := strconv.Atoi(s)
		if err != nil || !lives(pid) {
			b.Fatalf("%s: %v, alive: %v", s, err, lives(pid))
		}
		pids = append(pids, pid)
	}
	if len(pids) != 4 {
		b.Fatalf("pids %v", pids)
	}
	return pids
}

func (b *bench) wantAlive(pids []int, want bool) {
	b.Helper()
	for i, pid := range pids {
		if lives(pid) != want {
			b.Errorf("process %d (the %dth): alive is %v, want %v", pid, i+1, !want, want)
		}
	}
}

func TestStopEndsAllProcesses(t *testing.T) {
	b := newBench(t)
	pids := b.family("a.service", "wait", "")
	b.stop("a.service")
	b.wantAlive(pids, false)
}

func TestEndOfMainProcessEndsAllOthers(t *testing.T) {
	b := newBench(t)
	pids := b.family("a.service", "exit 0", "")
	b.await("a.service", "inactive/dead")
	b.wantAlive(pids, false)
}

func TestUnloadEndsAllProcesses(t *testing.T) {
	b := newBench(t)
	pids := b.family("a.service", "wait", "")
	if bad, err := b.Unload(b.ctx, []string{"a.service"}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	b.wantAlive(pids, false)
}

func TestKillModeMixed(t *testing.T) {
	b := newBench(t)
	pids := b.family("a.service", `trap "exit 0" TERM; wait`, "KillMode=mixed\n")
	b.stop("a.service")
	b.wantAlive(pids, false)
	if s := b.status("a.service"); s.Result != "success" {
		t.Errorf("%+v", s)
	}
}

func TestKillModeProcess(t *testing.T) {
	b := newBench(t)
	pids := b.family("a.service", "wait", "KillMode=process\n")
	main := b.status("a.service").PID
	b.stop("a.service")
	b.wantAlive(pids, true)
	b.wantAlive([]int{main}, false)
	for _, pid := range pids {
		b.kill(pid)
	}
}

func TestStubbornProcesses(t *testing.T) {
	b := newBench(t)
	stubborn := "[Service]\nTimeoutStopSec=150ms\nExecStart=/bin/sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.02; done'\n"
	b.load("a.service", stubborn)
	b.start("a.service")
	b.eventually("the trap is set", func() bool { return b.log("a.service") != "" })
	began, pid := time.Now(), b.status("a.service").PID
	b.stop("a.service")
	if d := time.Since(began); d < 150*time.Millisecond || lives(pid) {
		t.Errorf("killed after %v, alive: %v", d, lives(pid))
	}
	if s := b.status("a.service"); s.Active != "failed" || s.Result != "timeout" {
		t.Errorf("%+v", s)
	}
	b.load("b.service", stubborn+"SendSIGKILL=no\n")
	b.start("b.service")
	b.eventually("the trap is set", func() bool { return b.log("b.service") != "" })
	pid = b.status("b.service").PID
	b.stop("b.service")
	b.wantAlive([]int{pid}, true)
	if s := b.status("b.service"); s.Active != "failed" || s.Result != "timeout" {
		t.Errorf("%+v", s)
	}
	b.kill(pid)
}

func TestKillLeavesNothing(t *testing.T) {
	b := newBench(t)
	pids := b.family("a.service", "wait", "Restart=always\n")
	if err := Kill(b.dir + "/state"); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Kill under a manager: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.wantAlive(pids, true)
	if err := Kill(b.dir + "/state"); err != nil {
		t.Fatal(err)
	}
	b.wantAlive(pids, false)
}

// TestOwns compares what is said of each process with the list of all the unit's.
func TestOwns(t *testing.T) {
	b := newBench(t)
	b.load("a.service", "[Service]\nExecStart=/bin/sh -c 'setsid env -i sleep 1000 & env -i sh -c \"sleep 1001 & wait\" & sleep 1002 & echo up; wait'\n")
	b.load("b.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	b.start("a.service")
	b.start("b.service")
	u := b.unit("a.service")
	b.eventually("all of it run", func() bool { return len(u.members()) >= 5 })
	own := u.members()
	table, err := readTable()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range table {
		id, ok := u.owns(p.PID)
		if ok != slices.Contains(own, p.procID) && lives(p.PID) {
			t.Errorf("process %d is said to be the unit's: %v, expected %v", p.PID, ok, !ok)
		}
		if ok {
			found++
			if id != p.procID {
				t.Errorf("%+v is called %+v", p.procID, id)
			}
		}
	}
	if found != len(own) {
		t.Errorf("%d processes are the unit's, expected %d", found, len(own))
	}
	if _, ok := u.owns(os.Getpid()); ok {
		t.Error("the daemon is said to be the unit's")
	}
}
