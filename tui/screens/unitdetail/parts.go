package unitdetail

import (
	"slices"
	"strconv"
	"strings"

	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// state says how the unit is, on each machine it is on.
func (s *Screen) state(env *screens.Env, w int) []line {
	t := env.Theme
	rows := env.Snap.Of(s.unit)
	if len(rows) == 0 {
		if env.Snap.Conn.Seen.IsZero() {
			return []line{{{" Waiting for the daemon.", t.Dim}}, nil}
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
		if r.Sub != "" {
			l = append(l, piece{" (" + r.Active + ", " + r.Sub + ")", t.Dim})
		}
		if r.Host != "" {
			l = append(l, piece{" on ", t.Dim}, piece{r.Host, t.Text})
		}
		if !r.Since.IsZero() {
			l = append(l, piece{" since " + widgets.Since(r.Since, env.Now), t.Dim})
		}
		if r.Move.Fresh(env.Now) {
			l = append(l, s.move(env, r)...)
		}
		if u, ok := env.Snap.UseOf(r); ok {
			l = append(l, piece{"  cpu " + widgets.Cores(u.CPU) + "%  mem " + widgets.Bytes(u.Memory), t.Dim})
		}
		if r.Restarts > 0 {
			l = append(l, piece{"  " + widgets.Plural(r.Restarts, "restart"), t.Busy})
		}
		out = append(out, l)
		if r.Error != "" {
			for _, text := range draw.Wrap(r.Error, w-4) {
				out = append(out, line{{"   " + text, t.Bad}})
			}
		}
	}
	wanted := line{{" wanted ", t.Dim}, {string(first.Desired), t.Text}, {"  hash ", t.Dim}, {first.Hash[:min(7, len(first.Hash))], t.Text}}
	if s.detail != nil {
		if s.detail.By != "" {
			wanted = append(wanted, piece{"  by ", t.Dim}, piece{draw.Clean(s.detail.By), t.Text})
		}
		if !s.detail.At.IsZero() {
			wanted = append(wanted, piece{"  changed " + widgets.Since(s.detail.At, env.Now) + " ago", t.Dim})
		}
	}
	return append(out, wanted, nil)
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
	out := []line{head(env, "Placement", w)}
	text := func(indent, text string, ink draw.Ink) {
		for i, l := range draw.Wrap(text, w-2-draw.Width(indent)) {
			if i == 0 {
				out = append(out, line{{" " + indent, t.Dim}, {l, ink}})
			} else {
				out = append(out, line{{" " + strings.Repeat(" ", draw.Width(indent)) + l, ink}})
			}
		}
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
				glyph = t.Glyphs.Mark
			case !v.OK:
				glyph, ink = t.Glyphs.Bad, t.Busy
			}
			l := line{{" " + glyph + " ", ink}, {draw.Fit(draw.Clean(v.Name), names), t.Text}, {blanks(names - draw.Width(v.Name) + 1), t.Text}}
			out = append(out, append(l, piece{draw.Fit(draw.Clean(v.Reason), w-l.width()-1), t.Dim}))
		}
	case s.err != nil:
		text("", draw.Clean(strings.ReplaceAll(s.err.Error(), "\n", " ")), t.Busy)
	default:
		text("", "asking the daemon …", t.Dim)
	}
	out = append(out, nil, head(env, "Recent states", w))
	for i := len(s.states) - 1; i >= max(0, len(s.states)-5); i-- {
		st := s.states[i]
		l := line{{" " + widgets.Clock(st.at, env.Now) + "  ", t.Dim}, {widgets.Glyph(t, st.mood) + " " + st.word, widgets.Ink(t, st.mood)}}
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
	for i := len(env.Snap.Timeline) - 1; i >= 0 && len(out) < most+2; i-- {
		e := env.Snap.Timeline[i]
		if len(e.Block) == 0 && e.Unit == s.unit {
			glyph, ink := widgets.EventMark(t, &e.Event)
			out = append(out, line{{" " + widgets.Clock(e.Time, env.Now) + "  ", t.Dim}, {glyph + " ", ink}, {draw.Fit(widgets.EventText(e), w-13), t.Text}})
		}
		for n := len(e.Block) - 1; n >= 0; n-- {
			if ev := &e.Block[n]; ev.Unit == s.unit {
				glyph, ink := widgets.EventMark(t, ev)
				out = append(out, line{{" " + widgets.Clock(ev.Time, env.Now) + "  ", t.Dim}, {glyph + " ", ink}, {draw.Fit(ev.Text, w-13), t.Text}})
			}
		}
	}
	if len(out) == 2 {
		out = append(out, line{{" nothing yet", t.Dim}})
	}
	return out
}

func head(env *screens.Env, title string, w int) line {
	t := env.Theme
	return line{{t.Box[4] + " ", t.Border}, {title, t.Title}, {" " + strings.Repeat(t.Box[4], max(0, w-draw.Width(title)-3)), t.Border}}
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
			out = append(out, line{{" " + text, t.Text}})
		case strings.HasPrefix(bare, "#"), strings.HasPrefix(bare, ";"):
			out = append(out, line{{" " + text, t.Comment}})
		case strings.HasPrefix(bare, "[") && strings.HasSuffix(bare, "]"):
			out = append(out, line{{" " + text, t.Section}})
		case option:
			out = append(out, line{{" " + key, t.Option}, {"=", t.Dim}, {value, t.Text}})
		default:
			out = append(out, line{{" " + text, t.Text}})
		}
		continued = strings.HasSuffix(bare, `\`) && !strings.HasPrefix(bare, "#")
	}
	return out
}
