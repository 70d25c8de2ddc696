package cluster

import (
	"strings"

	"fleettop/units"
)

// UnitState is how a unit is, in one word for people. A unit whose file
// systemd could not load has systemd's word for that, such as bad-setting.
type UnitState string

// Unit states.
const (
	UnitInactive  UnitState = "inactive"  // not wanted on any machine
	UnitUnplaced  UnitState = "unplaced"  // the leader has no place for it
	UnitWaiting   UnitState = "waiting"   // the leader hasn't decided yet
	UnitLost      UnitState = "lost"      // its machine failed or is down
	UnitSuspect   UnitState = "suspect"   // its machine is in doubt
	UnitError     UnitState = "error"     // its machine could not do what it was told
	UnitLoading   UnitState = "loading"   // its machine hasn't reported it yet
	UnitLoaded    UnitState = "loaded"    // on its machine, and not wanted to run
	UnitStarting  UnitState = "starting"  // on its way to active
	UnitActive    UnitState = "active"    // it runs
	UnitReloading UnitState = "reloading" // it runs and reads its configuration
	UnitChanging  UnitState = "changing"  // it runs, and its machine hasn't carried out the newest change
	UnitStopping  UnitState = "stopping"  // on its way to inactive
	UnitSkipped   UnitState = "skipped"   // a condition of its file isn't met on its machine
	UnitFinished  UnitState = "finished"  // it ran and ended well
	UnitStopped   UnitState = "stopped"   // it was stopped by hand on its machine
	UnitFailed    UnitState = "failed"    // it ended badly
	UnitRetrying  UnitState = "retrying"  // it failed, and is to be tried again, here or on another machine
	UnitCrashing  UnitState = "crashing"  // it ends and is started again and again
)

// crashingRestarts is how many restarts make a unit that waits for the next one a crashing one.
const crashingRestarts = 2

// Standing is all that the state of a unit on a machine, or on none, follows from.
type Standing struct {
	Desired    units.DesiredState
	Generation int64       // of the unit
	Placed     bool        // it is on a machine
	Leaving    bool        // it was taken from that machine, which still has it
	Unplaced   string      // why the leader has no place for it, empty if it has
	Health     HealthState // of the machine; empty counts as up

	Status   units.Status // as the machine reported it last; zero before the first report
	Carried  int64        // the generation that the machine has carried out
	Error    string       // why it could not
	Retrying bool         // it failed, and its next try is to come
	Crashing bool         // the caller saw it end and start again and again, and not run for long since
}

// State derives the state. It is the one place that does.
func (s Standing) State() UnitState {
	load := s.Status.Load
	switch {
	case s.Leaving:
		return UnitStopping
	case !s.Placed && s.Desired == units.Inactive:
		return UnitInactive
	case !s.Placed && s.Unplaced != "":
		return UnitUnplaced
	case !s.Placed:
		return UnitWaiting
	case s.Health != "" && !s.Health.Runs():
		return UnitLost
	case s.Retrying && s.Desired == units.Launched && !s.Status.Runs():
		return UnitRetrying
	case s.Error != "":
		return UnitError
	case load != "" && load != "loaded" && load != "stub" && load != "merged":
		return UnitState(load)
	case s.Health == Suspect:
		return UnitSuspect
	case s.Desired == units.Loaded:
		return s.resting()
	}
	return s.wanted()
}

// resting is the state of a unit that is to be on its machine without running.
func (s Standing) resting() UnitState {
	switch {
	case s.Status.Active == "failed":
		return UnitFailed
	case s.Status.Active == "":
		return UnitLoading
	case s.Status.Runs() && s.Carried >= s.Generation && s.Status.Active != "deactivating":
		return s.started() // by hand, or by a unit that triggers it
	case s.Status.Runs():
		return UnitStopping
	}
	return UnitLoaded
}

// started is the state of a unit that runs though it was only to be loaded.
func (s Standing) started() UnitState {
	if s.Status.Active == "activating" {
		return UnitStarting
	}
	return UnitActive
}

// wanted is the state of a unit that is to run.
func (s Standing) wanted() UnitState {
	carried := s.Carried >= s.Generation
	switch s.Status.Active {
	case "active":
		if !carried && s.Carried > 0 {
			return UnitChanging
		}
		if s.Crashing {
			return UnitCrashing
		}
		return UnitActive
	case "reloading":
		return UnitReloading
	case "failed":
		return UnitFailed
	case "deactivating":
		if s.Crashing && carried {
			return UnitCrashing
		}
		return UnitStopping
	case "inactive":
		switch {
		case carried && s.Status.ByHand.Stands(s.Status):
			return UnitStopped
		case carried && s.Status.Result == units.ResultCondition:
			return UnitSkipped
		case carried && s.Status.Result != "" && s.Status.Result != "success":
			return UnitFailed
		case carried:
			return UnitFinished
		}
	case "activating":
		if s.Crashing || s.Status.Restarts > crashingRestarts && s.Status.Sub == "auto-restart" {
			return UnitCrashing
		}
	}
	return UnitStarting
}

// ByHand says what was done to a unit on its machine without the cluster, and
// what ends that; empty if the unit is as the cluster left it.
func ByHand(unit string, desired units.DesiredState, s units.Status) string {
	var parts []string
	switch hand := s.ByHand; {
	case !hand.Stands(s):
	case hand == units.HandStopped && desired == units.Launched:
		parts = append(parts, "stopped by hand on its machine; `fleettop start "+unit+"` starts it again")
	case hand == units.HandReset && desired == units.Launched:
		parts = append(parts, "it failed, and that was reset by hand on its machine; `fleettop start "+unit+"` starts it again")
	case s.Runs() && desired == units.Loaded:
		parts = append(parts, string(hand)+" by hand on its machine; `fleettop stop "+unit+"` stops it")
	}
	if s.Altered != "" {
		parts = append(parts, s.Altered+" on its machine")
	}
	return strings.Join(parts, "; ")
}

// Current is fleet's current state of a unit, from what was assigned and reported. A unit that
// runs stays launched until the machine has carried out that it is not to.
func Current(a *Assignment, s *Status) units.DesiredState {
	switch {
	case a == nil || s == nil || s.Epoch != a.Epoch || s.Load != "loaded":
		return units.Inactive
	case s.Generation < a.Generation && s.Runs():
		return units.Launched
	case s.Generation < a.Generation:
		return units.Loaded
	default:
		return a.Desired
	}
}
