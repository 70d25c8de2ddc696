package state

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// rebuildRows makes the rows of the units that changed anew, and returns the
// units whose rows differ now.
func (r *Reducer) rebuildRows(now time.Time) map[string][]*Row {
	changed := make(map[string][]*Row, len(r.dirty))
	for name := range r.dirty {
		u := r.units[name]
		if u == nil {
			continue
		}
		u.rows = r.rowsOf(u, now)
		changed[name] = u.rows
		r.reshaped = r.reshaped || u.shown != len(u.rows)
		for _, row := range u.rows {
			_, known := r.last.byRow[row.ID]
			r.reshaped = r.reshaped || !known
		}
		u.shown = len(u.rows)
		if !u.known && len(u.assignments)+len(u.statuses) == 0 && u.unplaced == "" {
			delete(r.units, name)
		}
	}
	return changed
}

// rowsOf makes the rows of one unit.
func (r *Reducer) rowsOf(u *unit, now time.Time) []*Row {
	delete(r.calm, u.Name)
	if !u.known && len(u.assignments)+len(u.statuses) == 0 {
		return nil
	}
	if u.Global {
		return r.globalRows(u, now) // they don't move: each machine has its own
	}
	a := latest(u.assignments)
	row := r.row(u, u.Name)
	switch {
	case a != nil:
		r.place(row, u, a.Machine, a)
	case len(u.statuses) > 0:
		// Taken from its machine, and not gone from there yet.
		id := u.statuses[0].Machine
		if m := r.machines[id]; m != nil && m.host.runs() {
			r.place(row, u, id, nil)
		}
	}
	old := before(u.rows)
	r.judge(row, old, u.unplaced, now)
	row.index(old)
	row.Move = r.moveOf(old, row, a, u, now)
	return append(u.rows[:0], row)
}

// judge says how a row is, going by what was known of it before.
func (r *Reducer) judge(row, old *Row, unplaced string, now time.Time) {
	row.follow(old, now, r.last.Ahead)
	if calm := row.calmAt(); calm.After(now) {
		row.loops = true
		if at, ok := r.calm[row.Unit]; !ok || calm.Before(at) {
			r.calm[row.Unit] = calm
		}
	}
	row.judge(r.hostOf(row.Machine), unplaced)
	r.unknown.judge(row)
}

// latest is the assignment that counts: the one of the highest epoch.
func latest(list []*api.Assignment) *api.Assignment {
	var a *api.Assignment
	for _, one := range list {
		if a == nil || one.Epoch > a.Epoch {
			a = one
		}
	}
	return a
}

func (r *Reducer) globalRows(u *unit, now time.Time) []*Row {
	old := make(map[string]*Row, len(u.rows))
	for _, row := range u.rows {
		old[row.ID] = row
	}
	on := map[string]bool{}
	for _, a := range u.assignments {
		on[a.Machine] = true
	}
	for _, s := range u.statuses {
		if m := r.machines[s.Machine]; m != nil && m.host.runs() {
			on[s.Machine] = true
		}
	}
	if len(on) == 0 {
		row := r.row(u, u.Name)
		row.judge(nil, u.unplaced)
		r.unknown.judge(row)
		row.index(nil)
		return []*Row{row}
	}
	rows := make([]*Row, 0, len(on))
	for id := range on {
		row := r.row(u, u.Name+" "+id)
		var a *api.Assignment
		if i, ok := u.assigned(id); ok {
			a = u.assignments[i]
		}
		r.place(row, u, id, a)
		r.judge(row, old[row.ID], "", now)
		row.index(nil)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *Row) int { return cmp.Compare(a.ID, b.ID) })
	return rows
}

func before(rows []*Row) *Row {
	if len(rows) == 1 {
		return rows[0]
	}
	return nil
}

func (r *Reducer) row(u *unit, id string) *Row {
	return &Row{ID: id, Unit: u.Name, Template: u.template, About: u.Description, Global: u.Global,
		Desired: u.Desired, Generation: u.Generation, Hash: u.Hash, known: u.known, changed: u.At}
}

