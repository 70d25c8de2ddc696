package schedule

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

// rolling is a cluster whose agents carry out what they are given.
type rolling struct {
	*scene
	t        rapid.TB
	planner  *Planner
	broken   map[string]bool // machines on which the current content fails
	restarts []string        // machines, in the order in which the unit was interrupted there
}

const global = "g.service"

// newRolling has the unit active on all machines, which came one after the other.
func newRolling(t rapid.TB, options string, machines ...string) *rolling {
	r := &rolling{scene: newScene(machines...), t: t, planner: New(), broken: map[string]bool{}}
	r.unit(global, "Global=true", options)
	r.settle()
	r.restarts = nil
	return r
}

func (r *rolling) settle() {
	for range 100 {
		if !r.plan() && !r.carryOut() {
			return
		}
	}
	r.t.Fatal("it never ends")
}

// change takes a copy of the snapshot, as maps that are the same are taken for unchanged.
func (r *rolling) change(f func()) {
	r.snap = r.snap.With(cluster.Change{Revision: r.snap.Revision + 1, Units: map[string]*cluster.Unit{"": nil},
		Machines: map[string]*cluster.Machine{"": nil}, Statuses: map[cluster.UnitOnMachine]*cluster.Status{{}: nil}})
	f()
}

// update changes the unit file.
func (r *rolling) update(n, maxUnavailable int) {
	r.change(func() {
		r.unit(global, "Global=true", fmt.Sprintf("MachineMetadata=v=%d", n), "MachineMetadata=v=x")
		u := r.snap.Units[global]
		u.MaxUnavailable = maxUnavailable
		r.snap.Units[global] = u
	})
}

// plan is a look of the leader. It returns whether anything is to be done.
func (r *rolling) plan() bool {
	res := r.planner.Plan(r.input(), noon)
	for _, m := range res.Moves {
		if m.From != nil && m.To != nil && m.From.Hash != m.To.Hash && r.health[m.To.Machine].State == cluster.Up {
			r.restarts = append(r.restarts, m.To.Machine)
		}
	}
	r.snap = apply(r.snap, res.Moves)
	return len(res.Moves) > 0
}

// behind returns the assignment of which the machine hasn't reported yet.
func (r *rolling) behind(id string) (a cluster.Assignment, ok bool) {
	k := cluster.UnitOnMachine{Machine: id, Unit: global}
	a, given := r.snap.Assignments[k]
	st := r.snap.Statuses[k]
	return a, given && r.health[id].State == cluster.Up && (st.Generation != a.Generation || st.Epoch != a.Epoch)
}

// carryOut has one machine do what it was given.
func (r *rolling) carryOut() bool {
	for _, id := range slices.Sorted(maps.Keys(r.snap.Machines)) {
		if a, ok := r.behind(id); ok {
			r.report(id, a)
			return true
		}
	}
	return false
}

func (r *rolling) report(id string, a cluster.Assignment) {
	st := cluster.Status{Machine: id, Epoch: a.Epoch, Generation: a.Generation,
		Status: units.Status{Name: global, Load: "loaded", Active: "active", Sub: "running", Hash: a.Hash}}
	switch {
	case a.Desired == units.Loaded:
		st.Active = "inactive"
	case r.broken[id] && a.Hash == r.snap.Units[global].Hash:
		st.Active, st.Result = "failed", "exit-code"
	}
	r.change(func() { r.snap.Statuses[cluster.UnitOnMachine{Machine: id, Unit: global}] = st })
}

