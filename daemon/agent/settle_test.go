package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/memstore"
	"fleettop/units"
	"fleettop/units/process"
	"fleettop/units/retry"
)

// rig is an agent on a memory store, with a manager of processes.
type rig struct {
	t       *testing.T
	dir     string
	cluster *memstore.Cluster
	store   *memstore.Store
	session cluster.Session
	leader  cluster.Leader
	reports chan cluster.Status // all of them, in order
	up      time.Time           // since when the unit awaited was active by a report before
	late    time.Duration       // by which the agent hears of every change of a unit
	fence   Fence               // none if nil
	agent   *Agent              // that runs
	manager *process.Manager    // its manager
	end     func()
}

// lateManager tells of every change late, as one on a busy machine does.
type lateManager struct {
	*process.Manager
	late time.Duration
}

func (m lateManager) Watch(ctx context.Context) ([]units.Status, <-chan []units.Status, error) {
	now, changes, err := m.Manager.Watch(ctx)
	if err != nil {
		return nil, nil, err
	}
	out := make(chan []units.Status)
	go func() {
		defer close(out)
		for batch := range changes {
			if retry.Pause(ctx, m.late); !send(ctx, out, batch) {
				return
			}
		}
	}()
	return now, out, nil
}

func newRig(t *testing.T, late time.Duration) *rig { return newRigWith(t, late, nil) }

