package api

import (
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// Store is the daemon's word on its connection to the cluster's store.
type Store struct {
	Connected bool `json:"connected"`
	// Since is, while not connected, when the state shown was last known to be current.
	Since time.Time `json:"since,omitzero"`
}

// Machine is a machine's record with what is known of its health.
type Machine struct {
	cluster.Machine
	Health cluster.Health `json:"health"`
	Leader bool           `json:"leader,omitempty"` // it leads the cluster
	Self   bool           `json:"self,omitempty"`   // it is the one that answers
}

// Unit is a unit file and what is wanted of it.
type Unit struct {
	Name        string             `json:"name"`
	Description string             `json:"description,omitempty"`
	Hash        string             `json:"hash"`
	Desired     units.DesiredState `json:"desired"`
	// FromTemplate is set on an instance without a file of its own: see cluster.Unit.
	FromTemplate bool      `json:"fromTemplate,omitempty"`
	Global       bool      `json:"global,omitempty"`
	Once         bool      `json:"once,omitempty"`       // it runs, ends and is done: a oneshot
	Reschedule   bool      `json:"reschedule,omitempty"` // it is tried on another machine when it fails
	Generation   int64     `json:"generation"`
	Restart      int64     `json:"restart,omitempty"` // generation at which a restart was last asked for
	By           string    `json:"by,omitempty"`
	At           time.Time `json:"at"`
	Content      string    `json:"content,omitempty"` // only where one unit is asked for
}

// Assignment is a cluster.Assignment without the unit's content.
type Assignment struct {
	Machine    string             `json:"machine"`
	Unit       string             `json:"unit"`
	Hash       string             `json:"hash"`
	Desired    units.DesiredState `json:"desired"`
	Generation int64              `json:"generation"`
	Restart    int64              `json:"restart,omitempty"`
	Epoch      int64              `json:"epoch"`
	Reason     string             `json:"reason"`
	Since      time.Time          `json:"since"`
	// Leaving says that the machine is to stop the unit before it may start elsewhere.
	Leaving bool `json:"leaving,omitempty"`
	// Tries, Attempt and RetryAt are those of a unit with Reschedule=on-failure: see cluster.Assignment.
	Tries   []cluster.Try `json:"tries,omitempty"`
	Attempt int           `json:"attempt,omitempty"`
	RetryAt time.Time     `json:"retryAt,omitzero"`
}

// Waits reports whether the unit failed and is to be tried again, at RetryAt.
func (a *Assignment) Waits() bool { return a != nil && len(a.Tries) > a.Attempt && !a.RetryAt.IsZero() }

// Unplaced is a unit that no machine can take, and why.
type Unplaced struct {
	Unit   string `json:"unit"`
	Reason string `json:"reason"`
}

// Placement names a unit on a machine.
type Placement struct {
	Machine string `json:"machine"`
	Unit    string `json:"unit"`
}

// Kinds of Line.
const (
	LineSnapshot  = "snapshot"  // everything; what was known before is void
	LineChange    = "change"    // what changed, and what is gone
	LineStore     = "store"     // the store was lost or is back; the state stays
	LineHeartbeat = "heartbeat" // nothing happened
)

// Line is one line of the watch. State.Apply folds lines into a State.
type Line struct {
	Kind        string           `json:"kind"`
	Revision    int64            `json:"revision"`
	Time        time.Time        `json:"time,omitzero"` // by the daemon's clock, as it sent the line; not in heartbeats
	ClusterID   string           `json:"clusterID,omitempty"`
	Self        string           `json:"self,omitempty"`    // machine that answers; in snapshots
	Version     string           `json:"version,omitempty"` // of the daemon that answers; in snapshots
	Leader      *cluster.Leader  `json:"leader,omitempty"`
	Store       *Store           `json:"store,omitempty"`
	Machines    []Machine        `json:"machines,omitempty"`
	Units       []Unit           `json:"units,omitempty"`
	Assignments []Assignment     `json:"assignments,omitempty"`
	Statuses    []cluster.Status `json:"statuses,omitempty"`
	Unplaced    []Unplaced       `json:"unplaced,omitempty"`
	WhatIf      []WhatIf         `json:"whatIf,omitempty"` // only where the watch asks for it
	Events      []cluster.Event  `json:"events,omitempty"` // recent ones in a snapshot, new ones in a change
	Gone        *Gone            `json:"gone,omitempty"`
}

// Gone lists what a change removed.
type Gone struct {
	Machines    []string    `json:"machines,omitempty"`
	Units       []string    `json:"units,omitempty"`
	Assignments []Placement `json:"assignments,omitempty"`
	Statuses    []Placement `json:"statuses,omitempty"`
	Unplaced    []string    `json:"unplaced,omitempty"`
	WhatIf      []string    `json:"whatIf,omitempty"`
}

// UnitList is the reply to GET /v1/units.
type UnitList struct {
	Revision int64        `json:"revision"`
	Store    Store        `json:"store"`
	Hold     string       `json:"hold,omitempty"` // cluster.Leader's
	Units    []UnitInfo   `json:"units"`          // by name
	Machines []MachineRef `json:"machines"`       // those the placements name, by ID
}

// MachineRef is what is needed to name a machine to a person.
type MachineRef struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Address string `json:"address"`
}

