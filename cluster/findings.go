package cluster

import "slices"

// Findings are changes of what the leader holds true. A nil value in a map is
// a deletion.
type Findings struct {
	Verdicts map[string]*Health   // by machine ID
	Unplaced map[string]*Unplaced // by unit
	WhatIf   map[string]*WhatIf   // by machine ID
	// Hold is the leader's Hold from here on; nil leaves it. In a Change the
	// leader's record has it, and this is nil.
	Hold *string
}

// Size is the number of things that findings write or remove.
func (f Findings) Size() int {
	n := len(f.Verdicts) + len(f.Unplaced) + len(f.WhatIf)
	if f.Hold != nil {
		n++
	}
	return n
}

// Unplaced is why the leader has no place for a unit.
type Unplaced struct {
	Reason string `json:"reason"` // "4 machines: 2 lack ssd=true, 2 conflict with db@1.service"
	// Generation is that of the unit it was found for; it says nothing of a later one.
	Generation int64 `json:"generation"`
	// Finished is what its last assignment said, for the next one to say it again.
	Finished bool `json:"finished,omitempty"`
}

// WhatIf is what the death of a machine would do to its units.
type WhatIf struct {
	Strands int      `json:"strands"`         // units that no other machine could take
	Units   []string `json:"units,omitempty"` // the first few of them, by name
}

// Equal reports whether two answers say the same.
func (w WhatIf) Equal(o WhatIf) bool { return w.Strands == o.Strands && slices.Equal(w.Units, o.Units) }

// NewUnplaced returns what must be written for the snapshot to hold exactly
// units without a place, by name. Their generations are those of the snapshot.
func (s *Snapshot) NewUnplaced(unplaced map[string]Unplaced) map[string]*Unplaced {
	found := map[string]*Unplaced{}
	for unit, now := range unplaced {
		now.Generation = s.Units[unit].Generation
		if s.Unplaced[unit] != now {
			found[unit] = &now
		}
	}
	for unit := range s.Unplaced {
		if _, still := unplaced[unit]; !still {
			found[unit] = nil
		}
	}
	return found
}

// NewWhatIf returns what must be written for the snapshot to hold these
// answers, by machine ID. A machine that doesn't run has none; the others keep
// theirs where there is no newer one.
func (s *Snapshot) NewWhatIf(answers map[string]WhatIf, health map[string]Health) map[string]*WhatIf {
	found := map[string]*WhatIf{}
	runs := func(id string) bool {
		_, known := s.Machines[id]
		return known && health[id].State.Runs()
	}
	for id, answer := range answers {
		if was, known := s.WhatIf[id]; runs(id) && !(known && was.Equal(answer)) {
			found[id] = &answer
		}
	}
	for id := range s.WhatIf {
		if !runs(id) {
			found[id] = nil
		}
	}
	return found
}

// WhyUnplaced returns why the leader has no place for a unit as it is now; empty
// if it has one, or hasn't decided.
func (s *Snapshot) WhyUnplaced(unit string) string {
	found := s.Unplaced[unit]
	if found.Generation != s.Units[unit].Generation {
		return ""
	}
	return found.Reason
}
