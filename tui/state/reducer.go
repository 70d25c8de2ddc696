package state

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/units"
)

// Reducer folds the lines of a watch into snapshots. It belongs to one
// goroutine; the snapshots it makes do not.
type Reducer struct {
	units    map[string]*unit
	machines map[string]*machine
	stats    map[string]*Use
	whatIf   map[string]api.WhatIf
	order    []*machine // by name; nil when it is to be made anew
	timeline timeline
	measured map[string]cluster.Event // the last measured outage of a unit, not long ago
	nowhere  map[string]cluster.Event // units that lost their place, and when
	calm     map[string]time.Time     // when a unit that crashes again and again counts as well again
	heard    time.Time                // the last line, by the cluster's clocks
	lost     instant                  // the store
	unknown  *unknown                 // of a past moment; nil for now

	dirty    map[string]struct{} // units whose rows may have changed
	reshaped bool                // rows came or went
	touched  bool                // anything at all changed
	last     *Snapshot
}

// unit is what is known of one unit.
type unit struct {
	api.Unit
	known    bool // the cluster has a file of it
	template string
	// Nearly all units have one of each, which a list finds faster than a map.
	assignments []*api.Assignment // by machine
	statuses    []*cluster.Status // by machine
	unplaced    string
	rows        []*Row
	shown       int // rows of it in the last snapshot
}

// machine is what is known of one machine.
type machine struct {
	Machine // as it is shown, without what is counted
	host    host

	since, silent, scheduled instant

	slot int // in the snapshot that is being made
	rows int // it has there
}

// NewReducer returns a Reducer that knows nothing.
func NewReducer() *Reducer {
	r := &Reducer{stats: map[string]*Use{}, measured: map[string]cluster.Event{}, nowhere: map[string]cluster.Event{}, calm: map[string]time.Time{},
		last: &Snapshot{}}
	r.forget()
	return r
}

func (r *Reducer) forget() {
	r.units, r.machines, r.whatIf = map[string]*unit{}, map[string]*machine{}, map[string]api.WhatIf{}
	r.dirty, r.reshaped, r.order = map[string]struct{}{}, true, nil
}

// Apply folds a line in. It reports whether the change is one that a person
// should see at once: a machine's health, the leader, the store, the timeline.
func (r *Reducer) Apply(l *api.Line, now time.Time) (urgent bool) {
	r.touched = true
	next := *r.last
	if !l.Time.IsZero() {
		next.Ahead = aheadOf(l.Time, now)
	}
	theirs := now.Add(next.Ahead) // what the cluster's clocks say now
	past, live := []cluster.Event(nil), l.Events
	if l.Kind == api.LineSnapshot {
		old := r.units
		r.forget()
		if r.last.ClusterID != l.ClusterID {
			r.timeline.reset()
		}
		past, live = r.timeline.split(l.Events, r.heard)
		for name, u := range old {
			// Rows are kept to see which units moved while nobody looked.
			r.unit(name).rows = u.rows
		}
		next.Self, next.Version = l.Self, l.Version
		urgent = true
	}
	if l.ClusterID != "" {
		next.ClusterID = l.ClusterID
	}
	if l.Leader != nil {
		if l.Leader.Run != "" {
			next.Unled = time.Time{}
		} else if r.last.Leader.Run != "" {
			next.Unled = now
		}
		next.Leader, urgent = *l.Leader, true
	}
	if l.Store != nil {
		next.Store, urgent = *l.Store, true
		next.Store.Since = r.lost.set(l.Store.Since, now, next.Ahead)
	}
	r.last = &next
	if l.Gone != nil {
		r.drop(l.Gone)
	}
	for _, m := range l.Machines {
		urgent = r.putMachine(m, now) || urgent
	}
	for _, u := range l.Units {
		u.Content, u.Description = "", draw.Clean(u.Description)
		at := r.unit(u.Name)
		at.Unit, at.known, at.template = u, true, templateOf(u.Name)
	}
	for _, a := range l.Assignments {
		a.Reason = draw.Clean(a.Reason)
		r.unit(a.Unit).assign(a)
	}
	for _, s := range l.Statuses {
		s.Error = draw.Clean(s.Error)
		r.unit(s.Name).report(s)
	}
	for _, u := range l.Unplaced {
		r.unit(u.Unit).unplaced = draw.Clean(u.Reason)
	}
	for _, w := range l.WhatIf {
		r.whatIf[w.Machine] = w
	}
	for i := range l.Events {
		l.Events[i].Text = draw.Clean(l.Events[i].Text)
	}
	if r.timeline.add(past, false, theirs) || r.timeline.add(live, true, theirs) {
		urgent = true
	}
	r.settle(past, false, now)
	r.settle(live, true, now)
	r.heard = theirs
	return urgent
}

// AddEvents folds in events from before the watch began.
func (r *Reducer) AddEvents(events []cluster.Event, now time.Time) {
	for i := range events {
		events[i].Text = draw.Clean(events[i].Text)
	}
	r.loseAndFind(events)
	r.touched = r.timeline.add(events, false, now.Add(r.last.Ahead)) || r.touched
}

// SetConn tells how the console's connection is.
func (r *Reducer) SetConn(c Conn) {
	if r.last.Conn != c {
		next := *r.last
		next.Conn = c
		r.last, r.touched = &next, true
	}
}

func (r *Reducer) unit(name string) *unit {
	r.dirty[name] = struct{}{}
	u := r.units[name]
	if u == nil {
		u = &unit{}
		u.Name, u.template = name, templateOf(name)
		r.units[name] = u
	}
	return u
}

