package unitdetail

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// state says how the unit is, on each machine it is on.
func (s *Screen) state(env *screens.Env, w int) []line {
	t := env.Theme
	rows := env.Snap.Of(s.unit)
	if len(rows) == 0 {
		if env.Snap.Conn.Seen.IsZero() {
			return []line{{{" Waiting for the daemon.", t.Dim}}, nil}
		}
		if env.Past {
			return []line{{{" " + s.unit + " was not known to the cluster at this moment.", t.Dim}}, nil}
		}
		return []line{{{" " + s.unit + " is not known to the cluster any more. Esc goes back.", t.Busy}}, nil}
	}
	first := rows[0]
	out := []line{{{" " + s.unit, t.Title}, {"  " + first.About, t.Dim}}}
	for i, r := range rows {
		if i == 6 && len(rows) > 7 {
			out = append(out, line{{" … and on " + strconv.Itoa(len(rows)-i) + " more machines", t.Dim}})
			break
		}
		word, mood := r.Word, r.Mood
		if asked := env.Pending(r.Unit); asked != "" {
			word, mood = asked, state.Busy
		}
		l := line{{" " + widgets.Glyph(t, mood) + " " + word, widgets.Ink(t, mood)}}
		switch {
		case r.Sub != "" && w < 60:
			l = append(l, piece{" (" + r.Sub + ")", t.Dim})
		case r.Sub != "":
			l = append(l, piece{" (" + r.Active + ", " + r.Sub + ")", t.Dim})
		}
		if r.Host != "" {
			l = append(l, piece{" on ", t.Dim}, piece{r.Host, t.Text})
		}
		if !r.Since.IsZero() {
			l = append(l, piece{" since " + widgets.Since(r.Since, env.Now), t.Dim})
		}
		if r.Move.Fresh(env.Now) {
			l = l.with(w, s.move(env, r)...)
		}
		if r.PID > 0 {
			l = l.with(w, piece{"  pid " + strconv.Itoa(r.PID), t.Dim})
		}
		if r.Restarts > 0 {
			l = l.with(w, piece{"  " + wording.Count(r.Restarts, "restart"), t.Busy})
		}
		if u, ok := env.Snap.UseOf(r); ok {
			l = l.with(w, piece{"  cpu " + widgets.Cores(u.CPU) + "%  mem " + widgets.Bytes(u.Memory), t.Dim})
		}
		out = append(out, l)
		if r.Error != "" {
			for _, text := range draw.Wrap(r.Error, w-4) {
				out = append(out, line{{"   " + text, t.Bad}})
			}
		}
		if !r.RetryAt.IsZero() {
			text := draw.Clean(r.Reason)
			if wait := r.RetryAt.Sub(env.Now); wait >= time.Second {
				text += " in " + wording.Age(wait)
			}
			for _, l := range draw.Wrap(text, w-4) {
				out = append(out, line{{"   " + l, t.Busy}})
			}
		}
		if hand := r.Hand(); hand != "" {
			for _, text := range draw.Wrap(draw.Clean(hand), w-4) {
				out = append(out, line{{"   " + text, t.Busy}})
			}
		}
	}
	if env.Past {
		return append(out, line{{" wanted ", t.Dim}, {cmp.Or(string(first.Desired), state.UnknownWord), t.Text}}, nil)
	}
	wanted := line{{" wanted ", t.Dim}, {string(first.Desired), t.Text}}.with(w, piece{"  hash ", t.Dim},
		piece{first.Hash[:min(7, len(first.Hash))], t.Text})
	if s.detail != nil {
		if s.detail.By != "" {
			wanted = wanted.with(w, piece{"  by ", t.Dim}, piece{draw.Clean(s.detail.By), t.Text})
		}
		if !s.detail.At.IsZero() {
			wanted = wanted.with(w, piece{"  changed " + widgets.Since(s.detail.At, env.Now) + " ago", t.Dim})
		}
	}
	return append(out, wanted, nil)
}

// moveFrom is the machine a row moves away from, or did not long ago; empty for none.
func moveFrom(r *state.Row) string {
	if r.Move == nil {
		return ""
	}
	return r.Move.From
}

func (s *Screen) move(env *screens.Env, r *state.Row) line {
	var b draw.Buf
	b.Reset(40)
	widgets.Machine(&b, env.Theme, r, 28, env.Now)
	return line{{"  ", draw.Ink{}}, {strings.TrimRight(b.String(), " "), draw.Ink{}}}
}

