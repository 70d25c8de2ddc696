package history

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
)

// Report sums up a part of a timeline.
type Report struct {
	Failed   []FailedMachine `json:"failed"`   // in the order in which they failed
	Moved    []MovedUnit     `json:"moved"`    // from machines that failed or went down, by time
	Unplaced []UnplacedUnit  `json:"unplaced"` // units without a place at the end, by name
	// Median and Worst are of the outages that were measured; zero for none.
	Median  time.Duration `json:"median"`
	Worst   time.Duration `json:"worst"`
	WorstOf string        `json:"worstOf,omitempty"` // the unit
}

// FailedMachine is a machine that failed or went down.
type FailedMachine struct {
	Machine string              `json:"machine"` // ID
	At      time.Time           `json:"at"`
	State   cluster.HealthState `json:"state"`
	Back    time.Time           `json:"back,omitzero"` // it was up again
}

// MovedUnit is a unit that had to run elsewhere.
type MovedUnit struct {
	Unit string    `json:"unit"`
	From string    `json:"from"` // machine ID
	To   string    `json:"to"`   // machine ID; the same for a unit that waited for its machine
	At   time.Time `json:"at"`   // it was given to To
	// Outage is the cluster's measurement; nil for a unit that wasn't active yet at the end.
	Outage *cluster.Outage `json:"outage,omitempty"`
}

// UnplacedUnit is a unit without a place.
type UnplacedUnit struct {
	Unit   string    `json:"unit"`
	Since  time.Time `json:"since,omitzero"` // zero where that isn't known
	Reason string    `json:"reason"`
}

// Report sums up what happened from one moment to another, both included.
func (h *History) Report(from, to time.Time) Report {
	r := Report{Failed: []FailedMachine{}, Moved: []MovedUnit{}, Unplaced: []UnplacedUnit{}}
	moving := map[string]int{} // index in Moved of a unit whose outage isn't told yet
	lost := map[string]cluster.Event{}
	for _, e := range h.Between(from, to) {
		switch e.Kind {
		case cluster.EventMachine:
			r.machine(e)
		case cluster.EventMoved:
			delete(lost, e.Unit)
			switch {
			case e.Unplaced:
				lost[e.Unit] = e
			case e.To != "" && e.From != "" && r.down(e.From):
				moving[e.Unit] = len(r.Moved)
				r.Moved = append(r.Moved, MovedUnit{Unit: e.Unit, From: e.From, To: e.To, At: e.Time})
			}
		case cluster.EventPlaced:
			delete(lost, e.Unit)
		case cluster.EventActive:
			delete(lost, e.Unit)
			i, known := moving[e.Unit]
			switch {
			case e.Outage == nil:
			case known && r.Moved[i].To == e.To:
				r.Moved[i].Outage = e.Outage
				delete(moving, e.Unit)
			default: // it had no place before, or was moved before the beginning
				r.Moved = append(r.Moved, MovedUnit{Unit: e.Unit, From: e.From, To: e.To, At: e.Time, Outage: e.Outage})
			}
		}
	}
	var outages []time.Duration
	for _, m := range r.Moved {
		if m.Outage == nil {
			continue
		}
		d := m.Outage.Total()
		if outages = append(outages, d); r.WorstOf == "" || d > r.Worst {
			r.Worst, r.WorstOf = d, m.Unit
		}
	}
	r.Median = median(outages)
	for _, u := range h.At(to).Units {
		e, known := lost[u.Name]
		switch {
		case u.Unplaced != "":
			r.Unplaced = append(r.Unplaced, UnplacedUnit{Unit: u.Name, Since: e.Time, Reason: u.Unplaced})
		case known && u.PlacesUnknown:
			r.Unplaced = append(r.Unplaced, UnplacedUnit{Unit: u.Name, Since: e.Time, Reason: unplacedBy(&e)})
		}
	}
	return r
}

// Between are the events from one moment to another, both included.
func (h *History) Between(from, to time.Time) []cluster.Event {
	i := h.index(from.Add(-1))
	return h.events[i:max(i, h.index(to))]
}

// index is that of the first event after a moment.
func (h *History) index(t time.Time) int {
	i, _ := slices.BinarySearchFunc(h.events, t, func(e cluster.Event, t time.Time) int {
		return cmp.Or(e.Time.Compare(t), -1)
	})
	return i
}

// Before is the time of the last event before a moment; ok is false where there is none.
func (h *History) Before(t time.Time) (at time.Time, ok bool) {
	i := h.index(t.Add(-1))
	if i == 0 {
		return at, false
	}
	return h.events[i-1].Time, true
}

// After is the time of the first event after a moment; ok is false where there is none.
func (h *History) After(t time.Time) (at time.Time, ok bool) {
	i := h.index(t)
	if i == len(h.events) {
		return at, false
	}
	return h.events[i].Time, true
}

// machine takes in an event of a machine.
func (r *Report) machine(e cluster.Event) {
	last := -1
	for i := range r.Failed {
		if r.Failed[i].Machine == e.Machine {
			last = i
		}
	}
	open := last >= 0 && r.Failed[last].Back.IsZero()
	switch dead := e.State == cluster.Failed || e.State == cluster.Down; {
	case dead && !open:
		r.Failed = append(r.Failed, FailedMachine{Machine: e.Machine, At: e.Time, State: e.State})
	case e.State == cluster.Up && open:
		r.Failed[last].Back = e.Time
	}
}

// down reports whether a machine is among those that failed, and isn't back.
func (r *Report) down(id string) bool {
	return slices.ContainsFunc(r.Failed, func(f FailedMachine) bool { return f.Machine == id && f.Back.IsZero() })
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	mid := len(list) / 2
	if len(list)%2 == 0 {
		return (list[mid-1] + list[mid]) / 2
	}
	return list[mid]
}