func newRigWith(t *testing.T, late time.Duration, fence Fence) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), cluster: memstore.New(), late: late, fence: fence, reports: make(chan cluster.Status, 10000)}
	r.store = r.cluster.Open()
	var err error
	if r.session, err = r.store.Register(t.Context(), cluster.Run{Machine: "m1", ID: "r1", Address: "a"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if r.leader, err = r.store.Campaign(t.Context(), r.session); err != nil {
		t.Fatal(err)
	}
	_, changes, err := r.store.Watch(t.Context(), cluster.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for c := range changes {
			for _, st := range c.Statuses {
				if st != nil {
					r.reports <- *st
				}
			}
		}
	}()
	r.begin()
	t.Cleanup(func() { r.end(); r.store.Close() })
	return r
}

// begin runs an agent, as a daemon that starts does.
func (r *rig) begin() {
	r.t.Helper()
	log := slog.New(slog.DiscardHandler)
	manager, err := process.New(process.Options{Dir: filepath.Join(r.dir, "run"), LogDir: filepath.Join(r.dir, "log"), Logger: log})
	if err != nil {
		r.t.Fatal(err)
	}
	r.manager = manager
	a := New(Config{Machine: "m1", Name: "n1", Store: r.store, Manager: lateManager{manager, r.late}, NotesPath: filepath.Join(r.dir, "notes.json"), Fence: r.fence, Log: log})
	r.agent = a
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	a.SetSession(ctx, r.session)
	r.end = func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
		if err := manager.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

// stop stops a unit behind the agent's back.
func (r *rig) stop(unit string) {
	r.t.Helper()
	if err := r.manager.Stop(r.t.Context(), unit); err != nil {
		r.t.Fatal(err)
	}
}

// status is what the manager says of a unit.
func (r *rig) status(unit string) units.Status {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	list, _, err := r.manager.Watch(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, st := range list {
		if st.Name == unit {
			return st
		}
	}
	return units.Status{}
}

// assign puts a unit of this content and desired state, one generation on,
// gives it to the machine and returns what is reported of it when that is carried out.
func (r *rig) assign(unit, content string, desired units.DesiredState, finished bool) cluster.Status {
	r.t.Helper()
	file, err := units.ParseFile(content)
	if err != nil {
		r.t.Fatal(err)
	}
	k := cluster.UnitOnMachine{Machine: "m1", Unit: unit}
	snap := r.cluster.Snapshot()
	u := cluster.Unit{Name: unit, Content: content, Hash: file.Hash(), Desired: desired, Generation: snap.Units[unit].Generation + 1}
	to := cluster.Assignment{Machine: "m1", Unit: unit, Content: content, Hash: u.Hash, Desired: desired, Generation: u.Generation, Epoch: 1, Finished: finished}
	move := cluster.Move{Unit: unit, To: &to, Generation: u.Generation}
	if from, ok := snap.Assignments[k]; ok {
		move.From = &from
	}
	errs, err := r.store.PutUnits(r.t.Context(), []cluster.Unit{u})
	if err == nil && errs[0] == nil {
		_, errs, err = r.store.Apply(r.t.Context(), r.leader.Term, []cluster.Move{move}, cluster.Findings{})
	}
	if err != nil || errs[0] != nil {
		r.t.Fatal(err, errs)
	}
	return r.await(unit, func(st cluster.Status) bool { return st.Generation == u.Generation })
}

// await reads the reports that weren't read yet up to one of a unit.
func (r *rig) await(unit string, ok func(cluster.Status) bool) cluster.Status {
	r.t.Helper()
	var st cluster.Status
	for limit := time.After(60 * time.Second); ; {
		select {
		case st = <-r.reports:
			if st.Name == unit && ok(st) {
				return st
			}
			if st.Name == unit && st.Active == "active" {
				r.up = st.Since
			}
		case <-limit:
			r.t.Fatalf("%s is not as awaited after a minute; the last report is %+v", unit, st)
		}
	}
}

// stayedUp reports whether a unit that is said to be active, or was before a
// report that came together with the next, was so for as long as the agent has
// to look at it, by its manager's own account.
func (r *rig) stayedUp(st cluster.Status) bool {
	r.t.Helper()
	up := r.up
	if st.Active == "active" {
		up = st.Since
		st = r.await(st.Name, func(next cluster.Status) bool { return next.Since.After(up) })
	}
	return !up.IsZero() && st.Since.Sub(up) >= lookLeast
}

// TestStartIsSettled: the first word on a start is how it went, the same each time.
func TestStartIsSettled(t *testing.T) {
	t.Run("at once", func(t *testing.T) { startIsSettled(t, newRig(t, 0), 5) })
	t.Run("heard of late", func(t *testing.T) { startIsSettled(t, newRig(t, 50*time.Millisecond), 2) })
}

func startIsSettled(t *testing.T, r *rig, times int) {
	const limitless = "[Unit]\nStartLimitIntervalSec=0\n[Service]\n"
	for _, c := range []struct {
		unit, content, active string
		error                 bool
	}{
		{"runs.service", limitless + "ExecStart=/bin/sleep 1000\n", "active", false},
		{"missing.service", limitless + "ExecStart=/nonexistent\n", "failed", true},
		{"dies.service", limitless + "ExecStart=/bin/false\n", "failed", false},
		{"ends.service", limitless + "ExecStart=/bin/true\n", "inactive", false},
		{"once.service", limitless + "Type=oneshot\nExecStart=/bin/true\n", "inactive", false},
		{"crashes.service", limitless + "ExecStart=/bin/false\nRestart=always\nRestartSec=100ms\n", "", true},
	} {
		for range times {
			r.up = time.Time{}
			st := r.assign(c.unit, c.content, units.Launched, false)
			good := (c.active == "" || st.Active == c.active) && (st.Error != "") == c.error
			if !good && c.active != "active" && r.stayedUp(st) {
				t.Logf("%s stayed up for longer than a look: the machine is busy", c.unit)
			} else if !good {
				t.Errorf("%s is reported as %+v; want %q, an error: %v; it was active at %s before", c.unit, st, c.active, c.error, r.up)
			}
			st = r.assign(c.unit, c.content, units.Loaded, false)
			if st.Active != "inactive" && st.Active != "failed" {
				t.Errorf("%s was not stopped: %+v", c.unit, st)
			}
		}
	}
}

// TestErrorOfAStartThatWasMadeGood: a unit that Restart= brings up has no error for long.
func TestErrorOfAStartThatWasMadeGood(t *testing.T) {
	r := newRig(t, 0)
	flag := filepath.Join(r.dir, "flag")
	content := "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sh -c 'test -e " + flag +
		" && exec sleep 1000'\nRestart=always\nRestartSec=50ms\n"
	for {
		r.up = time.Time{}
		st := r.assign("late.service", content, units.Launched, false)
		if st.Error != "" {
			break
		}
		if !r.stayedUp(st) {
			t.Fatalf("a start that failed is reported as %+v, want an error", st)
		}
		r.assign("late.service", content, units.Loaded, false) // the machine is busy: once more
	}
	if err := os.WriteFile(flag, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.await("late.service", func(st cluster.Status) bool { return st.Active == "active" && st.Error == "" })
}

// TestFinishedIsNotRun: a oneshot that finished elsewhere is held and not run,
// by the next daemon neither, until it is started.
func TestFinishedIsNotRun(t *testing.T) {
	r := newRig(t, 0)
	ran := filepath.Join(r.dir, "ran")
	content := "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo x >> " + ran + "'\n"
	times := func() int {
		text, _ := os.ReadFile(ran)
		return strings.Count(string(text), "x")
	}
	if st := r.assign("once.service", content, units.Launched, true); st.Active != "inactive" || st.Hash == "" || times() != 0 {
		t.Errorf("it ran %d times: %+v", times(), st)
	}
	r.end()
	if err := os.Remove(filepath.Join(r.dir, "notes.json")); err != nil {
		t.Fatal(err)
	}
	r.begin()
	after := r.assign("after.service", content, units.Launched, true) // when that is done, the other was looked at
	if after.Active != "inactive" || times() != 0 {
		t.Errorf("by the next daemon it ran %d times", times())
	}
	if st := r.assign("once.service", content, units.Launched, false); st.Active != "inactive" || times() != 1 {
		t.Errorf("started, it ran %d times: %+v", times(), st)
	}
}
