// Package drill is the screen of a drill under way: how long the machine is still
// out, and what becomes of each unit.
package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// Screen is the report of one drill, as far as the timeline tells.
type Screen struct {
	plan   *api.DrillPlan
	drill  api.DrillReply
	began  time.Time // by the clock here
	cursor widgets.List
	buf    draw.Buf

	width, height int
	made          uint64 // the snapshot that the report was made of
	report        *api.DrillReport
}

// New returns the screen of a drill that has begun.
func New(plan *api.DrillPlan, d api.DrillReply, now time.Time) *Screen {
	return &Screen{plan: plan, drill: d, began: now}
}

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Report }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "drill of " + s.drill.MachineName }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return false }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Update implements screens.Screen.
func (s *Screen) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	rows := s.rows(env)
	key := func(i int) string { return rows[i].Unit }
	s.cursor.Sync(len(rows), key)
	s.cursor.Do(a, key)
	return nil
}

// Target implements screens.Screen: the whole report, to be copied.
func (s *Screen) Target(env *screens.Env) screens.Target {
	lines := []string{s.Title(env)}
	for _, u := range s.rows(env) {
		text, _ := said(env.Theme, u, env.Now)
		lines = append(lines, u.Unit+"  "+text)
	}
	return screens.Target{Text: strings.Join(append(lines, s.summary()...), "\n")}
}

// sync makes the report of what the timeline has.
func (s *Screen) sync(env *screens.Env) {
	if s.report != nil && s.made == env.Snap.Gen {
		return
	}
	var events []cluster.Event
	for _, e := range env.Snap.Timeline {
		events = append(events, e.Event)
		events = append(events, e.Block...)
	}
	s.report, s.made = api.NewDrillReport(s.drill, events, env.Snap.Called), env.Snap.Gen
}

// rows are the units that moved, or are to.
func (s *Screen) rows(env *screens.Env) []api.DrillUnit {
	s.sync(env)
	rows := slices.Clone(s.report.Units)
	known := map[string]bool{}
	for _, u := range rows {
		known[u.Unit] = true
	}
	for _, m := range s.plan.Moves {
		if !known[m.Unit] && !s.report.Over {
			rows = append(rows, api.DrillUnit{Unit: m.Unit, From: s.drill.MachineName})
		}
	}
	for _, u := range s.plan.Nowhere {
		if !known[u.Unit] && !s.report.Over {
			rows = append(rows, api.DrillUnit{Unit: u.Unit, From: s.drill.MachineName, Nowhere: true})
		}
	}
	slices.SortFunc(rows, func(a, b api.DrillUnit) int { return strings.Compare(a.Unit, b.Unit) })
	return rows
}

// said is what became of a unit, in a few words.
func said(t *theme.Theme, u api.DrillUnit, now time.Time) (string, draw.Ink) {
	switch {
	case u.Nowhere && u.Outage == nil:
		return "has nowhere to go", t.Bad
	case u.Nowhere:
		return fmt.Sprintf("nowhere to go until %s, %s without a place", widgets.Clock(u.Until, now), widgets.Outage(u.Outage.Total())), t.Busy
	case u.Outage != nil:
		return fmt.Sprintf("%s → %s  outage %s", u.From, u.To, widgets.Outage(u.Outage.Total())), t.Good
	case u.To != "":
		return fmt.Sprintf("%s → %s  starting", u.From, u.To), t.Busy
	}
	return "is to move", t.Dim
}

// state says how far the drill is.
func (s *Screen) state(env *screens.Env) (string, draw.Ink) {
	t := env.Theme
	left := time.Duration(s.drill.Seconds*float64(time.Second)) - env.Now.Sub(s.began)
	switch {
	case s.report.NotOut:
		return draw.Clean(strings.TrimPrefix(s.report.End, "drill: ")), t.Bad
	case s.report.Over:
		return draw.Clean(strings.TrimPrefix(s.report.End, "drill: ")), t.Good
	case left > 0:
		return fmt.Sprintf("%s is out, and comes back by itself in %s, also when this console is closed.", s.drill.MachineName,
			widgets.Age(left.Round(time.Second))), t.Busy
	}
	return fmt.Sprintf("%s is to be back now: waiting for it, for %s.", s.drill.MachineName, widgets.Age(-left)), t.Busy
}

// summary are the sentences below the units.
func (s *Screen) summary() (lines []string) {
	if n := len(s.drill.Global); n > 0 {
		lines = append(lines, fmt.Sprintf("Away there with it, as they run on every machine: %s", strings.Join(s.drill.Global, ", ")))
	}
	if s.report.Summary != "" {
		lines = append(lines, draw.Clean(strings.TrimPrefix(s.report.Summary, "drill: ")))
	}
	if s.report.Over && len(s.report.Units) > 0 {
		lines = append(lines, "Units that have moved stay where they are; `fleettop rebalance` brings them back.")
	}
	return lines
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	b, t := &s.buf, env.Theme
	b.Reset(s.width)
	rows := s.rows(env)
	text, ink := s.state(env)
	s.text(text, ink, 3)
	by := ""
	if s.report.By != "" {
		by = " by " + draw.Clean(s.report.By)
	}
	s.text(fmt.Sprintf("Drill of %s, for %s, begun%s at %s: as a loss of its power", s.drill.MachineName,
		wording.Age(time.Duration(s.drill.Seconds*float64(time.Second))), by, widgets.Clock(s.began, env.Now)), t.Dim, 2)
	s.text("", t.Dim, 1)
	width := 4
	for _, u := range rows {
		width = max(width, min(40, draw.Width(u.Unit)))
	}
	width = min(width, max(10, s.width/2-4))
	summary := s.summary()
	room := max(1, s.height-b.Lines()-2*len(summary)-1)
	key := func(i int) string { return rows[i].Unit }
	s.cursor.SetHeight(room)
	s.cursor.Sync(len(rows), key)
	from, to := s.cursor.Visible()
	for i := from; i < to; i++ {
		mark := "  "
		if i == s.cursor.Index() {
			mark = "› "
		}
		b.Text(mark, t.Key)
		b.Cell(draw.Clean(rows[i].Unit), width, draw.Left, t.Text)
		b.Space(2)
		text, ink := said(t, rows[i], env.Now)
		b.Text(draw.Clean(text), ink)
		b.End()
	}
	if len(rows) == 0 {
		s.text("No unit was to move.", t.Dim, 1)
	}
	s.text("", t.Dim, 1)
	for _, line := range summary {
		s.text(line, t.Text, 2)
	}
	b.Blank(s.height)
	return b.String()
}

// text writes a sentence in at most some lines, where there is room.
func (s *Screen) text(text string, ink draw.Ink, most int) {
	lines := draw.Wrap(text, s.width-2)
	if len(lines) == 0 {
		lines = []string{""}
	}
	for _, line := range lines[:min(most, len(lines))] {
		if s.buf.Lines() >= s.height {
			return
		}
		s.buf.Space(1)
		s.buf.Text(line, ink)
		s.buf.End()
	}
}
