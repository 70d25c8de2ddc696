package witness

import (
	"slices"
	"time"
)

// Excuse is what a fault explains, on the machines and for the units that it names.
type Excuse uint

// Excuses.
const (
	// Ends: units on the machine may end there and run elsewhere.
	Ends Excuse = 1 << iota
	// EndsExclusive: exclusive units on the machine may end, as their fence isn't renewed.
	EndsExclusive
	// Doubles: the machine may run a copy of a unit that isn't exclusive beside another machine.
	Doubles
	// Pauses: no process of the machine runs.
	Pauses
	// Fails: the leader may call the machine failed.
	Fails
	// Away: the machine's voter doesn't count as one that answers, nor does the machine.
	Away
	// Unwanted: the units named are not to run.
	Unwanted
)

func (e Excuse) has(x Excuse) bool { return e&x != 0 }

// Fault is something that was done to machines or to units.
type Fault struct {
	Kind     string
	Machines []string
	Units    []string
	Span
	Excuses Excuse
	// Voters are the machines that voted in etcd when it began.
	Voters []string
}

// explains reports whether the fault excuses something of a unit on a machine
// within a span; its effects may come until some time after its end.
func (f Fault) explains(e Excuse, machine, unit string, within Span, after time.Duration) bool {
	about := slices.Contains(f.Machines, machine) || slices.Contains(f.Units, unit)
	return f.Excuses.has(e) && about && f.From <= within.To && within.From <= f.To+after
}

// unsettles reports whether the store may have been out of reach for everybody
// within a span, as one of its voters was away.
func (f Fault) unsettles(within Span, after time.Duration) bool {
	return f.Excuses.has(Away) && f.From <= within.To && within.From <= f.To+after &&
		slices.ContainsFunc(f.Machines, func(m string) bool { return slices.Contains(f.Voters, m) })
}

// holds returns when nothing could be moved: the store had no quorum, or more
// than half of the machines were away.
func holds(machines int, faults []Fault) []Span {
	var list []Span
	for _, f := range faults {
		if !f.Excuses.has(Away) {
			continue
		}
		if held(machines, f.Voters, f.Machines) {
			list = append(list, f.Span)
			continue
		}
		for _, g := range faults {
			both, during := f.Span.overlap(g.Span)
			if during && g.Excuses.has(Away) && g.From <= f.From && held(machines, f.Voters, append(slices.Clone(g.Machines), f.Machines...)) {
				list = append(list, both)
			}
		}
	}
	return merged(list)
}

func held(machines int, voters, away []string) bool {
	gone := slices.Compact(slices.Sorted(slices.Values(away)))
	votes := 0
	for _, m := range voters {
		if !slices.Contains(gone, m) {
			votes++
		}
	}
	return votes <= len(voters)/2 || 2*len(gone) > machines
}

// merged returns spans in order, those that touch as one.
func merged(spans []Span) []Span {
	spans = slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return int(a.From - b.From) })
	var list []Span
	for _, s := range spans {
		if n := len(list); n > 0 && s.From <= list[n-1].To {
			list[n-1].To = max(list[n-1].To, s.To)
		} else {
			list = append(list, s)
		}
	}
	return list
}

// without returns how long a span is without what is in others, which are merged.
func (s Span) without(others []Span) time.Duration {
	left := s.To - s.From
	for _, o := range others {
		if both, more := s.overlap(o); more {
			left -= both.To - both.From
		}
	}
	return left
}

// between returns what of a span is in none of others, which are merged.
func (s Span) between(others []Span) []Span {
	var list []Span
	at := s.From
	for _, o := range others {
		if o.From > at && o.From < s.To {
			list = append(list, Span{at, o.From})
		}
		at = max(at, o.To)
	}
	if at < s.To {
		list = append(list, Span{at, s.To})
	}
	return list
}
