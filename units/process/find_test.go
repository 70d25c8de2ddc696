package process

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fleettop/units"
)

// reopen closes the manager, lets something happen to its directory, and opens the next one.
func (b *bench) reopen(between func(state string)) {
	b.Helper()
	if err := b.Close(); err != nil {
		b.Fatal(err)
	}
	between(filepath.Join(b.dir, "state"))
	b.Manager = open(b, b.dir)
}

// starts counts the lines "up" in a unit's log: one for each copy that was started.
func (b *bench) starts(name string) int { return strings.Count(b.log(name), "up\n") }

const (
	says = "echo up; exec sleep 1000"
	// bare is a program that has lost its environment.
	bare = "echo up; exec env -i sleep 1000"
)

func runs(script string) string { return "[Service]\nExecStart=/bin/sh -c '" + script + "'\n" }

// TestLostRecordsLeadToNoSecondCopy damages what a manager left in all ways.
func TestLostRecordsLeadToNoSecondCopy(t *testing.T) {
	remove := func(path string) {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const name = "a.service"
	for _, script := range []string{says, bare} {
		for what, damage := range map[string]func(state string){
			"nothing":             func(string) {},
			"no record":           func(state string) { remove(state + "/state/" + name) },
			"an empty record":     func(state string) { write(state+"/state/"+name, "") },
			"half a record":       func(state string) { write(state+"/state/"+name, `{"boot":"`) },
			"a record of nothing": func(state string) { write(state+"/state/"+name, `{}`) },
			"a directory for one": func(state string) {
				remove(state + "/state/" + name)
				_ = os.Mkdir(state+"/state/"+name,
					0o755)
			},
			"no unit file":         func(state string) { remove(state + "/units/" + name) },
			"an empty unit file":   func(state string) { write(state+"/units/"+name, "") },
			"neither":              func(state string) { remove(state + "/state/" + name); remove(state + "/units/" + name) },
			"no directory":         func(state string) { remove(state) },
			"no records at all":    func(state string) { remove(state + "/state") },
			"no unit files at all": func(state string) { remove(state + "/units") },
		} {
			t.Run(what, func(t *testing.T) {
				b := newBench(t)
				b.load(name, runs(script))
				b.start(name)
				pid := b.status(name).PID
				b.eventually("it is up", func() bool { return b.starts(name) == 1 && (script == says || invocationOf(pid) == "") })
				b.reopen(damage)
				if held := b.unit(name) != nil; held {
					if s := b.status(name); s.Active != "active" || s.PID != pid {
						t.Errorf("found as %+v, and process %d lives", s, pid)
					}
				}
				// What an agent does when it doesn't find the unit as it should be.
				b.load(name, runs(script))
				b.start(name)
				if s := b.status(name); s.Load != "loaded" || s.Active != "active" || s.PID != pid || len(s.Hash) != 40 ||
					b.starts(name) != 1 {
					t.Errorf("loaded and started again it is %+v with %d copies, and process %d lives", s, b.starts(name), pid)
				}
				b.reopen(func(string) {})
				if s := b.status(name); s.Active != "active" || s.PID != pid {
					t.Errorf("the next manager finds %+v", s)
				}
				b.stop(name)
				if s := b.status(name); s.Active != "inactive" || lives(pid) {
					t.Errorf("stopped, it is %+v, and process %d lives: %v", s, pid, lives(pid))
				}
			})
		}
	}
}

// TestGarbledRecordIsSaidOnce: the record that can't be read is replaced by one that can.
func TestGarbledRecordIsSaidOnce(t *testing.T) {
	b := newBench(t)
	b.load("a.service", runs(says))
	for i, state := range []string{"at first", "the next time"} {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.WriteFile(b.dir+"/state/state/a.service", []byte(`{"boot":"`), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var log strings.Builder
		m, err := New(Options{Dir: b.dir + "/state", LogDir: b.dir + "/log", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		b.Manager = m
		if s := b.status("a.service"); s.Active != "inactive" || s.Load != "loaded" {
			t.Errorf("%s: %+v", state, s)
		}
		if said := strings.Contains(log.String(), "record can't be read"); said != (i == 0) {
			t.Errorf("%s the log is:\n%s", state, log.String())
		}
	}
}

// TestLostDirectoryUnderAManager goes on with units when the directory is gone.
func TestLostDirectoryUnderAManager(t *testing.T) {
	b := newBench(t)
	b.load("a.service", runs(says))
	b.start("a.service")
	pid := b.status("a.service").PID
	for _, sub := range []string{"state", "log"} {
		if err := os.RemoveAll(filepath.Join(b.dir, sub)); err != nil {
			t.Fatal(err)
		}
	}
	b.load("b.service", "[Service]\nType=notify\n"+self(t, "ready"))
	b.start("b.service")
	if s := b.status("a.service"); s.PID != pid || s.Active != "active" {
		t.Errorf("%+v", s)
	}
	b.reopen(func(string) {})
	if s := b.status("b.service"); s.Active != "active" {
		t.Errorf("%+v", s)
	}
	b.load("a.service", runs(says))
	b.start("a.service")
	if s := b.status("a.service"); s.PID != pid || s.Active != "active" {
		t.Errorf("%+v, and process %d lives: %v", s, pid, lives(pid))
	}
	b.stop("a.service")
}

// TestLostRecordOfSeveralProcesses finds all processes of a unit without a main process.
func TestLostRecordOfSeveralProcesses(t *testing.T) {
	b := newBench(t)
	b.load("a.service", "[Service]\nType=forking\nExecStart=/bin/sh -c 'for i in 1 2; do setsid sleep 1000 & echo $$!; done > "+b.dir+"/tmp; mv "+b.dir+"/tmp "+b.dir+"/pids'\n")
	b.start("a.service")
	var pids []int
	for _, f := range strings.Fields(b.read("pids")) {
		var pid int
		if _, err := fmt.Sscan(f, &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	b.reopen(func(state string) {
		if err := os.Remove(state + "/state/a.service"); err != nil {
			t.Fatal(err)
		}
	})
	if s := b.status("a.service"); s.Active != "active" || s.Sub != "running" {
		t.Errorf("%+v", s)
	}
	b.start("a.service")
	b.stop("a.service")
	if len(pids) != 2 || lives(pids[0]) || lives(pids[1]) {
		t.Errorf("of %v some live on", pids)
	}
}

// TestUnitsOfOtherManagersAreLeftAlone has two managers with units of one name.
func TestUnitsOfOtherManagersAreLeftAlone(t *testing.T) {
	a, b := newBench(t), newBench(t)
	for _, one := range []*bench{a, b} {
		one.load("a.service", runs(says))
		one.start("a.service")
	}
	first, second := a.status("a.service").PID, b.status("a.service").PID
	a.reopen(func(state string) {
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
	})
	a.load("a.service", runs(says))
	if s := a.status("a.service"); s.PID != first {
		t.Errorf("%+v, expected process %d", s, first)
	}
	a.stop("a.service")
	if s := b.status("a.service"); s.PID != second || !lives(second) {
		t.Errorf("the other manager's unit is %+v, its process %d lives: %v", s, second, lives(second))
	}
}

// TestWhatWasUnloadedIsForgotten: a unit that was unloaded begins anew.
func TestWhatWasUnloadedIsForgotten(t *testing.T) {
	b := newBench(t)
	b.load("a.service", runs(says))
	b.start("a.service")
	if bad, err := b.Unload(b.ctx, []string{"a.service"}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	b.reopen(func(string) {})
	b.load("a.service", runs(says))
	if s := b.status("a.service"); s.Active != "inactive" {
		t.Errorf("%+v", s)
	}
	var held []units.Status
	held, _, err := b.Watch(b.ctx)
	if err != nil || len(held) != 1 {
		t.Errorf("%v are held, %v", held, err)
	}
}

// TestWhatKillModeLeft: processes that outlive their unit by KillMode= don't
// make it running when it is loaded again.
func TestWhatKillModeLeft(t *testing.T) {
	b := newBench(t)
	const file = "[Service]\nKillMode=process\nExecStart=/bin/sh -c 'setsid sleep 1000 & echo $$! > %[1]s/tmp; mv %[1]s/tmp %[1]s/pid; exec sleep 1001'\n"
	b.load("a.service", fmt.Sprintf(file, b.dir))
	b.start("a.service")
	pid, err := strconv.Atoi(b.read("pid"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.kill(pid)
	if bad, err := b.Unload(b.ctx, []string{"a.service"}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	for range 2 {
		b.reopen(func(string) {})
		if b.unit("a.service") != nil {
			t.Error("it is held")
		}
	}
	b.load("a.service", fmt.Sprintf(file, b.dir))
	if s := b.status("a.service"); s.Active != "inactive" || !lives(pid) {
		t.Errorf("%+v, and what it left lives: %v", s, lives(pid))
	}
	if err := os.Remove(b.dir + "/pid"); err != nil {
		t.Fatal(err)
	}
	b.start("a.service")
	second, err := strconv.Atoi(b.read("pid"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.kill(second)
	b.stop("a.service")
}
