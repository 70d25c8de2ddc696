package history_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/cluster/history"
	"fleettop/units"
)

var began = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

// world is a cluster on paper that puts on the timeline what the daemons would.
type world struct {
	at       time.Time
	leader   history.Leader
	machines map[string]*history.Machine
	units    map[string]*history.Unit
	events   []cluster.Event
	past     []history.Moment
}

func newWorld() *world {
	w := &world{at: began, machines: map[string]*history.Machine{}, units: map[string]*history.Unit{}}
	w.leader = history.Leader{Machine: "m1", Since: began}
	for i := 1; i <= 3; i++ {
		id := fmt.Sprintf("m%d", i)
		w.machines[id] = &history.Machine{ID: id, Name: "n" + id[1:], Health: cluster.Up, Since: began}
	}
	w.keep()
	return w
}

func (w *world) moment() history.Moment {
	m := history.Moment{Time: w.at, Leader: w.leader}
	for _, id := range slices.Sorted(maps.Keys(w.machines)) {
		m.Machines = append(m.Machines, *w.machines[id])
	}
	for _, name := range slices.Sorted(maps.Keys(w.units)) {
		u := *w.units[name]
		u.Places = slices.Clone(u.Places)
		m.Units = append(m.Units, u)
	}
	return m
}

func (w *world) keep() { w.past = append(w.past, w.moment()) }

func (w *world) tell(e cluster.Event) {
	e.ID, e.Time = fmt.Sprintf("%05d", len(w.events)), w.at
	w.events = append(w.events, e)
}

// was is how a unit is now, as the API notes it.
func (w *world) was(name string) *cluster.Was {
	u := w.units[name]
	if u == nil {
		return &cluster.Was{Absent: true, Places: true}
	}
	was := &cluster.Was{Desired: u.Desired, Global: u.Global, Places: true}
	for _, p := range u.Places {
		was.On = append(was.On, p.Machine)
	}
	if len(u.Places) == 1 {
		was.Reason = u.Places[0].Reason
		note(was, u.Places[0].Status)
	}
	return was
}

func note(was *cluster.Was, s history.Status) {
	was.SetStatus(units.Status{Active: s.Active, Sub: s.Sub, Result: s.Result, Restarts: s.Restarts, Since: s.Since})
}

// ask carries out an operator's verb.
func (w *world) ask(verb string, names []string) {
	to := map[string]units.DesiredState{"start": units.Launched, "stop": units.Loaded, "unload": units.Inactive}[verb]
	record := cluster.Record{Verb: verb, Desired: to}
	if len(names) == 1 {
		record.Was = w.was(names[0])
		w.tell(cluster.Event{Kind: cluster.EventUnit, Unit: names[0], By: "ada", Record: record})
	} else {
		record.Units, record.Was = names, &cluster.Was{}
		if u := w.units[names[0]]; u == nil {
			record.Was.Absent = true
		} else {
			record.Was.Desired = u.Desired
		}
		w.tell(cluster.Event{Kind: cluster.EventUnit, By: "ada", Record: record})
	}
	for _, name := range names {
		if verb == "destroy" {
			delete(w.units, name)
			continue
		}
		if w.units[name] == nil {
			w.units[name] = &history.Unit{Name: name, Global: name == "global"}
		}
		u := w.units[name]
		u.Desired, u.Changed = to, w.at
		if to == units.Inactive {
			u.Places, u.Unplaced = nil, ""
		}
	}
}

func (w *world) place(u *history.Unit, id string) {
	reason := fmt.Sprintf("reason %d", len(w.events))
	w.tell(cluster.Event{Kind: cluster.EventPlaced, Unit: u.Name, Machine: id, To: id,
		Record: cluster.Record{Reason: reason, Was: &cluster.Was{Global: u.Global, Places: !u.Global}}})
	u.Places = append(u.Places, history.Place{Machine: id, Reason: reason, Since: w.at,
		Status: history.Status{Active: "activating", Since: w.at}})
	slices.SortFunc(u.Places, func(a, b history.Place) int { return len(a.Machine + b.Machine) })
	u.Unplaced = ""
}

// taken is the record of a unit that leaves a machine.
func taken(u *history.Unit, p history.Place, reason string) cluster.Record {
	was := &cluster.Was{Global: u.Global, Places: !u.Global, Reason: p.Reason}
	if !u.Global {
		was.On = []string{p.Machine}
	}
	note(was, p.Status)
	return cluster.Record{Reason: reason, Was: was}
}

