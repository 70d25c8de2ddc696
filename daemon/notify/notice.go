package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units/wording"
)

// Kind classes notices.
type Kind string

// Kinds of notices.
const (
	MachineFailed Kind = "machine-failed"
	MachineBack   Kind = "machine-back"
	Failover      Kind = "failover"    // what became of a failed machine's units, with the worst outage
	Unplaced      Kind = "unplaced"    // units that have no place
	UnitFailed    Kind = "unit-failed" // units that failed on their machine, or restart again and again
	Hold          Kind = "hold"        // the leader moves nothing
	HoldOver      Kind = "hold-over"
	Voters        Kind = "voters"
	Test          Kind = "test"
)

// Severity is how urgent a notice is.
type Severity string

// Severities.
const (
	Critical Severity = "critical" // an operator should act
	Warning  Severity = "warning"  // an operator should look
	Info     Severity = "info"
)

// severities says how urgent each kind is.
var severities = map[Kind]Severity{MachineFailed: Critical, MachineBack: Info, Failover: Warning, Unplaced: Critical,
	UnitFailed: Warning, Hold: Critical, HoldOver: Info, Voters: Info, Test: Info}

// Notice is one message to a receiver, as JSON has it.
type Notice struct {
	ID       string    `json:"id"` // the same whenever it is sent again
	Time     time.Time `json:"time"`
	Cluster  string    `json:"cluster"`
	Kind     Kind      `json:"kind"`
	Severity Severity  `json:"severity"`
	Text     string    `json:"text"`              // a sentence for people
	Machine  string    `json:"machine,omitempty"` // name of the machine it is about
	Units    []string  `json:"units,omitempty"`
	Drill    bool      `json:"drill,omitempty"` // a drill led to it: nothing has failed
	// OutageSeconds is the worst outage of a failover's units.
	OutageSeconds float64 `json:"outageSeconds,omitempty"`
}

// mostNamed is how many units a sentence names.
const mostNamed = 5

// notices returns what receivers are told of events, in their order. Units that
// have no place after the same failure are one notice, as are units that failed
// on one machine. names has the machines' names by ID.
func notices(events []cluster.Event, clusterID string, names map[string]string) (list []Notice) {
	called := func(id string) string { return cmp.Or(names[id], cluster.Machine{ID: id}.Label()) }
	together := map[string]int{} // index in list, by kind and machine
	for _, e := range events {
		kind := kindOf(e)
		if kind == "" {
			continue
		}
		n := Notice{ID: e.ID, Time: e.Time, Cluster: clusterID, Kind: kind, Severity: severities[kind], Text: e.Text}
		if n.Drill = e.Drill != ""; n.Drill {
			n.Severity = Info
		}
		machine := cmp.Or(e.From, e.Machine)
		if machine != "" {
			n.Machine = called(machine)
		}
		if e.Unit != "" {
			n.Units = []string{e.Unit}
		}
		if e.Outage != nil {
			n.OutageSeconds = e.Outage.Total().Seconds()
		}
		if kind != Unplaced && kind != UnitFailed {
			list = append(list, n)
			continue
		}
		key := string(kind) + "/" + machine + "/" + e.Drill
		if i, ok := together[key]; ok {
			list[i].Units = append(list[i].Units, n.Units...)
			continue
		}
		together[key] = len(list)
		list = append(list, n)
	}
	for i := range list {
		list[i].summarize()
	}
	return list
}

// summarize gives a notice of several units a sentence for all of them.
func (n *Notice) summarize() {
	if len(n.Units) < 2 {
		return
	}
	slices.Sort(n.Units)
	n.Units = slices.Compact(n.Units)
	named := strings.Join(n.Units[:min(mostNamed, len(n.Units))], ", ")
	if more := len(n.Units) - mostNamed; more > 0 {
		named += fmt.Sprintf(" and %d more", more)
	}
	switch units := wording.Count(len(n.Units), "unit"); n.Kind {
	case Unplaced:
		n.Text = fmt.Sprintf("%s of %s have nowhere to go: %s", units, n.Machine, named)
	case UnitFailed:
		n.Text = fmt.Sprintf("%s failed on %s: %s", units, n.Machine, named)
	}
	if n.Drill {
		n.Text = "drill: " + n.Text
	}
}

// kindOf is the kind of notice that an event leads to; empty for none.
func kindOf(e cluster.Event) Kind {
	switch e.Kind {
	case cluster.EventMachine:
		switch {
		case e.State == cluster.Failed && strings.Contains(e.Text, " failed: "):
			return MachineFailed
		case strings.HasSuffix(e.Text, " came back"), strings.Contains(e.Text, " isn't dead: "):
			return MachineBack
		}
	case cluster.EventFailover:
		return Failover
	case cluster.EventMoved:
		if e.Unplaced {
			return Unplaced
		}
	case cluster.EventFailed:
		return UnitFailed
	case cluster.EventHold:
		if strings.Contains(e.Text, "no longer held") {
			return HoldOver
		}
		return Hold
	case cluster.EventVoter:
		return Voters
	}
	return ""
}
