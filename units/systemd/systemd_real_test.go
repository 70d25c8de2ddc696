//go:build systemd

// These tests drive the systemd of the machine they run on, as root: build
// them with `go test -c -tags systemd` and run the binary on a lab machine.

package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/units"
	"fleettop/units/managertest"
)

// options are those of the manager under test: the system's as root, the
// user's own with FLEETTOP_TEST_USER.
func options(t testing.TB, dir string) Options {
	t.Helper()
	opts := Options{Dir: filepath.Join("/run", dir)}
	if os.Getenv("FLEETTOP_TEST_USER") != "" {
		opts = Options{Dir: filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), dir), User: true}
	}
	t.Cleanup(func() {
		for _, dir := range []string{opts.Dir, opts.Dir + observer} {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}
	})
	return opts
}

const observer = "-observer" // ends the directory of a second manager

func openReal(t testing.TB, opts Options) *Manager {
	t.Helper()
	// The test's own context has ended when its cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m, err := Open(ctx, opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return m
}

// holding opens a manager that is closed, and its units unloaded, at the end.
func holding(t testing.TB, opts Options, names ...string) *Manager {
	t.Helper()
	return held(t, openReal(t, opts), names...)
}

func held(t testing.TB, m *Manager, names ...string) *Manager {
	t.Cleanup(func() {
		if errs, err := m.Unload(context.Background(), names); err != nil || len(errs) > 0 {
			t.Errorf("Unload: %v %v", errs, err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

func mustLoad(t testing.TB, m *Manager, files ...units.UnitFile) {
	t.Helper()
	errs, err := m.Load(t.Context(), files)
	if err != nil || len(errs) > 0 {
		t.Fatalf("Load: %v %v", errs, err)
	}
}

func sleeper(name string, more ...string) units.UnitFile {
	return units.UnitFile{Name: name, Content: "[Unit]\nDescription=" + name + "\n[Service]\nExecStart=/bin/sleep 1000\n" +
		strings.Join(more, "\n") + "\n"}
}

func statusOf(t testing.TB, m *Manager, name string) units.Status {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	list, _, err := m.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("%s isn't held", name)
	return units.Status{}
}

func systemctl(t testing.TB, opts Options, args ...string) string {
	t.Helper()
	if opts.User {
		args = append([]string{"--user"}, args...)
	}
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("systemctl %v: %v", args, err)
	}
	return string(out)
}

func TestContract(t *testing.T) {
	opts := options(t, "fleettop-contract")
	contract(t, opts, func(t *testing.T) units.Manager { return openReal(t, opts) })
}

// Through the bus everything works as it does directly.
func TestContractOverTheBus(t *testing.T) {
	opts := options(t, "fleettop-bus")
	contract(t, opts, func(t *testing.T) units.Manager { return openOverTheBus(t, opts) })
}

// openOverTheBus opens a manager that finds no socket of systemd's own.
func openOverTheBus(t testing.TB, opts Options) *Manager {
	t.Helper()
	direct := openReal(t, opts)
	if err := direct.Close(); err != nil {
		t.Fatal(err)
	}
	at := direct.at
	at.private = "/nowhere"
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m, err := open(ctx, direct.files, at, Options{}, direct.log)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return m
}

func contract(t *testing.T, opts Options, open func(t *testing.T) units.Manager) {
	managertest.Run(t, open, managertest.Options{
		Sockets: true, Timers: true, Paths: true, Targets: true, Dependencies: true,
		Enabled: func(name, target string) bool {
			links := systemLinks
			if opts.User {
				links = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd/user")
			}
			_, err := os.Lstat(filepath.Join(links, target+".wants", name))
			return err == nil
		},
	})
	// Nothing lingers: no unit, file or link.
	if out := systemctl(t, opts, "list-units", "--all", "--no-legend", "--plain",
		"managertest-*"); strings.TrimSpace(out) != "" {
		t.Errorf("units linger:\n%s", out)
	}
	entries, err := os.ReadDir(opts.Dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v %v", entries, err)
	}
}

// reloads counts systemd's reloads while do runs.
func reloads(t testing.TB, opts Options, do func()) int {
	t.Helper()
	m := openReal(t, Options{Dir: opts.Dir + observer, User: opts.User})
	defer m.Close()
	m.mu.Lock()
	s := m.sess
	m.mu.Unlock()
	ended := make(chan struct{}, 100)
	tap := &session{m: m, jobs: newJobs(), foreign: newForeign(), reloaded: ended}
	if err := tap.dial(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer tap.bus.Close()
	m.mu.Lock()
	m.sess = tap // its signals count from here on
	m.mu.Unlock()
	do()
	if err := tap.call(t.Context(), "ListUnitsByNames", []string{}).Err; err != nil { // what was sent before has arrived
		t.Fatal(err)
	}
	m.mu.Lock()
	m.sess = s
	m.mu.Unlock()
	return len(ended)
}

func TestReloads(t *testing.T) {
	opts := options(t, "fleettop-reloads")
	var files []units.UnitFile
	var names []string
	for i := range 30 {
		f := sleeper(fmt.Sprintf("reloads@%d.service", i))
		files, names = append(files, f), append(names, f.Name)
	}
	m := holding(t, opts, names...)
	mustLoad(t, m, files...)
	mustStart(t, m, names...)
	for i := range files {
		files[i].Content += "Environment=A=b\n"
	}
	if n := reloads(t, opts, func() { mustLoad(t, m, files...) }); n != 1 {
		t.Errorf("a batch took %d reloads, want 1", n)
	}
	if n := reloads(t, opts, func() { mustLoad(t, m, files...) }); n != 0 {
		t.Errorf("the same batch again took %d reloads, want none", n)
	}
	if n := reloads(t, opts, func() {
		next := openReal(t, opts)
		defer next.Close()
		mustLoad(t, next, files...)
	}); n != 0 {
		t.Errorf("adoption took %d reloads, want none", n)
	}
	n := reloads(t, opts, func() {
		var wg sync.WaitGroup
		for i, f := range files {
			wg.Go(func() {
				f.Content += fmt.Sprintf("Environment=N=%d\n", i)
				if errs, err := m.Load(t.Context(), []units.UnitFile{f}); err != nil || len(errs) > 0 {
					t.Errorf("Load: %v %v", errs, err)
				}
			})
		}
		wg.Wait()
	})
	if n > len(files)/2 {
		t.Errorf("%d loads at once took %d reloads; they aren't shared", len(files), n)
	}
	t.Logf("%d loads at once took %d reloads", len(files), n)
	if n := reloads(t, opts, func() {
		if errs, err := m.Unload(t.Context(), names); err != nil || len(errs) > 0 {
			t.Errorf("Unload: %v %v", errs, err)
		}
	}); n > 1 { // none where systemd has dropped what was stopped in time
		t.Errorf("unloading a batch took %d reloads, want 1 at most", n)
	}
}

// A manager that died between writing a file and having it read leaves a mark.
func TestInterruptedLoad(t *testing.T) {
	opts := options(t, "fleettop-interrupted")
	f := sleeper("interrupted.service")
	m := holding(t, opts, f.Name)
	mustLoad(t, m, f)
	if err := m.Start(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	m.reloads.touch()
	if err := m.files.write(f.Name, f.Content+"Environment=A=b\n"); err != nil {
		t.Fatal(err)
	}
	if n := reloads(t, opts, func() {
		next := openReal(t, opts)
		defer next.Close()
	}); n != 1 {
		t.Errorf("after an interrupted load Open reloaded %d times, want once", n)
	}
	if out := systemctl(t, opts, "show", "-p", "Environment,NeedDaemonReload", f.Name); !strings.Contains(out, "A=b") ||
		!strings.Contains(out, "NeedDaemonReload=no") {
		t.Errorf("systemd has not read the file: %s", out)
	}
}

// systemd executing itself anew drops direct connections: watches end, waiting
// jobs get their results, units keep their processes.
func TestConnectionLost(t *testing.T) {
	for way, open := range map[string]func(testing.TB, Options) *Manager{"Direct": openReal, "Bus": openOverTheBus} {
		t.Run(way, func(t *testing.T) { testConnectionLost(t, open) })
	}
}

func testConnectionLost(t *testing.T, open func(testing.TB, Options) *Manager) {
	opts := options(t, "fleettop-lost")
	f, slow := sleeper("lost.service"), units.UnitFile{Name: "lost-slow.service",
		Content: "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 2\n"}
	m := held(t, open(t, opts), f.Name, slow.Name)
	mustLoad(t, m, f, slow)
	if err := m.Start(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	pid := statusOf(t, m, f.Name).PID
	_, changes, err := m.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- m.Start(t.Context(), slow.Name) }()
	for active := ""; active != "activating"; active = statusOf(t, m, slow.Name).Active {
		time.Sleep(10 * time.Millisecond)
	}
	systemctl(t, opts, "daemon-reexec")
	deadline := time.After(20 * time.Second)
	for open := true; open; {
		select {
		case _, open = <-changes:
		case <-deadline:
			t.Fatal("the watch did not end")
		}
	}
	if s := statusOf(t, m, f.Name); s.PID != pid || s.Active != "active" || s.Hash == "" {
		t.Errorf("after systemd executed itself anew: %+v, its process was %d", s, pid)
	}
	if err := <-waiting; err != nil {
		t.Errorf("a start that was under way: %v", err)
	}
}

// Somebody else's reload changes nothing.
func TestForeignReload(t *testing.T) {
	opts := options(t, "fleettop-foreign")
	f, idle := sleeper("foreign.service"), sleeper("foreign-idle.service")
	m := holding(t, opts, f.Name, idle.Name)
	mustLoad(t, m, f, idle)
	if err := m.Start(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	before := []units.Status{statusOf(t, m, f.Name), statusOf(t, m, idle.Name)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, changes, err := m.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	systemctl(t, opts, "daemon-reload")
	if err := m.Start(t.Context(), f.Name); err != nil { // a round trip after the reload
		t.Fatal(err)
	}
	select {
	case batch, open := <-changes:
		t.Errorf("a reload was reported as %+v (open: %v)", batch, open)
	case <-time.After(200 * time.Millisecond):
	}
	for _, b := range before {
		if now := statusOf(t, m, b.Name); !now.Equal(b) {
			t.Errorf("a reload made %+v out of %+v", now, b)
		}
	}
}

// What an administrator does by hand is seen.
func TestForeignJobs(t *testing.T) {
	opts := options(t, "fleettop-byhand")
	f := sleeper("byhand.service")
	m := holding(t, opts, f.Name)
	mustLoad(t, m, f)
	_, changes, err := m.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ verb, active string }{{"start", "active"}, {"kill", "failed"},
		{"reset-failed", "inactive"}, {"start", "active"}, {"stop", "inactive"}} {
		args := []string{step.verb, f.Name}
		if step.verb == "kill" {
			args = []string{"kill", "--signal=KILL", f.Name}
		}
		systemctl(t, opts, args...)
		deadline := time.After(20 * time.Second)
		for seen := ""; seen != step.active; {
			select {
			case batch := <-changes:
				seen = batch[len(batch)-1].Active
			case <-deadline:
				t.Fatalf("systemctl %s was never seen; the unit is %+v", step.verb, statusOf(t, m, f.Name))
			}
		}
	}
}