// fail takes a machine away, and moves its units.
func (w *world) fail(t *rapid.T, id string) {
	m := w.machines[id]
	w.tell(cluster.Event{Kind: cluster.EventMachine, Machine: id, State: cluster.Failed,
		Record: cluster.Record{Was: &cluster.Was{State: m.Health, Since: m.Since}}})
	m.Health, m.Since = cluster.Failed, w.at
	for _, name := range slices.Sorted(maps.Keys(w.units)) {
		u := w.units[name]
		i := slices.IndexFunc(u.Places, func(p history.Place) bool { return p.Machine == id })
		if i < 0 || u.Unplaced != "" {
			continue
		}
		p := u.Places[i]
		reason := fmt.Sprintf("reason %d", len(w.events))
		record := taken(u, p, reason)
		up := w.up()
		switch {
		case u.Global:
			w.tell(cluster.Event{Kind: cluster.EventMoved, Unit: name, Machine: id, From: id, Record: record})
			u.Places = slices.Delete(u.Places, i, i+1)
		case len(up) == 0 || rapid.Bool().Draw(t, "kept"):
			record.Kept = true
			w.tell(cluster.Event{Kind: cluster.EventMoved, Unit: name, Machine: id, From: id, Unplaced: true, Record: record})
			u.Unplaced = reason
		default:
			to := up[0]
			w.tell(cluster.Event{Kind: cluster.EventMoved, Unit: name, Machine: to, From: id, To: to, Record: record})
			u.Places = []history.Place{{Machine: to, Reason: reason, Since: w.at,
				Status: history.Status{Active: "activating", Since: w.at}}}
		}
	}
}

func (w *world) up() (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(w.machines)) {
		if w.machines[id].Health == cluster.Up {
			ids = append(ids, id)
		}
	}
	return ids
}

// step does one thing, after some time.
func (w *world) step(t *rapid.T) {
	w.at = w.at.Add(time.Duration(rapid.IntRange(3, 30).Draw(t, "after")) * time.Second)
	name := rapid.SampledFrom([]string{"a", "b", "c", "global"}).Draw(t, "unit")
	id := rapid.SampledFrom([]string{"m1", "m2", "m3"}).Draw(t, "machine")
	u, m := w.units[name], w.machines[id]
	var p *history.Place
	if u != nil && len(u.Places) > 0 && u.Unplaced == "" {
		p = &u.Places[rapid.IntRange(0, len(u.Places)-1).Draw(t, "place")]
	}
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		w.ask("start", []string{name})
	case 1:
		if u != nil {
			w.ask(rapid.SampledFrom([]string{"stop", "unload", "destroy"}).Draw(t, "verb"), []string{name})
		}
	case 2: // several at once, which were alike
		if b := w.units["b"]; b == nil && w.units["c"] == nil {
			w.ask("start", []string{"b", "c"})
		} else if c := w.units["c"]; b != nil && c != nil && b.Desired == c.Desired {
			w.ask(rapid.SampledFrom([]string{"stop", "unload", "destroy"}).Draw(t, "verb"), []string{"b", "c"})
		}
	case 3, 4: // the leader places
		if u != nil && u.Desired != units.Inactive && m.Health == cluster.Up && (u.Global || len(u.Places) == 0) &&
			!slices.ContainsFunc(u.Places, func(p history.Place) bool { return p.Machine == id }) {
			w.place(u, id)
		}
	case 5: // a unit becomes active, which isn't told
		if p != nil && p.Status.Active == "activating" {
			p.Status = history.Status{Active: "active", Sub: "running", Since: w.at, Restarts: p.Status.Restarts}
		}
	case 6: // it crashes and is restarted, which isn't told either
		if p != nil && p.Status.Active == "active" {
			p.Status = history.Status{Active: "active", Sub: "running", Since: w.at, Restarts: p.Status.Restarts + 1}
		}
	case 7: // it fails, which is
		if p != nil && p.Status.Active == "active" {
			was := &cluster.Was{}
			note(was, p.Status)
			w.tell(cluster.Event{Kind: cluster.EventFailed, Unit: name, Machine: p.Machine, Record: cluster.Record{Was: was}})
			p.Status = history.Status{Active: "failed", Since: w.at, Restarts: p.Status.Restarts}
		}
	case 8:
		if m.Health == cluster.Up {
			w.fail(t, id)
		} else {
			w.tell(cluster.Event{Kind: cluster.EventMachine, Machine: id, State: cluster.Up,
				Record: cluster.Record{Was: &cluster.Was{State: m.Health, Since: m.Since}}})
			m.Health, m.Since = cluster.Up, w.at
		}
	case 9:
		to := rapid.SampledFrom([]string{"cordon", "drain", "uncordon"}).Draw(t, "schedule")
		was := m.Schedule
		w.tell(cluster.Event{Kind: cluster.EventMachine, Machine: id, Text: m.Name + " was " + to + "ed",
			By: "ada", Record: cluster.Record{Verb: to,
				Was: &cluster.Was{Name: m.Name, Schedule: &was}}})
		m.Schedule = map[string]cluster.Schedulability{"cordon": cluster.Cordoned, "drain": cluster.Drained}[to]
		m.ScheduledAt = w.at
	}
	w.keep()
}

