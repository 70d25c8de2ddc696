package wait

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

func TestJudge(t *testing.T) {
	const unit, machine = "a.service", "10000000000000000000000000000000"
	place := api.Placement{Machine: machine, Unit: unit}
	// begin is a unit that was launched at generation 3, and runs.
	begin := func() *api.State {
		return &api.State{
			Leader: cluster.Leader{Machine: machine},
			Machines: map[string]api.Machine{machine: {Machine: cluster.Machine{ID: machine, Address: "198.18.1.1"},
				Health: cluster.Health{State: cluster.Up}}},
			Units: map[string]api.Unit{unit: {Name: unit, Desired: units.Launched, Generation: 3, By: "somebody"}},
			Assignments: map[api.Placement]api.Assignment{place: {Machine: machine, Unit: unit, Desired: units.Launched,
				Generation: 3, Epoch: 7}},
			Statuses: map[api.Placement]cluster.Status{place: {Machine: machine, Epoch: 7, Generation: 3,
				Status: units.Status{Name: unit, Load: "loaded", Active: "active", Sub: "running"}}},
			Unplaced: map[string]string{},
		}
	}
	desire := func(s *api.State, d units.DesiredState, generation int64) {
		s.Units[unit] = api.Unit{Name: unit, Desired: d, Generation: generation, By: "somebody"}
	}
	assigned := func(s *api.State, change func(*api.Assignment)) {
		a := s.Assignments[place]
		change(&a)
		s.Assignments[place] = a
	}
	status := func(s *api.State, change func(*cluster.Status)) {
		st := s.Statuses[place]
		change(&st)
		s.Statuses[place] = st
	}
	for _, tc := range []struct {
		name   string
		verb   api.Verb
		change func(*api.State)
		want   Verdict
		says   string
	}{
		{"it runs", api.Start, func(*api.State) {}, Reached, "Unit a.service launched on 10000000.../198.18.1.1"},
		{"a oneshot has finished", api.Start, func(s *api.State) {
			status(s, func(st *cluster.Status) { st.Active, st.Sub = "inactive", "dead" })
			u := s.Units[unit]
			u.Once = true
			s.Units[unit] = u
		}, Reached, "Unit a.service ran and finished on 10000000.../198.18.1.1"},
		{"it ended at once", api.Start, func(s *api.State) {
			status(s,
				func(st *cluster.Status) { st.Active, st.Sub = "inactive", "dead" })
		}, Failed,
			"ended at once, without a failure: it is inactive"},
		{"it ended at once when restarted", api.Restart, func(s *api.State) {
			status(s,
				func(st *cluster.Status) { st.Active, st.Sub = "inactive", "dead" })
		}, Failed,
			"it is inactive"},
		{"its conditions are not met", api.Start, func(s *api.State) {
			status(s, func(st *cluster.Status) { st.Active, st.Result = "inactive", units.ResultCondition })
		}, Failed, "was not started on 10000000.../198.18.1.1: a condition"},
		{"its only machine failed", api.Start, func(s *api.State) {
			clear(s.Statuses)
			s.Machines[machine] = api.Machine{Health: cluster.Health{State: cluster.Failed}}
			s.Unplaced[unit] = "MachineID allows only n1, which failed"
		}, Unplaced, "MachineID allows only n1"},
		{"stopped, and its only machine failed", api.Stop, func(s *api.State) {
			desire(s, units.Loaded, 3)
			clear(s.Statuses)
			s.Machines[machine] = api.Machine{Machine: cluster.Machine{Address: "198.18.1.1"},
				Health: cluster.Health{State: cluster.Failed}}
			s.Unplaced[unit] = "MachineID allows only n1, which failed"
		}, Unplaced, "is on 10000000.../198.18.1.1, which is failed: if it runs there, it is stopped when that is back"},
		{"restarted", api.Restart, func(*api.State) {}, Reached, "restarted on"},
		{"the view lags", api.Start, func(s *api.State) { desire(s, units.Inactive, 2) }, Pending, "not seen"},
		{"destroyed", api.Start, func(s *api.State) { delete(s.Units, unit) }, Failed, "destroyed meanwhile"},
		{"stopped by somebody", api.Start, func(s *api.State) { desire(s, units.Loaded, 4) }, Failed,
			"by somebody: it is to be loaded"},
		{"restarted by somebody", api.Start, func(s *api.State) { desire(s, units.Launched, 4) }, Reached, "launched"},
		{"no machine yet", api.Start, func(s *api.State) { clear(s.Assignments) }, Pending, "no machine yet"},
		{"no leader", api.Start, func(s *api.State) { clear(s.Assignments); s.Leader = cluster.Leader{} }, Pending, "leads"},
		{"no place", api.Start, func(s *api.State) { clear(s.Assignments); s.Unplaced[unit] = "1 machine: 1 lacks ssd=true" },
			Unplaced, "lacks ssd=true"},
		{"the assignment is of the generation before", api.Restart,
			func(s *api.State) { assigned(s, func(a *api.Assignment) { a.Generation = 2 }) }, Pending, "not passed it on"},
		{"the status is of the generation before", api.Restart, func(s *api.State) {
			status(s,
				func(st *cluster.Status) { st.Generation = 2 })
		}, Pending, "is restarting it"},
		{"the status is of an earlier stay", api.Start, func(s *api.State) {
			status(s,
				func(st *cluster.Status) { st.Epoch = 6 })
		}, Pending, "is starting it"},
		{"the daemon is gone", api.Start, func(s *api.State) {
			clear(s.Statuses)
			m := s.Machines[machine]
			m.Health = cluster.Health{State: cluster.DaemonGone, Evidence: "refused"}
			s.Machines[machine] = m
		}, Pending, "daemon-gone (refused)"},
		{"its machine failed", api.Restart, func(s *api.State) {
			clear(s.Statuses)
			s.Machines[machine] = api.Machine{Health: cluster.Health{State: cluster.Failed, Evidence: "silence"}}
		}, Pending, "failed (silence)"},
		{"its machine failed, and failovers are held", api.Restart, func(s *api.State) {
			clear(s.Statuses)
			s.Machines[machine] = api.Machine{Health: cluster.Health{State: cluster.Failed}}
			s.Leader.Hold = "too many vanished; drain them"
		}, Held, "as failovers are held: too many vanished; drain them."},
		{"the agent can't", api.Start, func(s *api.State) { status(s, func(st *cluster.Status) { st.Error = "disk full" }) },
			Failed, "start failed on 10000000.../198.18.1.1: disk full"},
		{"the job says so", api.Start, func(s *api.State) {
			status(s, func(st *cluster.Status) { st.Error = "start a.service: timeout: it took longer" })
		}, Failed, "start failed on 10000000.../198.18.1.1: timeout: it took longer"},
		{"a restart starts", api.Restart, func(s *api.State) {
			status(s, func(st *cluster.Status) { st.Error = "start a.service: exit-code: \x1b[31mred" })
		}, Failed, "restart failed on 10000000.../198.18.1.1: exit-code: ^[[31mred"},
		{"it failed", api.Start, func(s *api.State) {
			status(s, func(st *cluster.Status) { st.Active, st.Result = "failed", "exit-code" })
		}, Failed, "exit-code"},
		{"load of what has failed", api.Load, func(s *api.State) {
			status(s,
				func(st *cluster.Status) { st.Active = "failed" })
		}, Reached, "launched on"},
		{"stopping", api.Stop, func(s *api.State) {
			desire(s, units.Loaded, 3)
			assigned(s, func(a *api.Assignment) { a.Desired = units.Loaded })
			status(s, func(st *cluster.Status) { st.Active = "deactivating" })
		}, Pending, "stopping"},
		{"stopped", api.Stop, func(s *api.State) {
			desire(s, units.Loaded, 3)
			assigned(s, func(a *api.Assignment) { a.Desired = units.Loaded })
			status(s, func(st *cluster.Status) { st.Active = "inactive" })
		}, Reached, "Unit a.service loaded on"},
		{"still assigned", api.Unload, func(s *api.State) { desire(s, units.Inactive, 3) }, Pending, "withdrawn"},
		{"withdrawn and running", api.Unload, func(s *api.State) { desire(s, units.Inactive, 3); clear(s.Assignments) },
			Pending, "stopping"},
		{"withdrawn and stuck", api.Unload, func(s *api.State) {
			desire(s, units.Inactive, 3)
			clear(s.Assignments)
			status(s, func(st *cluster.Status) { st.Error, st.Epoch, st.Generation = "stop timed out", 0, 0 })
		}, Failed, "stop timed out"},
		{"withdrawn, failed before", api.Unload, func(s *api.State) {
			desire(s, units.Inactive, 3)
			clear(s.Assignments)
			status(s, func(st *cluster.Status) { st.Error, st.Epoch, st.Active = "exit-code", 0, "failed" })
		}, Pending, "stopping"},
		{"started by hand", api.Stop, func(s *api.State) {
			desire(s, units.Loaded, 3)
			assigned(s, func(a *api.Assignment) { a.Desired = units.Loaded })
			status(s, func(st *cluster.Status) { st.Active = "reloading" })
		}, Pending, "stopping"},
		{"to be destroyed", api.Destroy, func(*api.State) {}, Pending, "not seen"},
		{"destroyed and running", api.Destroy, func(s *api.State) { delete(s.Units, unit); clear(s.Assignments) }, Pending,
			"is stopping it"},
		{"destroyed, and can't be stopped", api.Destroy, func(s *api.State) {
			delete(s.Units, unit)
			clear(s.Assignments)
			status(s, func(st *cluster.Status) { st.Error, st.Epoch, st.Generation = "stop timed out", 0, 0 })
		}, Failed, "destroy failed on 10000000.../198.18.1.1: stop timed out"},
		{"destroyed and gone", api.Destroy, func(s *api.State) {
			delete(s.Units,
				unit)
			clear(s.Assignments)
			clear(s.Statuses)
		}, Reached, "Destroyed a.service"},
		{"submitted again", api.Destroy, func(s *api.State) { desire(s, units.Inactive, 1) }, Reached,
			"submitted again meanwhile by somebody"},
		{"unloaded", api.Unload, func(s *api.State) {
			desire(s, units.Inactive, 3)
			clear(s.Assignments)
			clear(s.Statuses)
		}, Reached, "Unit a.service inactive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := begin()
			tc.change(s)
			g := Goal{Unit: unit, Verb: tc.verb, Generation: 3}
			got := g.judge(newScene(s))
			if got.Verdict != tc.want || !strings.Contains(got.Text, tc.says) || got.Unit != unit {
				t.Errorf("judged %+v, want %s with %q", got, tc.want, tc.says)
			}
		})
	}
}