// place puts a row onto a machine; a is nil where it was taken from there.
func (r *Reducer) place(row *Row, u *unit, id string, a *api.Assignment) {
	row.Machine, row.Host, row.Leaving, row.home = id, r.called(id), a == nil, r.machines[id]
	if a != nil {
		row.Reason, row.Stopping, row.given = a.Reason, a.Leaving, a
		if a.Waits() {
			row.RetryAt = a.RetryAt
		}
	}
	i, ok := u.reported(id)
	if !ok || a != nil && u.statuses[i].Epoch < a.Epoch {
		return // what it says is of an earlier stay
	}
	s := u.statuses[i]
	row.status = s
	row.Load, row.Active, row.Sub, row.Result = s.Load, s.Active, s.Sub, s.Result
	row.Since, row.Restarts, row.PID, row.Exit = s.Since, s.Restarts, s.PID, s.Exit
	row.Error, row.Carried = s.Error, s.Generation
	row.ByHand, row.Altered = s.ByHand, s.Altered
	if s.Hash != "" {
		row.Hash = s.Hash
	}
}

func (r *Reducer) hostOf(id string) *host {
	if m := r.machines[id]; m != nil {
		return &m.host
	}
	return nil
}

func (r *Reducer) called(id string) string {
	if m := r.machines[id]; m != nil {
		return m.host.name
	}
	return cluster.Machine{ID: id}.Label()
}

// moveOf follows a unit from machine to machine.
func (r *Reducer) moveOf(old, row *Row, a *api.Assignment, u *unit, now time.Time) *Move {
	var was *Move
	if old != nil && old.Move.Fresh(now) {
		was = old.Move
	}
	h := r.hostOf(row.Machine)
	switch {
	case row.Machine != "" && (h == nil || !h.runs() || h.doubt()):
		// It went down with its machine, or may have.
		if old == nil && was == nil && h == nil {
			return nil
		}
		m := &Move{From: row.Machine, FromName: row.Host}
		if h != nil {
			m.Doubt, m.Began = h.doubt(), h.silent
		} else {
			m.Began = now
		}
		return m
	case was != nil && was.Doubt && was.From == row.Machine:
		return nil // it was there all the time
	case row.Leaving:
		return was
	case row.Machine == "":
		return r.homeless(old, was, row, now)
	}
	m := was
	if old != nil && old.Machine != "" && old.Machine != row.Machine || was.Running() && was.To != row.Machine {
		m = r.departed(old, was, now)
		m.To, m.ToName = row.Machine, row.Host
		m.Planned = r.lives(m.From)
	}
	return r.measure(arrived(m, row, a, now), row, now)
}

// homeless is the move of a unit that is on no machine.
func (r *Reducer) homeless(old *Row, was *Move, row *Row, now time.Time) *Move {
	switch {
	case row.Mood == Idle:
		return nil // nobody waits for it
	case was.Running() && was.To != "":
		m := *was
		m.To, m.ToName = "", ""
		return &m
	case was.Running():
		return was
	case old != nil && old.Machine != "" && !r.lives(old.Machine):
		return r.departed(old, nil, now)
	}
	if e, ok := r.nowhere[row.Unit]; ok && row.Unplaced {
		m := &Move{From: e.From, FromName: r.called(e.From), Began: r.anchor(e.Time, now)}
		if h := r.hostOf(e.From); h != nil && !h.silent.IsZero() && h.silent.Before(m.Began) {
			m.Began = h.silent
		}
		return m
	}
	return nil
}

// loseAndFind notes which units lost their place by a failure, and since when,
// for a console that was opened later.
func (r *Reducer) loseAndFind(events []cluster.Event) {
	for _, e := range events {
		switch had, lost := r.nowhere[e.Unit]; {
		case e.Unit == "" || lost && e.Time.Before(had.Time):
		case e.Kind == cluster.EventMoved && e.Unplaced:
			r.nowhere[e.Unit] = e
			if u := r.units[e.Unit]; u != nil {
				r.dirty[e.Unit] = struct{}{}
			}
		case lost && (e.Kind == cluster.EventActive || e.Kind == cluster.EventMoved || e.Kind == cluster.EventPlaced):
			delete(r.nowhere, e.Unit)
		}
	}
}

