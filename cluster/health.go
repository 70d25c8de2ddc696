package cluster

import "time"

// HealthState is a verdict on a machine, made from evidence.
type HealthState string

// Health states.
const (
	Up HealthState = "up"
	// Suspect: gossip has doubts; nothing is decided.
	Suspect HealthState = "suspect"
	// DaemonGone: the machine's kernel answers and its daemon doesn't, or it
	// said that it restarts. Its units run on, and it has the daemon grace to come back.
	DaemonGone HealthState = "daemon-gone"
	// Failed: the machine is dead, or its daemon stayed away for longer than the grace.
	Failed HealthState = "failed"
	// Down: it said goodbye: shut down, rebooting or left.
	Down HealthState = "down"
)

// Runs reports whether units on a machine in this state are taken to be running.
func (h HealthState) Runs() bool { return h == Up || h == Suspect || h == DaemonGone }

// Health is a verdict with its evidence.
type Health struct {
	State    HealthState `json:"state"`
	Since    time.Time   `json:"since"`    // when it entered this state
	Evidence string      `json:"evidence"` // a phrase for people: "no answer for 0.4 s, probe timed out"
	// SilentSince is the machine's last known sign of life, where it is suspect or failed.
	SilentSince time.Time `json:"silentSince,omitzero"`
	// BackAt is when a failed machine that answers again counts as back, if
	// there is no doubt till then.
	BackAt time.Time `json:"backAt,omitzero"`
	// Blocked names a port of a machine that is up which gets no answer, and
	// one that does, for people; empty if there is none.
	Blocked string `json:"blocked,omitempty"`
	// By is the ID of the machine whose evidence it is.
	By string `json:"by,omitempty"`
}
