package logs

import (
	"context"
	"errors"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/journal"
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
	s.fetching = true
	src, st, units, all := env.Client, s.stream, s.units, s.page.all
	return screens.Run{Cmd: func() tea.Msg {
		lines, err := before(src, st.done, units, all)
		st.pushOlder(lines)
		return fetched{st, len(lines), err}
	}}
}

// errClosed ends the reading of a log that is not shown any more.
var errClosed = errors.New("the log was closed")

// before reads the lines of units before the oldest of those that are known. Of the same moment
// it leaves out what is known.
func before(src Source, done <-chan struct{}, units []string, all []*entry) (lines []journal.Entry, err error) {
	type place struct {
		machine string
		cursor  journal.Cursor
		message string
	}
	oldest, known := all[0].Time, map[place]bool{}
	for _, e := range all {
		if e.Time.After(oldest) {
			break
		}
		known[place{e.Machine, e.Cursor, e.Message}] = true
	}
	ctx, cancel := context.WithTimeout(context.Background(), olderPatience)
	defer cancel()
	o := api.JournalOptions{Units: units, Lines: olderLines, Until: oldest.Format(time.RFC3339Nano)}
	err = src.Journal(ctx, o, func(l journal.Entry) error {
		select {
		case <-done:
			return errClosed
		default:
		}
		if l.Kind == "" && !l.Time.After(oldest) && !known[place{l.Machine, l.Cursor, l.Message}] {
			lines = append(lines, l)
		}
		return nil
	})
	return lines, err
}

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

// pushOlder hands older lines to the line buffer.
func (s *stream) pushOlder(lines []journal.Entry) {
	s.mu.Lock()
	s.older = append(s.older, slices.Clone(lines)...)
	s.mu.Unlock()
	poke(s.wake)
}