// check compares a moment that was derived with what was true. Nothing that is known may be
// wrong; with all it takes on the timeline, what the timeline tells whole must be known.
func check(t *rapid.T, got, want history.Moment, whole bool) {
	t.Helper()
	where := fmt.Sprintf("at %s", want.Time.Format(time.TimeOnly))
	if !got.Leader.Unknown && got.Leader.Machine != want.Leader.Machine && got.Leader.Machine != "" {
		t.Fatalf("%s %q leads, and it was %q", where, got.Leader.Machine, want.Leader.Machine)
	}
	for i, m := range want.Machines {
		g := got.Machines[i]
		if g.ID != m.ID || g.Health != "" && g.Health != m.Health || !g.ScheduleUnknown && g.Schedule != m.Schedule {
			t.Fatalf("%s the machine is %+v, and it was %+v", where, g, m)
		}
		if whole && (g.Health == "" || g.ScheduleUnknown) {
			t.Fatalf("%s all of the machine could be known: %+v", where, g)
		}
	}
	there := map[string]history.Unit{}
	for _, u := range got.Units {
		there[u.Name] = u
	}
	for _, u := range want.Units {
		g, ok := there[u.Name]
		delete(there, u.Name)
		if !ok && !got.Covered {
			continue // the timeline may not know its name
		}
		if !ok {
			t.Fatalf("%s there is no %s, and there was", where, u.Name)
		}
		checkUnit(t, where, g, u, whole)
	}
	for _, g := range there {
		if g.Desired != "" || whole {
			t.Fatalf("%s there is %+v, and there was none", where, g)
		}
	}
}

func checkUnit(t *rapid.T, where string, got, want history.Unit, whole bool) {
	t.Helper()
	if got.Desired != "" && got.Desired != want.Desired || whole && got.Desired == "" {
		t.Fatalf("%s %s is wanted %q, and it was %q", where, got.Name, got.Desired, want.Desired)
	}
	if whole && got.PlacesUnknown {
		t.Fatalf("%s the places of %s could be known", where, got.Name)
	}
	was := map[string]history.Place{}
	for _, p := range want.Places {
		was[p.Machine] = p
	}
	for _, p := range got.Places {
		w, ok := was[p.Machine]
		delete(was, p.Machine)
		if !ok {
			t.Fatalf("%s %s is on %s, and it was on %v", where, got.Name, p.Machine, want.Places)
		}
		if p.Reason != "" && p.Reason != w.Reason || whole && p.Reason == "" {
			t.Fatalf("%s %s is on %s as %q, and it was as %q", where, got.Name, p.Machine, p.Reason, w.Reason)
		}
		if p.Status.Active != "" && p.Status.Active != w.Status.Active {
			t.Fatalf("%s %s is %+v, and it was %+v", where, got.Name, p.Status, w.Status)
		}
	}
	if len(was) > 0 && !got.PlacesUnknown {
		t.Fatalf("%s %s isn't on %v, and it was", where, got.Name, was)
	}
	if got.Unplaced != "" && want.Unplaced == "" && len(want.Places) > 0 {
		t.Fatalf("%s %s has no place as %q, and it had one", where, got.Name, got.Unplaced)
	}
}

// TestPastIsWhatWasRecorded walks every cluster back to each moment it was in: with all of its
// timeline, with the end of it, and with entries of older daemons.
func TestPastIsWhatWasRecorded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			w.step(t)
		}
		now := w.moment()
		h := history.New(now, w.events)
		if got := h.At(now.Time); fmt.Sprint(got) != fmt.Sprint(now) {
			t.Fatalf("the newest moment is %+v, and now is %+v", got, now)
		}
		for _, want := range w.past {
			check(t, h.At(want.Time), want, len(w.events) > 0 && !want.Time.Before(w.events[0].Time))
		}
		for i := range w.past { // what happens later doesn't change what was
			if i == 0 || len(w.events) == 0 || w.past[i].Time.Before(w.events[0].Time) {
				continue
			}
			earlier := history.New(w.past[i], w.events)
			for _, want := range w.past[:i] {
				check(t, earlier.At(want.Time), want, !want.Time.Before(w.events[0].Time))
			}
		}
		from := rapid.IntRange(0, len(w.events)).Draw(t, "from")
		end := history.New(now, w.events[from:])
		old := slices.Clone(w.events)
		for i := range old[:from] {
			if e := &old[i]; e.Kind != cluster.EventUnit { // those are told in words only
				e.Record = cluster.Record{Units: e.Units}
			} else if e.Units = nil; e.Was != nil {
				e.Text = map[string]string{"start": "started", "stop": "stopped", "unload": "unloaded", "destroy": "destroyed"}[e.Verb] + " " + e.Unit
				e.Record = cluster.Record{}
			}
		}
		older := history.New(now, old)
		for _, want := range w.past {
			check(t, end.At(want.Time), want, false)
			check(t, older.At(want.Time), want, false)
		}
	})
}
