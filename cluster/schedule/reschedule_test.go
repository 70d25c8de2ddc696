package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

const fails = "f.service"

// retrying is a cluster in which a unit fails on machines, and time passes.
type retrying struct {
	*scene
	t       rapid.TB
	planner *Planner
	now     time.Time
	broken  map[string]bool // machines on which the unit fails
	began   []string        // machines on which it was started, in order
	told    []string        // reasons of moves
}

func newRetrying(t rapid.TB, options string, machines ...string) *retrying {
	r := &retrying{scene: newScene(machines...), t: t, planner: New(), now: noon, broken: map[string]bool{}}
	r.unit(fails, "Reschedule=on-failure", options)
	return r
}

// change takes a copy of the snapshot, as maps that are the same are taken for unchanged.
func (r *retrying) change(f func()) {
	r.snap = r.snap.With(cluster.Change{Revision: r.snap.Revision + 1, Units: map[string]*cluster.Unit{"": nil},
		Machines: map[string]*cluster.Machine{"": nil}, Statuses: map[cluster.UnitOnMachine]*cluster.Status{{}: nil}})
	f()
}

// step is a look of the leader, which may be another one each time, and what the machine then does.
func (r *retrying) step() Result {
	r.planner = New()
	res := r.planner.Plan(r.input(), r.now)
	for _, m := range res.Moves {
		r.told = append(r.told, m.Reason)
	}
	r.snap = apply(r.snap, res.Moves).With(cluster.Change{Revision: r.snap.Revision + 1})
	a, on := r.at()
	if !on || r.health[a.Machine].State != cluster.Up {
		return res
	}
	k := cluster.UnitOnMachine{Machine: a.Machine, Unit: fails}
	if st := r.snap.Statuses[k]; st.Epoch != a.Epoch || st.Generation != a.Generation {
		r.began = append(r.began, a.Machine)
		st := cluster.Status{Machine: a.Machine, Epoch: a.Epoch, Generation: a.Generation,
			Status: units.Status{Name: fails, Load: "loaded", Active: "active", Sub: "running", Hash: a.Hash}}
		if r.broken[a.Machine] {
			st.Active, st.Result, st.Error = "failed", "exit-code", "start f.service: exit-code: no such program"
		}
		r.change(func() { r.snap.Statuses[k] = st })
	}
	return res
}

func (r *retrying) at() (a cluster.Assignment, on bool) {
	for _, a := range r.snap.Assignments {
		if a.Unit == fails {
			return a, true
		}
	}
	return cluster.Assignment{}, false
}

// settle steps until nothing more is to be done at this time, and then once when the next thing is due, as often as given.
func (r *retrying) settle(dues int) (next time.Time) {
	r.t.Helper()
	for range 400 {
		before := len(r.began)
		res := r.step()
		next = res.Next
		switch {
		case len(res.Moves) > 0 || len(r.began) > before:
		case next.IsZero() || dues == 0:
			return next
		default:
			if !next.After(r.now) {
				r.t.Fatalf("nothing is done at %s, when it was due", r.now)
			}
			dues, r.now = dues-1, next
		}
	}
	r.t.Fatal("it never ends")
	return next
}

func (r *retrying) wants(when, began, says string) {
	r.t.Helper()
	if got := strings.Join(r.began, " "); got != began {
		r.t.Errorf("%s: it was started on %s, want %s", when, got, began)
	}
	if a, _ := r.at(); !strings.Contains(a.Reason, says) {
		r.t.Errorf("%s: %q, want %q", when, a.Reason, says)
	}
}

