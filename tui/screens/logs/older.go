package logs

import (
	"errors"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
)

const (
	olderLines    = 500 // asked for at a time
	olderPatience = 10 * time.Second
)

// fetched is what came of asking for older lines.
type fetched struct {
	from *stream
	n    int
	err  error
}

// goesBack reports whether an action moves towards older lines.
func goesBack(a keys.Action) bool {
	return a == keys.Up || a == keys.HalfUp || a == keys.PageUp || a == keys.Top
}

// fetchOlder asks for lines before the oldest one, where the cursor is on that already.
func (s *Screen) fetchOlder(env *screens.Env) screens.Intent {
	if s.stream == nil || s.fetching || len(s.page.all) == 0 {
		return nil
	}
	if s.page.dropped > 0 || len(s.page.all)+olderLines > kept {
		return screens.Say{Text: "There is no room here for older lines: fleettop journal --until has them."}
	}
	if !s.span.since.IsZero() {
		return screens.Say{Text: "The log is shown since " + moment(s.span.since, env.Now) +
			": :since without a time shows older lines."}
	}
	s.fetching = true
	src, st, all := env.Client, s.stream, s.page.all
	o := api.JournalOptions{Units: s.units, Lines: olderLines, Until: all[0].Time.Format(time.RFC3339Nano),
		Errors: s.span.errors}
	return screens.Run{Cmd: func() tea.Msg {
		lines, _, err := read(src, st.done, o, olderPatience, kept, newKnown(all))
		if err != nil {
			return fetched{st, 0, err} // some of them may be missing in between
		}
		n := 0
		for _, l := range lines {
			if l.Kind == "" {
				n++
			}
		}
		st.pushOlder(lines)
		return fetched{st, n, nil}
	}}
}

// errClosed ends the reading of a log that is not shown any more.
var errClosed = errors.New("the log was closed")

// tookOlder says what came of it, and goes on upwards.
func (s *Screen) tookOlder(env *screens.Env, m fetched) tea.Cmd {
	if m.from != s.stream {
		return nil
	}
	s.fetching = false
	text := ""
	switch {
	case m.n > 0:
		s.upwards = true
		s.gather(env) // they may be there already
	case m.err != nil && !errors.Is(m.err, errClosed):
		text = "Older lines could not be read: " + brief(m.err) + "."
	default:
		text = "These are the first lines that the journal still has."
	}
	if text == "" {
		return nil
	}
	return func() tea.Msg { return screens.Say{Text: text} }
}

// goUpwards moves the cursor to the newest of the older lines, once they are on the page.
func (s *Screen) goUpwards() {
	if !s.upwards {
		return
	}
	if at := s.cursor(); at > 0 {
		s.upwards = false
		if s.paused {
			s.goTo(at - 1)
		}
	}
}
