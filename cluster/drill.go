package cluster

import "time"

// Bounds of how long a drill takes a machine out.
const (
	DrillLeast = 5 * time.Second
	DrillMost  = 5 * time.Minute
)

// Drill takes a machine out for a time as a loss of power would: its daemon kills
// the units, falls silent, and comes back as after a boot. The API writes that it
// was asked for, and the machine's daemon the rest.
type Drill struct {
	ID    string        `json:"id"`
	By    string        `json:"by,omitempty"` // who asked for it
	Asked time.Time     `json:"asked"`
	For   time.Duration `json:"for"` // in nanoseconds
	// Began is when the machine goes out, by its clock; zero before it has taken the drill up.
	Began time.Time `json:"began,omitzero"`
	// Refused is why the machine did not take it up; empty otherwise.
	Refused string `json:"refused,omitempty"`
}

// UnderWay reports whether the drill was asked for and isn't over.
func (d Drill) UnderWay() bool { return d.ID != "" && d.Refused == "" }

// Out reports whether the drill takes its machine out, which isn't back yet.
func (d Drill) Out() bool { return d.UnderWay() && !d.Began.IsZero() }

// Ends is when the machine is to come back, by its clock. The drill must be Out.
func (d Drill) Ends() time.Time { return d.Began.Add(d.For) }
