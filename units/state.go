package units

import "time"

// DesiredState is the state that an operator wants a unit to be in.
type DesiredState string

// The desired states, in fleet's words.
const (
	Inactive DesiredState = "inactive" // known to the cluster, on no machine
	Loaded   DesiredState = "loaded"   // on a machine, not started
	Launched DesiredState = "launched" // on a machine and started
)

// ResultCondition is the Result of a unit that wasn't started because a
// condition in its file was not met.
const ResultCondition = "condition"

// Hand is what was done to a unit without its Manager.
type Hand string

// Hands: jobs that a Manager didn't ask for and that no unit which it holds brought about.
const (
	HandStopped   Hand = "stopped"
	HandStarted   Hand = "started"
	HandRestarted Hand = "restarted"
	HandReset     Hand = "reset" // it had failed, and that was forgotten (systemctl reset-failed)
)

// Stands reports whether a unit in a state is as the hand left it: not started or stopped since.
func (h Hand) Stands(s Status) bool {
	switch h {
	case HandStopped, HandReset:
		return s.Active == "inactive"
	case HandStarted, HandRestarted:
		return s.Runs()
	}
	return false
}

// Status is a Manager's report on one unit that it holds.
type Status struct {
	Name   string    `json:"name"`
	Hash   string    `json:"hash"`             // SHA-1 of the file the manager holds, in hexadecimal
	Load   string    `json:"load"`             // systemd's load state: loaded, not-found, bad-setting, error, masked
	Active string    `json:"active"`           // active, reloading, inactive, failed, activating or deactivating
	Sub    string    `json:"sub"`              // systemd's sub state: running, exited, dead, failed, ...
	Result string    `json:"result,omitempty"` // systemd's result: success, exit-code, timeout, start-limit-hit, ...
	Since  time.Time `json:"since"`            // when the unit entered its active state
	PID    int       `json:"pid,omitempty"`    // main process; 0 when there is none
	// Exit is how the main process ended, where the unit failed by that or is started again after it: "exit 3",
	// or the name of a signal such as SIGSEGV. It is empty otherwise.
	Exit string `json:"exit,omitempty"`
	// Restarts counts automatic restarts (Restart=) since the unit was last started by hand.
	Restarts int `json:"restarts,omitempty"`
	// ByHand is what was done to the unit last, if that was done without the Manager, and HandAt when.
	ByHand Hand      `json:"byHand,omitempty"`
	HandAt time.Time `json:"handAt,omitzero"`
	// Altered says by which files of the host the unit is other than its own file says; empty for none.
	Altered string `json:"altered,omitempty"`
}

// Runs reports whether the unit runs, or is on its way there or back.
func (s Status) Runs() bool {
	switch s.Active {
	case "active", "activating", "deactivating", "reloading":
		return true
	}
	return false
}

// Equal reports whether two statuses are equal.
func (s Status) Equal(o Status) bool {
	same := s.Since.Equal(o.Since) && s.HandAt.Equal(o.HandAt)
	s.Since, o.Since = time.Time{}, time.Time{}
	s.HandAt, o.HandAt = time.Time{}, time.Time{}
	return same && s == o
}
