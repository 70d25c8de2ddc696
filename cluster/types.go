package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fleettop/units"
)

// Machine is one machine of the cluster. Its record outlives its daemon, so a
// dead machine stays visible until an operator removes it.
type Machine struct {
	ID       string            `json:"id"`       // the machine-id, 32 hexadecimal digits
	Name     string            `json:"name"`     // the hostname, for people
	Address  string            `json:"address"`  // the primary IP
	Metadata map[string]string `json:"metadata"` // from --metadata, and Overrides over it
	Version  string            `json:"version"`  // of its daemon
	Manager  string            `json:"manager"`  // systemd or process
	// Fences says that the machine has a fence, so that it may run exclusive
	// units, and NoFence why it has none. A daemon older than fences says neither.
	Fences  bool   `json:"fences,omitempty"`
	NoFence string `json:"noFence,omitempty"`
	// ProbeAddress is the host:port on which the daemon answers probes.
	ProbeAddress string `json:"probeAddress"`
	// GossipAddress is serf's host:port.
	GossipAddress string `json:"gossipAddress"`
	// EtcdPeerURL and EtcdClientURL are where this machine's embedded etcd
	// listens, or would if it became a voter. Empty with external etcd.
	EtcdPeerURL   string `json:"etcdPeerURL,omitempty"`
	EtcdClientURL string `json:"etcdClientURL,omitempty"`
	// Seat is the machine's seat in the embedded etcd, by the leader's word;
	// a machine with one runs a member.
	Seat Seat `json:"seat,omitempty"`
	// EtcdMember is etcd's ID of the member that this machine started last; a
	// member is started without data only once. EtcdLost is the one whose log
	// this machine no longer has: it is removed, and the machine joins anew.
	EtcdMember uint64 `json:"etcdMember,omitempty"`
	EtcdLost   uint64 `json:"etcdLost,omitempty"`
	// APIAddress is the host:port of the API for other machines; TLS by the
	// cluster's key.
	APIAddress string `json:"apiAddress,omitempty"`
	// Keys are the IDs of the cluster keys it works with, the used one first.
	Keys []string `json:"keys,omitempty"`

	// Overrides is the metadata that operators set over the API, by key; an empty value removes
	// the key. It outlives the daemon and the record: see Store.DeleteMachine.
	Overrides map[string]string `json:"overrides,omitempty"`

	// Schedule is set by an operator: empty (schedulable), cordoned or drained.
	Schedule Schedulability `json:"schedule,omitempty"`
	// ScheduledAt is when Schedule was set to what it is; zero where no operator has.
	ScheduledAt time.Time `json:"scheduledAt,omitzero"`
	// Drain is how the machine is drained, or was the last time.
	Drain Drain `json:"drain,omitzero"`
	// Sheds are units that an operator has the leader move to other machines, in this
	// order and at the pace of Drain. What was done of them is seen from the assignments.
	Sheds []Shed `json:"sheds,omitempty"`
	// Drill is the drill that was asked for last and isn't over; zero for none.
	Drill Drill `json:"drill,omitzero"`
	// Departure is how the daemon last said goodbye; empty while it runs or
	// when it died without a word.
	Departure   Departure `json:"departure,omitempty"`
	DepartureAt time.Time `json:"departureAt,omitzero"`
}

// Label is what people call the machine: its name, or the beginning of its ID.
func (m Machine) Label() string { return cmp.Or(m.Name, m.ID[:min(8, len(m.ID))]) }

// OfKnown returns an update for Store.UpdateMachine that changes the record of a
// machine which has one. Where there is none, as the machine left or was
// forgotten, it makes none, and the update fails with ErrNotFound.
func OfKnown(update func(*Machine) error) func(*Machine) error {
	return func(m *Machine) error {
		if m.Name == "" && m.Address == "" && m.GossipAddress == "" {
			return ErrNotFound
		}
		return update(m)
	}
}

// Configure sets the metadata to what the machine's daemon was started with, and Overrides over it.
func (m *Machine) Configure(own map[string]string) {
	m.Metadata = make(map[string]string, len(own)+len(m.Overrides))
	maps.Copy(m.Metadata, own)
	for k, v := range m.Overrides {
		setOrDelete(m.Metadata, k, v)
	}
}

// Override sets a key of the metadata for good, whatever the daemon is started with; an empty
// value removes it.
func (m *Machine) Override(key, value string) {
	for _, each := range []*map[string]string{&m.Overrides, &m.Metadata} {
		if *each == nil {
			*each = map[string]string{}
		}
	}
	m.Overrides[key] = value
	setOrDelete(m.Metadata, key, value)
}

func setOrDelete(m map[string]string, key, value string) {
	if value == "" {
		delete(m, key)
		return
	}
	m[key] = value
}

