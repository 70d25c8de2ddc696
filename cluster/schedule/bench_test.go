package schedule

import (
	"fmt"
	"testing"

	"fleettop/cluster"
)

const (
	benchMachines = 1000
	benchUnits    = 10_000
)

// benchScene has 10,000 units of every sort on the way to 1,000 machines.
func benchScene() *scene {
	s := newScene()
	for i := range benchMachines {
		s.machine(fmt.Sprintf("n%04d", i), fmt.Sprintf("zone=z%d", i%4), fmt.Sprintf("ssd=%v", i%2 == 0))
	}
	for i := range benchUnits {
		switch i % 10 {
		case 0:
			s.unit(fmt.Sprintf("db@%d.service", i), "MachineMetadata=ssd=true", fmt.Sprintf("Conflicts=db@%d*.service", i/1000))
		case 1:
			s.unit(fmt.Sprintf("side-%d.service", i), fmt.Sprintf("MachineOf=web@%d.service", i+1))
		case 2, 3, 4:
			s.unit(fmt.Sprintf("web@%d.service", i))
		default:
			s.unit(fmt.Sprintf("job-%d.service", i), fmt.Sprintf("MachineMetadata=zone=z%d", i%4))
		}
	}
	return s
}

// settled returns the scene with every unit placed.
func settled(b *testing.B) *scene {
	s := benchScene()
	r := New().Plan(s.input(), noon)
	if len(r.Unplaced) > 0 {
		b.Fatal(r.Unplaced[0])
	}
	s.snap = apply(s.snap, r.Moves)
	return s
}

// BenchmarkPlan10kOn1k places everything, with a planner that has seen nothing.
func BenchmarkPlan10kOn1k(b *testing.B) {
	s := benchScene()
	for b.Loop() {
		if r := New().Plan(s.input(), noon); len(r.Moves) != benchUnits {
			b.Fatal(len(r.Moves))
		}
	}
}

// BenchmarkReplaceOneMachine finds new places for the units of a machine that
// fails, with the planner of a leader that has been leading.
func BenchmarkReplaceOneMachine(b *testing.B) {
	s := settled(b)
	p := New()
	p.Plan(s.input(), noon)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		id := fmt.Sprintf("n%04d", i%benchMachines)
		s.state(id, cluster.Up)
		p.Plan(s.input(), noon)
		s.state(id, cluster.Failed)
		b.StartTimer()
		if r := p.Plan(s.input(), noon); len(r.Moves) == 0 {
			b.Fatal("nothing moved")
		}
		b.StopTimer()
		s.state(id, cluster.Up)
		b.StartTimer()
	}
}

// BenchmarkReplaceOneMachineCold is the same with a planner that has seen nothing.
func BenchmarkReplaceOneMachineCold(b *testing.B) {
	s := settled(b)
	s.state("n0500", cluster.Failed)
	for b.Loop() {
		if r := New().Plan(s.input(), noon); len(r.Moves) == 0 {
			b.Fatal("nothing moved")
		}
	}
}

// BenchmarkPlanSettled is what a status change costs a leader.
func BenchmarkPlanSettled(b *testing.B) {
	s := settled(b)
	p := New()
	for b.Loop() {
		if r := p.Plan(s.input(), noon); len(r.Moves) > 0 {
			b.Fatal(says(r))
		}
	}
}
