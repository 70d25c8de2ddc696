// Package state turns the daemon's stream into what the console shows. A
// Reducer folds lines into immutable snapshots, each with a generation; Table
// filters, sorts and groups a snapshot's rows. Time is an argument; nothing
// here knows of terminals.
package state

import (
	"strings"
	"time"

	"fleettop/units"
)

// Mood is how well something is.
type Mood uint8

// Moods, the worst last.
const (
	Idle Mood = iota // not wanted to run, and doesn't
	Good             // as it should be
	Busy             // on its way, or in doubt
	Bad              // needs somebody
)

// Row is a unit where it is, or where it is not. Rows are immutable.
type Row struct {
	// ID is the unit's name; a global unit has a row for each machine, and
	// the machine in the ID. It stays the same when a unit moves.
	ID       string
	Unit     string
	Template string // of an instance; empty else
	About    string // its description
	Machine  string // ID of the machine it is on, empty for none
	Host     string // that machine's name
	Global   bool
	Leaving  bool // it was taken from the machine and is being stopped there

	Desired    units.DesiredState
	Generation int64 // of the unit
	Carried    int64 // generation the machine has carried out
	Hash       string
	Load       string
	Active     string
	Sub        string
	Result     string
	Since      time.Time // it is in its active state
	Restarts   int
	PID        int
	Reason     string // why it is on its machine, or why on none
	Error      string

	Word string // its state in one word
	Mood Mood
	Move *Move // under way, or done not long ago

	since   instant     // Since, as its machine says it
	crashes []time.Time // the last restarts that were its own
	loops   bool        // it crashes again and again

	hay  string   // what a filter looks in, in lower case
	home *machine // for the reducer alone, which may change it
}

// Move is a unit on its way from one machine to another.
type Move struct {
	From, To         string // machine IDs; To is empty while that isn't decided
	FromName, ToName string
	Doubt            bool      // From is only suspected
	Began            time.Time // the last sign of life on From
	Ended            time.Time // active on To; zero while it isn't
	Outage           time.Duration
	Measured         bool // Outage is the cluster's own measurement
	Planned          bool // From lives: nobody waits for anything
}

// Running tells whether the stopwatch runs.
func (m *Move) Running() bool { return m != nil && m.Ended.IsZero() }

// Clock is the stopwatch: the time since the last sign of life, or the outage.
func (m *Move) Clock(now time.Time) time.Duration {
	if m.Ended.IsZero() {
		return max(0, now.Sub(m.Began))
	}
	return m.Outage
}

// MovedFor is how long a row stays marked after it moved.
const MovedFor = time.Minute

// Fresh tells whether a move is under way or not long ago.
func (m *Move) Fresh(now time.Time) bool {
	return m != nil && (m.Ended.IsZero() || now.Sub(m.Ended) < MovedFor)
}

// host is what a row needs to know of a machine.
type host struct {
	id, name string
	runs     bool // units there are taken to be running
	doubt    bool
	silent   time.Time // its last sign of life, while it is in doubt or dead
}

// judge fills in a row's word and mood.
func (r *Row) judge(h *host, unplaced string) {
	r.Word, r.Mood = r.verdict(h, unplaced)
}

// index prepares a row for filters; old is the row before it, or nil.
func (r *Row) index(old *Row) {
	if old != nil && old.Host == r.Host && old.Word == r.Word && old.hay != "" {
		r.hay = old.hay
		return
	}
	r.hay = strings.ToLower(r.Unit + " " + r.Host + " " + r.Word)
}

func (r *Row) verdict(h *host, unplaced string) (string, Mood) {
	switch {
	case r.Leaving:
		return "stopping", Busy
	case r.Machine == "" && r.Desired == units.Inactive:
		return "inactive", Idle
	case r.Machine == "" && unplaced != "":
		r.Reason = unplaced
		return "unplaced", Bad
	case r.Machine == "":
		return "waiting", Busy
	case h == nil || !h.runs:
		if unplaced != "" { // no other machine can take it
			r.Reason = unplaced
		}
		return "lost", Bad
	case r.Error != "":
		return "error", Bad
	case r.Load != "" && r.Load != "loaded" && r.Load != "stub" && r.Load != "merged":
		return r.Load, Bad
	case h.doubt:
		return "suspect", Busy
	case r.Desired == units.Loaded:
		return r.resting()
	}
	return r.wanted()
}

// resting is the verdict on a unit that is to be on its machine without running.
func (r *Row) resting() (string, Mood) {
	switch {
	case r.Active == "failed":
		return "failed", Bad
	case r.Active == "active" || r.Active == "deactivating" || r.Active == "reloading":
		return "stopping", Busy
	case r.Active == "":
		return "loading", Busy
	}
	return "loaded", Idle
}

// wanted is the verdict on a unit that is to run.
func (r *Row) wanted() (string, Mood) {
	switch r.Active {
	case "active":
		if r.Carried < r.Generation && r.Carried > 0 {
			return "changing", Busy
		}
		if r.loops {
			return "crashing", Bad
		}
		return "active", Good
	case "reloading":
		return "reloading", Busy
	case "failed":
		return "failed", Bad
	case "deactivating":
		return "stopping", Busy
	case "inactive":
		if r.Carried >= r.Generation && r.Result == units.ResultCondition {
			return "skipped", Idle
		}
		if r.Carried >= r.Generation && r.Result != "" && r.Result != "success" {
			return "failed", Bad
		}
		if r.Carried >= r.Generation {
			return "finished", Idle
		}
	case "activating":
		if r.Restarts > 2 && r.Sub == "auto-restart" {
			return "crashing", Bad
		}
	}
	return "starting", Busy
}
