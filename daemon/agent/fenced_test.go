package agent

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/fencing"
	"fleettop/units"
	"fleettop/units/broadcast"
)

// fenceOnPaper stands as the test says.
type fenceOnPaper struct {
	changed broadcast.Signal

	mu       sync.Mutex // guards what follows
	id       string
	need     fencing.Need
	mayRaise bool
}

func (f *fenceOnPaper) SetSession(cluster.Session) {}
func (f *fenceOnPaper) Changed() <-chan struct{}   { return f.changed.Changed() }

func (f *fenceOnPaper) Want(need fencing.Need, mayRaise bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.need, f.mayRaise = need, mayRaise
}

func (f *fenceOnPaper) ID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.id
}

func (f *fenceOnPaper) set(id string) {
	f.mu.Lock()
	f.id = id
	f.mu.Unlock()
	f.changed.Notify()
}

// wanted waits until the fence is needed or not, and may be raised.
func (f *fenceOnPaper) wanted(t *testing.T, need fencing.Need) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		f.mu.Lock()
		ok := f.need == need && f.mayRaise
		f.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the fence is not wanted as %d", need)
		}
	}
}

const exclusively = "[X-Fleet]\nExclusive=true\n"

// put gives a unit to the machine, or changes its assignment, and doesn't wait.
func (r *rig) put(unit, content string, change func(a *cluster.Assignment)) {
	r.t.Helper()
	var hash string
	if file, err := units.ParseFile(content); err == nil {
		hash = file.Hash()
	}
	k := cluster.UnitOnMachine{Machine: "m1", Unit: unit}
	snap := r.cluster.Snapshot()
	u := cluster.Unit{Name: unit, Content: content, Hash: hash, Desired: units.Launched, Generation: 1}
	to := cluster.Assignment{Machine: "m1", Unit: unit, Content: content, Hash: u.Hash, Desired: u.Desired, Generation: 1, Epoch: 1}
	move := cluster.Move{Unit: unit, To: &to, Generation: 1}
	if from, ok := snap.Assignments[k]; ok {
		move.From, to = &from, from
	} else if errs, err := r.store.PutUnits(r.t.Context(), []cluster.Unit{u}); err != nil || errs[0] != nil {
		r.t.Fatal(err, errs)
	}
	change(&to)
	if _, errs, err := r.store.Apply(r.t.Context(), r.leader.Term, []cluster.Move{move}, cluster.Findings{}); err != nil || errs[0] != nil {
		r.t.Fatal(err, errs)
	}
}

func same(*cluster.Assignment) {}

// An exclusive unit is started behind a fence only, once behind each, and says
// that it is gone when it was told to leave.
func TestExclusiveUnitNeedsTheFence(t *testing.T) {
	fence := &fenceOnPaper{}
	r := newRigWith(t, 0, fence)
	ran := filepath.Join(r.dir, "ran")
	times := func() int {
		text, _ := os.ReadFile(ran)
		return strings.Count(string(text), "x")
	}
	const unit = "only.service"
	up := func(st cluster.Status) bool { return st.Active == "active" && st.Generation == 1 }
	r.put(unit, "[Service]\nExecStart=/bin/sh -c 'echo x >> "+ran+"; exec sleep 1000'\n"+exclusively, same)
	r.put("after.service", "[Service]\nExecStart=/bin/sleep 1000\n", same)
	r.await("after.service", up)
	fence.wanted(t, fencing.Needed)
	if times() != 0 {
		t.Fatal("it runs without a fence")
	}
	fence.set("first")
	r.await(unit, up)

	fence.set("") // it ends, and the unit with it
	r.await(unit, func(st cluster.Status) bool { return st.Generation == 0 })
	r.stop(unit)
	r.await(unit, func(st cluster.Status) bool { return st.Active != "active" })
	if times() != 1 {
		t.Errorf("it ran %d times without a fence", times())
	}
	fence.set("second")
	r.await(unit, up)
	if times() != 2 {
		t.Errorf("it ran %d times; want once behind each of two fences", times())
	}

	r.end()
	r.begin() // the fence outlives the daemon, and so does the unit
	r.put("last.service", "[Service]\nExecStart=/bin/sleep 1000\n", same)
	r.await("last.service", up)
	if times() != 2 {
		t.Errorf("the next daemon ran it: %d times", times())
	}

	r.put(unit, "", func(a *cluster.Assignment) { a.Leaving, a.Epoch = true, 9 })
	st := r.await(unit, func(st cluster.Status) bool { return st.Load == "not-found" })
	if st.Epoch != 9 || r.manager.Start(t.Context(), unit) == nil {
		t.Errorf("it was told to leave, and is reported as %+v", st)
	}
	fence.wanted(t, fencing.NotNeeded)
	r.put(unit, "", func(a *cluster.Assignment) { a.Leaving, a.Epoch = false, 10 })
	r.await(unit, up)
}

// A unit with OnIsolation=stop is stopped when the store was away for long
// enough, and started again when it is back; any other is left alone.
func TestUnitIsStoppedInIsolation(t *testing.T) {
	r := newRig(t, 0)
	up := func(st cluster.Status) bool { return st.Active == "active" && st.Generation == 1 }
	const service = "[Service]\nExecStart=/bin/sleep 1000\n"
	r.put("stops.service", service+"[X-Fleet]\nOnIsolation=stop\nIsolationTimeoutSec=5\n", same)
	r.put("keeps.service", service, same)
	r.await("stops.service", up)
	for r.status("keeps.service").Active != "active" {
		time.Sleep(10 * time.Millisecond)
	}
	keeps := r.status("keeps.service").PID
	away := time.Now()
	r.store.SetReachable(false)
	for r.status("stops.service").Active == "active" {
		if time.Since(away) > time.Minute {
			t.Fatal("it isn't stopped")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(away); took < 4*time.Second {
		t.Errorf("it was stopped after %v", took)
	}
	if now := r.status("keeps.service"); now.Active != "active" || now.PID != keeps {
		t.Errorf("a unit that keeps running is %+v", now)
	}
	r.store.SetReachable(true)
	s, err := r.store.Register(t.Context(), cluster.Run{Machine: "m1", ID: "r1", Address: "a"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r.agent.SetSession(t.Context(), s)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		st := r.cluster.Snapshot().Statuses[cluster.UnitOnMachine{Machine: "m1", Unit: "stops.service"}]
		if st.Active == "active" && st.Error == "" && st.Since.After(away) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("the store is back, and it is reported as %+v", st)
		}
	}
	if now := r.status("keeps.service"); now.PID != keeps {
		t.Errorf("a unit that keeps running is %+v", now)
	}
}
