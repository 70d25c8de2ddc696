// Package history derives what the cluster was at a past moment: from what it is now, and the
// timeline. What neither of them proves is unknown, and never guessed.
package history

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// Moment is the cluster at one moment. It is immutable once shared.
type Moment struct {
	Time time.Time
	// Covered says that the timeline names all that changed since. In other moments units and
	// machines that were removed later may be missing.
	Covered  bool
	Leader   Leader
	Machines []Machine // by ID
	Units    []Unit    // by name
}

// Leader is who led.
type Leader struct {
	Machine string    // ID; empty for none
	Since   time.Time // zero where that isn't known
	Unknown bool
}

// Machine is a machine of a moment.
type Machine struct {
	ID, Name string
	Health   cluster.HealthState // empty where it isn't known
	Since    time.Time           // it has that health; zero where that isn't known
	// Schedule and ScheduledAt are cluster.Machine's.
	Schedule        cluster.Schedulability
	ScheduledAt     time.Time
	ScheduleUnknown bool
}

// Unit is a unit of a moment.
type Unit struct {
	Name    string
	Global  bool
	Desired units.DesiredState // empty where it isn't known
	Changed time.Time          // what is wanted of it changed last; zero where that isn't known
	// Places are the machines it was assigned to, by ID; a unit that isn't global has one at
	// most. PlacesUnknown says that there may be others.
	Places        []Place
	PlacesUnknown bool
	Unplaced      string // why it had no place; empty where it had one, or that wasn't decided
}

// Place is a unit on a machine.
type Place struct {
	Machine string
	Reason  string    // why it is there; empty where that isn't known
	Since   time.Time // it is there; zero where that isn't known
	Status  Status
}

// Status is what the machine reported of the unit. Active is empty where that isn't known.
type Status struct {
	Active, Sub, Result string
	Restarts            int
	Since               time.Time // it is in its active state
}

// Equal reports whether two statuses are equal.
func (s Status) Equal(o Status) bool {
	since := s.Since.Equal(o.Since)
	s.Since, o.Since = time.Time{}, time.Time{}
	return since && s == o
}

// History is a timeline that can be walked back.
type History struct {
	now      Moment
	events   []cluster.Event // by time
	machines map[string]*machine
	units    map[string]*unit
	leader   track[string]
	unnamed  []time.Time // of events that don't name what they changed
}

// unit is what the timeline says of a unit.
type unit struct {
	name    string
	global  bool
	now     *Unit // nil for a unit that there isn't now
	desired track[units.DesiredState]
	place   track[place]            // of a unit that isn't global
	on      map[string]*track[bool] // of a global unit, by machine
	why     map[string][]reason     // by machine
	status  map[string]*statuses    // by machine; of a unit that isn't global under an empty ID
}

// absent is the desired state of a unit that the cluster doesn't know.
const absent units.DesiredState = "absent"

// place is where a unit is, or why nowhere.
type place struct {
	machine, reason, unplaced string
}

// reason is why a unit is on a machine from a time on.
type reason struct {
	at   time.Time
	text string
}

// machine is what the timeline says of a machine.
type machine struct {
	id, name string
	now      *Machine // nil for a machine that there isn't now
	health   track[cluster.HealthState]
	schedule track[cluster.Schedulability]
}

// gone is the health of a machine that the cluster doesn't know.
const gone cluster.HealthState = "gone"

// New returns the history that ends with now. Events are the timeline's newest, in any order;
// those after now count as not yet happened. Neither is altered.
func New(now Moment, events []cluster.Event) *History {
	h := &History{now: now, machines: map[string]*machine{}, units: map[string]*unit{}}
	for i := range now.Machines {
		m := &now.Machines[i]
		one := h.machine(m.ID)
		one.name, one.now = m.Name, m
	}
	for i := range now.Units {
		u := &now.Units[i]
		h.units[u.Name] = &unit{name: u.Name, global: u.Global, now: u}
	}
	for _, e := range events {
		if !e.Time.After(now.Time) {
			h.events = append(h.events, e)
		}
	}
	slices.SortStableFunc(h.events, func(a, b cluster.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID))
	})
	for _, e := range h.events { // before the first event of a unit is read
		if e.Unit != "" && e.Was != nil && e.Was.Global {
			h.unit(e.Unit).global = true
		}
	}
	for i := range h.events {
		h.read(&h.events[i])
	}
	h.readUnnamed()
	h.leader.sort()
	for _, m := range h.machines {
		m.health.sort()
		m.schedule.sort()
	}
	return h
}

// Events are the events up to now, oldest first. They aren't to be altered.
func (h *History) Events() []cluster.Event { return h.events }

// Now is the moment that the history ends with.
func (h *History) Now() Moment { return h.now }

// At is the cluster at a moment: what happened at exactly that time has happened. From now on it is now.
func (h *History) At(t time.Time) Moment {
	if !t.Before(h.now.Time) {
		return h.now
	}
	q := query{at: t, covered: len(h.events) > 0 && !t.Before(h.events[0].Time.Add(-1))}
	m := Moment{Time: t, Covered: q.covered && (len(h.unnamed) == 0 || !t.Before(h.unnamed[len(h.unnamed)-1]))}
	for _, one := range h.machines {
		if at, ok := one.at(q); ok {
			m.Machines = append(m.Machines, at)
		}
	}
	slices.SortFunc(m.Machines, func(a, b Machine) int { return cmp.Compare(a.ID, b.ID) })
	for _, one := range h.units {
		if at, ok := one.at(q); ok {
			m.Units = append(m.Units, at)
		}
	}
	slices.SortFunc(m.Units, func(a, b Unit) int { return cmp.Compare(a.Name, b.Name) })
	m.Leader = h.leaderAt(q, m.Machines)
	return m
}

