package history

import (
	"slices"
	"strings"

	"fleettop/cluster"
	"fleettop/units"
)

func (h *History) unit(name string) *unit {
	u := h.units[name]
	if u == nil {
		u = &unit{name: name}
		h.units[name] = u
	}
	return u
}

func (h *History) machine(id string) *machine {
	m := h.machines[id]
	if m == nil {
		m = &machine{id: id}
		m.health.restarts = true
		h.machines[id] = m
	}
	return m
}

// read takes an event in.
func (h *History) read(e *cluster.Event) {
	switch e.Kind {
	case cluster.EventLeader:
		h.leader.add(step[string]{at: e.Time, after: &e.Machine})
	case cluster.EventMachine:
		h.readMachine(e)
	case cluster.EventPlaced, cluster.EventMoved, cluster.EventActive, cluster.EventFailed:
		if e.Unit != "" {
			h.unit(e.Unit).read(e)
		}
	case cluster.EventUnit:
		h.readUnits(e)
	}
}

func (h *History) readMachine(e *cluster.Event) {
	if e.Machine == "" {
		return
	}
	m := h.machine(e.Machine)
	if e.Was != nil && e.Was.Name != "" && m.name == "" {
		m.name = e.Was.Name
	}
	if e.State != "" {
		s := step[cluster.HealthState]{at: e.Time, after: &e.State}
		if !e.Since.IsZero() {
			s.at = e.Since
		}
		switch was := e.Was; {
		case was == nil && len(m.health.steps) == 0:
		case was == nil:
			// Older entries, and those that repeat what is known, don't say what it was before.
			last := m.health.steps[len(m.health.steps)-1]
			s.before = last.after
		case was.Absent:
			s.before = ptr(gone)
		case was.State != "":
			s.before, s.since = &was.State, was.Since
		}
		m.health.add(s)
	}
	verb := e.Verb
	if verb == "" {
		verb = oldMachineVerb(e.Text)
	}
	if to, ok := scheduleAfter[verb]; ok {
		s := step[cluster.Schedulability]{at: e.Time, after: &to}
		if e.Was != nil {
			s.before = e.Was.Schedule
		}
		m.schedule.add(s)
	}
	if verb == "forget" {
		m.health.add(step[cluster.HealthState]{at: e.Time, after: ptr(gone)})
	}
}

var scheduleAfter = map[string]cluster.Schedulability{
	"cordon": cluster.Cordoned, "drain": cluster.Drained, "uncordon": cluster.Schedulable,
}

// oldMachineVerb is what was done to a machine by an entry that says it in words only.
func oldMachineVerb(text string) string {
	for verb, end := range map[string]string{"cordon": " was cordoned", "drain": " was drained", "uncordon": " was uncordoned",
		"forget": " was forgotten"} {
		if strings.HasSuffix(text, end) {
			return verb
		}
	}
	if strings.HasSuffix(text, " was drained, to leave the cluster for good") {
		return "drain"
	}
	return ""
}

// readUnits takes in what an operator asked for, and what happened to units otherwise.
func (h *History) readUnits(e *cluster.Event) {
	switch {
	case e.Unit != "":
		h.unit(e.Unit).read(e)
	case len(e.Units) > 0:
		for _, name := range e.Units {
			h.unit(name).read(e)
		}
	case e.By != "":
		h.unnamed = append(h.unnamed, e.Time)
	}
}

// readUnnamed takes in the older entries of many units, which don't name them: any may have changed.
func (h *History) readUnnamed() {
	for _, u := range h.units {
		for _, at := range h.unnamed {
			u.desired.add(step[units.DesiredState]{at: at})
			u.place.add(step[place]{at: at})
			for _, on := range u.on {
				on.add(step[bool]{at: at})
			}
			u.noteStatus("", statusStep{at: at})
		}
		u.desired.sort()
		u.place.sort()
		for _, on := range u.on {
			on.sort()
		}
		for _, s := range u.status {
			slices.SortStableFunc(s.steps, func(a, b statusStep) int { return a.at.Compare(b.at) })
		}
	}
}

// removes are the verbs after which a unit is on no machine.
var removes = []string{"unload", "destroy", "forget"}

// read takes in an event of the unit.
func (u *unit) read(e *cluster.Event) {
	asked := e.Kind == cluster.EventUnit && (e.Verb != "" || e.By != "")
	if asked {
		u.readDesired(e)
	}
	removed := slices.Contains(removes, e.Verb)
	if u.global {
		u.readGlobal(e, removed)
	} else {
		u.readPlace(e, removed)
	}
	u.readStatus(e)
}

// readDesired takes in what is wanted of the unit.
func (u *unit) readDesired(e *cluster.Event) {
	s := step[units.DesiredState]{at: e.Time}
	switch {
	case e.Verb == "destroy" || e.Verb == "forget":
		s.after = ptr(absent)
	case e.Desired != "":
		s.after = &e.Desired
	case e.Verb == "":
		word, _, _ := strings.Cut(e.Text, " ")
		if to, ok := oldDesired[word]; ok {
			s.after = &to
		}
	}
	switch was := e.Was; {
	case was == nil:
	case was.Absent:
		s.before = ptr(absent)
	case was.Desired != "":
		s.before = &was.Desired
	}
	u.desired.add(s)
}

// oldDesired is what is wanted of a unit after an entry that says it in words only.
var oldDesired = map[string]units.DesiredState{"started": units.Launched, "restarted": units.Launched,
	"stopped": units.Loaded, "unloaded": units.Inactive, "destroyed": absent}

