package state

import (
	"time"

	"fleettop/units"
)

// FailureFor is how long a failure is told on every screen, from the moment
// that the machine is given up, and again from when the last of its units runs.
const FailureFor = 10 * time.Second

// Failure sums up what becomes of the units of machines that died just now.
type Failure struct {
	Machines []string // their names
	Drill    bool     // they are out for a drill, all of them
	Moved    int      // units that have another machine
	Active   int      // those of them that run there
	Nowhere  int      // units that no machine takes
	Waiting  int      // units that are still to be given to another machine
	Worst    time.Duration
	Running  bool // one of the moved units isn't active yet: Worst is its time so far
}

// Failure returns what is to be told on every screen; ok is false for nothing.
func (s *Snapshot) Failure(now time.Time) (f Failure, ok bool) {
	for _, m := range s.Machines {
		if m.Mood != Bad || m.Health.Since.IsZero() {
			continue
		}
		one := Failure{Machines: []string{m.Label}, Drill: m.Drill.Out()}
		last := m.Health.Since
		for _, r := range m.Leaving {
			if r.Move == nil || r.Move.Planned {
				continue
			}
			if end := r.Move.Ended; end.After(last) && end.Sub(m.Health.Since) < MovedFor {
				last = r.Move.Ended
			}
			one.add(r, now)
		}
		for _, r := range m.Rows {
			if !r.Global && r.Desired == units.Launched {
				one.add(r, now)
			}
		}
		if now.Sub(last) < FailureFor {
			f.join(one)
		}
	}
	return f, len(f.Machines) > 0
}

// add counts a unit that was on the dead machine.
func (f *Failure) add(r *Row, now time.Time) {
	switch {
	case r.Unplaced:
		f.Nowhere++
	case r.Move == nil || r.Machine == "" || r.Machine == r.Move.From:
		f.Waiting++
	default:
		f.Moved++
		clock := r.Move.Clock(now)
		switch {
		case !r.Move.Running():
			f.Active++
			if !f.Running {
				f.Worst = max(f.Worst, clock)
			}
		case f.Running:
			f.Worst = max(f.Worst, clock)
		default:
			f.Running, f.Worst = true, clock
		}
	}
}

func (f *Failure) join(o Failure) {
	f.Drill = o.Drill && (f.Drill || len(f.Machines) == 0)
	f.Machines = append(f.Machines, o.Machines...)
	f.Moved += o.Moved
	f.Active += o.Active
	f.Nowhere += o.Nowhere
	f.Waiting += o.Waiting
	switch {
	case f.Running == o.Running:
		f.Worst = max(f.Worst, o.Worst)
	case o.Running:
		f.Running, f.Worst = true, o.Worst
	}
}
