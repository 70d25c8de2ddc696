// Package timeline is the screen of everything that happened; a failover is
// one block with its phases.
package timeline

import (
	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/screens/listing"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// Screen is the timeline, the newest first.
type Screen struct {
	listing.List[item]
	below  int             // lines of the status
	folded map[string]bool // blocks whose lines are hidden, by key
	folds  int             // grows with each change of folded
	passed int             // entries that pass the filter
}

// item is a line: an entry's head, or an event of its block.
type item struct {
	entry *state.Entry
	event *cluster.Event // nil for the head
}

func (i item) key() string {
	if i.event != nil {
		return i.entry.Key() + " " + i.event.ID
	}
	return i.entry.Key()
}

// New returns a timeline.
func New() *Screen { return &Screen{List: listing.New(item.key), folded: map[string]bool{}} }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Timeline }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "timeline" }

func (s *Screen) sync(env *screens.Env) {
	if s.Stale(env, s.folds) {
		// At the top one watches what is new: the cursor goes with it.
		atTop := s.Index() <= 0
		s.Items, s.passed = s.Items[:0], 0
		for i := len(env.Snap.Timeline) - 1; i >= 0; i-- {
			e := env.Snap.Timeline[i]
			if !env.Filter.Empty() && !e.Matches(env.Filter, env.Snap.Called) {
				continue
			}
			s.Items = append(s.Items, item{entry: e})
			s.passed++
			if s.folded[e.Key()] {
				continue
			}
			for n := range e.Block {
				s.Items = append(s.Items, item{e, &e.Block[n]})
			}
		}
		if atTop && len(s.Items) > 0 {
			s.Select(s.Items[0].key())
		}
	}
	s.Sync(s.Height - s.below)
	below := 1
	if w := draw.Width(s.text()); w > s.Width-14 {
		below = min(1+(w+6)/(s.Width-4), s.Height/3)
	}
	if below != s.below {
		s.below = below
		s.Sync(s.Height - s.below)
	}
}

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.sync(env)
	it, ok := s.At()
	if s.Move(a) {
		if s.Index() == len(s.Items)-1 && !env.Past {
			return screens.LoadOlder{}
		}
		return nil
	}
	if !ok {
		return nil
	}
	switch a {
	case keys.Enter:
		switch {
		case it.event == nil && len(it.entry.Block) > 0:
			s.fold(it.entry.Key(), !s.folded[it.entry.Key()])
		case it.event != nil && it.event.Unit != "":
			return screens.OpenUnit{Unit: it.event.Unit}
		case it.entry.Unit != "":
			return screens.OpenUnit{Unit: it.entry.Unit}
		case it.entry.Machine != "":
			return screens.OpenMachine{ID: it.entry.Machine}
		}
	case keys.Left:
		s.fold(it.entry.Key(), true)
		s.Select(it.entry.Key())
	case keys.Right:
		s.fold(it.entry.Key(), false)
	}
	return nil
}

func (s *Screen) fold(key string, on bool) {
	if on {
		s.folded[key] = true
	} else {
		delete(s.folded, key)
	}
	s.folds++
}

// Target implements screens.Screen.
func (s *Screen) Target(env *screens.Env) screens.Target {
	s.sync(env)
	it, ok := s.At()
	if !ok {
		return screens.Target{}
	}
	e, at := it.entry.Event, it.entry.Begins()
	if it.event != nil {
		e, at = *it.event, it.event.Time
	}
	return screens.Target{At: at, Text: e.Time.Format("2006-01-02T15:04:05.000Z07:00") + "  " + e.Text}
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.sync(env)
	b, t := &s.Buf, env.Theme
	b.Reset(s.Width)
	s.Visible(func(it item, under bool) {
		if under {
			b.Base(t.Cursor)
			b.Text(t.Glyphs.Cursor+" ", t.Key)
		} else {
			b.Space(2)
		}
		if it.event != nil {
			s.phase(env, it)
		} else {
			widgets.Event(b, t, it.entry, env.Now)
			if s.folded[it.entry.Key()] {
				b.Text("  …", t.Dim)
			}
		}
		b.End()
	})
	if len(s.Items) == 0 {
		s.None(env, "Nothing", "Nothing has happened yet.")
	}
	b.Blank(s.Height - s.below)
	s.status(env)
	return b.String()
}

// status is the last line, or where what is under the cursor doesn't fit, the
// whole of it.
func (s *Screen) status(env *screens.Env) {
	b, t := &s.Buf, env.Theme
	if s.below > 1 {
		text := draw.Wrap(s.text(), s.Width-4)
		for _, line := range text[:min(len(text), s.below)] {
			b.Space(2)
			b.Text(line, t.Info)
			b.End()
		}
		b.Blank(s.Height)
		return
	}
	s.Count(env, wording.Count(s.passed, "entry")+s.Below())
	b.End()
}

// text is what is under the cursor.
func (s *Screen) text() string {
	it, ok := s.At()
	switch {
	case !ok:
		return ""
	case it.event != nil:
		return it.event.Text
	}
	return widgets.EventText(it.entry)
}

// phase is a line of a block: how long after the first it happened, and what.
func (s *Screen) phase(env *screens.Env, it item) {
	b, t := &s.Buf, env.Theme
	last := it.event == &it.entry.Block[len(it.entry.Block)-1]
	edge := t.Box[5]
	if last {
		edge = t.Box[3]
	}
	b.Space(8)
	b.Text(edge+" ", t.Border)
	after := it.event.Time.Sub(it.entry.Block[0].Time)
	b.Cell("+"+widgets.Outage(max(0, after)), 8, draw.Right, t.Dim)
	b.Space(1)
	glyph, ink := widgets.EventMark(t, it.event)
	b.Text(glyph+" ", ink)
	b.Text(it.event.Text, t.Text)
}

// Click puts the cursor on a line.
func (s *Screen) Click(env *screens.Env, line int) {
	s.sync(env)
	s.List.Click(line)
}
