package agent

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// Note is what the agent remembers of a unit it carried something out on. It
// outlives the daemon, but not a reboot of the machine.
type Note struct {
	Epoch      int64              `json:"epoch"`
	Generation int64              `json:"generation"`
	Restart    int64              `json:"restart,omitempty"`
	Attempt    int                `json:"attempt,omitempty"`
	Desired    units.DesiredState `json:"desired"`
	Hash       string             `json:"hash"`
	Error      string             `json:"error,omitempty"`
	Released   string             `json:"released,omitempty"` // the host's file, once the unit was given to the host
	// ByHand is what was done to the unit without the cluster since, as long as it stands.
	ByHand units.Hand `json:"byHand,omitempty"`
	// RetryAt is when a load that failed, or a job that could not even be
	// submitted, is tried again; zero for never.
	RetryAt time.Time `json:"retryAt,omitzero"`
	// Fence is the ID of the fence that stood when the note of an exclusive unit was made.
	Fence string `json:"fence,omitempty"`
	// Isolation is how long the quorum may be away until the unit is stopped, and
	// Isolated that it was.
	Isolation time.Duration `json:"isolation,omitempty"`
	Isolated  bool          `json:"isolated,omitempty"`

	// started and done are when the job that carried it out began and ended,
	// in this run of the daemon; zero once its outcome is known.
	started, done time.Time
	// told is whether the job itself said how it went, as a stop and a start
	// that failed do: only the status that goes with it is awaited then.
	told bool
}

const (
	// settleLimit is how long after a job the manager's word on its outcome is waited for.
	settleLimit = time.Second
	// lookLeast is how long a unit that was started is looked at before it is
	// said to run. On a slow machine, where the job took long, it is longer.
	lookLeast = 250 * time.Millisecond
	// heldUp is how late the agent may wake for others of this process, which watch the unit,
	// not to be late themselves.
	heldUp = 20 * time.Millisecond
	// crashLimit is how much longer a unit is looked at that comes up again and again.
	crashLimit = 3 * time.Second
)

// unsettled returns how long to wait before a status is taken for the outcome
// of the job that was carried out; zero if it is the outcome. A status from
// before the job says nothing of it, unless the job changed nothing, as its
// conditions were not met; one from the middle of a restart says nothing either.
// A unit that was started runs when it stays up for a look. Of that nothing counts
// from before heard: an end would not have been heard of.
func (n Note) unsettled(h units.Status, now, heard time.Time) time.Duration {
	if n.done.IsZero() || n.told && n.agrees(h) {
		return 0
	}
	look := n.look()
	passed, wait := now.Sub(n.done), settleLimit
	switch {
	case n.told:
	case h.Active == "active" || h.Active == "reloading":
		wait = look
		if h.Since.Before(heard) {
			h.Since = heard
		}
		if up := now.Sub(h.Since); up >= 0 && up < look {
			wait = min(passed+look-up, look+crashLimit) // it came up once more since
		}
	case h.Active == "inactive" || h.Active == "failed" || isCrashing(h):
		if !h.Since.Before(n.started) {
			wait = look
		}
	case h.Active == "activating" && !h.Since.Before(n.started):
		wait = look + crashLimit // it was started, so this is old or another start
	}
	return max(0, wait-passed)
}

// look is how long the unit is looked at.
func (n Note) look() time.Duration { return min(max(lookLeast, 4*n.done.Sub(n.started)), settleLimit) }

// crashes reports whether a settled status is of a unit that doesn't stay up: it is down and
// will be started again, or came up again and again for as long as it was looked at.
func (n Note) crashes(h units.Status, now time.Time) bool {
	up := now.Sub(h.Since)
	return isCrashing(h) || h.Active == "activating" && h.Restarts > 0 || h.Active == "active" && up >= 0 && up < n.look()
}

// agrees reports whether a status can be what the job said that it came to. One
// that began after the agent asked for a stop may still be from before the manager did it.
func (n Note) agrees(h units.Status) bool {
	if n.Desired == units.Loaded {
		return h.Active == "inactive" || h.Active == "failed"
	}
	return !h.Since.Before(n.started) && (h.Active == "failed" || isCrashing(h))
}