// CheckMetadata says what is wrong with a pair of metadata, or nil.
func CheckMetadata(key, value string) error {
	switch {
	case !Printable(key + value):
		return fmt.Errorf("metadata %q=%q has characters that can't be shown: give letters, digits and such", key, value)
	case key == "" || strings.ContainsAny(key+value, "\"'") || strings.ContainsAny(key, "= ,"):
		return fmt.Errorf("metadata %q=%q: a key needs letters and neither spaces, commas, quotes nor '='", key, value)
	}
	return nil
}

// Printable reports whether a text can be shown as it is, on any terminal.
func Printable(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// SetSchedule sets an operator's word; said again, it keeps its age.
func (m *Machine) SetSchedule(to Schedulability, now time.Time) {
	if m.Schedule != to {
		m.Schedule, m.ScheduledAt = to, now
	}
}

// SetDrained drains the machine, once more if it is drained: what failed elsewhere, or had no
// place, is tried again. A parallel of 0 leaves the pace of a drain that goes on, and is 1 for a new one.
func (m *Machine) SetDrained(parallel int, stop bool, now time.Time) {
	if parallel == 0 && m.Schedule == Drained {
		parallel = m.Drain.Parallel
	}
	m.Sheds = nil
	m.SetSchedule(Drained, now)
	m.Drain = Drain{Parallel: max(1, parallel), Stop: stop, Attempt: m.Drain.Attempt + 1}
}

// SetSheds has the machine give units to others; none takes back what hasn't begun to move.
func (m *Machine) SetSheds(sheds []Shed, parallel int) {
	m.Sheds = sheds
	m.Drain = Drain{Parallel: max(1, parallel), Attempt: m.Drain.Attempt + 1}
}

// Shed is a move that a rebalance asks for.
type Shed struct {
	Unit   string `json:"unit"`
	Epoch  int64  `json:"epoch"` // of the assignment that it was planned on; it says nothing of another one
	To     string `json:"to"`    // machine ID
	Reason string `json:"reason"`
}

// Drain is how the leader drains a machine.
type Drain struct {
	Parallel int   `json:"parallel"`       // how many units move at a time; 0 is 1
	Stop     bool  `json:"stop,omitempty"` // units that no other machine takes stop, instead of staying
	Attempt  int64 `json:"attempt"`        // grows each time it is asked for
}

// Stay is why a unit didn't leave a machine that is drained; zero for a unit that isn't to, or hasn't had its turn.
type Stay struct {
	Reason  string `json:"reason"`
	Attempt int64  `json:"attempt"`         // of the drain that it refers to
	Tried   bool   `json:"tried,omitempty"` // it failed elsewhere, and isn't tried again by the same attempt
}

// Schedulability is an operator's word on whether a machine takes units.
type Schedulability string

// Schedulabilities.
const (
	Schedulable Schedulability = ""
	Cordoned    Schedulability = "cordoned" // keeps its units, takes no more
	Drained     Schedulability = "drained"  // its units are moved away
)

// Seat is a machine's part in the embedded etcd.
type Seat string

// Seats.
const (
	NoSeat  Seat = ""
	Learner Seat = "learner" // has a copy, doesn't count
	Voter   Seat = "voter"
)

// Departure is how a daemon left.
type Departure string

// Departures.
const (
	NotDeparted Departure = ""
	Restarting  Departure = "restart"  // the daemon was stopped; its units run on and it is expected back
	ShutDown    Departure = "shutdown" // the machine is going down; its units end with it
	Left        Departure = "left"     // it left for good
)

// Run is one run of a machine's daemon, kept under its lease.
type Run struct {
	Machine string    `json:"machine"`
	ID      string    `json:"id"`      // random, new at every start
	Address string    `json:"address"` // GossipAddress: tells a restart from a second daemon with the same machine-id
	Boot    string    `json:"boot"`    // of the machine; another one after each boot
	Since   time.Time `json:"since"`
	// Session counts the sessions of this run: where it grew, the machine was cut off from the store in between.
	Session int `json:"session,omitempty"`
}

// Unit is a unit file and what is wanted of it.
type Unit struct {
	Name    string             `json:"name"`
	Content string             `json:"content"` // exactly as submitted
	Hash    string             `json:"hash"`
	Desired units.DesiredState `json:"desired"`
	// FromTemplate is set on an instance whose content is its template's, as
	// that was when the instance took it; an instance with a file of its own has it not.
	FromTemplate bool `json:"fromTemplate,omitempty"`
	// TemplateGeneration is the template's generation when it did; 0 where that isn't known.
	TemplateGeneration int64 `json:"templateGeneration,omitempty"`
	// AdoptedFrom is the machine whose own unit of this name this one takes
	// over, or EveryMachine for a global one. The leader clears it, with a new
	// generation, when that is done.
	AdoptedFrom string `json:"adoptedFrom,omitempty"`
	// Released says that the machines that have the unit give it to their hosts.
	// The leader forgets it when that is done.
	Released bool `json:"released,omitempty"`
	// Generation grows with every change of the unit; 1 when first submitted.
	Generation int64 `json:"generation"`
	// Restart is the generation at which a restart was last asked for; 0 for never.
	Restart int64 `json:"restart,omitempty"`
	// MaxUnavailable is on how many machines at a time the last change of a
	// global unit is carried out; 0 is 1.
	MaxUnavailable int       `json:"maxUnavailable,omitempty"`
	By             string    `json:"by,omitempty"` // who made the last change
	At             time.Time `json:"at"`           // when
}

// EveryMachine is where a global unit is adopted from.
const EveryMachine = "*"

// TakesOver reports whether the unit, placed on a machine, takes over the
// machine's own unit of its name.
func (u Unit) TakesOver(machine string) bool {
	return u.AdoptedFrom != "" && (u.AdoptedFrom == machine || u.AdoptedFrom == EveryMachine)
}

// ChangesHands reports whether the unit passes between the cluster and a host.
// Until that is done it may run there under the host's own file, so a start on
// another machine could be a second copy.
func (u Unit) ChangesHands() bool { return u.AdoptedFrom != "" || u.Released }

// Assignment gives a unit to a machine. Only the leader writes it.
type Assignment struct {
	Machine    string             `json:"machine"`
	Unit       string             `json:"unit"`
	Content    string             `json:"content"`
	Hash       string             `json:"hash"`
	Desired    units.DesiredState `json:"desired"` // Loaded or Launched
	Generation int64              `json:"generation"`
	Restart    int64              `json:"restart,omitempty"`
	// Finished says that it ran in this generation and ended well, and is
	// not to run again wherever it is given to.
	Finished bool `json:"finished,omitempty"`
	// TakeOver says that the machine's own unit of this name becomes the
	// cluster's, running on.
	TakeOver bool `json:"takeOver,omitempty"`
	// Release says that the machine gives the unit to its host, running on.
	Release bool `json:"release,omitempty"`
	// Leaving says that the machine shall stop and unload the unit, and then say
	// that it has, before the unit may start elsewhere: it is exclusive. The
	// assignment ends with that word, or with the machine's fence. Units that aren't
	// exclusive leave a drained machine so too, where a second run would do harm.
	Leaving bool `json:"leaving,omitempty"`
	// MovedFrom is the machine that the unit came from on an operator's word. While
	// that has an assignment of the unit too, it runs on both: the leader withdraws
	// the old one when the unit is active here, or this one when it fails.
	MovedFrom string `json:"movedFrom,omitempty"`
	// Stay is why the unit is still on this machine, which is drained.
	Stay Stay `json:"stay,omitzero"`
	// Tries are the tries of this generation that failed, oldest first, of a unit
	// with Reschedule=on-failure. Attempt is how many there were when this one
	// began: its own failure is among them once Tries has more. RetryAt is when the
	// next one is due; zero for never.
	Tries   []Try     `json:"tries,omitempty"`
	Attempt int       `json:"attempt,omitempty"`
	RetryAt time.Time `json:"retryAt,omitzero"`
	// Epoch is the store revision the placement was decided on; of two
	// assignments of one unit the higher epoch is the later. It stays the
	// same while the unit stays on the machine and isn't told to leave it.
	Epoch  int64     `json:"epoch"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Why says why the unit is on this machine.
func (a Assignment) Why() string {
	if a.Stay.Reason != "" {
		return "it was to move, and stays: " + a.Stay.Reason
	}
	return a.Reason
}

// Try is a try to run a unit that failed.
type Try struct {
	Machine string    `json:"machine"`
	At      time.Time `json:"at"` // when the leader saw it
	Reason  string    `json:"reason"`
}

// Waits reports whether the unit failed and is to be tried again, at RetryAt.
func (a Assignment) Waits() bool { return len(a.Tries) > a.Attempt && !a.RetryAt.IsZero() }

// Equal reports whether two assignments say the same.
func (a Assignment) Equal(o Assignment) bool {
	sameTry := func(x, y Try) bool { return x.Machine == y.Machine && x.Reason == y.Reason && x.At.Equal(y.At) }
	return a.Machine == o.Machine && a.Unit == o.Unit && a.Content == o.Content && a.Hash == o.Hash && a.Desired == o.Desired &&
		a.Generation == o.Generation && a.Restart == o.Restart && a.Finished == o.Finished && a.TakeOver == o.TakeOver &&
		a.Release == o.Release && a.Leaving == o.Leaving && a.MovedFrom == o.MovedFrom && a.Stay == o.Stay &&
		a.Attempt == o.Attempt && a.RetryAt.Equal(o.RetryAt) &&
		a.Epoch == o.Epoch && a.Reason == o.Reason && a.Since.Equal(o.Since) && slices.EqualFunc(a.Tries, o.Tries, sameTry)
}

// Fence is the newest renewal of a machine's fence, which holds its exclusive
// units: PID 1 stops them when the last renewal is Lease old, counted from its
// sending, whatever became of the daemon.
type Fence struct {
	Machine  string        `json:"machine"`
	Run      string        `json:"run"` // Run.ID of the daemon
	Lease    time.Duration `json:"lease"`
	Revision int64         `json:"-"` // of the store, at which it was renewed
}

// Status is what a machine's agent reports of one unit.
type Status struct {
	Machine string `json:"machine"`
	units.Status
	Epoch int64 `json:"epoch"` // of the assignment reported on
	// Generation is the generation the agent has carried out, successfully or not.
	Generation int64 `json:"generation"`
	// Error says why the agent could not do what it was told; empty if it could.
	Error string `json:"error,omitempty"`
	// Released is the host's file of the unit, once the machine gave the unit to its host.
	Released string `json:"released,omitempty"`
}

// UnitOnMachine names a unit on a machine, as assignments and statuses are keyed.
type UnitOnMachine struct{ Machine, Unit string }

// Event is one line of the timeline.
type Event struct {
	ID      string    `json:"id"` // sorts by time
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"kind"`
	Machine string    `json:"machine,omitempty"` // machine ID the event is about
	Unit    string    `json:"unit,omitempty"`
	From    string    `json:"from,omitempty"` // machine ID a unit moved from
	To      string    `json:"to,omitempty"`   // machine ID a unit moved to
	Text    string    `json:"text"`           // a sentence for people
	By      string    `json:"by,omitempty"`   // who did it, if a person did
	Outage  *Outage   `json:"outage,omitempty"`
	// Unplaced says that the unit has no place from here on.
	Unplaced bool `json:"unplaced,omitempty"`
	// State is the machine's from here on, where that is what an event of a machine tells.
	State HealthState `json:"state,omitempty"`
	// Drill is the ID of the drill that led to the event; empty for none.
	Drill string `json:"drill,omitempty"`
	Record
}

// EventKind classes events.
type EventKind string

// Event kinds.
const (
	EventMachine  EventKind = "machine"  // joined, suspect, failed, came back, left, cordoned, drained
	EventLeader   EventKind = "leader"   // a new leader
	EventUnit     EventKind = "unit"     // submitted, started, stopped, destroyed, by a person
	EventPlaced   EventKind = "placed"   // given to a machine
	EventMoved    EventKind = "moved"    // taken from one machine and given to another
	EventActive   EventKind = "active"   // a moved unit is active again; carries the Outage
	EventFailover EventKind = "failover" // a machine's failover is complete; carries the worst Outage
	EventFailed   EventKind = "failed"   // a unit failed on its machine
	EventHold     EventKind = "hold"     // too many machines vanished at once; nothing is moved
	EventVoter    EventKind = "voter"    // etcd voters changed
	EventRefused  EventKind = "refused"  // somebody tried what their role may not
	EventKey      EventKind = "key"      // the cluster's key: rotated, given to a new machine
	EventDrill    EventKind = "drill"    // a drill of a machine: State is Failed as it begins, Up as it is over, empty where it can't begin
)

// Outage is how long a unit was away, by phase.
type Outage struct {
	Detect time.Duration `json:"detect"` // from the last sign of life to the verdict that the machine failed
	Decide time.Duration `json:"decide"` // from the verdict to the assignment being committed
	// Fence is how long an exclusive unit waited until the fence of its dead machine had surely ended it.
	Fence time.Duration `json:"fence,omitempty"`
	Start time.Duration `json:"start"` // from the assignment to active
	Units int           `json:"units,omitempty"`
}

// Total is the whole outage.
func (o Outage) Total() time.Duration { return o.Detect + o.Decide + o.Fence + o.Start }

// Leader is who leads and since which revision; its zero value means nobody.
type Leader struct {
	Machine string    `json:"machine"`
	Run     string    `json:"run"`  // Run.ID of the leading daemon
	Term    int64     `json:"term"` // create revision of the leader key; the fence
	Since   time.Time `json:"since"`
	// Hold is why the leader moves no units from machines that failed; empty
	// while it does. A new leader begins without.
	Hold string `json:"hold,omitempty"`
}
