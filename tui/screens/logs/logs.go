// Package logs is the screen of units' logs, and the panel below others that
// shows the same. It follows units wherever they run.
package logs

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// Screen shows the merged logs of units.
type Screen struct {
	width, height int
	buf           draw.Buf
	units         []string
	stream        *stream
	book          book
	trouble       string

	paused bool
	at     *entry // the cursor, while paused
	top    *entry // first on the screen, while paused
	unread int    // lines that came while paused

	wrap   bool
	stamps int // none, time, date and time
	search string
}

const (
	noStamps = iota
	timeStamps
	dateStamps
	stampKinds
)

// New returns the screen for units; it follows them once started.
func New(units []string) *Screen {
	return &Screen{units: units, wrap: true, stamps: timeStamps}
}

// arrived says that a stream has something.
type arrived struct{ from *stream }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Logs }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "logs" }

// Filters implements screens.Screen: it has a filter of its own, beside the search.
func (s *Screen) Filters() bool { return false }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Start begins to follow.
func (s *Screen) Start(env *screens.Env) tea.Cmd {
	if len(s.units) == 0 || s.stream != nil {
		return nil
	}
	client := env.Client
	s.stream = follow(client, s.units)
	return wait(s.stream)
}

// Show makes a panel show other units.
func (s *Screen) Show(env *screens.Env, units []string) tea.Cmd {
	if slices.Equal(units, s.units) {
		return nil
	}
	s.Close()
	*s = Screen{width: s.width, height: s.height, units: units, wrap: s.wrap, stamps: s.stamps}
	return s.Start(env)
}

// Close implements screens.Closer.
func (s *Screen) Close() {
	if s.stream != nil {
		s.stream.close()
		s.stream = nil
	}
}

// wait brings word of what arrives, not more often than a person can read.
func wait(st *stream) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-st.done:
			return nil
		case <-st.changed:
		}
		select {
		case <-st.done:
			return nil
		case <-time.After(gather):
			return arrived{st}
		}
	}
}

// Update implements screens.Screen.
func (s *Screen) Update(env *screens.Env, msg tea.Msg) tea.Cmd {
	m, ok := msg.(arrived)
	if !ok || s.stream == nil || m.from != s.stream {
		return nil
	}
	s.book.called = env.Snap.Called
	s.gather()
	return wait(s.stream)
}

// gather takes what the stream has.
func (s *Screen) gather() {
	if s.stream == nil {
		return
	}
	lines, dropped, trouble := s.stream.take()
	s.book.dropped += dropped
	s.trouble = trouble
	before := len(s.book.shown)
	s.book.add(lines)
	if s.paused {
		s.unread += max(0, len(s.book.shown)-before)
	}
}

// index of an entry among those shown; the nearest one if it fell out.
func (s *Screen) index(e *entry) int {
	if e == nil || e.gone {
		return 0
	}
	if i := slices.Index(s.book.shown, e); i >= 0 {
		return i
	}
	i, _ := slices.BinarySearchFunc(s.book.shown, e, func(a, b *entry) int { return a.Time.Compare(b.Time) })
	return min(i, len(s.book.shown)-1)
}

// cursor is the index the next movement begins at.
func (s *Screen) cursor() int {
	if !s.paused {
		return len(s.book.shown) - 1
	}
	return s.index(s.at)
}

// goTo pauses with the cursor on an index; past the end it follows again.
func (s *Screen) goTo(i int) {
	n := len(s.book.shown)
	if n == 0 {
		return
	}
	if i >= n {
		s.follow()
		return
	}
	if !s.paused {
		s.paused, s.top = true, nil
	}
	s.at = s.book.shown[max(0, i)]
}

