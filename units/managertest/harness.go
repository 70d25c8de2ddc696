package managertest

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/units"
	"fleettop/units/proc"
)

// patience bounds every wait of the suite.
const patience = 20 * time.Second

// harness is one test with its manager.
type harness struct {
	*testing.T
	ctx  context.Context
	open func(t *testing.T) units.Manager
	opts Options
	m    units.Manager // nil while closed
	held map[string]bool
}

func newHarness(t *testing.T, open func(t *testing.T) units.Manager, opts Options) *harness {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	h := &harness{T: t, ctx: ctx, open: open, opts: opts, held: map[string]bool{}}
	h.reopen()
	t.Cleanup(func() {
		defer cancel()
		if h.m == nil {
			h.reopen()
		}
		h.unloadAll()
		if err := h.m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return h
}

// reopen closes the manager, as a daemon that exits, and opens the next one.
func (h *harness) reopen() {
	h.Helper()
	if h.m != nil {
		if err := h.m.Close(); err != nil {
			h.Fatalf("Close: %v", err)
		}
	}
	h.m = nil
	if h.m = h.open(h.T); h.m == nil {
		h.Fatal("open returned no manager")
	}
}

func (h *harness) unloadAll() {
	// The test's own context may have ended; what it loaded goes away all the same.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	names := make([]string, 0, len(h.held))
	for name := range h.held {
		names = append(names, name)
	}
	slices.Sort(names)
	errs, err := h.m.Unload(ctx, names)
	if err != nil || len(errs) > 0 {
		h.Errorf("unloading the test's units: %v %v", errs, err)
	}
}

// name makes a unit's name.
func (h *harness) name(s string) string { return h.opts.Prefix + s }

func file(t testing.TB, name, content string) units.UnitFile {
	t.Helper()
	f, err := units.ParseFile(content)
	if err != nil {
		t.Fatalf("the suite's own file %s: %v", name, err)
	}
	return units.UnitFile{Name: name, Content: content, Hash: f.Hash()}
}

// load loads files all of which must load; pairs are name, content, name, ...
func (h *harness) load(pairs ...string) []units.UnitFile {
	h.Helper()
	var files []units.UnitFile
	for i := 0; i < len(pairs); i += 2 {
		files = append(files, file(h.T, pairs[i], pairs[i+1]))
		h.held[pairs[i]] = true
	}
	errs, err := h.m.Load(h.ctx, files)
	if err != nil {
		h.Fatalf("Load: %v", err)
	}
	for name, err := range errs {
		h.Fatalf("Load: %s: %v", name, err)
	}
	return files
}

func (h *harness) start(name string) {
	h.Helper()
	if err := h.m.Start(h.ctx, name); err != nil {
		h.Fatalf("Start: %v", err)
	}
}

func (h *harness) stop(name string) {
	h.Helper()
	if err := h.m.Stop(h.ctx, name); err != nil {
		h.Fatalf("Stop: %v", err)
	}
}

// wantJobError checks that err is a JobError of this unit and verb with one of
// the results, and returns it.
func (h *harness) wantJobError(err error, verb, name string, results ...string) *units.JobError {
	h.Helper()
	var job *units.JobError
	if !errors.As(err, &job) {
		h.Fatalf("%s %s: got %v, want a JobError", verb, name, err)
	}
	if job.Unit != name || job.Verb != verb || !slices.Contains(results, job.Result) {
		h.Fatalf("got %+v, want %s %s with result %s", job, verb, name, strings.Join(results, " or "))
	}
	return job
}

// snapshot is the first half of Watch.
func (h *harness) snapshot() map[string]units.Status {
	h.Helper()
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	list, _, err := h.m.Watch(ctx)
	if err != nil {
		h.Fatalf("Watch: %v", err)
	}
	if !slices.IsSortedFunc(list, func(a, b units.Status) int { return strings.Compare(a.Name, b.Name) }) {
		h.Fatalf("the snapshot isn't sorted by name: %v", list)
	}
	byName := map[string]units.Status{}
	for _, s := range list {
		if _, twice := byName[s.Name]; twice {
			h.Fatalf("%s is twice in the snapshot", s.Name)
		}
		byName[s.Name] = s
	}
	return byName
}

func (h *harness) status(name string) units.Status {
	h.Helper()
	s, ok := h.snapshot()[name]
	if !ok {
		h.Fatalf("%s isn't in the snapshot", name)
	}
	return s
}

// await follows Watch until a unit's status satisfies a condition.
func (h *harness) await(name, what string, ok func(units.Status) bool) units.Status {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.ctx, patience)
	defer cancel()
	var last units.Status
	for ctx.Err() == nil {
		list, changes, err := h.m.Watch(ctx)
		if err != nil {
			h.Fatalf("Watch while waiting for %s to be %s: %v", name, what, err)
		}
		for open := true; open; list, open = <-changes {
			for _, s := range list {
				if s.Name != name {
					continue
				}
				if last = s; ok(s) {
					return s
				}
			}
		}
	}
	h.Fatalf("%s never was %s; its last status was %+v", name, what, last)
	return last
}

func (h *harness) awaitActive(name string) units.Status {
	h.Helper()
	return h.await(name, "active", func(s units.Status) bool { return s.Active == "active" })
}

// eventually waits for what no Manager reports.
func (h *harness) eventually(what string, ok func() bool) {
	h.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	h.Fatalf("never happened: %s", what)
}

// runs reports whether a process exists and isn't a zombie.
func runs(pid int) bool {
	if pid <= 0 || syscall.Kill(pid, 0) != nil {
		return false
	}
	s, err := proc.Read(proc.Root, pid)
	return err == nil && !s.Ended()
}

// scratch returns a path every unit can reach.
func (h *harness) scratch(base string) string { return filepath.Join(h.TempDir(), base) }
