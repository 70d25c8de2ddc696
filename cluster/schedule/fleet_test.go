package schedule

import (
	"slices"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/units"
)

// steps drives a cluster as fleet's functional tests do: change something,
// have it carried out, look where the units are.
type steps struct {
	*testing.T
	*scene
	planner *Planner
	reasons map[string]string // of the units without a place
}

func newSteps(t *testing.T, machines ...string) *steps {
	return &steps{T: t, scene: newScene(machines...), planner: New()}
}

// carryOut plans until nothing is left to do.
func (s *steps) carryOut() {
	s.Helper()
	for range mostRounds + 1 {
		s.snap = s.snap.With(cluster.Change{Revision: s.snap.Revision + 1, Units: map[string]*cluster.Unit{"": nil},
			Machines: map[string]*cluster.Machine{"": nil}}) // others than before, for the planner
		r := s.planner.Plan(s.input(), noon)
		s.reasons = map[string]string{}
		for _, u := range r.Unplaced {
			s.reasons[u.Unit] = u.Reason
		}
		if len(r.Moves) == 0 {
			return
		}
		s.snap = apply(s.snap, r.Moves)
	}
	s.Fatal("the cluster doesn't settle")
}

// where returns the machines that a unit is on.
func (s *steps) where(name string) string {
	var on []string
	for k := range s.snap.Assignments {
		if k.Unit == name {
			on = append(on, k.Machine)
		}
	}
	slices.Sort(on)
	return strings.Join(on, " ")
}

func (s *steps) expect(name, machines string) {
	s.Helper()
	if got := s.where(name); got != machines {
		s.Errorf("%s is on %q, want %q (%s)", name, got, machines, s.reasons[name])
	}
}

// stop takes the wish for a unit back.
func (s *steps) stop(name string) { s.desired(name, units.Inactive) }