// story is the placement, why not elsewhere, and what happened.
func (s *Screen) story(env *screens.Env, w int) []line {
	t := env.Theme
	out := append(s.usage(env, w), s.processList(env, w)...)
	out = append(out, head(env, "Placement", w))
	text := func(indent, text string, ink draw.Ink) {
		out = append(out, under(line{{" " + indent, t.Dim}}, text, ink, w-1)...)
	}
	switch {
	case s.explain != nil:
		var on []string
		for _, id := range s.explain.On {
			on = append(on, env.Snap.Called(id))
		}
		where := strings.Join(on, ", ")
		if where == "" {
			where = "nowhere"
		}
		text(where+": ", draw.Clean(s.explain.Reason), t.Text)
		if s.explain.Moving != "" {
			text("moving: ", draw.Clean(s.explain.Moving), t.Text)
		}
		names := 0
		for _, v := range s.explain.Verdicts {
			names = max(names, min(16, draw.Width(v.Name)))
		}
		for i, v := range s.explain.Verdicts {
			if i == 12 && len(s.explain.Verdicts) > 13 {
				text("", "… and "+strconv.Itoa(len(s.explain.Verdicts)-i)+" more: fleettop explain "+s.unit, t.Dim)
				break
			}
			glyph, ink := t.Glyphs.Good, t.Good
			switch {
			case slices.Contains(s.explain.On, v.Machine):
				if glyph = t.Glyphs.Mark; !v.OK {
					ink = t.Busy
				}
			case !v.OK:
				glyph, ink = t.Glyphs.Bad, t.Busy
			}
			l := line{{" " + glyph + " ", ink}, {draw.Fit(draw.Clean(v.Name), names), t.Text},
				{blanks(names - draw.Width(v.Name) + 1), t.Text}}
			out = append(out, append(l, piece{draw.Fit(draw.Clean(v.Reason), w-l.width()-1), t.Dim}))
		}
	case s.err != nil:
		var away *client.UnreachableError
		if errors.As(s.err, &away) {
			text("", "No daemon answers; it is asked again when one does.", t.Busy)
			break
		}
		for l := range strings.Lines(s.err.Error()) {
			text("", draw.Clean(strings.TrimRight(l, "\n")), t.Busy)
		}
	default:
		text("", "asking the daemon …", t.Dim)
	}
	if wanted := s.dependencies(env, w); wanted != nil {
		out = append(append(out, nil), wanted...)
	} else {
		out = append(out, nil)
	}
	out = append(out, head(env, "Recent states", w))
	for i := len(s.states) - 1; i >= max(0, len(s.states)-5); i-- {
		st := s.states[i]
		l := line{{" " + widgets.Clock(st.at, env.Now) + "  ", t.Dim},
			{widgets.Glyph(t, st.mood) + " " + st.word, widgets.Ink(t, st.mood)}}
		if st.sub != "" {
			l = append(l, piece{" " + st.sub, t.Dim})
		}
		if st.host != "" {
			l = append(l, piece{" on " + st.host, t.Dim})
		}
		out = append(out, l)
	}
	return append(out, s.history(env, w)...)
}

// history is what the timeline has on the unit.
func (s *Screen) history(env *screens.Env, w int) []line {
	t := env.Theme
	out := []line{nil, head(env, "Timeline", w)}
	const most = 8
	told := 0
	tell := func(at time.Time, ev *cluster.Event, text string) {
		if told++; told > most {
			return
		}
		glyph, ink := widgets.EventMark(t, ev)
		first := line{{" " + widgets.Clock(at, env.Now) + "  ", t.Dim}, {glyph + " ", ink}}
		out = append(out, under(first, text, t.Text, w-1)...)
	}
	for i := len(env.Snap.Timeline) - 1; i >= 0 && told < most; i-- {
		e := env.Snap.Timeline[i]
		if len(e.Block) == 0 && e.Unit == s.unit {
			tell(e.Time, &e.Event, widgets.EventText(e))
		}
		for n := len(e.Block) - 1; n >= 0; n-- {
			if ev := &e.Block[n]; ev.Unit == s.unit {
				tell(ev.Time, ev, ev.Text)
			}
		}
	}
	if told == 0 {
		out = append(out, line{{" nothing yet", t.Dim}})
	}
	return out
}

// under writes text behind the beginning of a line, and goes on below itself.
func under(first line, text string, ink draw.Ink, w int) []line {
	indent := first.width()
	var out []line
	for i, l := range draw.Wrap(text, max(10, w-indent)) {
		if i > 0 {
			first = line{{blanks(indent), ink}}
		}
		out = append(out, append(first, piece{l, ink}))
	}
	return out
}

func head(env *screens.Env, title string, w int) line {
	t := env.Theme
	return line{{t.Box[4] + " ", t.Border}, {title, t.Title}, {" " +
		strings.Repeat(t.Box[4], max(0, w-draw.Width(title)-3)), t.Border}}
}

// file is the unit's file in colours: sections, options, comments.
func (s *Screen) file(env *screens.Env, w int) []line {
	t := env.Theme
	out := []line{head(env, "File", w)}
	if s.detail == nil {
		return append(out, line{{" asking the daemon …", t.Dim}})
	}
	continued := false
	for text := range strings.Lines(s.detail.Content) {
		text = draw.Clean(strings.TrimRight(text, "\r\n"))
		bare := strings.TrimSpace(text)
		key, value, option := strings.Cut(text, "=")
		switch {
		case continued:
			out = append(out, under(line{{" ", t.Text}}, text, t.Text, w-1)...)
		case strings.HasPrefix(bare, "#"), strings.HasPrefix(bare, ";"):
			out = append(out, under(line{{" ", t.Text}}, text, t.Comment, w-1)...)
		case strings.HasPrefix(bare, "[") && strings.HasSuffix(bare, "]"):
			out = append(out, line{{" " + text, t.Section}})
		case option:
			out = append(out, under(line{{" " + key, t.Option}, {"=", t.Dim}}, value, t.Text, w-1)...)
		default:
			out = append(out, under(line{{" ", t.Text}}, text, t.Text, w-1)...)
		}
		continued = strings.HasSuffix(bare, `\`) && !strings.HasPrefix(bare, "#")
	}
	return out
}
