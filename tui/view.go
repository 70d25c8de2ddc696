package tui

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

const (
	leastWidth  = 40
	leastHeight = 12
	bannerMost  = 3 // lines
)

// View implements tea.Model: as many lines as the screen has.
func (s *shell) View() string {
	if s.width < leastWidth || s.height < leastHeight {
		return draw.Fit(fmt.Sprintf("at least %dx%d, please", leastWidth, leastHeight), max(1, s.width))
	}
	env := s.env()
	var b draw.Buf
	b.Reset(s.width)
	s.header(&b, env)
	head := b.String()
	s.headLines = b.Lines()
	room := s.height - s.headLines - 1
	body := s.body(env, room)
	b.Reset(s.width)
	s.footer(&b)
	out := head + "\n" + body + "\n" + b.String()
	if said, bad := s.said(); said != "" && s.prompt == nil {
		lines := s.noticeLines(&b, said, bad)
		out = draw.Overlay(out, lines, 0, s.height-len(lines))
	}
	if s.prompt != nil && s.prompt.list {
		out = s.choices(out)
	}
	if s.confirm != nil {
		box := s.confirm.View(s.theme, s.width, s.height)
		out = draw.Overlay(out, box, max(0, (s.width-ansi.StringWidth(box[0]))/2), max(1, (s.height-len(box))/3))
	}
	return out
}

// body is the screen, and below it the log, if that is shown.
func (s *shell) body(env *screens.Env, room int) string {
	top := s.top()
	if s.panel == nil || s.past != nil || top.Place()&(keys.Units|keys.Detail) == 0 || room < 12 {
		top.SetSize(s.width, room)
		return top.View(env)
	}
	below := room * 2 / 5
	top.SetSize(s.width, room-below)
	s.panel.SetSize(s.width, below)
	return top.View(env) + "\n" + s.panel.View(env)
}

// header says how the cluster is, and which screen is shown.
func (s *shell) header(b *draw.Buf, env *screens.Env) {
	t := s.theme
	if s.past != nil {
		s.pastHeader(b)
		s.tabLine(b, env)
		return
	}
	b.Text(" fleettop ", t.Tab)
	indent := b.Col() + 3
	if text := s.trouble(env, s.width-indent-1); text != "" {
		// In the place of facts that may be old, so that nothing moves.
		lines := draw.Wrap(text, s.width-indent-1)
		for i, line := range lines[:min(len(lines), bannerMost)] {
			b.Base(t.Banner)
			if i == 0 {
				b.Text(" "+t.Warn+" ", t.Banner)
			}
			b.To(indent)
			b.Text(line, t.Banner)
			b.End()
		}
		s.tabLine(b, env)
		return
	}
	b.Space(1)
	for i, f := range s.facts() {
		if b.Left() < draw.Width(f.text)+3 && f.short != "" {
			f.text = f.short
		}
		if i > 0 && b.Left() < draw.Width(f.text)+3 {
			continue
		}
		if i > 0 {
			b.Text(" "+t.Dot+" ", t.Dim)
		}
		b.Text(f.text, f.ink)
	}
	b.End()
	s.tabLine(b, env)
}

type fact struct {
	text  string
	ink   draw.Ink
	short string // where room is short
}

// facts are what the header says of the cluster, the most important first.
func (s *shell) facts() []fact {
	t, snap, c := s.theme, s.snap, &s.snap.Counts
	if len(snap.Machines) == 0 {
		return []fact{{text: "no machines known yet", ink: t.Dim}}
	}
	up := fact{fmt.Sprintf("%d/%d machines up", c.MachinesUp, c.Machines), t.Good, ""}
	if c.MachinesUp < c.Machines {
		up.ink = t.Bad
	}
	leader := fact{"no leader", t.Bad, ""}
	switch {
	case snap.Leader.Machine != "":
		leader = fact{"leader " + snap.Called(snap.Leader.Machine), t.Text, ""}
	case !snap.Unled.IsZero():
		leader = fact{"no leader for " + widgets.Age(s.now().Sub(snap.Unled)), t.Bad, "no leader"}
	}
	list := []fact{up, leader}
	if c.Voters > 0 {
		need := c.Voters/2 + 1
		q := fact{fmt.Sprintf("quorum %d/%d", c.VotersUp, c.Voters), t.Text, ""}
		switch {
		case c.VotersUp < need:
			q = fact{"quorum lost", t.Bad, ""}
		case c.VotersUp == need && c.Voters > 1:
			q.ink = t.Busy
		}
		list = append(list, q)
	}
	list = append(list, s.mayDie())
	if s.cluster != "" {
		list = append(list, fact{"cluster " + s.cluster, t.Dim, ""})
	} else if snap.ClusterID != "" {
		list = append(list, fact{"cluster " + snap.ClusterID[:min(8, len(snap.ClusterID))], t.Dim, ""})
	}
	return list
}

