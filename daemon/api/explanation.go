package api

import (
	"time"

	"fleettop/cluster"
)

// Explanation says where a unit is, by what is recorded, and what would be
// decided of it now. On and Reason tell of where it is; the verdicts are what
// each machine would have to say to taking it.
type Explanation struct {
	Unit string `json:"unit"`
	// On has the IDs of the machines it is on: several for a global unit, none when it is unplaced.
	On     []string `json:"on"`
	Reason string   `json:"reason"`
	// Moving says of a unit that runs once whether it runs again when it moves.
	Moving   string    `json:"moving,omitempty"`
	Verdicts []Verdict `json:"verdicts"` // by machine name
	Store    Store     `json:"store"`
	Places   []Place   `json:"places"` // where it is, by machine; none where it is on no machine
	// Would is what would be decided now, where that is not what is.
	Would string `json:"would,omitempty"`
}

// Verdict is one machine's answer to a unit.
type Verdict struct {
	Machine string `json:"machine"` // ID
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Reason  string `json:"reason"`
}

// Place is a machine that a unit was given to, and what is known of it there.
type Place struct {
	Machine string    `json:"machine"` // ID
	Name    string    `json:"machineName"`
	Placed  time.Time `json:"placed"` // when it was given to the machine
	Reason  string    `json:"reason"`
	// Active and Sub are what the machine last reported of it; empty before its
	// first report. Where the machine is lost they are as in a UnitRow.
	Active string              `json:"active,omitempty"`
	Sub    string              `json:"sub,omitempty"`
	Lost   cluster.HealthState `json:"lost,omitempty"`
	// LostSince is when the machine came into that state.
	LostSince time.Time `json:"lostSince,omitzero"`
}

// WhatIf is what would become of a machine's units if it died now.
type WhatIf struct {
	Machine string `json:"machine"`
	cluster.WhatIf
}
