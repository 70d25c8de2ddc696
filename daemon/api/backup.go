package api

import (
	"time"

	"fleettop/units"
)

// BackupType is the media type of a backup.
const BackupType = "application/vnd.fleettop.backup"

// RestoreOptions are the parameters of POST /v1/restore.
type RestoreOptions struct {
	DryRun   bool // change nothing
	Inactive bool // restore every unit stopped
}

// Outcomes of a part of a restore.
const (
	Restored  = "restored"  // or would be
	There     = "there"     // the cluster has it already; it stays as it is
	Conflicts = "conflicts" // the cluster has another one of that name
	LeftOut   = "left out"  // see the note
)

// RestoreReply is the reply to POST /v1/restore.
type RestoreReply struct {
	Revision int64             `json:"revision,omitempty"` // a read at it shows the outcome
	DryRun   bool              `json:"dryRun,omitempty"`
	Backup   BackupInfo        `json:"backup"`
	Units    []RestoredUnit    `json:"units"`    // by name
	Machines []RestoredMachine `json:"machines"` // those with marks or metadata by operators, by name
	Events   int               `json:"events"`   // of the backup's timeline, which isn't restored
}

// BackupInfo is what a backup says of itself.
type BackupInfo struct {
	Cluster  string    `json:"cluster"`
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Machine  string    `json:"machine"`
	Version  string    `json:"version"` // of the daemon that made it
}

// RestoredUnit is what became of a unit.
type RestoredUnit struct {
	Name    string             `json:"name"`
	Outcome string             `json:"outcome"`
	Desired units.DesiredState `json:"desired"` // that it has now, or would have
	Note    string             `json:"note,omitempty"`
}

// RestoredMachine is what became of an operator's words on a machine.
type RestoredMachine struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	What    string `json:"what"` // "drained, rack=4"
	Note    string `json:"note,omitempty"`
}
