// Package unitdetail is the screen of one unit: how it is, where and why there
// and not elsewhere, its file, what happened to it, and the end of its log.
package unitdetail

import (
	"context"
	"errors"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/screens/lasthour"
	"fleettop/tui/screens/logs"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

const (
	patience  = 10 * time.Second
	askAgain  = 2 * time.Second // after the cluster changed
	statesMax = 12
)

// Screen shows a unit.
type Screen struct {
	unit          string
	width, height int
	buf           draw.Buf
	scroll        widgets.Scroll
	log           *logs.Screen

	detail  *api.UnitDetail
	explain *api.Explanation
	err     error
	asked   time.Time
	asking  bool
	known   mark // what the answers are of
	states  []seen

	hour           *lasthour.Part
	processes      []api.UnitProcesses
	processesAt    time.Time // when they came
	processesDue   time.Time // when they were asked for
	processesAsked bool
}

// mark reports whether the answers are still current.
type mark struct {
	generation int64
	machine    string
	machines   int
	up         int
}

// seen is a state the unit was seen in.
type seen struct {
	at        time.Time
	word, sub string
	host      string
	mood      state.Mood
}

// answer is what the daemon says of a unit.
type answer struct {
	unit    string
	of      mark
	detail  *api.UnitDetail
	explain *api.Explanation
	err     error
}

// New returns the screen of a unit.
func New(unit string) *Screen {
	return &Screen{unit: unit, log: logs.New([]string{unit}), hour: lasthour.New(unit)}
}

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Detail }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return s.unit }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return false }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Close implements screens.Closer.
func (s *Screen) Close() { s.log.Close() }

// Start fetches the file and the explanation, and follows the log.
func (s *Screen) Start(env *screens.Env) tea.Cmd {
	s.note(env)
	return tea.Batch(s.ask(env), s.log.Start(env), s.inside(env, nil))
}

func (s *Screen) ask(env *screens.Env) tea.Cmd {
	s.asking, s.asked = true, env.Now
	client, unit, of := env.Client, s.unit, s.markOf(env)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		a := answer{unit: unit, of: of}
		if a.detail, a.err = client.Unit(ctx, unit); a.err == nil {
			a.explain, a.err = client.Explain(ctx, unit)
		}
		return a
	}
}

func (s *Screen) markOf(env *screens.Env) mark {
	m := mark{machines: env.Snap.Counts.Machines, up: env.Snap.Counts.MachinesUp}
	for _, r := range env.Snap.Of(s.unit) {
		m.generation, m.machine = r.Generation, m.machine+r.Machine
	}
	return m
}

// Update implements screens.Screen.
func (s *Screen) Update(env *screens.Env, msg tea.Msg) tea.Cmd {
	cmd := tea.Batch(s.log.Update(env, msg), s.inside(env, msg))
	if a, ok := msg.(answer); ok && a.unit == s.unit {
		s.asking, s.err = false, a.err
		var away *client.UnreachableError
		if !errors.As(a.err, &away) { // else it is asked again
			s.known = a.of
		}
		if a.err == nil {
			s.detail, s.explain = a.detail, a.explain
			s.detail.At = state.Anchor(s.detail.At.Add(-env.Snap.Ahead), env.Now)
		}
	}
	s.note(env)
	if !s.asking && env.Snap.Conn.Up && s.known != s.markOf(env) && env.Now.Sub(s.asked) > askAgain {
		return tea.Batch(cmd, s.ask(env))
	}
	return cmd
}

// note remembers the states the unit goes through.
func (s *Screen) note(env *screens.Env) {
	rows := env.Snap.Of(s.unit)
	if len(rows) != 1 {
		return
	}
	r := rows[0]
	now := seen{env.Now, r.Word, r.Sub, r.Host, r.Mood}
	if n := len(s.states); n > 0 {
		last := s.states[n-1]
		if last.word == now.word && last.sub == now.sub && last.host == now.host {
			return
		}
	}
	if len(s.states) == 0 && !r.Since.IsZero() {
		now.at = r.Since
	}
	s.states = append(s.states[max(0, len(s.states)-statesMax+1):], now)
}

// Do implements screens.Screen.
func (s *Screen) Do(_ *screens.Env, a keys.Action) screens.Intent {
	s.scroll.Do(a)
	return nil
}

// Target implements screens.Screen.
func (s *Screen) Target(*screens.Env) screens.Target {
	return screens.Target{Units: []string{s.unit}, Text: s.unit}
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	if env.Past {
		return s.draw(append(s.state(env, s.width), s.past(env, s.width)...), s.height)
	}
	below := 0
	if s.height >= 16 {
		below = max(4, min(10, s.height/4))
	}
	left, right := s.width, 0
	if s.width >= 100 {
		left = s.width * 9 / 20
		right = s.width - left - 3
	}
	var lines []line
	lines = append(lines, s.state(env, s.width)...)
	if right > 0 {
		lines = append(lines, beside(s.file(env, left), s.story(env, right), left)...)
	} else {
		lines = append(lines, s.story(env, left)...)
		lines = append(lines, line{})
		lines = append(lines, s.file(env, left)...)
	}
	drawn := s.draw(lines, s.height-below)
	if below == 0 {
		return drawn
	}
	s.log.SetSize(s.width, below)
	return drawn + "\n" + s.log.View(env)
}

// draw draws lines on so many, from where it is scrolled to.
func (s *Screen) draw(lines []line, room int) string {
	b := &s.buf
	b.Reset(s.width)
	s.scroll.Set(len(lines), room)
	from, to := s.scroll.Visible()
	for i := from; i < to; i++ {
		for _, p := range lines[i] {
			b.Text(p.text, p.ink)
		}
		b.End()
	}
	b.Blank(room)
	return b.String()
}

// piece is text in an ink; line is some of them.
type piece struct {
	text string
	ink  draw.Ink
}
type line []piece

func (l line) width() int {
	w := 0
	for _, p := range l {
		w += draw.Width(p.text)
	}
	return w
}

// with is the line with more, if it still has at most w columns.
func (l line) with(w int, more ...piece) line {
	if long := append(l, more...); long.width() <= w {
		return long
	}
	return l
}

// cut is the line in exactly w columns.
func (l line) cut(w int) line {
	var out line
	for _, p := range l {
		p.text = draw.Fit(p.text, w)
		w -= draw.Width(p.text)
		out = append(out, p)
	}
	return append(out, piece{text: blanks(w)})
}

func blanks(n int) string {
	const some = "                                                                                                                                "
	return some[:max(0, min(n, len(some)))]
}

// beside puts two columns of lines next to each other.
func beside(a, b []line, left int) []line {
	var out []line
	for i := range max(len(a), len(b)) {
		var l line
		if i < len(a) {
			l = a[i]
		}
		l = l.cut(left)
		l = append(l, piece{text: "   "})
		if i < len(b) {
			l = append(l, b[i]...)
		}
		out = append(out, l)
	}
	return out
}