// TestFleetScheduling has, under their names, the cases of fleet's functional
// tests of its scheduler.
func TestFleetScheduling(t *testing.T) {
	t.Run("TemplatesWithSpecifiersInMetadata", func(t *testing.T) {
		s := newSteps(t)
		s.machine("n1", "ping=1").machine("n2", "ping=2").machine("n3", "ping=3")
		for _, name := range []string{"ping@1.service", "ping@3.service", "ping@2.service"} {
			s.unit(name, "MachineMetadata=%p=%i")
		}
		s.unit("ping@4.service", `X-ConditionMachineMetadata="%p=%i"`)
		s.carryOut()
		s.expect("ping@1.service", "n1")
		s.expect("ping@2.service", "n2")
		s.expect("ping@3.service", "n3")
		if want := "3 machines: 3 lack ping=4"; s.reasons["ping@4.service"] != want {
			t.Errorf("ping@4.service is on no machine as %q, want %q", s.reasons["ping@4.service"], want)
		}
	})
	for name, option := range map[string]string{"ScheduleMachineOf": "MachineOf=", "ScheduleMachineOf, old name": "X-ConditionMachineOf="} {
		t.Run(name, func(t *testing.T) {
			s := newSteps(t, "n1", "n2", "n3")
			for _, n := range []string{"0", "1", "2"} {
				s.unit("ping."+n+".service").unit("pong."+n+".service", option+"ping."+n+".service")
			}
			s.carryOut()
			hosts := map[string]bool{}
			for _, n := range []string{"0", "1", "2"} {
				hosts[s.where("ping."+n+".service")] = true
				s.expect("pong."+n+".service", s.where("ping."+n+".service"))
			}
			if len(hosts) != 3 {
				t.Errorf("the three are on %v", hosts)
			}
			// The machine of a pair dies: both go to the same other one.
			s.state(s.where("ping.1.service"), cluster.Failed)
			s.carryOut()
			s.expect("pong.1.service", s.where("ping.1.service"))
			if s.state(s.where("ping.1.service"), cluster.Up); s.where("ping.1.service") == "" {
				t.Error("the pair has no machine")
			}
		})
	}
	for name, option := range map[string]string{"ScheduleConflicts": "Conflicts=", "ScheduleConflicts, old name": "X-Conflicts="} {
		t.Run(name, func(t *testing.T) {
			s := newSteps(t, "n1", "n2", "n3")
			for _, n := range []string{"0", "1", "2", "3", "4"} {
				s.unit("conflict."+n+".service", option+"conflict.*.service")
			}
			s.carryOut()
			s.expect("conflict.0.service", "n1")
			s.expect("conflict.1.service", "n2")
			s.expect("conflict.2.service", "n3")
			s.expect("conflict.3.service", "")
			s.expect("conflict.4.service", "")
			s.stop("conflict.1.service")
			s.carryOut()
			s.expect("conflict.3.service", "n2")
			s.expect("conflict.4.service", "")
		})
	}
	t.Run("ScheduleConflicts, with itself", func(t *testing.T) {
		s := newSteps(t, "n1", "n2")
		s.unit("a.timer", "Conflicts=%p.timer").unit("w@1.service", "Conflicts=%p@*.service").unit("w@2.service", "Conflicts=%p@*.service").
			unit("w@3.service", "Conflicts=%p@*.service").unit("each.service", "Global=true", "Conflicts=%n")
		s.carryOut()
		s.expect("a.timer", "n1")
		s.expect("w@1.service", "n2")
		s.expect("w@2.service", "n1")
		s.expect("w@3.service", "")
		s.expect("each.service", "n1 n2")
	})
	t.Run("ScheduleOneWayConflict", func(t *testing.T) {
		s := newSteps(t, "n1")
		s.unit("conflicts-with-hello.service", "Conflicts=hello.service")
		s.carryOut()
		s.expect("conflicts-with-hello.service", "n1")
		s.unit("hello.service")
		s.carryOut()
		s.expect("hello.service", "")
		s.stop("conflicts-with-hello.service")
		s.carryOut()
		s.expect("hello.service", "n1")
		s.desired("conflicts-with-hello.service", units.Launched)
		s.carryOut()
		s.expect("conflicts-with-hello.service", "")
	})
	t.Run("ScheduleMultipleConflicts", func(t *testing.T) {
		s := newSteps(t, "n1")
		s.unit("conflicts-with-multiple-hello.service", "Conflicts=hello.service", "Conflicts=hello-*.service other.service")
		s.carryOut()
		s.unit("hello.service").unit("hello-1.service").unit("other.service").unit("free.service")
		s.carryOut()
		for _, name := range []string{"hello.service", "hello-1.service", "other.service"} {
			s.expect(name, "")
			if want := "1 machine: 1 conflicts with conflicts-with-multiple-hello.service"; s.reasons[name] != want {
				t.Errorf("%s is on no machine as %q, want %q", name, s.reasons[name], want)
			}
		}
		s.expect("free.service", "n1")
		s.stop("conflicts-with-multiple-hello.service")
		s.carryOut()
		s.expect("hello.service", "n1")
		s.expect("hello-1.service", "n1")
		s.expect("other.service", "n1")
	})
	t.Run("ScheduleReplace", func(t *testing.T) {
		s := newSteps(t, "n1", "n2")
		s.unit("replace.0.service")
		s.carryOut()
		s.expect("replace.0.service", "n1")
		s.unit("replace.1.service", "Replaces=replace.0.service")
		s.carryOut()
		s.expect("replace.1.service", "n1")
		s.expect("replace.0.service", "n2")
	})
	t.Run("ScheduleCircularReplace", func(t *testing.T) {
		s := newSteps(t, "n1", "n2")
		s.unit("replace.0.service", "Replaces=replace.2.service").unit("replace.1.service", "Replaces=replace.0.service").
			unit("replace.2.service", "Replaces=replace.1.service")
		s.carryOut()
		for _, name := range []string{"replace.0.service", "replace.1.service", "replace.2.service"} {
			if s.where(name) == "" {
				t.Errorf("%s is on no machine: %s", name, s.reasons[name])
			}
		}
	})
	for name, option := range map[string]string{"ScheduleConditionMachineID": "MachineID=", "ScheduleConditionMachineID, old name": "X-ConditionMachineID="} {
		t.Run(name, func(t *testing.T) {
			s := newSteps(t, idA, idB)
			s.unit("a.service", option+idA).unit("b.service", option+idB).unit("short.service", option+idB[:8]).
				unit("metadata.service", option+"%i", "MachineMetadata=a=b").unit("c@"+idA+".service", option+"%i")
			s.carryOut()
			s.expect("a.service", idA)
			s.expect("b.service", idB)
			s.expect("short.service", idB)
			s.expect("c@"+idA+".service", idA)
			s.state(idB, cluster.Failed)
			s.carryOut()
			s.expect("b.service", idB) // left there, for when it is back
			if s.reasons["b.service"] == "" {
				t.Error("b.service is on a failed machine without a word")
			}
		})
	}
	t.Run("ScheduleGlobalUnits", func(t *testing.T) {
		s := newSteps(t, "n1", "n2", "n3")
		s.unit("global.service", "Global=true")
		s.carryOut()
		s.expect("global.service", "n1 n2 n3")
		s.machine("n4")
		s.carryOut()
		s.expect("global.service", "n1 n2 n3 n4")
		s.unit("global.service", "Global=true", "MachineMetadata=disk=ssd").machine("n2", "disk=ssd")
		s.carryOut()
		s.expect("global.service", "n2")
		s.machine("n2").machine("n3", "disk=ssd")
		s.carryOut()
		s.expect("global.service", "n3")
		s.stop("global.service")
		s.carryOut()
		s.expect("global.service", "")
	})
	t.Run("ScheduleGlobalConflicts", func(t *testing.T) {
		s := newSteps(t, "n1", "n2")
		s.unit("global.0.service", "Global=true", "Conflicts=global.1.service")
		s.carryOut()
		s.unit("global.1.service", "Global=true", "Conflicts=global.0.service")
		s.carryOut()
		s.expect("global.0.service", "n1 n2")
		s.expect("global.1.service", "")
		s.stop("global.0.service")
		s.carryOut()
		s.expect("global.1.service", "n1 n2")
		s.unit("one.service", "Conflicts=global.1.service")
		s.carryOut()
		s.expect("one.service", "")
	})
}