// TestDestroyedByAMachineThatIsAway: a machine that took its statuses with it
// may still run the unit.
func TestDestroyedByAMachineThatIsAway(t *testing.T) {
	const unit, machine = "a.service", "10000000000000000000000000000000"
	for state, want := range map[cluster.HealthState]struct {
		verdict Verdict
		says    string
	}{
		cluster.Up:         {Reached, "Destroyed a.service"},
		cluster.Suspect:    {Pending, "is suspect"},
		cluster.DaemonGone: {Pending, "is daemon-gone (refused)"},
		cluster.Failed: {Reached,
			"Destroyed a.service; where it still runs on a machine that is away, it is stopped when that is back: 10000000.../198.18.1.1 (failed)"},
	} {
		g := Goal{Unit: unit, Verb: api.Destroy, Generation: 3}
		s := &api.State{Statuses: map[api.Placement]cluster.Status{{Machine: machine, Unit: unit}: {Machine: machine,
			Status: units.Status{Name: unit}}},
			Machines: map[string]api.Machine{machine: {Machine: cluster.Machine{ID: machine, Address: "198.18.1.1"},
				Health: cluster.Health{State: state, Evidence: "refused"}}}}
		if o := g.judge(newScene(s)); o.Verdict != Pending || !strings.Contains(o.Text, "is stopping it") {
			t.Errorf("%s: %+v", state, o)
		}
		clear(s.Statuses)
		fromTheStart := Goal{Unit: unit, Verb: api.Destroy, Generation: 3, On: []string{machine}}
		if o := fromTheStart.judge(newScene(s)); o.Verdict != want.verdict || !strings.Contains(o.Text, want.says) {
			t.Errorf("%s, its status gone before: %+v", state, o)
		}
		if o := g.judge(newScene(s)); o.Verdict != want.verdict || !strings.Contains(o.Text, want.says) {
			t.Errorf("%s, its status gone: %+v", state, o)
		}
	}
}