func TestReschedule(t *testing.T) {
	t.Run("on one machine only", func(t *testing.T) {
		r := newRetrying(t, "", "n1", "n2", "n3")
		r.broken["n1"] = true
		r.settle(0)
		r.wants("failed", "n1", "tried on n1 (exit-code: no such program); next try on n2 or n3")
		r.settle(1)
		r.wants("tried elsewhere", "n1 n2", "moved from n1: it failed there (exit-code: no such program)")
		if a, _ := r.at(); a.Waits() || len(a.Tries) != 1 || a.Attempt != 1 {
			t.Errorf("%+v", a)
		}
		r.settle(5)
		r.wants("it runs", "n1 n2", "")
	})
	t.Run("all fail", func(t *testing.T) {
		r := newRetrying(t, "", "n1", "n2", "n3")
		r.broken = map[string]bool{"n1": true, "n2": true, "n3": true}
		r.settle(2)
		r.wants("first round", "n1 n2 n3", "next try on n1 or n2")
		if a, _ := r.at(); a.RetryAt.Sub(a.Tries[2].At) != retryFirst {
			t.Errorf("the second round begins after %s", a.RetryAt.Sub(a.Tries[2].At))
		}
		if next := r.settle(100); !next.IsZero() {
			t.Errorf("there is more to come at %s", next)
		}
		r.wants("all", "n1 n2 n3 n1 n2 n3 n1 n2 n3 n1",
			"it failed on all 3 machines that fit; submit a better file, or start it again: tried on n1 (exit-code: no such program), n3 (")
		r.change(func() { r.machine("n4") })
		r.settle(1)
		r.wants("a machine that comes later", "n1 n2 n3 n1 n2 n3 n1 n2 n3 n1 n4", "moved from n1")
	})
	t.Run("an operator starts it again", func(t *testing.T) {
		r := newRetrying(t, "", "n1")
		r.broken["n1"] = true
		r.settle(100)
		if len(r.began) != mostTries {
			t.Errorf("%d tries on one machine: %v", len(r.began), r.began)
		}
		r.change(func() {
			u := r.snap.Units[fails]
			u.Generation++
			r.snap.Units[fails] = u
		})
		r.began, r.broken["n1"] = nil, false
		r.settle(100)
		if a, _ := r.at(); len(a.Tries) != 0 || a.Attempt != 0 || len(r.began) != 1 {
			t.Errorf("%+v %v", a, r.began)
		}
	})
	t.Run("nowhere else to go", func(t *testing.T) {
		for what, close := range map[string]func(r *retrying){
			"cordoned": func(r *retrying) { r.mark("n2", cluster.Cordoned).mark("n3", cluster.Drained) },
			"suspect":  func(r *retrying) { r.state("n2", cluster.Suspect).state("n3", cluster.Failed) },
		} {
			r := newRetrying(t, "", "n1", "n2", "n3")
			r.broken["n1"] = true
			r.change(func() { close(r) })
			r.settle(1)
			r.wants(what, "n1 n1", "next try on n1")
		}
		r := newRetrying(t, "", "n1", "n2")
		r.broken = map[string]bool{"n1": true, "n2": true}
		r.step()
		r.change(func() { r.mark("n1", cluster.Cordoned).mark("n2", cluster.Cordoned) })
		r.settle(5)
		r.wants("all cordoned", "n1", "no machine takes it now: tried on n1")
		r = newRetrying(t, "MachineID=n1", "n1", "n2")
		r.broken["n1"] = true
		r.settle(100)
		r.wants("MachineID", strings.TrimSpace(strings.Repeat("n1 ", mostTries)), "it failed on the only machine that fits")
	})
	t.Run("what isn't moved", func(t *testing.T) {
		for what, c := range map[string]struct {
			options string
			change  func(r *retrying, st *cluster.Status)
		}{
			"no Reschedule":      {"Reschedule=no", func(*retrying, *cluster.Status) {}},
			"crashing":           {"", func(_ *retrying, st *cluster.Status) { st.Active, st.Sub = "activating", "auto-restart" }},
			"stopped by hand":    {"", func(_ *retrying, st *cluster.Status) { st.Active, st.Error, st.Result = "inactive", "", "success" }},
			"an older try":       {"", func(_ *retrying, st *cluster.Status) { st.Generation = 0 }},
			"of an earlier stay": {"", func(_ *retrying, st *cluster.Status) { st.Epoch-- }},
			"held":               {"", func(r *retrying, _ *cluster.Status) { r.hold = "too many failed at once" }},
			"in doubt":           {"", func(r *retrying, _ *cluster.Status) { r.state("n1", cluster.Suspect) }},
			"adopted":            {"", func(r *retrying, st *cluster.Status) { st.Hash = ""; r.adopted(fails, "n1") }},
			"only loaded": {"", func(r *retrying, _ *cluster.Status) {
				u := r.snap.Units[fails]
				u.Desired = units.Loaded
				r.snap.Units[fails] = u
			}},
		} {
			r := newRetrying(t, c.options, "n1", "n2")
			r.broken["n1"] = true
			r.step()
			k := cluster.UnitOnMachine{Machine: "n1", Unit: fails}
			r.change(func() {
				st := r.snap.Statuses[k]
				c.change(r, &st)
				r.snap.Statuses[k] = st
			})
			for range 3 {
				res := New().Plan(r.input(), r.now)
				if len(res.Moves) > 0 && res.Moves[0].Reason != "desired state loaded, was launched" || !res.Next.IsZero() {
					t.Errorf("%s: %v", what, says(res))
				}
				r.now = r.now.Add(time.Hour)
			}
		}
	})
	t.Run("explained", func(t *testing.T) {
		r := newRetrying(t, "", "n1", "n2")
		r.broken = map[string]bool{"n1": true, "n2": true}
		r.settle(1)
		e, err := New().Explain(r.input(), fails)
		if err != nil || !strings.Contains(e.Reason, "tried on n2 (exit-code: no such program), n1 (") || len(e.On) != 1 || e.On[0] != "n2" {
			t.Errorf("%+v %v", e, err)
		}
		if v := e.Verdicts[0]; v.OK || v.Reason != "it failed there (exit-code: no such program)" {
			t.Errorf("%+v", v)
		}
	})
}

// TestRescheduleEnds: whatever fails where, whatever comes and goes, the tries
// end, and the unit runs wherever it can if it was never tried on more than that.
func TestRescheduleEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "machines")
		var ids []string
		for k := range n {
			ids = append(ids, fmt.Sprintf("n%d", k+1))
		}
		r := newRetrying(t, "", ids...)
		for _, id := range ids {
			r.broken[id] = rapid.Bool().Draw(t, id+" is broken")
		}
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			r.settle(rapid.IntRange(0, 4).Draw(t, "dues"))
			id := rapid.SampledFrom(ids).Draw(t, "machine")
			r.change(func() {
				switch rapid.IntRange(0, 3).Draw(t, "event") {
				case 0:
					r.mark(id, cluster.Cordoned)
				case 1:
					r.mark(id, cluster.Schedulable)
				case 2:
					r.state(id, cluster.Failed)
				case 3:
					r.state(id, cluster.Up)
				}
			})
		}
		r.change(func() {
			for _, id := range ids {
				r.mark(id, cluster.Schedulable).state(id, cluster.Up)
			}
		})
		if next := r.settle(200); !next.IsZero() {
			t.Fatalf("there is more to come at %s", next)
		}
		a, on := r.at()
		works := slices.ContainsFunc(ids, func(id string) bool { return !r.broken[id] })
		if !on || works && r.broken[a.Machine] {
			t.Fatalf("broken on %v, and it is on %q: %s", slices.Sorted(maps.Keys(r.broken)), a.Machine, a.Reason)
		}
		if len(a.Tries) > triesKept {
			t.Fatalf("%d tries are kept", len(a.Tries))
		}
	})
}
