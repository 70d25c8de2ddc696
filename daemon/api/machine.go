package api

import (
	"maps"
	"slices"
	"strings"

	"fleettop/cluster"
)

// DrainPlan is what draining some machines would do to their units.
type DrainPlan struct {
	Revision int64        `json:"revision"`
	Store    Store        `json:"store"`
	Machines []MachineRef `json:"machines"`
	Moves    int          `json:"moves"`              // units that another machine takes
	Global   []string     `json:"global,omitempty"`   // units that run on every machine, and stop there
	Stranded []Unplaced   `json:"stranded,omitempty"` // units that no other machine can take, and why: they stay, or stop if that is asked for
}

// MachinesRequest is the body of POST /v1/machines: a verb for machines that
// are decided on together.
type MachinesRequest struct {
	Verb     string   `json:"verb"` // cordon, drain or uncordon
	Machines []string `json:"machines"`
	// Wait holds the answer back until the units of drained machines have moved.
	Wait bool `json:"wait,omitempty"`
	// Parallel is how many units of a drained machine move at a time; 0 is 1, or
	// what it is where the machine is drained already. Stop stops units that no
	// other machine takes; they stay otherwise.
	Parallel int  `json:"parallel,omitempty"`
	Stop     bool `json:"stop,omitempty"`
	// After is a verb, or empty: a machine that is no longer as that verb leaves it is refused
	// with CodeConflict.
	After string `json:"after,omitempty"`
}

// MachinesReply is the reply to a MachinesRequest: a result for each machine
// named, in that order. A read at Revision or later shows the outcome.
type MachinesReply struct {
	Revision int64           `json:"revision"`
	Machines []MachineResult `json:"machines"`
}

// MachineResult is what came of a verb for one machine.
type MachineResult struct {
	Asked   string   `json:"asked"` // as it was named in the request
	Machine *Machine `json:"machine,omitempty"`
	Changed bool     `json:"changed"`
	Moved   *Moved   `json:"moved,omitempty"` // where it was waited for
	Error   *Error   `json:"error,omitempty"`
}

// LeaveRequest is the body of POST /v1/leave, which may be left out.
type LeaveRequest struct {
	Parallel int `json:"parallel,omitempty"` // as in a MachinesRequest
}

// Moved is what became of the units of machines that gave them away.
type Moved struct {
	Units   int      `json:"units"`             // that are on other machines now
	Nowhere []string `json:"nowhere,omitempty"` // that stopped, as no other machine could take them
	Failed  []string `json:"failed,omitempty"`  // that failed where they went
	// Stayed are the units that are still there, and why: they failed elsewhere
	// and run on where they were, or no other machine takes them.
	Stayed []Unplaced `json:"stayed,omitempty"`
}

// FindMachine finds a machine by its ID, its name or a beginning of its ID
// that no other machine's shares; fleet's "1670f712..." is one.
func FindMachine(machines map[string]cluster.Machine, wanted string) (cluster.Machine, *Error) {
	if m, ok := machines[wanted]; ok {
		return m, nil
	}
	prefix := strings.TrimRight(wanted, ".…")
	var byName, byPrefix []cluster.Machine
	for _, id := range slices.Sorted(maps.Keys(machines)) {
		m := machines[id]
		if m.Name == wanted {
			byName = append(byName, m)
		}
		if prefix != "" && strings.HasPrefix(id, prefix) {
			byPrefix = append(byPrefix, m)
		}
	}
	found := byName
	if len(found) == 0 {
		found = byPrefix
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return cluster.Machine{}, MachineNotFound(wanted)
	}
	ids := make([]string, 0, len(found))
	for _, m := range found {
		ids = append(ids, m.ID)
	}
	return cluster.Machine{}, Refuse(CodeConflict, "give more of the ID", "%q could be %s", wanted,
		strings.Join(ids, " or "))
}

// MachineNotFound is the refusal for a machine that isn't there.
func MachineNotFound(wanted string) *Error {
	if wanted == "" {
		wanted = `""`
	}
	return Refuse(CodeNotFound, "`fleettop list-machines --all` shows those there are", "machine %s not found", wanted)
}

// UnitNotFound is the refusal for a unit that isn't there.
func UnitNotFound(name string) *Error {
	return Refuse(CodeNotFound, "`fleettop list-unit-files` shows those there are", "Unit %s not found", name)
}
