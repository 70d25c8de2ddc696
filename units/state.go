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
	// Restarts counts automatic restarts (Restart=) since the unit was last started by hand.
	Restarts int `json:"restarts,omitempty"`
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
	same := s.Since.Equal(o.Since)
	s.Since, o.Since = time.Time{}, time.Time{}
	return same && s == o
}
