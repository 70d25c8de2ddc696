package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/units"
	"fleettop/units/wording"
)

// pending is what was asked of a unit and isn't confirmed.
type pending struct {
	word       string
	verb       api.Verb
	generation int64 // that is to be carried out; 0 until the daemon told it
	since      time.Time
	of         *outcome
}

// outcome collects what came of an order until all its units are as asked.
type outcome struct {
	verb    verb
	undoes  string // what the order takes back; empty for an order of its own
	since   time.Time
	waits   map[string]bool // units that aren't confirmed
	came    []came
	late    []string // units that took longer than the console waits
	warning string   // of the daemon's answer
}

// came is what came of one unit.
type came struct {
	unit string
	rows []*state.Row
}

// expect makes units pending, as an order for them is sent; nil for one for machines.
func (s *shell) expect(o order) *outcome {
	if o.schedule != "" {
		return nil
	}
	out := &outcome{verb: o.verb, undoes: o.undoes, since: s.now(), waits: map[string]bool{}}
	for _, name := range o.units {
		s.unexpect(name) // the later order counts
		out.waits[name] = true
		s.pending[name] = pending{word: o.verb.doing, verb: o.verb.api, since: s.now(), of: out}
	}
	return out
}

// unexpect forgets what was asked of a unit.
func (s *shell) unexpect(name string) {
	if p, ok := s.pending[name]; ok {
		delete(p.of.waits, name)
		delete(s.pending, name)
	}
}

// confirmPending takes away what the stream has confirmed, or what took too long:
// the row's own state says more by then. When an order is carried out it says so.
func (s *shell) confirmPending() {
	var touched []*outcome
	for name, p := range s.pending {
		rows := s.live.Of(name)
		late := s.now().Sub(p.since) > pendingPatience
		switch {
		case p.confirmed(rows):
			p.of.came = append(p.of.came, came{name, rows})
		case late:
			p.of.late = append(p.of.late, name)
		default:
			continue
		}
		s.unexpect(name)
		if !slices.Contains(touched, p.of) {
			touched = append(touched, p.of)
		}
	}
	for _, o := range touched {
		if len(o.waits) == 0 {
			text, bad := o.sentence(s.now().Sub(o.since))
			if o.undoes != "" {
				text = "Undid " + o.undoes + ". " + text
			}
			s.say(text, bad)
			if s.undo != nil && s.undo.of == o {
				s.undo.until = s.now().Add(undoFor)
			}
		}
	}
}

func (p pending) confirmed(rows []*state.Row) bool {
	if p.verb == api.Destroy {
		return len(rows) == 0
	}
	if p.generation == 0 {
		return false
	}
	for _, r := range rows {
		switch {
		case r.Generation < p.generation:
			return false
		case r.Machine == "":
			// Nowhere: as wanted, or its own word says why.
			if r.Desired != units.Inactive && r.Word == "waiting" {
				return false
			}
		case r.Leaving || r.Carried < p.generation || r.Mood == state.Busy:
			return false
		}
	}
	return true
}

// sentence says what came of an order after some time; bad says that it isn't as hoped for.
func (o *outcome) sentence(took time.Duration) (text string, bad bool) {
	slices.SortFunc(o.came, func(a, b came) int { return strings.Compare(a.unit, b.unit) })
	slices.Sort(o.late)
	past := capital(o.verb.past)
	switch {
	case len(o.came) == 0 && len(o.late) == 1:
		return fmt.Sprintf("After %s %s is not %s yet. Its row shows how far it is.", seconds(took), o.late[0],
			o.verb.past), true
	case len(o.late) > 0:
		return fmt.Sprintf("After %s %d of %s are not %s yet: %s.", seconds(took), len(o.late),
			wording.Count(len(o.late)+len(o.came), "unit"), o.verb.past, some(o.late)), true
	case len(o.came) == 1:
		text, bad = o.came[0].sentence(past, o.verb.api, took)
		return text + o.warning, bad
	}
	text = fmt.Sprintf("%s %s, the last after %s.", past, wording.Count(len(o.came), "unit"), seconds(took))
	var ill []string
	for _, c := range o.came {
		if r := c.worst(); r != nil && r.Mood == state.Bad {
			ill = append(ill, c.unit)
		}
	}
	if len(ill) > 0 {
		text = fmt.Sprintf("%s %s. In trouble: %s.", past, wording.Count(len(o.came), "unit"), some(ill))
	}
	return text + o.warning, len(ill) > 0
}

// sentence says what came of one unit.
func (c came) sentence(past string, v api.Verb, took time.Duration) (text string, bad bool) {
	r := c.worst()
	did := past + " " + c.unit
	if r == nil {
		return did + ".", false
	}
	did += c.where()
	after := seconds(took)
	switch {
	case r.Mood == state.Bad && r.Machine == "":
		return did + ", but it has no machine: " + r.Reason + ".", true
	case r.Mood == state.Bad:
		return did + ". Its state now: " + r.Word + ".", true
	case v == api.Start || v == api.Restart:
		return did + ", " + r.Word + " after " + after + ".", false
	}
	return did + " after " + after + ".", false
}

// where is the machine that has the unit, or how many have it.
func (c came) where() string {
	on, host := 0, ""
	for _, r := range c.rows {
		if r.Machine != "" {
			on, host = on+1, r.Host
		}
	}
	switch on {
	case 0:
		return ""
	case 1:
		return " on " + host
	}
	return " on " + wording.Count(on, "machine")
}

// worst is the row that is worst off; nil where there is none.
func (c came) worst() *state.Row {
	if len(c.rows) == 0 {
		return nil
	}
	return slices.MaxFunc(c.rows, func(a, b *state.Row) int { return int(a.Mood) - int(b.Mood) })
}

// some are the first of some names, and how many there are besides.
func some(names []string) string {
	const most = 3
	if len(names) <= most+1 {
		return join(names, ", ")
	}
	return fmt.Sprintf("%s and %d others", join(names[:most], ", "), len(names)-most)
}

// seconds is how long an order took, as the console saw it.
func seconds(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", max(d, 100*time.Millisecond).Seconds())
	}
	return d.Round(time.Second).String()
}
