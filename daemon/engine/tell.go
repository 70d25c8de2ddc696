package engine

import (
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// forgotten is the verb of an event after which the cluster doesn't know the unit any more.
const forgotten = "forget"

// tell puts a move on the timeline.
func (t *term) tell(m cluster.Move, now time.Time) {
	e := cluster.Event{Time: now, Unit: m.Unit, Record: cluster.Record{Was: t.wasUnit(m)}}
	switch {
	case m.From == nil:
		e.Kind, e.Machine, e.To, e.Reason = cluster.EventPlaced, m.To.Machine, m.To.Machine, m.To.Reason
		e.Text = m.Unit + " placed on " + t.called(m.To.Machine) + ": " + m.Reason
	case m.Becomes != nil || m.Forget: // adopted or released
		e.Kind, e.Machine = cluster.EventUnit, m.From.Machine
		e.Text = m.Unit + " " + m.Reason
		if m.Forget {
			e.Verb = forgotten
		}
	case m.To == nil && m.From.MovedFrom != "", m.To == nil && strings.HasPrefix(m.Reason, "is active on "):
		e.Kind, e.Machine = cluster.EventUnit, m.From.Machine // one of its two assignments goes
		e.Text = m.Unit + " " + m.Reason
		e.Was = nil // it was on both
		if strings.HasPrefix(m.Reason, "stays on ") {
			e.From, e.To = m.From.Machine, m.From.MovedFrom
		}
	case m.To == nil && t.runs(m.From.Machine) && !strings.HasPrefix(m.Reason, "taken from "):
		return // asked for, and told by who asked; or it stays on another machine
	case m.To == nil && t.runs(m.From.Machine):
		e.Kind, e.Machine, e.From = cluster.EventUnit, m.From.Machine, m.From.Machine
		e.Text, e.Reason = m.Unit+" is "+m.Reason, m.Reason
	case m.To == nil:
		e.Kind, e.Machine, e.From, e.Unplaced = cluster.EventMoved, m.From.Machine, m.From.Machine, stranded(m)
		e.Text, e.Reason = m.Unit+" "+m.Reason, m.Reason
	case m.From.Machine == m.To.Machine && len(m.To.Tries) > len(m.From.Tries):
		e.Kind, e.Machine = cluster.EventFailed, m.From.Machine
		e.Text = m.Unit + " " + m.Reason
	case m.From.Machine == m.To.Machine && m.To.Attempt > m.From.Attempt:
		e.Kind, e.Machine = cluster.EventUnit, m.From.Machine
		e.Text = m.Unit + " is tried again on " + t.called(m.To.Machine)
	case m.From.Machine == m.To.Machine && m.To.Stay.Reason != "" && !m.To.Stay.Tried:
		e.Kind, e.Machine = cluster.EventUnit, m.From.Machine
		e.Text = m.Unit + " stays on " + t.called(m.From.Machine) + ": " + m.To.Stay.Reason
	case m.From.Machine == m.To.Machine:
		return
	default:
		e.Kind, e.Machine, e.From, e.To = cluster.EventMoved, m.To.Machine, m.From.Machine, m.To.Machine
		e.Reason = m.To.Reason
		e.Text = m.Unit + " " + t.called(m.From.Machine) + " -> " + t.called(m.To.Machine) + ": " + m.Reason
	}
	t.event(e)
}

// wasUnit is how the unit of a move was before it, as far as the last look showed that. A
// global unit is on other machines, too, which this doesn't say.
func (t *term) wasUnit(m cluster.Move) *cluster.Was {
	w := &cluster.Was{}
	content := ""
	if m.From == nil {
		content = m.To.Content
	} else {
		content = m.From.Content
		w.Reason = m.From.Why()
		if t.snap != nil {
			s, ok := t.snap.Statuses[cluster.UnitOnMachine{Machine: m.From.Machine, Unit: m.Unit}]
			if ok && s.Epoch == m.From.Epoch {
				w.SetStatus(s.Status)
			}
		}
	}
	if w.Global = global(m.Unit, content); w.Global {
		return w
	}
	w.Places = true
	if m.From != nil {
		w.On = []string{m.From.Machine}
	}
	return w
}

// global reports whether a unit file makes its unit a global one.
func global(unit, content string) bool {
	if !strings.Contains(content, "Global") {
		return false
	}
	name, err := units.ParseName(unit)
	if err != nil {
		return false
	}
	file, err := units.ParseFile(content)
	if err != nil {
		return false
	}
	r, err := file.Requirements(name)
	return err == nil && r.Global
}

// wasLeft is how a unit was that stays assigned to a machine which doesn't run it.
func (t *term) wasLeft(k cluster.UnitOnMachine) *cluster.Was {
	if t.snap == nil {
		return nil
	}
	a, assigned := t.snap.Assignments[k]
	if !assigned {
		return nil
	}
	return t.wasUnit(cluster.Move{Unit: k.Unit, From: &a})
}
