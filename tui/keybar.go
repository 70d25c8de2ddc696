package tui

import (
	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/units"
)

// keyBar writes what the keys do here: what can be done to what is under the
// cursor, as much as there is room for, and always how to get help and out.
func (s *shell) keyBar(b *draw.Buf) {
	var here, always []keys.Hint
	width := 0
	target := s.top().Target(s.env())
	for _, h := range s.keys.Hints(s.top().Place()) {
		switch h.Action {
		case keys.ShowHelp, keys.Quit:
			always = append(always, h)
			width += hintWidth(h) + 2
		default:
			var ok bool
			if h.Word, ok = s.offers(h, target); ok {
				here = append(here, h)
			}
		}
	}
	if s.goesBack() {
		back := "back"
		if s.past != nil {
			back = "now"
		}
		always = append([]keys.Hint{{Key: s.keys.Key(keys.Back), Word: back, Action: keys.Back}}, always...)
		width += hintWidth(always[0]) + 2
	}
	if s.past == nil && s.undoable() {
		always = append([]keys.Hint{{Key: s.undoKey(), Word: "undo " + s.undoWord(), Action: keys.Undo}}, always...)
		width += hintWidth(always[0]) + 2
	}
	b.Space(1)
	for _, h := range here {
		if b.Left() >= hintWidth(h)+2+width {
			s.hint(b, h)
		}
	}
	for _, h := range always {
		s.hint(b, h)
	}
}

func hintWidth(h keys.Hint) int { return draw.Width(h.Key) + 1 + draw.Width(h.Word) }

func (s *shell) hint(b *draw.Buf, h keys.Hint) {
	b.Text(h.Key, s.theme.Key)
	b.Text(" "+h.Word, s.theme.Dim)
	b.Space(2)
}

// goesBack reports whether there is something to go back from.
func (s *shell) goesBack() bool {
	m, ok := s.top().(screens.Marker)
	return s.past != nil || len(s.stack) > 0 || s.opener != nil || ok && m.Marked() > 0 || !s.filters[s.top()].Empty()
}

// offers reports whether an action can be done to the target, and what it is called for it.
func (s *shell) offers(h keys.Hint, target screens.Target) (word string, ok bool) {
	if s.notPast(h.Action) != "" {
		return "", false
	}
	switch h.Action {
	case keys.Start, keys.Stop, keys.Restart, keys.Destroy, keys.Edit, keys.ShowLog, keys.Errors:
		return h.Word, s.offersUnit(h.Action, target.Units)
	case keys.Cordon, keys.Drain:
		m := s.snap.Machine(only(target.Machines))
		switch {
		case len(target.Machines) == 0:
			return "", false
		case m == nil:
		case h.Action == keys.Cordon && m.Schedule == cluster.Cordoned, h.Action == keys.Drain && m.Schedule == cluster.Drained:
			return "uncordon", true
		}
		return h.Word, true
	case keys.Bottom:
		log, ok := s.top().(interface{ Behind() bool })
		return "now", ok && log.Behind()
	case keys.Drill:
		m := s.snap.Machine(only(target.Machines))
		return h.Word, m != nil && m.Health.State == cluster.Up && !m.Drill.UnderWay()
	case keys.PowerOff, keys.PowerOn:
		m := s.snap.Machine(only(target.Machines))
		return h.Word, m != nil && m.Health.State.Runs() == (h.Action == keys.PowerOff)
	}
	return h.Word, true
}

// offersUnit reports whether an action makes sense for one of some units, as they are now.
func (s *shell) offersUnit(a keys.Action, names []string) bool {
	for _, name := range names {
		for _, r := range s.snap.Of(name) {
			launched := r.Desired == units.Launched
			runs := units.Status{Active: r.Active}.Runs()
			switch a {
			case keys.Start:
				if !launched || r.Active == "failed" || r.Active == "inactive" {
					return true
				}
			case keys.Stop:
				if launched || runs {
					return true
				}
			case keys.Restart:
				if runs {
					return true
				}
			default:
				return true
			}
		}
	}
	return false
}

// only is the one element of a list, or an empty string.
func only(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return ""
}