func (r *Reducer) lives(id string) bool {
	h := r.hostOf(id)
	return h != nil && h.runs()
}

// departed begins a move, or goes on with one whose stopwatch runs.
func (r *Reducer) departed(old *Row, was *Move, now time.Time) *Move {
	if was.Running() && was.From != "" {
		m := *was
		m.Doubt = false
		return &m
	}
	m := &Move{From: old.Machine, FromName: old.Host, Began: now}
	if h := r.hostOf(old.Machine); h != nil && !h.silent.IsZero() {
		m.Began = h.silent
	}
	return m
}

// arrived stops the stopwatch of a unit that runs where it was moved to.
func arrived(m *Move, row *Row, a *api.Assignment, now time.Time) *Move {
	if !m.Running() {
		return m
	}
	there := row.Active == "active" || row.Mood == Idle && row.Active != ""
	if !there || a == nil {
		return m
	}
	done := *m
	done.Ended, done.Outage = now, max(0, now.Sub(m.Began))
	return &done
}

// late is more than it takes an event to come here as it happens.
const late = 5 * time.Second

// settle notes the cluster's own measurements of outages; live says that the
// events happened just now, whatever the clock says that stamped them.
func (r *Reducer) settle(events []cluster.Event, live bool, now time.Time) {
	r.loseAndFind(events)
	for _, e := range events {
		if e.Time = r.anchor(e.Time, now); live && now.Sub(e.Time) > late {
			e.Time = now
		}
		if e.Kind == cluster.EventActive && e.Outage != nil && r.units[e.Unit] != nil && now.Sub(e.Time) < MovedFor {
			r.measured[e.Unit] = e
			r.dirty[e.Unit] = struct{}{}
		}
	}
}

// measure is a move with the cluster's own measurement in the place of what
// the stopwatch here showed; it is also how a console that came later learns
// of the move. The event may come before the assignment it is about.
func (r *Reducer) measure(m *Move, row *Row, now time.Time) *Move {
	e, ok := r.measured[row.Unit]
	if !ok {
		return m
	}
	if now.Sub(e.Time) >= MovedFor {
		delete(r.measured, row.Unit)
		return m
	}
	if e.To != row.Machine || m != nil && (m.Measured || m.From != e.From || m.Began.After(e.Time)) {
		return m
	}
	return &Move{From: e.From, FromName: r.called(e.From), To: e.To, ToName: r.called(e.To), Measured: true,
		Began: e.Time.Add(-e.Outage.Total()), Ended: e.Time, Outage: e.Outage.Total()}
}

// mergeRows is the last snapshot's rows with the changed ones in their places.
func (r *Reducer) mergeRows(s *Snapshot, changed map[string][]*Row) ([]*Row, map[string]int) {
	if len(changed) == 0 {
		return s.Rows, s.byRow
	}
	if !r.reshaped {
		rows := slices.Clone(s.Rows)
		for _, list := range changed {
			for _, row := range list {
				rows[s.byRow[row.ID]] = row
			}
		}
		return rows, s.byRow
	}
	fresh := make([]*Row, 0, len(changed))
	for _, list := range changed {
		fresh = append(fresh, list...)
	}
	slices.SortFunc(fresh, compareRows)
	rows := make([]*Row, 0, len(s.Rows)+len(fresh))
	i := 0
	for _, old := range s.Rows {
		if _, ok := changed[old.Unit]; ok {
			continue
		}
		for i < len(fresh) && compareRows(fresh[i], old) < 0 {
			rows = append(rows, fresh[i])
			i++
		}
		rows = append(rows, old)
	}
	rows = append(rows, fresh[i:]...)
	index := make(map[string]int, len(rows))
	for n, row := range rows {
		index[row.ID] = n
	}
	return rows, index
}

func compareRows(a, b *Row) int { return cmp.Compare(a.ID, b.ID) }