// startFailed reports whether the note is of a start that was tried and failed.
func (n Note) startFailed() bool {
	return n.Error != "" && n.RetryAt.IsZero() && n.Desired == units.Launched
}

// isCrashing reports whether a unit ended and its Restart= is to start it again.
func isCrashing(h units.Status) bool { return strings.Contains(h.Sub, "auto-restart") }

// covers reports whether the note is of this very assignment.
func (n Note) covers(a cluster.Assignment) bool {
	return n.Epoch == a.Epoch && n.Generation == a.Generation && n.Restart == a.Restart && n.Attempt == a.Attempt &&
		n.Desired == a.Desired && n.Hash == a.Hash
}

// noteOf is the note of an assignment carried out.
func noteOf(a cluster.Assignment) Note {
	return Note{Epoch: a.Epoch, Generation: a.Generation, Restart: a.Restart, Attempt: a.Attempt, Desired: a.Desired, Hash: a.Hash}
}

// StepKind is what is to be done with a unit next.
type StepKind int

// Step kinds, in the order they are carried out.
const (
	Stop   StepKind = iota
	Unload          // forget its file
	Load            // hand its file to the manager
	Start
	Restart
	Adopt   // it already is as wanted: only remember that
	Release // give it to the host
	Isolate // stop it, as the quorum is away; never planned
)

// String names the kind.
func (k StepKind) String() string {
	return [...]string{"stop", "unload", "load", "start", "restart", "adopt", "release", "isolate"}[k]
}

// Step is the next thing to do with one unit.
type Step struct {
	Kind       StepKind
	Unit       string
	Assignment cluster.Assignment // zero where the unit is no longer assigned
}

// Plan compares what is assigned with what the manager holds and returns the
// next step of every unit that needs one, in the order of kinds and names: a
// unit no longer assigned is stopped, then unloaded; a new one is loaded, then
// started by the following Plan.
func Plan(want map[string]cluster.Assignment, held map[string]units.Status, notes map[string]Note,
	now time.Time) []Step {
	var steps []Step
	for _, name := range slices.Sorted(maps.Keys(held)) {
		if _, ok := want[name]; ok {
			continue
		}
		switch n, h := notes[name], held[name]; {
		case now.Before(n.RetryAt):
		case n.Desired == units.Inactive || h.Active == "inactive" || h.Active == "failed":
			steps = append(steps, Step{Kind: Unload, Unit: name})
		default:
			steps = append(steps, Step{Kind: Stop, Unit: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		a, n := want[name], notes[name]
		if n.covers(a) && (n.RetryAt.IsZero() || now.Before(n.RetryAt)) {
			h, ok := held[name]
			if n.Error != "" || n.Released != "" || ok && h.Hash == a.Hash && !a.Release {
				continue
			}
		}
		status, ok := held[name]
		if kind, due := next(a, n, status, ok); due {
			steps = append(steps, Step{Kind: kind, Unit: name, Assignment: a})
		}
	}
	slices.SortStableFunc(steps, func(x, y Step) int { return int(x.Kind) - int(y.Kind) })
	return steps
}

func next(a cluster.Assignment, n Note, h units.Status, isHeld bool) (StepKind, bool) {
	switch {
	case isHeld && a.Release:
		return Release, true
	case !isHeld || h.Hash != a.Hash:
		return Load, true
	}
	running := h.Active == "active" || h.Active == "reloading"
	carried := n.Generation >= a.Generation && n.Attempt >= a.Attempt && n.Desired == a.Desired && n.Hash == a.Hash && n.RetryAt.IsZero()
	switch {
	case carried:
		return Adopt, !n.covers(a)
	case a.Finished && a.Desired == units.Launched:
		return Adopt, true
	case a.TakeOver && a.Desired == units.Loaded && n.Generation == 0:
		return Adopt, true // as it is, running or not
	case a.Desired == units.Loaded:
		if h.Active == "inactive" || h.Active == "failed" {
			return Adopt, true
		}
		return Stop, true
	case !running:
		return Start, true
	case n.Generation > 0 && (a.Restart > n.Restart || n.Hash != a.Hash):
		return Restart, true
	default:
		return Adopt, true
	}
}
