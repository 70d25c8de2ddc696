package cluster

// Findings are changes of what the leader holds true. A nil value in a map is
// a deletion.
type Findings struct {
	Verdicts map[string]*Health   // by machine ID
	Unplaced map[string]*Unplaced // by unit
	WhatIf   map[string]*WhatIf   // by machine ID
}

// Size is the number of things that findings write or remove.
func (f Findings) Size() int { return len(f.Verdicts) + len(f.Unplaced) + len(f.WhatIf) }

// Unplaced is why the leader has no place for a unit.
type Unplaced struct {
	Reason string `json:"reason"` // "4 machines: 2 lack ssd=true, 2 conflict with db@1.service"
	// Generation is that of the unit it was found for; it says nothing of a later one.
	Generation int64 `json:"generation"`
}

// WhatIf is what the death of a machine would do to its units.
type WhatIf struct {
	Strands int      `json:"strands"`         // units that no other machine could take
	Units   []string `json:"units,omitempty"` // the first few of them, by name
}

// Equal reports whether two answers say the same.
func (w WhatIf) Equal(o WhatIf) bool {
	if w.Strands != o.Strands || len(w.Units) != len(o.Units) {
		return false
	}
	for i := range w.Units {
		if w.Units[i] != o.Units[i] {
			return false
		}
	}
	return true
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