func TestUnplacedIsBelievedAfterAWhile(t *testing.T) { believedAfterAWhile(t, Unplaced) }
func TestHeldIsBelievedAfterAWhile(t *testing.T)     { believedAfterAWhile(t, Held) }

func believedAfterAWhile(t *testing.T, v Verdict) {
	goals := []Goal{{Unit: "a.service", Verb: api.Start}}
	w := waiting{left: map[string]Outcome{"a.service": {}}, since: map[string]time.Time{}}
	now := time.Unix(100, 0)
	no := []Outcome{{Unit: "a.service", Verdict: v, Text: "no place"}}
	w.take(no, now)
	w.believeStuck(goals, now.Add(Settle-1))
	if len(w.done) != 0 {
		t.Fatal("believed at once")
	}
	w.take([]Outcome{{Unit: "a.service", Verdict: Pending}}, now.Add(Settle-1))
	w.take(no, now.Add(Settle))
	w.believeStuck(goals, now.Add(Settle))
	if len(w.done) != 0 {
		t.Fatal("a place in between was forgotten")
	}
	w.believeStuck(goals, now.Add(2*Settle))
	if len(w.done) != 1 || w.done[0].Verdict != v || len(w.left) != 0 {
		t.Errorf("never believed: %+v", w)
	}
}