func (s *Screen) follow() { s.paused, s.at, s.top, s.unread = false, nil, nil, 0 }

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	at, page := s.cursor(), max(1, s.height-2)
	switch a {
	case keys.Pause:
		if s.paused {
			s.follow()
		} else {
			s.goTo(at)
		}
	case keys.Up:
		s.goTo(at - 1)
	case keys.Down:
		s.goTo(at + 1)
	case keys.HalfUp:
		s.goTo(at - page/2)
	case keys.HalfDown:
		s.goTo(at + page/2)
	case keys.PageUp:
		s.goTo(at - page)
	case keys.PageDown:
		s.goTo(at + page)
	case keys.Top:
		s.goTo(0)
	case keys.Bottom:
		s.follow()
	case keys.Wrap:
		s.wrap = !s.wrap
	case keys.Stamps:
		s.stamps = (s.stamps + 1) % stampKinds
	case keys.Search:
		return screens.Ask{Label: "search: ", Text: s.search, Done: func(text string) screens.Intent {
			s.search = strings.ToLower(text)
			return s.seek(1, s.found, "Nothing has "+text+" in it.")
		}}
	case keys.SearchNext:
		return s.seek(1, s.found, "Nothing more is found; / searches for something else.")
	case keys.SearchPrev:
		return s.seek(-1, s.found, "Nothing more is found; / searches for something else.")
	case keys.NextError:
		return s.seek(1, (*entry).urgent, "There is no error here.")
	case keys.PrevError:
		return s.seek(-1, (*entry).urgent, "There is no error here.")
	case keys.FilterLog:
		return screens.Ask{Label: "show only: ", Text: s.book.filter.String(), Done: func(text string) screens.Intent {
			s.book.called = env.Snap.Called
			s.book.setFilter(state.ParseQuery(text))
			s.top = nil
			return nil
		}}
	case keys.Save:
		if env.Remote {
			return screens.Say{Text: screens.NoFiles}
		}
		return screens.Ask{Label: "save to file: ", Text: s.name(), Done: func(path string) screens.Intent {
			n, err := s.Save(path)
			if err != nil {
				return screens.Say{Text: "Not saved: " + err.Error() + ". Name a file that can be written."}
			}
			return screens.Say{Text: "Saved " + widgets.Plural(n, "line") + " to " + path + "."}
		}}
	case keys.Back:
		return s.back()
	}
	return nil
}

// back takes away the search, the filter, the pause; nil leaves the screen.
func (s *Screen) back() screens.Intent {
	switch {
	case s.search != "":
		s.search = ""
	case !s.book.filter.Empty():
		s.book.setFilter(state.Query{})
	case s.paused:
		s.follow()
	default:
		return nil
	}
	return screens.Run{}
}

func (s *Screen) found(e *entry) bool { return s.search != "" && strings.Contains(e.low(), s.search) }

// seek goes to the next entry that holds, around the end if need be.
func (s *Screen) seek(step int, holds func(*entry) bool, none string) screens.Intent {
	at := s.cursor()
	i := s.book.find(at+step, step, holds)
	around := false
	if i < 0 {
		around = true
		if step > 0 {
			i = s.book.find(0, 1, holds)
		} else {
			i = s.book.find(len(s.book.shown)-1, -1, holds)
		}
	}
	if i < 0 {
		return screens.Say{Text: none}
	}
	s.goTo(i)
	if around && i != at {
		return screens.Say{Text: "Went on from the other end."}
	}
	return nil
}

// name is a file name for what is shown.
func (s *Screen) name() string {
	if len(s.units) == 1 {
		return s.units[0] + ".log"
	}
	return "units.log"
}

// Save writes what is shown to a file, and tells how many lines it was.
func (s *Screen) Save(path string) (int, error) {
	var b strings.Builder
	for _, e := range s.book.shown {
		b.WriteString(e.Time.Format(time.RFC3339Nano) + " ")
		if e.Kind == "" {
			b.WriteString(e.Machine + " " + e.Unit + " " + level(e.Priority) + ": ")
		}
		b.WriteString(e.text() + "\n")
	}
	return len(s.book.shown), os.WriteFile(path, []byte(b.String()), 0o600)
}

// Target implements screens.Screen.
func (s *Screen) Target(*screens.Env) screens.Target {
	t := screens.Target{Units: slices.Clone(s.units)}
	if i := s.cursor(); i >= 0 && i < len(s.book.shown) {
		t.Text = s.book.shown[i].text()
	}
	return t
}

func (s *Screen) numbers() string { return strconv.Itoa(len(s.book.shown)) }

// Poll takes what has arrived without waiting for word of it.
func (s *Screen) Poll() { s.gather() }
