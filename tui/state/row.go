// Package state turns the daemon's stream into what the console shows. A
// Reducer folds lines into immutable snapshots, each with a generation; Table
// filters, sorts and groups a snapshot's rows. Time is an argument; nothing
// here knows of terminals.
package state

import (
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
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
	Stopping bool // it is to end on the machine before it may start elsewhere

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
	Exit       string // how its main process ended, where it failed by that
	Reason     string // why it is on its machine, or why on none
	Error      string
	Unplaced   bool       // the leader has no place for it
	RetryAt    time.Time  // it failed, and is tried again then; zero if it isn't
	ByHand     units.Hand // what was done to it on the machine without the cluster
	Altered    string     // by which files of the machine it is other than its file says

	Word string // its state in one word
	Mood Mood
	Move *Move // under way, or done not long ago

	known   bool            // the cluster has a file of it
	changed time.Time       // what is wanted of it, by the cluster's clocks
	given   *api.Assignment // where it is; nil for nowhere, or where it was taken away
	status  *cluster.Status // what Machine reports; nil for nothing

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

// Running reports whether the stopwatch runs.
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

// Fresh reports whether a move is under way or not long ago.
func (m *Move) Fresh(now time.Time) bool {
	return m != nil && (m.Ended.IsZero() || now.Sub(m.Ended) < MovedFor)
}

// host is what a row needs to know of a machine.
type host struct {
	id, name string
	health   cluster.HealthState // empty counts as up
	silent   time.Time           // its last sign of life, while it is in doubt or dead
}

// runs reports whether units there are taken to be running.
func (h host) runs() bool { return h.health == "" || h.health.Runs() }

// doubt reports whether the machine is suspect.
func (h host) doubt() bool { return h.health == cluster.Suspect }

// Hand says what was done to the unit on its machine without the cluster; empty for nothing that stands.
func (r *Row) Hand() string {
	return cluster.ByHand(r.Unit, r.Desired, units.Status{Active: r.Active, ByHand: r.ByHand, Altered: r.Altered})
}

// judge fills in a row's word and mood.
func (r *Row) judge(h *host, unplaced string) {
	how := cluster.Standing{Desired: r.Desired, Generation: r.Generation, Placed: r.Machine != "", Leaving: r.Leaving || r.Stopping,
		Unplaced: unplaced, Health: cluster.Failed, Carried: r.Carried, Error: r.Error, Crashing: r.loops,
		Retrying: !r.RetryAt.IsZero(),
		Status: units.Status{Load: r.Load, Active: r.Active, Sub: r.Sub, Result: r.Result, Restarts: r.Restarts,
			ByHand: r.ByHand}}
	if h != nil {
		how.Health = h.health
	}
	state := how.State()
	r.Unplaced = unplaced != ""
	if (state == cluster.UnitUnplaced || state == cluster.UnitLost || r.Stopping) && unplaced != "" {
		r.Reason = unplaced
	}
	r.Word, r.Mood = string(state), moodOf(state)
}

// moodOf is how well a unit in a state is.
func moodOf(state cluster.UnitState) Mood {
	switch state {
	case cluster.UnitInactive, cluster.UnitLoaded, cluster.UnitSkipped, cluster.UnitFinished:
		return Idle
	case cluster.UnitActive:
		return Good
	case cluster.UnitWaiting, cluster.UnitSuspect, cluster.UnitLoading, cluster.UnitStarting, cluster.UnitReloading,
		cluster.UnitChanging, cluster.UnitStopping, cluster.UnitStopped, cluster.UnitRetrying:
		return Busy
	}
	return Bad
}

// index prepares a row for filters; old is the row before it, or nil.
func (r *Row) index(old *Row) {
	if old != nil && old.Host == r.Host && old.Word == r.Word && old.shown() == r.shown() && old.hay != "" {
		r.hay = old.hay
		return
	}
	r.hay = strings.ToLower(r.Unit + " " + r.Host + " " + r.Word + " " + r.shown())
}
