package api

import (
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// UnitTable is the reply to GET /v1/units?table=true: what tables are made of,
// and no more. Thousands of units are listed often, and most of what that takes
// is reading the reply.
type UnitTable struct {
	Revision int64        `json:"revision"`
	Store    Store        `json:"store"`
	Hold     string       `json:"hold,omitempty"` // cluster.Leader's
	Machines []MachineRef `json:"machines"`
	Rows     []UnitRow    `json:"rows"` // by unit, then machine
}

// UnitRow is a unit on one of its machines, or on none.
type UnitRow struct {
	Unit         string             `json:"unit"`
	Description  string             `json:"description,omitempty"`
	Hash         string             `json:"hash"`                   // of the file submitted
	Running      string             `json:"running,omitempty"`      // of the file the machine has, where that is another
	Template     string             `json:"templateHash,omitempty"` // of its template's content now, where it keeps an earlier one
	Desired      units.DesiredState `json:"desired"`
	State        units.DesiredState `json:"state"`                  // fleet's current state, on all machines together
	FromTemplate bool               `json:"fromTemplate,omitempty"` // it has no file of its own
	Global       bool               `json:"global,omitempty"`
	Machine      string             `json:"machine,omitempty"`
	Leaving      bool               `json:"leaving,omitempty"` // it was taken away from there and is being stopped
	Load         string             `json:"load,omitempty"`
	Active       string             `json:"active,omitempty"`
	Sub          string             `json:"sub,omitempty"`
	Reason       string             `json:"reason,omitempty"` // for the machine, or for there being none
	Error        string             `json:"error,omitempty"`
	// RetryAt is when it is tried again, after it failed; Reason says what was tried.
	RetryAt time.Time `json:"retryAt,omitzero"`
	// ByHand says what was done to it on the machine without the cluster, and what ends that.
	ByHand string `json:"byHand,omitempty"`
	// Lost is the machine's state where its units aren't taken to be running:
	// Active is unknown then, and Sub has was- before what was last known.
	Lost cluster.HealthState `json:"lost,omitempty"`
}

// What Active says of a unit on a machine that is lost, and of one that is
// wanted and on no machine.
const (
	ActiveUnknown  = "unknown"
	ActiveUnplaced = "unplaced"
)

// Shown returns the active and sub state to show: what the machine last reported,
// and where it is lost ActiveUnknown with "was-" before the last known sub state.
func (p UnitPlacement) Shown() (active, sub string) {
	if p.Status != nil {
		active, sub = p.Status.Active, p.Status.Sub
	}
	if p.Lost == nil {
		return active, sub
	}
	if sub != "" {
		sub = "was-" + sub
	}
	return ActiveUnknown, sub
}