// mayDie says whether any one machine may die, and what would be lost.
func (s *shell) mayDie() fact {
	t, c := s.theme, &s.snap.Counts
	switch {
	case c.MachinesUp == 1:
		return fact{"no machine may die: it is the last", t.Busy, "the last machine"}
	case c.Voters > 1 && c.VotersUp <= c.Voters/2+1:
		return fact{"no voter may die", t.Busy, ""}
	case c.Strands > 0:
		return fact{fmt.Sprintf("losing %s strands %s", s.snap.Called(c.Stranding), wording.Count(c.Strands, "unit")), t.Busy,
			"need " + s.snap.Called(c.Stranding)}
	case c.Checked < c.MachinesUp:
		return fact{fmt.Sprintf("may one die? %d of %d checked", c.Checked, c.MachinesUp), t.Dim, ""}
	}
	return fact{"any one machine may die", t.Good, "any may die"}
}

var tabNames = [tabCount]string{"overview", "units", "machines", "timeline", "logs", "help"}

// tabLabel is what the line of screens says of one: its number, and its name
// where there is room for all names.
func (s *shell) tabLabel(i int) string {
	names := 0
	for _, n := range tabNames {
		names += len(n) + 3
	}
	if names > s.width && i != s.tab {
		return strconv.Itoa(i + 1)
	}
	return strconv.Itoa(i+1) + " " + tabNames[i]
}

// tabLine shows the screens there are and the one that is shown, and at the
// right the units by state, where there is room.
func (s *shell) tabLine(b *draw.Buf, env *screens.Env) {
	t, c := s.theme, &s.snap.Counts
	for i := range tabNames {
		label := s.tabLabel(i)
		switch {
		case i == s.tab && len(s.stack) == 0:
			b.Text(t.Chosen(label), t.Tab)
		case i == s.tab:
			b.Text(" "+label+" ", t.Title)
		default:
			b.Text(" "+label+" ", t.Dim)
		}
	}
	for _, sc := range s.stack {
		b.Text(" › ", t.Dim)
		b.Text(sc.Title(env), t.Title)
	}
	moods := []struct {
		mood state.Mood
		word string
	}{{state.Bad, "in trouble"}, {state.Busy, "busy"}, {state.Good, "active"}, {state.Idle, "idle"}}
	// From the right, as many as fit.
	type part struct {
		text string
		ink  draw.Ink
	}
	var parts []part
	width := 0
	for _, long := range []bool{true, false} {
		parts, width = parts[:0], 0
		for _, m := range moods {
			n := c.Moods[m.mood]
			if n == 0 && m.mood != state.Good {
				continue
			}
			text := widgets.Glyph(t, m.mood) + " " + strconv.Itoa(n)
			if long {
				text += " " + m.word
			}
			parts = append(parts, part{text, widgets.Ink(t, m.mood)})
			width += draw.Width(text) + 2
		}
		if width -= 2; width < b.Left() {
			break
		}
	}
	if width < b.Left() && len(s.snap.Rows) > 0 {
		b.To(s.width - width)
		for _, p := range parts {
			b.Text(p.text, p.ink)
			b.Space(2)
		}
	}
	b.End()
}

