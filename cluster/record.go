package cluster

import (
	"time"

	"fleettop/units"
)

// Record is the part of an event that programs read, so that the timeline can be walked back:
// package cluster/history does. Events of older daemons have none of it.
type Record struct {
	// Verb is what an operator asked for: one of api.Verbs for units; cordon, drain, uncordon or
	// forget for a machine.
	Verb string `json:"verb,omitempty"`
	// Units are the units of an event that tells of several at once.
	Units []string `json:"units,omitempty"`
	// Desired is what is wanted of the unit from here on, where the event changes that.
	Desired units.DesiredState `json:"desired,omitempty"`
	// Reason is why the unit is on its machine from here on, or why it has no place.
	Reason string `json:"reason,omitempty"`
	// Kept says that a unit without a place stays assigned to From, which doesn't run it.
	Kept bool `json:"kept,omitempty"`
	// Since is when the machine's State began; zero for the time of the event.
	Since time.Time `json:"stateSince,omitzero"`
	// Was is how the unit or the machine was just before.
	Was *Was `json:"was,omitempty"`
}

// Was is how a unit or a machine was just before an event, as the recorder of the event knew it.
type Was struct {
	Absent   bool            `json:"absent,omitempty"`      // the cluster didn't know it
	Name     string          `json:"machineName,omitempty"` // of the machine
	State    HealthState     `json:"state,omitempty"`       // of the machine; empty where the event doesn't say
	Schedule *Schedulability `json:"schedule,omitempty"`    // of the machine; nil where the event doesn't say

	Global  bool               `json:"global,omitempty"`
	Desired units.DesiredState `json:"desired,omitempty"` // empty where the event doesn't say
	// Places says that On is complete: the machines that the unit was assigned to.
	Places bool     `json:"places,omitempty"`
	On     []string `json:"on,omitempty"`
	// Reason is why it was on its one machine, or why it had no place.
	Reason string `json:"reason,omitempty"`
	// Active, Sub, Result and Restarts are of its last status; Active is empty where none is known.
	Active   string `json:"active,omitempty"`
	Sub      string `json:"sub,omitempty"`
	Result   string `json:"result,omitempty"`
	Restarts int    `json:"restarts,omitempty"`
	// Since is when the machine's State, or the unit's Active, began; zero where that isn't known.
	Since time.Time `json:"since,omitzero"`
}

// WasUnit is how a unit was before an event. Assignments are all of the unit, statuses those
// that may be known of it; u is nil for a unit that the cluster didn't know.
func WasUnit(u *Unit, global bool, on []Assignment, status *Status) *Was {
	w := &Was{Absent: u == nil, Global: global, Places: true}
	if u != nil {
		w.Desired = u.Desired
	}
	for _, a := range on {
		w.On = append(w.On, a.Machine)
	}
	if len(on) == 1 {
		w.Reason = on[0].Why()
		if status != nil && status.Epoch == on[0].Epoch {
			w.SetStatus(status.Status)
		}
	}
	return w
}

// SetStatus notes what a machine reported of the unit.
func (w *Was) SetStatus(s units.Status) {
	w.Active, w.Sub, w.Result, w.Restarts, w.Since = s.Active, s.Sub, s.Result, s.Restarts, s.Since
}