// readPlace takes in where a unit is that isn't global.
func (u *unit) readPlace(e *cluster.Event, removed bool) {
	s := step[place]{at: e.Time}
	if was := e.Was; was != nil && was.Places && len(was.On) < 2 {
		p := place{}
		if len(was.On) == 1 {
			p = place{machine: was.On[0], reason: was.Reason}
		}
		s.before = &p
	} else if e.From != "" && e.Kind != cluster.EventActive {
		s.before = &place{machine: e.From}
	} else if e.Kind == cluster.EventPlaced {
		s.before = &place{}
	} else if was != nil && was.Absent {
		s.before = &place{}
	}
	switch {
	case removed, e.Kind == cluster.EventUnit && e.From != "" && e.To == "":
		s.after = &place{}
	case e.Kept:
		s.after = &place{machine: e.From, unplaced: e.Reason}
		if e.Was != nil {
			s.after.reason = e.Was.Reason
		}
	case e.Kind == cluster.EventMoved && e.To == "":
		s.after = &place{unplaced: unplacedBy(e)}
		if e.Unplaced && e.Was == nil {
			s.after = nil // an older entry: it may have stayed assigned
			s.before = nil
		}
	case e.To != "" && e.Kind != cluster.EventActive:
		s.after = &place{machine: e.To, reason: e.Reason}
		if e.Reason == "" {
			s.after.reason = oldReason(e.Text)
		}
	case e.Kind == cluster.EventActive && e.To != "":
		if u.placed(e.To) {
			return // as the move before said
		}
		s.after = &place{machine: e.To}
	case s.before != nil:
		s.after = s.before // it stays where it is
	case e.Kind == cluster.EventUnit && e.Verb == "" && e.By != "":
		if word, _, _ := strings.Cut(e.Text, " "); oldDesired[word] == absent || word == "unloaded" {
			s.after = &place{}
			break
		}
		return // the other verbs leave it where it is
	default:
		return
	}
	u.place.add(s)
}

// placed reports whether the last step says that the unit is on a machine which runs it.
func (u *unit) placed(machine string) bool {
	n := len(u.place.steps)
	if n == 0 || u.place.steps[n-1].after == nil {
		return false
	}
	last := u.place.steps[n-1].after
	return last.machine == machine && last.unplaced == ""
}

// unplacedBy is why a unit has no place after an event.
func unplacedBy(e *cluster.Event) string {
	if e.Reason != "" {
		return e.Reason
	}
	return strings.TrimPrefix(e.Text, e.Unit+" ")
}

// oldReason is why a unit was given to a machine, by an entry that says it in words only.
func oldReason(text string) string {
	_, why, _ := strings.Cut(text, ": ")
	return why
}

// readGlobal takes in where a global unit is.
func (u *unit) readGlobal(e *cluster.Event, removed bool) {
	if u.on == nil {
		u.on, u.why = map[string]*track[bool]{}, map[string][]reason{}
	}
	on := func(machine string, before, after *bool) {
		if u.on[machine] == nil {
			u.on[machine] = &track[bool]{}
		}
		u.on[machine].add(step[bool]{at: e.Time, before: before, after: after})
	}
	switch {
	case e.Was != nil && e.Was.Places || removed:
		machines := map[string]bool{}
		if u.now != nil {
			for _, p := range u.now.Places {
				machines[p.Machine] = true
			}
		}
		for id := range u.on {
			machines[id] = true
		}
		known := e.Was != nil && e.Was.Places
		if known {
			for _, id := range e.Was.On {
				machines[id] = true
			}
		}
		for id := range machines {
			var before *bool
			if known {
				before = ptr(slices.Contains(e.Was.On, id))
			}
			after := before
			if removed {
				after = ptr(false)
			}
			on(id, before, after)
		}
	case e.Kind == cluster.EventPlaced && e.To != "":
		on(e.To, ptr(false), ptr(true))
		u.why[e.To] = append(u.why[e.To], reason{e.Time, e.Reason})
	case (e.Kind == cluster.EventMoved || e.Kind == cluster.EventUnit) && e.From != "" && e.To == "" && !e.Kept:
		on(e.From, ptr(true), ptr(false))
	}
}

// readStatus takes in what an event says of the unit's status.
func (u *unit) readStatus(e *cluster.Event) {
	s := statusStep{at: e.Time}
	if was := e.Was; was != nil && was.Active != "" {
		s.before = Status{Active: was.Active, Sub: was.Sub, Result: was.Result, Restarts: was.Restarts, Since: was.Since}
	}
	key := ""
	if u.global {
		key = e.Machine
		if e.Kind == cluster.EventMoved {
			key = e.From
		}
	}
	switch {
	case e.Kind == cluster.EventPlaced, e.Kind == cluster.EventMoved && e.To != "":
		s.fresh = true
	case e.Kind == cluster.EventActive:
		s.after = Status{Active: "active", Since: e.Time}
	case e.Kind == cluster.EventFailed:
		s.after = Status{Active: "failed", Since: e.Time}
	case e.Verb == "start", e.Verb == "restart", e.Verb == "load" && e.Desired == units.Launched:
		s.fresh = true
	}
	if key == "" && u.global {
		for machine := range u.status { // it is told of all its machines
			u.noteStatus(machine, statusStep{at: s.at, fresh: s.fresh})
		}
		return
	}
	u.noteStatus(key, s)
}

func (u *unit) noteStatus(key string, s statusStep) {
	if u.status == nil {
		u.status = map[string]*statuses{}
	}
	if u.status[key] == nil {
		u.status[key] = &statuses{}
	}
	u.status[key].steps = append(u.status[key].steps, s)
}

func ptr[V any](v V) *V { return &v }