// trouble says what is wrong with the connection or the cluster as a whole, as
// long as something is, or of a failure for as long as it is news: briefer where it would not fit.
func (s *shell) trouble(env *screens.Env, width int) string {
	c := s.snap.Conn
	const quorum = "the cluster's store has no quorum"
	switch {
	case !c.Up && c.Endpoint == "":
		return ""
	case !c.Up && c.Err == "":
		return longest(width, "Connecting to "+c.Endpoint, "Connecting to the daemon")
	case !c.Up:
		why := ": " + draw.Clean(c.Err) + ". Trying again."
		where := "No daemon at " + c.Endpoint + why
		if c.Seen.IsZero() {
			return where
		}
		age := "Data " + widgets.Age(env.Now.Sub(c.Seen)) + " old. "
		return longest(width, age+where, age+"No daemon"+why, age+"No daemon.")
	case c.Quiet:
		age := "Data " + widgets.Age(env.Now.Sub(c.Seen)) + " old. "
		return longest(width, age+"The daemon at "+c.Endpoint+" doesn't answer: it hangs, or the way to it does.",
			age+"The daemon doesn't answer.", age+"No answer.")
	case s.snap.Store.Connected && s.snap.Leader.Hold != "":
		return "Failovers are held: " + draw.Clean(s.snap.Leader.Hold)
	case s.snap.Store.Connected:
		return s.failed(env.Now, width)
	case s.snap.Store.Since.IsZero():
		return longest(width, "The cluster's store has no quorum. Units keep running.", "The store has no quorum.")
	}
	age := "Data " + widgets.Age(env.Now.Sub(s.snap.Store.Since)) + " old: "
	return longest(width, age+quorum+". Units keep running.", age+"the store has no quorum. Units keep running.",
		age+"no quorum. Units keep running.", age+"no quorum.")
}

// longest is the first of some texts that fits, or the last.
func longest(width int, texts ...string) string {
	for _, text := range texts {
		if draw.Width(text) <= width {
			return text
		}
	}
	return texts[len(texts)-1]
}

// noticeLines are what was done, or why not, in as many lines as that takes.
func (s *shell) noticeLines(b *draw.Buf, said string, bad bool) []string {
	t := s.theme
	glyph, ink := t.Glyphs.Good, t.Good
	if bad {
		glyph, ink = t.Glyphs.Bad, t.Bad
	}
	b.Reset(s.width)
	if s.undoable() {
		said = draw.Fit(said, s.width*s.height/3-s.width) + " " + s.undoKey() + " undoes " + s.undoWord() + "."
	}
	text := draw.Wrap(draw.Fit(said, s.width*s.height/3), s.width-4)
	for i, line := range text[:min(len(text), s.height/3)] {
		if i == 0 {
			b.Text(" "+glyph, ink)
		}
		b.To(3)
		b.Text(line, t.Text)
		b.To(s.width)
		b.End()
	}
	return strings.Split(b.String(), "\n")
}

// footer is the prompt, or what the keys do.
func (s *shell) footer(b *draw.Buf) {
	t := s.theme
	if s.prompt != nil {
		s.prompt.Draw(b, t)
		b.End()
		return
	}
	s.keyBar(b)
	b.End()
}

// choices shows what the command line may become, above it.
func (s *shell) choices(screen string) string {
	list, chosen := s.prompt.Choices()
	room := min(8, s.height-4)
	if len(list) == 0 {
		return screen
	}
	from := 0
	if chosen >= room {
		from = chosen - room + 1
	}
	shown := list[from:min(len(list), from+room)]
	title := wording.Count(len(list), "choice") + ", tab takes the next"
	w := draw.Width(title) + 2
	for _, l := range shown {
		w = max(w, draw.Width(l))
	}
	w = min(w, s.width-6)
	var body []string
	for i, l := range shown {
		l = draw.Fit(l, w)
		if from+i == chosen {
			l = s.theme.Tab.Apply(l + strings.Repeat(" ", w-draw.Width(l)))
		}
		body = append(body, l)
	}
	box := widgets.Box(s.theme, title, body, w, s.theme.Border)
	return draw.Overlay(screen, box, 0, s.height-1-len(box))
}
