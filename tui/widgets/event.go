package widgets

import (
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/units/wording"
)

// Clock is the time of day, with the date if that is another one.
func Clock(at, now time.Time) string {
	at = at.In(now.Location())
	if at.YearDay() == now.YearDay() && at.Year() == now.Year() {
		return at.Format("15:04:05")
	}
	return at.Format("Jan _2 15:04")
}

// EventMark is the glyph and the ink of a kind of event.
func EventMark(t *theme.Theme, e *cluster.Event) (glyph string, ink draw.Ink) {
	switch e.Kind {
	case cluster.EventMachine:
		switch {
		case strings.Contains(e.Text, "failed"), strings.Contains(e.Text, "went down"):
			return t.Glyphs.Bad, t.Bad
		case strings.Contains(e.Text, "suspect"), strings.Contains(e.Text, "daemon"), strings.Contains(e.Text, "cordon"),
			strings.Contains(e.Text, "drain"):
			return t.Glyphs.Busy, t.Busy
		}
		return t.Glyphs.Good, t.Good
	case cluster.EventLeader:
		return t.Star, t.Info
	case cluster.EventVoter:
		return t.Star, t.Dim
	case cluster.EventMoved:
		return t.Arrow, t.Moved
	case cluster.EventActive:
		return t.Glyphs.Good, t.Good
	case cluster.EventFailover:
		return t.Warn, t.Moved
	case cluster.EventFailed, cluster.EventHold:
		return t.Glyphs.Bad, t.Bad
	}
	return t.Glyphs.Dot, t.Dim
}

// without is how the leader says in a summary which units found no other place.
const without = " without a place"

// EventText is what an entry says: of a failover under way, how far it is.
func EventText(e *state.Entry) string {
	text := e.Text
	if len(e.Block) > 0 && !e.Complete {
		text += "; " + wording.Count(e.Moved, "unit") + " moved, "
		if e.Active == e.Moved {
			text += "all active"
		} else {
			text += wording.Count(e.Active, "unit") + " active again"
		}
		if e.Nowhere > 0 {
			text += ", " + strconv.Itoa(e.Nowhere) + without
		}
	}
	if e.Returned > 0 {
		since := ", active again since"
		if e.Returned < e.Nowhere {
			since = ", " + strconv.Itoa(e.Returned) + " of them active again since"
		}
		if head, tail, ok := strings.Cut(text, without); ok {
			text = head + without + since + tail
		} else {
			text += since
		}
	}
	if e.By != "" {
		text += " by " + draw.Clean(e.By)
	}
	return text
}

// Event writes an entry on one line, up to its end.
func Event(b *draw.Buf, t *theme.Theme, e *state.Entry, now time.Time) {
	glyph, ink := EventMark(t, &e.Event)
	b.Text(Clock(e.Time, now), t.Dim)
	b.Space(2)
	b.Text(glyph, ink)
	b.Space(1)
	text := EventText(e)
	loud := ink
	switch e.Kind {
	case cluster.EventFailover, cluster.EventFailed, cluster.EventHold:
	case cluster.EventMachine:
		if ink != t.Bad {
			loud = t.Text
		}
	default:
		loud = t.Text
	}
	// What took how long is read second.
	if head, tail, ok := strings.Cut(text, " = detect "); ok {
		b.Text(head, loud)
		b.Text(" = detect "+tail, t.Dim)
		return
	}
	b.Text(text, loud)
}
