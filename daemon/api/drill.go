package api

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
)

// DrillPlan is what a drill of a machine would do.
type DrillPlan struct {
	Revision    int64       `json:"revision"`
	Store       Store       `json:"store"`
	Machine     string      `json:"machine"`          // ID
	MachineName string      `json:"machineName"`      // its name, for people
	Leader      bool        `json:"leader,omitempty"` // it leads the cluster: another machine would have to
	Voter       bool        `json:"voter,omitempty"`  // it has a vote in the store
	Moves       []DrillMove `json:"moves"`            // by unit
	Nowhere     []Unplaced  `json:"nowhere,omitempty"`
	Global      []string    `json:"global,omitempty"` // units that run on every machine: away there for as long as it is
	// Refusal is why a drill can't begin now; nil where it can.
	Refusal *Error `json:"error,omitempty"`
}

// DrillMove is a unit that a drill would move.
type DrillMove struct {
	Unit   string `json:"unit"`
	To     string `json:"to"` // machine ID
	ToName string `json:"toName"`
}

// DrillRequest is the body of POST /v1/machines/{id}/drill.
type DrillRequest struct {
	Seconds float64 `json:"seconds"` // how long the machine is out: from 5 to 300
	// Nowhere says that units may be without a place as long as that.
	Nowhere bool `json:"nowhere,omitempty"`
}

// DrillReply is the reply to a DrillRequest: the machine has taken it up.
type DrillReply struct {
	Machine     string    `json:"machine"`     // ID
	MachineName string    `json:"machineName"` // its name, for people
	ID          string    `json:"id"`
	Began       time.Time `json:"began"`   // by the machine's clock
	Seconds     float64   `json:"seconds"` // how long it is out
	Global      []string  `json:"global,omitempty"`
}

// DrillReport is what became of a drill, as far as the timeline tells.
type DrillReport struct {
	Machine      string      `json:"machine"`     // ID
	MachineName  string      `json:"machineName"` // its name, for people
	ID           string      `json:"id"`
	By           string      `json:"by,omitempty"`
	Began        time.Time   `json:"began"`
	Seconds      float64     `json:"seconds"` // that the machine was to be out
	Over         bool        `json:"over"`    // it is back and ready
	End          string      `json:"end,omitempty"`
	NotOut       bool        `json:"notOut,omitempty"`       // it was not taken out, and End says why
	ReadySeconds float64     `json:"readySeconds,omitempty"` // from the end of the time out until it was ready
	Units        []DrillUnit `json:"units"`                  // by unit
	Global       []string    `json:"global,omitempty"`
	Summary      string      `json:"summary,omitempty"` // the leader's
}

// DrillUnit is what became of a unit in a drill.
type DrillUnit struct {
	Unit string `json:"unit"`
	From string `json:"from"` // names of machines
	To   string `json:"to,omitempty"`
	// Nowhere says that no other machine took it, and Until when it was back.
	Nowhere bool      `json:"nowhere,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	// OutageSeconds is 0 while it isn't active; Outage has its phases in nanoseconds.
	OutageSeconds float64         `json:"outageSeconds,omitempty"`
	Outage        *cluster.Outage `json:"outage,omitempty"`
	Text          string          `json:"text"` // the timeline's last word on it
}

// NewDrillReport makes the report of a drill from the timeline's events, in any
// order. called returns the name of a machine.
func NewDrillReport(d DrillReply, events []cluster.Event, called func(id string) string) *DrillReport {
	r := &DrillReport{Machine: d.Machine, MachineName: d.MachineName, ID: d.ID, Began: d.Began, Seconds: d.Seconds, Global: d.Global,
		Units: []DrillUnit{}}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b cluster.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	at := map[string]int{}
	unit := func(e cluster.Event) *DrillUnit {
		i, known := at[e.Unit]
		if !known {
			i = len(r.Units)
			at[e.Unit] = i
			r.Units = append(r.Units, DrillUnit{Unit: e.Unit, From: d.MachineName})
		}
		r.Units[i].Text = e.Text
		return &r.Units[i]
	}
	for _, e := range events {
		if e.Drill != d.ID {
			continue
		}
		switch {
		case e.Kind == cluster.EventDrill && e.State == cluster.Up:
			r.Over, r.End = true, e.Text
			r.ReadySeconds = max(0, e.Time.Sub(d.Began).Seconds()-d.Seconds)
		case e.Kind == cluster.EventDrill && e.State == cluster.Failed:
			r.By = e.By
		case e.Kind == cluster.EventDrill:
			r.Over, r.NotOut, r.End = true, true, e.Text
		case e.Kind == cluster.EventFailover:
			r.Summary = e.Text
		case e.Kind == cluster.EventMoved && e.Unplaced:
			unit(e).Nowhere = true
		case e.Kind == cluster.EventMoved && e.Unit != "" && e.To != "":
			unit(e).To = called(e.To)
		case e.Kind == cluster.EventActive:
			u := unit(e)
			u.To, u.Outage = called(e.To), e.Outage
			if e.Outage != nil {
				u.OutageSeconds = e.Outage.Total().Seconds()
			}
			if u.Nowhere {
				u.Until = e.Time
			}
		case e.Kind == cluster.EventFailed && e.Unit != "":
			unit(e)
		}
	}
	slices.SortFunc(r.Units, func(a, b DrillUnit) int { return cmp.Compare(a.Unit, b.Unit) })
	return r
}

// Complete reports whether nothing more is to be awaited: the machine is back, and
// each unit is active, or has been said to have no place or to have failed.
func (r *DrillReport) Complete() bool {
	return r.Over && !slices.ContainsFunc(r.Units, func(u DrillUnit) bool { return u.To != "" && u.Outage == nil })
}