// UnitInfo is a unit with where it is and how it does.
type UnitInfo struct {
	Unit
	State      units.DesiredState `json:"state"`                // fleet's current state
	Placements []UnitPlacement    `json:"placements,omitempty"` // by machine
	Unplaced   string             `json:"unplaced,omitempty"`   // why no machine can take it
	// TemplateHash is that of its template's content now, where the unit keeps
	// an earlier one, and TemplateBehind by how many versions; 0 where that isn't known.
	TemplateHash   string `json:"templateHash,omitempty"`
	TemplateBehind int64  `json:"templateBehind,omitempty"`
}

// UnitPlacement is a unit on one machine. Assignment is nil where the machine
// still reports a unit that was taken away from it, Status before its first report.
type UnitPlacement struct {
	Machine    string          `json:"machine"`
	Assignment *Assignment     `json:"assignment,omitempty"`
	Status     *cluster.Status `json:"status,omitempty"`
	// Held is why the unit stays there though the machine failed, while
	// failovers are held; empty if they aren't.
	Held string `json:"held,omitempty"`
	// Lost is the machine's health where its units aren't taken to be running:
	// the status is the last that was known of them.
	Lost *cluster.Health `json:"lost,omitempty"`
}

// UnitDetail is the reply to GET /v1/units/{name}.
type UnitDetail struct {
	Revision int64 `json:"revision"`
	Store    Store `json:"store"`
	UnitInfo
	Machines []MachineRef `json:"machines"`
}

// MachineList is the reply to GET /v1/machines.
type MachineList struct {
	Revision int64         `json:"revision"`
	Store    Store         `json:"store"`
	Hold     string        `json:"hold,omitempty"` // cluster.Leader's
	Machines []MachineInfo `json:"machines"`       // by name, then ID
}

// MachineInfo is a machine with the number of units assigned to it.
type MachineInfo struct {
	Machine
	Units int `json:"units"`
}

// EventsDefault is how many events are told to those who don't say how many they want.
const EventsDefault = 200

// EventsMost is how many events can be asked for: all that the store keeps.
const EventsMost = 10000

// EventList is the reply to GET /v1/events.
type EventList struct {
	Store  Store           `json:"store"`
	Events []cluster.Event `json:"events"` // oldest first
}

// Version is the reply to GET /v1/version.
type Version struct {
	Version   string `json:"version"`
	Go        string `json:"go"`
	MachineID string `json:"machineID"`
}

// File is a unit file to be submitted.
type File struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	// Fallback files are used only for a unit that the cluster doesn't know.
	Fallback bool `json:"fallback,omitempty"`
	// Template files are an instance's, and their content its template's. As
	// a fallback they are used only where the cluster doesn't know that template either.
	Template bool `json:"template,omitempty"`
	// AdoptFrom is the ID of the machine that has the unit under this file of the
	// host's own, or * for a global one: the unit is taken over there as it is.
	AdoptFrom string `json:"adoptFrom,omitempty"`
}

// SubmitRequest is the body of POST /v1/units.
type SubmitRequest struct {
	Units   []File             `json:"units"`
	Replace bool               `json:"replace,omitempty"`
	Desired units.DesiredState `json:"desired,omitempty"` // default inactive
}

// ActionRequest is the body of POST /v1/actions: a verb for units the cluster
// knows, for files to be submitted first, or both.
type ActionRequest struct {
	Verb    Verb     `json:"verb"`
	Units   []string `json:"units,omitempty"`
	Files   []File   `json:"files,omitempty"`
	Replace bool     `json:"replace,omitempty"`
	// MaxUnavailable is on how many machines at a time the verb changes global units; 0 is 1.
	MaxUnavailable int `json:"maxUnavailable,omitempty"`
	// Generations are those that the caller last saw, by unit. A unit that has a later one by now
	// is refused with CodeConflict; units that aren't listed are changed whatever they are.
	Generations map[string]int64 `json:"generations,omitempty"`
}

// ActionReply is the reply to a write: a result for each unit named, in the
// order they were. A read at Revision or later shows the outcome.
type ActionReply struct {
	Revision int64        `json:"revision"`
	Results  []UnitResult `json:"results"`
	Error    *Error       `json:"error,omitempty"` // the first of the results', when all failed
}

// UnitResult is what came of a verb for one unit.
type UnitResult struct {
	Name       string             `json:"name"`
	Desired    units.DesiredState `json:"desired,omitempty"`
	Generation int64              `json:"generation,omitempty"`
	Global     bool               `json:"global,omitempty"`
	Changed    bool               `json:"changed"`
	On         []string           `json:"on,omitempty"` // machines that a unit was on which is destroyed
	// Submitted is set where the unit has the file that came with the request
	// and hadn't before, Replaced where the content that it has is another one now.
	Submitted bool `json:"submitted,omitempty"`
	Replaced  bool `json:"replaced,omitempty"`
	// TemplateHash is that of its template's content now, where the unit keeps
	// an earlier one. The warning says so too.
	TemplateHash string `json:"templateHash,omitempty"`
	Warning      string `json:"warning,omitempty"`
	Error        *Error `json:"error,omitempty"`
}

// Empty reports whether nothing was removed.
func (g *Gone) Empty() bool {
	return len(g.Machines)+len(g.Units)+len(g.Assignments)+len(g.Statuses)+len(g.Unplaced)+len(g.WhatIf) == 0
}

// Empty reports whether the line has nothing to tell but its kind and its revision.
func (l *Line) Empty() bool {
	return l.ClusterID == "" && l.Leader == nil && l.Store == nil && l.Gone == nil &&
		len(l.Machines)+len(l.Units)+len(l.Assignments)+len(l.Statuses)+len(l.Unplaced)+len(l.WhatIf)+len(l.Events) == 0
}
