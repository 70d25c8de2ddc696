package logs

import (
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/journal"
	"fleettop/tui/screens"
)

// span is the part of a log that is shown. The zero value is the newest lines, and what comes.
type span struct {
	since, until time.Time // zero for no bound
	errors       bool      // only errors
	more         bool      // the journal has lines behind until, which nobody asked to leave out
}

// follows reports whether what comes is shown.
func (sp span) follows() bool { return sp.until.IsZero() }

// describe is what the header says of the bounds; empty where there are none.
func (sp span) describe(now time.Time) string {
	switch {
	case !sp.since.IsZero() && !sp.until.IsZero():
		return moment(sp.since, now) + " to " + moment(sp.until, now)
	case !sp.since.IsZero():
		return "since " + moment(sp.since, now)
	case !sp.until.IsZero():
		return "until " + moment(sp.until, now)
	}
	return ""
}

// moment is a time as people read it: with its date where that isn't today's.
func moment(t, now time.Time) string {
	t = t.In(now.Location())
	y, m, d := t.Date()
	switch ny, nm, nd := now.Date(); {
	case y == ny && m == nm && d == nd:
		return t.Format(time.TimeOnly)
	case y == ny:
		return t.Format("Jan 2 15:04:05")
	}
	return t.Format(time.DateTime)
}

// Words of the command line that bound the log or lead to a time.
const (
	SinceWord = "since"
	UntilWord = "until"
	GoToWord  = "goto"
)

// Bound carries out a command: since and until show the log from or up to a time, and without one take that bound
// away; goto leads to the first line at or after a time.
func (s *Screen) Bound(env *screens.Env, word, text string) screens.Intent {
	if s.stream == nil {
		return screens.Say{Text: "No log is open: press l on a unit, then :" + word + " works."}
	}
	var at time.Time
	if text = strings.TrimSpace(text); text != "" {
		var err error
		if at, err = journal.ParsePast(text, env.Now); err != nil {
			return screens.Say{Text: brief(err) + "."}
		}
	}
	sp := s.span
	switch word {
	case GoToWord:
		if at.IsZero() {
			return screens.Say{Text: "Name a time: :goto 10:31:07, :goto -15m or :goto yesterday 10:31."}
		}
		return s.goToTime(env, at)
	case SinceWord:
		sp.since = at
	case UntilWord:
		sp.until, sp.more = at, false
	}
	if !sp.since.IsZero() && !sp.until.IsZero() && sp.since.After(sp.until) {
		return screens.Say{Text: "Since " + moment(sp.since, env.Now) + " is after until " + moment(sp.until, env.Now) +
			": nothing was logged between them. :" + word + " without a time takes that bound away."}
	}
	return screens.Run{Cmd: s.reopen(env, sp)}
}

// reopen shows another part of the same log.
func (s *Screen) reopen(env *screens.Env, sp span) tea.Cmd {
	filter := s.page.filter
	s.leave()
	s.span = sp
	cmd := s.Start(env)
	s.setFilter(filter)
	return cmd
}

// leave closes what is shown, but for how it is shown.
func (s *Screen) leave() {
	s.Close()
	*s = Screen{width: s.width, height: s.height, units: s.units, first: s.first, panel: s.panel, wrap: s.wrap,
		stamps: s.stamps, search: s.search, flat: s.flat}
}