// away returns the machines that run, have the unit and on which it isn't active.
func (r *rolling) away() []string {
	var ids []string
	for k := range r.snap.Assignments {
		_, behind := r.behind(k.Machine)
		if r.health[k.Machine].State == cluster.Up && (behind || r.snap.Statuses[k].Active != "active") {
			ids = append(ids, k.Machine)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *rolling) text() string {
	res := r.planner.Plan(r.input(), noon)
	if len(res.Moves) > 0 {
		r.t.Fatalf("there is more to do: %v", says(res))
	}
	if len(res.Rolls) == 0 {
		return ""
	}
	return res.Rolls[0].Text
}

func (r *rolling) upToDate() int {
	n := 0
	for _, a := range r.snap.Assignments {
		if a.Hash == r.snap.Units[global].Hash {
			n++
		}
	}
	return n
}

func rollingOnFour(t rapid.TB) *rolling {
	r := newRolling(t, "MachineMetadata=v=x")
	for _, id := range []string{"n1", "n2", "n3", "n4"} {
		r.change(func() { r.machine(id, "v=x") })
	}
	r.settle()
	return r
}

func TestRollOneAtATime(t *testing.T) {
	r := rollingOnFour(t)
	r.update(1, 0)
	for k, id := range []string{"n1", "n2", "n3", "n4"} {
		if !r.plan() || r.upToDate() != k+1 || r.restarts[k] != id {
			t.Fatalf("after step %d: %d updated, %v", k, r.upToDate(), r.restarts)
		}
		want := fmt.Sprintf("updated on %d of 4 machines; the others wait until it is active on %s", k, id)
		if k == 3 {
			want = ""
		}
		if got := r.text(); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
		if e, err := r.planner.Explain(r.input(), global); err != nil || e.Roll != want {
			t.Errorf("explain says %q, %v", e.Roll, err)
		}
		r.planner = New() // of the next leader
		r.carryOut()
	}
	if r.plan() {
		t.Error("there is more to do")
	}
}

func TestRollSeveralAtATime(t *testing.T) {
	r := rollingOnFour(t)
	r.update(1, 3)
	if r.plan(); r.upToDate() != 3 {
		t.Errorf("%d are updated at once, want 3", r.upToDate())
	}
	a, _ := r.behind("n2")
	r.report("n2", a)
	if r.plan(); r.upToDate() != 4 {
		t.Errorf("%d are updated, want 4", r.upToDate())
	}
}

func TestRollIsHeldByAFailure(t *testing.T) {
	r := rollingOnFour(t)
	r.broken["n2"] = true
	r.update(1, 2)
	r.settle()
	if got := r.upToDate(); got != 3 { // n3 was updated when n1 was done, before n2 failed
		t.Errorf("%d are updated, want 3", got)
	}
	if got, want := r.text(), "updated on 2 of 4 machines; the others wait, as it failed (exit-code) on n2"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if res := r.planner.Plan(r.input(), noon); res.Rolls[0].Failed != "it failed (exit-code) on n2" {
		t.Errorf("%+v", res.Rolls)
	}
	// The file is mended: first where it doesn't run.
	r.broken, r.restarts = nil, nil
	r.update(2, 0)
	r.settle()
	if want := []string{"n2", "n1", "n3", "n4"}; !slices.Equal(r.restarts, want) {
		t.Errorf("updated on %v, want %v", r.restarts, want)
	}
	if got := r.text(); got != "" || r.upToDate() != 4 {
		t.Errorf("at last it says %q, and %d are updated", got, r.upToDate())
	}
}

func TestRollWithMachinesThatComeAndGo(t *testing.T) {
	r := rollingOnFour(t)
	r.update(1, 0)
	r.plan()
	r.change(func() { r.state("n1", cluster.Failed) }) // while it is updated
	r.plan()
	if want := []string{"n1", "n2"}; !slices.Equal(r.restarts, want) {
		t.Errorf("updated on %v, want %v", r.restarts, want)
	}
	r.change(func() { r.machine("n5", "v=x").state("n3", cluster.Suspect) })
	r.settle()
	if got, want := r.text(), "updated on 3 of 4 machines; the others wait until n3 is up"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	r.change(func() { r.state("n3", cluster.Up) })
	r.settle()
	if got := r.text(); got != "" || r.upToDate() != 5 {
		t.Errorf("at last it says %q, and %d are updated", got, r.upToDate())
	}
}

func TestWhatIsNoRoll(t *testing.T) {
	r := rollingOnFour(t)
	r.change(func() { r.desired(global, units.Loaded) })
	if r.plan(); len(r.away()) != 4 {
		t.Errorf("a stop waits: %v are stopped", r.away())
	}
	r.settle()
	r.update(1, 0)
	r.change(func() { r.desired(global, units.Launched) })
	if r.plan(); r.upToDate() != 4 {
		t.Errorf("a start of what runs nowhere waits: %d have it", r.upToDate())
	}
	r.settle()
	r.change(func() {
		u := r.snap.Units[global]
		u.Generation++
		u.Restart = u.Generation
		r.snap.Units[global] = u
	})
	if r.plan(); len(r.away()) != 1 {
		t.Errorf("a restart takes it down on %v at once", r.away())
	}
}

// TestRollHolds changes a cluster at random while updates go on, and checks
// that no update takes the unit down on more machines at a time than it may.
func TestRollHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rollingOnFour(t)
		most, version := 0, 0
		draw := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		for range 60 {
			id := fmt.Sprintf("n%d", 1+draw(4, "machine"))
			before := len(r.restarts)
			switch draw(8, "what") {
			case 0:
				version++
				most = 1 + draw(3, "most")
				r.update(version, most)
			case 1:
				r.change(func() {
					r.state(id, rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Suspect, cluster.Failed}).Draw(t, "state"))
				})
			case 2:
				r.planner = New()
			case 3:
				r.broken[id] = !r.broken[id]
			case 4, 5:
				if a, ok := r.behind(id); ok {
					r.report(id, a)
				}
			default:
				away := r.away()
				r.plan()
				down := len(away)
				for _, m := range r.restarts[before:] {
					if !slices.Contains(away, m) {
						down++
					}
				}
				if len(r.restarts) > before && down > max(most, len(away)) {
					t.Fatalf("%v were down, and %v were updated, of which at most %d at a time", away, r.restarts[before:], most)
				}
			}
		}
		clear(r.broken)
		r.change(func() {
			for id := range r.snap.Machines {
				r.state(id, cluster.Up)
			}
		})
		r.update(version+1, 1)
		r.settle()
		if r.upToDate() != 4 || r.text() != "" {
			t.Fatalf("%d of 4 are updated at last: %s", r.upToDate(), r.text())
		}
	})
}