func (u *unit) assign(a api.Assignment) {
	i, there := u.assigned(a.Machine)
	if there {
		u.assignments[i] = &a
	} else {
		u.assignments = slices.Insert(u.assignments, i, &a)
	}
}

func (u *unit) report(s cluster.Status) {
	i, there := u.reported(s.Machine)
	if there {
		u.statuses[i] = &s
	} else {
		u.statuses = slices.Insert(u.statuses, i, &s)
	}
}

// assigned is where a machine's assignment is, or would be.
func (u *unit) assigned(machine string) (int, bool) {
	return slices.BinarySearchFunc(u.assignments, machine, func(a *api.Assignment,
		id string) int {
		return cmp.Compare(a.Machine, id)
	})
}

// reported is where a machine's status is, or would be.
func (u *unit) reported(machine string) (int, bool) {
	return slices.BinarySearchFunc(u.statuses, machine, func(s *cluster.Status,
		id string) int {
		return cmp.Compare(s.Machine, id)
	})
}

// putMachine takes a machine in, and reports whether its health changed.
func (r *Reducer) putMachine(m api.Machine, at time.Time) (urgent bool) {
	old := r.machines[m.ID]
	var times machine
	if old != nil {
		times.since, times.silent, times.scheduled = old.since, old.silent, old.scheduled
	}
	ahead := r.last.Ahead
	m.Health.Since, m.Health.SilentSince = times.since.set(m.Health.Since, at, ahead),
		times.silent.set(m.Health.SilentSince, at, ahead)
	m.ScheduledAt = times.scheduled.set(m.ScheduledAt, at, ahead)
	m.Name, m.Health.Evidence = draw.Clean(m.Name), draw.Clean(m.Health.Evidence)
	if len(m.Metadata) > 0 {
		clean := make(map[string]string, len(m.Metadata))
		for k, v := range m.Metadata {
			clean[draw.Clean(k)] = draw.Clean(v)
		}
		m.Metadata = clean
	}
	h := host{id: m.ID, name: m.Label(), health: m.Health.State}
	if !h.runs() || h.doubt() {
		if h.silent = m.Health.SilentSince; h.silent.IsZero() {
			h.silent = m.Health.Since
		}
	}
	now := old
	if now == nil {
		now = &machine{}
		r.machines[m.ID] = now
	}
	if old == nil || old.host.name != h.name {
		r.order = nil
	}
	changed, urgent := old == nil || old.host != h, old == nil || old.Health.State != m.Health.State
	now.Machine, now.host = Machine{Machine: m, Label: h.name, hay: strings.ToLower(h.name + " " + m.Address + " " +
		m.ID)}, h
	now.since, now.silent, now.scheduled = times.since, times.silent, times.scheduled
	now.Word, now.Mood = machineWord(&now.Machine)
	if changed {
		r.soil(m.ID)
	}
	return urgent
}

// soil marks the units of a machine.
func (r *Reducer) soil(id string) {
	if m := r.last.Machine(id); m != nil {
		for _, row := range m.Rows {
			r.dirty[row.Unit] = struct{}{}
		}
	}
	for name, u := range r.units {
		_, assigned := u.assigned(id)
		if _, reports := u.reported(id); assigned || reports {
			r.dirty[name] = struct{}{}
		}
	}
}

func templateOf(name string) string {
	if n, err := units.ParseName(name); err == nil && n.IsInstance() {
		return n.Template()
	}
	return ""
}

func (r *Reducer) drop(g *api.Gone) {
	for _, id := range g.Machines {
		r.soil(id)
		delete(r.machines, id)
		delete(r.stats, id)
		r.order = nil
	}
	for _, name := range g.Units {
		u := r.unit(name)
		u.Unit, u.known = api.Unit{Name: name}, false
	}
	for _, p := range g.Assignments {
		u := r.unit(p.Unit)
		if i, ok := u.assigned(p.Machine); ok {
			u.assignments = slices.Delete(u.assignments, i, i+1)
		}
	}
	for _, p := range g.Statuses {
		u := r.unit(p.Unit)
		if i, ok := u.reported(p.Machine); ok {
			u.statuses = slices.Delete(u.statuses, i, i+1)
		}
	}
	for _, name := range g.Unplaced {
		r.unit(name).unplaced = ""
	}
	for _, id := range g.WhatIf {
		delete(r.whatIf, id)
	}
}

// historyKept is how many figures of a machine's CPU are remembered.
const historyKept = 60

// PutStats takes in what a machine uses.
func (r *Reducer) PutStats(s api.Stats) {
	use := &Use{Stats: s, units: make(map[string]api.UnitStats, len(s.Units))}
	for _, u := range s.Units {
		use.units[u.Name] = u
	}
	if old := r.stats[s.Machine]; old != nil {
		h := old.History[max(0, len(old.History)-historyKept+1):]
		use.History = append(make([]float64, 0, len(h)+1), h...)
	}
	use.History = append(use.History, use.Share())
	r.stats[s.Machine], r.touched = use, true
}

// DropStats forgets all figures.
func (r *Reducer) DropStats() {
	r.touched = r.touched || len(r.stats) > 0
	clear(r.stats)
}

func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(1, max(0, part/whole))
}

// Snapshot returns the state as it is now: the last snapshot, if nothing changed since.
func (r *Reducer) Snapshot(now time.Time) *Snapshot {
	r.calmDown(now)
	if !r.touched {
		return r.last
	}
	changed := r.rebuildRows(now)
	next := *r.last
	next.Gen++
	next.Rows, next.byRow = r.mergeRows(&next, changed)
	next.Timeline = r.timeline.entries()
	r.fillMachines(&next, now)
	r.last, r.touched, r.reshaped = &next, false, false
	clear(r.dirty)
	return r.last
}