func (h *History) leaderAt(q query, machines []Machine) Leader {
	id, since, ok := h.leader.at(q, &h.now.Leader.Machine, h.now.Leader.Since)
	if !ok {
		return Leader{Unknown: true}
	}
	i, there := slices.BinarySearchFunc(machines, id, func(m Machine, id string) int { return cmp.Compare(m.ID, id) })
	if there && (machines[i].Health == cluster.Failed || machines[i].Health == cluster.Down) {
		return Leader{} // and the next one wasn't elected yet
	}
	return Leader{Machine: id, Since: since}
}

func (m *machine) at(q query) (Machine, bool) {
	now, since := gone, time.Time{}
	schedule, scheduled := (*cluster.Schedulability)(nil), time.Time{}
	if m.now != nil {
		now, since = m.now.Health, m.now.Since
		schedule, scheduled = &m.now.Schedule, m.now.ScheduledAt
	}
	out := Machine{ID: m.id, Name: cmp.Or(m.name, cluster.Machine{ID: m.id}.Label())}
	health := &now
	if now == "" {
		health = nil
	}
	state, since, ok := m.health.at(q, health, since)
	switch {
	case ok && state == gone:
		return Machine{}, false
	case !ok && m.now == nil && len(m.health.steps) == 0:
		return Machine{}, false // only its name is known, and that some unit was there
	case ok:
		out.Health, out.Since = state, since
	}
	word, at, ok := m.schedule.at(q, schedule, scheduled)
	out.Schedule, out.ScheduledAt, out.ScheduleUnknown = word, at, !ok
	return out, true
}

func (u *unit) at(q query) (Unit, bool) {
	now, changed := ptr(absent), time.Time{}
	switch {
	case u.now != nil:
		now, changed = &u.now.Desired, u.now.Changed
	case len(u.desired.steps) == 0:
		now = nil // it was there when the timeline has it on a machine
	}
	out := Unit{Name: u.name, Global: u.global}
	desired, since, ok := u.desired.at(q, now, changed)
	switch {
	case ok && desired == absent:
		return Unit{}, false
	case ok:
		out.Desired, out.Changed = desired, since
	}
	if u.global {
		u.placesAt(q, &out)
	} else {
		u.placeAt(q, &out)
	}
	return out, u.now != nil || len(u.desired.steps) > 0 || len(out.Places) > 0 || out.Unplaced != "" ||
		u.place.next(q) > 0
}

// placeAt fills in where a unit is that isn't global.
func (u *unit) placeAt(q query, out *Unit) {
	now, since := place{}, time.Time{}
	if u.now != nil {
		now.unplaced = u.now.Unplaced
		if len(u.now.Places) > 0 {
			p := u.now.Places[0]
			now.machine, now.reason, since = p.Machine, p.Reason, p.Since
		}
	}
	at, since, ok := u.place.at(q, &now, since)
	n := u.place.next(q)
	at.unplaced = "" // only an earlier event proves it
	if n > 0 && u.place.steps[n-1].after != nil {
		at.unplaced = u.place.steps[n-1].after.unplaced
	}
	switch {
	case !ok:
		out.PlacesUnknown = true
	case at.machine == "" && out.Desired == units.Inactive:
	case at.machine == "":
		if out.Unplaced = at.unplaced; at.unplaced == "" && (u.place.last(q) || u.place.steps[n].at.Sub(q.at) > undecided) {
			out.Unplaced = notRecorded
		}
	default:
		out.Places = []Place{{Machine: at.machine, Reason: at.reason, Since: since, Status: u.statusAt(q, "", at.machine)}}
		if at.unplaced != "" && u.place.steps[n-1].after.machine == at.machine {
			out.Unplaced = at.unplaced
		}
	}
}

// notRecorded is why a unit had no place, where the timeline doesn't say that.
const notRecorded = "why it had no place is not recorded"

// undecided is how long the leader may take to find a unit a place.
const undecided = 2 * time.Second

// placesAt fills in where a global unit is.
func (u *unit) placesAt(q query, out *Unit) {
	out.PlacesUnknown = !q.covered // it may have left machines that the timeline doesn't name
	now := map[string]Place{}
	if u.now != nil {
		for _, p := range u.now.Places {
			now[p.Machine] = p
		}
	}
	machines := map[string]bool{}
	for id := range now {
		machines[id] = true
	}
	for id := range u.on {
		machines[id] = true
	}
	for id := range machines {
		p, here := now[id]
		tr := u.on[id]
		if tr == nil {
			tr = &track[bool]{}
		}
		on, since, ok := tr.at(q, &here, p.Since)
		switch {
		case !ok:
			out.PlacesUnknown = true
		case on:
			at := Place{Machine: id, Since: since, Status: u.statusAt(q, id, id)}
			if at.Reason = u.reasonAt(q, id); at.Reason == "" && here && tr.last(q) {
				at.Reason = p.Reason
			}
			out.Places = append(out.Places, at)
		}
	}
	slices.SortFunc(out.Places, func(a, b Place) int { return cmp.Compare(a.Machine, b.Machine) })
}

func (u *unit) reasonAt(q query, machine string) string {
	text := ""
	for _, r := range u.why[machine] {
		if !r.at.After(q.at) {
			text = r.text
		}
	}
	return text
}

// statusAt is the status under a key on a machine.
func (u *unit) statusAt(q query, key, machine string) Status {
	var now Status
	if u.now != nil {
		for _, p := range u.now.Places {
			if p.Machine == machine {
				now = p.Status
			}
		}
	}
	if s := u.status[key]; s != nil {
		return s.at(q, now)
	}
	return (&statuses{}).at(q, now)
}
