package witness

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Unit is what is known of a unit that is witnessed.
type Unit struct {
	Name      string
	Exclusive bool
	Global    bool   // runs on every machine
	Once      bool   // ran and finished before the story began
	Follows   string // is on one machine with this unit
	Avoids    string // is never on one machine with this unit
}

// Verdict is a machine that the leader called failed.
type Verdict struct {
	Machine string
	At      time.Duration
	Text    string
}

// Bounds are how long what a fault explains may last.
type Bounds struct {
	Up    time.Duration // a unit that could be placed may be away
	After time.Duration // after its end a fault may still end a unit, or leave a copy
	Thaw  time.Duration // a machine that was frozen may run an exclusive unit
}

// Story is all that is judged. Times are since the boot of the host.
type Story struct {
	Span     // all units were up at its beginning
	Machines []string
	Units    []Unit
	Records  []Record
	Faults   []Fault
	Verdicts []Verdict
	// Failovers are those that the timeline tells of, complete.
	Failovers int
	Bounds    Bounds
}

// Violation is something that no fault explains.
type Violation struct {
	At       time.Duration
	Unit     string
	Machines []string
	Text     string
	Faults   []Fault // around it
}

// judge collects a report.
type judge struct {
	Story
	held   []Span
	kinds  map[string]*Kind
	report Report
}

const (
	// alive is how old the last record of a run may be that goes on.
	alive = 2 * time.Second
	// late is how long after its last record a run may have ended that didn't say so.
	late = time.Second
	// tick is the resolution of the units' clock.
	tick = 10 * time.Millisecond
)

// Judge compares what units recorded with what was done to them.
func Judge(s Story) Report {
	s.Faults = slices.SortedStableFunc(slices.Values(s.Faults), func(a, b Fault) int { return int(a.From - b.From) })
	for i := range s.Faults {
		if s.Faults[i].To == 0 {
			s.Faults[i].To = s.To
		}
	}
	j := &judge{Story: s, held: holds(len(s.Machines), s.Faults), kinds: map[string]*Kind{}}
	j.report.Story = s
	for _, f := range s.Faults {
		j.kind(f.Kind).Count++
	}
	runs := map[string][]Run{}
	for _, r := range Runs(s.Records, s.Faults) {
		if r.To >= s.From {
			runs[r.Unit] = append(runs[r.Unit], r)
		}
	}
	for _, u := range s.Units {
		switch {
		case u.Once:
			j.once(u, runs[u.Name])
			continue
		case u.Global:
			j.everywhere(u, runs[u.Name])
		default:
			j.overlaps(u, runs[u.Name])
			j.outages(u, runs[u.Name])
		}
		j.ends(u, runs[u.Name], runs[u.Follows])
		if u.Avoids != "" {
			j.together(u, runs[u.Name], runs[u.Avoids])
		}
	}
	for _, v := range s.Verdicts {
		i := slices.IndexFunc(s.Faults, func(f Fault) bool {
			return f.explains(Fails, v.Machine, "", Span{v.At, v.At}, s.Bounds.After)
		})
		if i < 0 {
			j.violation(v.At, "", []string{v.Machine}, "a false failover: "+v.Text)
			continue
		}
		j.kind(s.Faults[i].Kind).Failed++
	}
	for _, k := range j.kinds {
		j.report.Kinds = append(j.report.Kinds, *k)
	}
	slices.SortFunc(j.report.Kinds, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(j.report.Violations, func(a, b Violation) int { return int(a.At - b.At) })
	return j.report
}

func (j *judge) kind(name string) *Kind {
	if j.kinds[name] == nil {
		j.kinds[name] = &Kind{Name: name}
	}
	return j.kinds[name]
}

// violation adds a violation, with the faults that were there shortly before it.
func (j *judge) violation(at time.Duration, unit string, machines []string, text string) {
	v := Violation{At: at, Unit: unit, Machines: machines, Text: text}
	for _, f := range j.Faults {
		if f.From <= at+time.Second && at <= f.To+j.Bounds.After {
			v.Faults = append(v.Faults, f)
		}
	}
	j.report.Violations = append(j.report.Violations, v)
}

// once: what finished doesn't run again.
func (j *judge) once(u Unit, runs []Run) {
	for _, r := range runs {
		j.violation(r.From, u.Name, []string{r.Machine}, u.Name+" had finished, and ran again on "+r.Machine)
	}
}

// overlaps: no two copies, but where a machine was hidden from the cluster.
func (j *judge) overlaps(u Unit, runs []Run) {
	for _, o := range Overlaps(runs) {
		machines := []string{o.Older.Machine, o.Newer.Machine}
		text := fmt.Sprintf("%s ran twice for %s: on %s, and on %s", u.Name, seconds(o.To-o.From), o.Older.Machine, o.Newer.Machine)
		cause := j.doubled(u, o)
		if cause == nil {
			if u.Exclusive {
				text += ", and is exclusive"
			}
			j.violation(o.From, u.Name, machines, text)
			continue
		}
		list := &j.kind(cause.Kind).Overlaps
		if u.Exclusive {
			list = &j.report.Thawed
		}
		*list = append(*list, o.To-o.From)
	}
}

// doubled returns the fault that explains an overlap. That of an exclusive unit
// is explained only by a machine that was frozen, which didn't see its deadline
// pass, and for a moment.
func (j *judge) doubled(u Unit, o Overlap) *Fault {
	for i, f := range slices.Backward(j.Faults) {
		if u.Exclusive {
			if f.Excuses.has(Pauses) && slices.Contains(f.Machines, o.Older.Machine) && f.From <= o.From && o.To <= f.To+j.Bounds.Thaw {
				return &j.Faults[i]
			}
			continue
		}
		for _, m := range []string{o.Older.Machine, o.Newer.Machine} {
			if f.explains(Doubles, m, "", Span{o.From, o.From}, j.Bounds.After) && o.To <= f.To+j.Bounds.After {
				return &j.Faults[i]
			}
		}
	}
	return nil
}

// together: what conflicts is never on one machine.
func (j *judge) together(u Unit, runs, others []Run) {
	for _, a := range runs {
		for _, b := range others {
			if both, more := a.overlap(b.Span); more && a.Machine == b.Machine {
				j.violation(both.From, u.Name, []string{a.Machine}, fmt.Sprintf("%s ran beside %s on %s for %s, which conflicts with it",
					u.Name, u.Avoids, a.Machine, seconds(both.To-both.From)))
			}
		}
	}
}

// ends: a run ends only where a fault ends it, or with the unit that it follows.
func (j *judge) ends(u Unit, runs, followed []Run) {
	for i, r := range runs {
		if !r.Stopped && r.To > j.To-alive || j.ended(u, r, followed) != nil {
			continue
		}
		text := fmt.Sprintf("%s ended on %s without a cause", u.Name, r.Machine)
		machines := []string{r.Machine}
		for _, next := range runs[i+1:] {
			if next.To > r.To {
				text += fmt.Sprintf("; next it ran on %s, after %s", next.Machine, seconds(next.From-r.To))
				machines = append(machines, next.Machine)
				break
			}
		}
		j.violation(r.To, u.Name, machines, text)
	}
}

// ended returns the last fault that explains the end of a run.
func (j *judge) ended(u Unit, r Run, followed []Run) *Fault {
	after, end := j.Bounds.After, Span{r.To, r.To + late}
	if r.Stopped {
		end.To = r.To + tick
	}
	for i, f := range slices.Backward(j.Faults) {
		if f.explains(Ends, r.Machine, u.Name, end, after) || u.Exclusive && f.explains(EndsExclusive, r.Machine, u.Name, end, after) {
			return &j.Faults[i]
		}
	}
	for i, f := range slices.Backward(j.Faults) {
		if u.Exclusive && f.unsettles(end, after) {
			return &j.Faults[i]
		}
	}
	for _, lead := range followed {
		if lead.Machine == r.Machine && r.To-after <= lead.To && lead.To <= r.To+after {
			return j.ended(Unit{Name: lead.Unit}, lead, nil)
		}
	}
	return nil
}

// outages: a unit that could be placed is up again within the bound.
func (j *judge) outages(u Unit, runs []Run) {
	var up []Span
	for _, r := range runs {
		up = append(up, r.Pieces...)
	}
	var unwanted []Span
	for _, f := range j.Faults {
		if f.Excuses.has(Unwanted) && slices.Contains(f.Units, u.Name) {
			unwanted = append(unwanted, f.Span)
		}
	}
	excused := merged(append(slices.Clone(j.held), unwanted...))
	for _, gap := range j.Span.between(merged(up)) {
		if gap.To == j.To && gap.To-gap.From < alive {
			continue // its next record isn't written yet
		}
		left := gap.without(excused)
		if left > j.Bounds.Up {
			j.violation(gap.From, u.Name, nil, fmt.Sprintf("%s was away for %s, %s of it while it could have run", u.Name,
				seconds(gap.To-gap.From), seconds(left)))
		}
		i := slices.IndexFunc(runs, func(r Run) bool {
			return slices.ContainsFunc(r.Pieces, func(p Span) bool { return p.To == gap.From })
		})
		if left < gap.To-gap.From || i < 0 {
			continue // an operator wanted it so, or nothing could be done about it
		}
		last := runs[i]
		last.To, last.Stopped = gap.From, last.Stopped && last.To == gap.From // the run of a frozen machine goes on later
		if cause := j.ended(u, last, nil); cause != nil {
			k := j.kind(cause.Kind)
			k.Outages = append(k.Outages, left)
		}
		if u.Exclusive {
			j.report.Exclusive = append(j.report.Exclusive, left)
		} else {
			j.report.Outages = append(j.report.Outages, left)
		}
	}
}

// everywhere: a global unit is up on each machine that nothing is done to.
func (j *judge) everywhere(u Unit, runs []Run) {
	for _, m := range j.Machines {
		var up []Span
		excused := slices.Clone(j.held)
		for _, r := range runs {
			if r.Machine == m {
				up = append(up, r.Pieces...)
			}
		}
		for _, f := range j.Faults {
			if f.Excuses.has(Ends|Away) && slices.Contains(f.Machines, m) {
				excused = append(excused, f.Span)
			}
		}
		excused = merged(excused)
		for _, gap := range j.Span.between(merged(up)) {
			if left := gap.without(excused); left > j.Bounds.Up {
				j.violation(gap.From, u.Name, []string{m}, fmt.Sprintf("%s was away from %s for %s, %s of it while nothing was done to %s",
					u.Name, m, seconds(gap.To-gap.From), seconds(left), m))
			}
		}
	}
}
