// Package logs is the screen of units' logs, and the panel below others that
// shows the same. It follows units wherever they run.
package logs

import (
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
)

// Screen shows the merged logs of units.
type Screen struct {
	width, height int
	buf           draw.Buf
	units         []string
	stream        *stream
	page          page
	condition
	span  span // that is shown
	first span // that it was opened with
	panel bool // it stands below another screen

	paused bool
	at     *entry // the cursor, while paused
	top    *entry // first on the screen, while paused
	read   uint64 // lines that had come when it was paused

	fetching bool // older lines were asked for
	upwards  bool // and the cursor is to go on to them

	goal   time.Time // the cursor is to go to, once the page has what was loaded for it; zero for none
	loaded time.Time // of the first line that was loaded for it; zero for any

	wrap   bool
	flat   bool // without the histogram
	stamps int  // none, time, date and time
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

// NewErrors returns the screen for the errors of units since a time.
func NewErrors(units []string, since time.Time) *Screen {
	s := New(units)
	s.first = span{since: since, errors: true}
	s.span = s.first
	return s
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
	s.stream = follow(client, s.units, s.span, env.Now.Location())
	return wait(s.stream)
}

// Show makes a panel show other units.
func (s *Screen) Show(env *screens.Env, units []string) tea.Cmd {
	if slices.Equal(units, s.units) {
		return nil
	}
	s.Close()
	*s = Screen{width: s.width, height: s.height, units: units, panel: true, wrap: s.wrap, stamps: s.stamps}
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

// found is where a search led.
type found struct {
	from   *stream
	entry  *entry // nil for nowhere
	around bool   // it went on from the other end
	none   string // what is said for nowhere
}

// Update implements screens.Screen.
func (s *Screen) Update(env *screens.Env, msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case arrived:
		if s.stream != nil && m.from == s.stream {
			s.gather(env)
			return wait(s.stream)
		}
	case screens.Tick:
		s.gather(env)
	case fetched:
		return s.tookOlder(env, m)
	case reached:
		return s.reachedTime(env, m)
	case found:
		switch {
		case m.from != s.stream:
		case m.entry == nil:
			return func() tea.Msg { return screens.Say{Text: m.none} }
		default:
			s.goTo(s.page.index(m.entry))
			if m.around {
				return func() tea.Msg { return screens.Say{Text: "Went on from the other end."} }
			}
		}
	}
	return nil
}

// gather takes what the stream has.
func (s *Screen) gather(env *screens.Env) {
	if s.stream == nil {
		return
	}
	was := s.page.filter.String()
	s.page, s.condition = s.stream.take(env.Snap.Called)
	if s.page.filter.String() != was {
		s.read, s.top = s.page.passed, nil
	}
	s.goUpwards()
	s.goToGoal(env)
}

// unread is how many lines came while it was paused.
func (s *Screen) unread() int {
	if !s.paused || s.page.passed < s.read {
		return 0
	}
	return int(s.page.passed - s.read)
}

// cursor is the index the next movement begins at.
func (s *Screen) cursor() int {
	if !s.paused {
		return len(s.page.shown) - 1
	}
	return s.page.index(s.at)
}

// goTo pauses with the cursor on an index; past the end it follows again.
func (s *Screen) goTo(i int) {
	n := len(s.page.shown)
	if n == 0 {
		return
	}
	if i >= n {
		s.follow()
		return
	}
	if !s.paused {
		s.paused, s.top, s.read = true, nil, s.page.passed
	}
	s.at = s.page.shown[max(0, i)]
}

func (s *Screen) follow() { s.paused, s.at, s.top = false, nil, nil }

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	at, page := s.cursor(), max(1, s.height-2)
	if at == 0 && goesBack(a) && s.paused {
		return s.fetchOlder(env)
	}
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
		return s.bottom(env)
	case keys.OnlyErrors:
		sp := s.span
		sp.errors = !sp.errors
		return s.show(env, sp)
	case keys.Histogram:
		s.flat = !s.flat
	case keys.Wrap:
		s.wrap = !s.wrap
	case keys.Stamps:
		s.stamps = (s.stamps + 1) % stampKinds
	case keys.Search:
		return screens.Ask{Label: "search: ", Text: s.search, Replace: true, Done: func(text string) screens.Intent {
			s.search = strings.ToLower(text)
			return s.seek(1, s.finds(), "Nothing has "+draw.Clean(text)+" in it.")
		}}
	case keys.SearchNext:
		return s.seek(1, s.finds(), "Nothing more is found; / searches for something else.")
	case keys.SearchPrev:
		return s.seek(-1, s.finds(), "Nothing more is found; / searches for something else.")
	case keys.NextError:
		return s.seek(1, isUrgent, "There is no error here.")
	case keys.PrevError:
		return s.seek(-1, isUrgent, "There is no error here.")
	case keys.FilterLog:
		return screens.Ask{Label: "show only: ", Text: s.page.filter.String(), Replace: true,
			Done: func(text string) screens.Intent {
				s.setFilter(state.ParseQuery(text))
				return nil
			}}
	case keys.Save:
		if env.Remote {
			return screens.Say{Text: screens.NoFiles}
		}
		return screens.Ask{Label: "save to file: ", Text: s.name(), Done: func(path string) screens.Intent {
			return screens.Save{Path: path}
		}}
	case keys.Back:
		return s.back(env)
	}
	return nil
}

// bottom follows, from now on where what was logged meanwhile is far behind or not loaded.
func (s *Screen) bottom(env *screens.Env) screens.Intent {
	s.follow()
	switch {
	case s.stream == nil:
	case s.span.more:
		return s.show(env, span{errors: s.span.errors})
	case s.behind > 0:
		s.stream.jump()
	}
	return nil
}

// Behind reports whether the log is so far behind that it can leave out what waits.
func (s *Screen) Behind() bool { return s.behind > 0 }

func (s *Screen) bottomKey(env *screens.Env) string { return env.Keys.Key(keys.Bottom) }

// show shows another part of the log, if one is open.
func (s *Screen) show(env *screens.Env, sp span) screens.Intent {
	if s.stream == nil {
		return nil
	}
	return screens.Run{Cmd: s.reopen(env, sp)}
}

func (s *Screen) setFilter(q state.Query) {
	if s.stream != nil {
		s.stream.setFilter(q)
	}
}

// back takes away the search, the filter, the bounds, the pause; nil leaves the screen.
func (s *Screen) back(env *screens.Env) screens.Intent {
	switch {
	case s.search != "":
		s.search = ""
	case !s.page.filter.Empty():
		s.setFilter(state.Query{})
	case s.span != s.first && s.stream != nil:
		return s.show(env, s.first)
	case s.paused:
		s.follow()
	default:
		return nil
	}
	return screens.Run{}
}

func isUrgent(e *entry) bool { return e.urgent }

// finds reports of an entry whether what is searched for is in it.
func (s *Screen) finds() func(*entry) bool {
	text := s.search
	return func(e *entry) bool { return text != "" && hasFold(e.view, text) }
}

// seek goes to the next entry that holds, around the end if need be. It may
// have to look at them all, and does that aside.
func (s *Screen) seek(step int, holds func(*entry) bool, none string) screens.Intent {
	at, p, from := s.cursor(), s.page, s.stream
	return screens.Run{Cmd: func() tea.Msg {
		i := p.find(at+step, step, holds)
		around := i < 0
		switch {
		case around && step > 0:
			i = p.find(0, 1, holds)
		case around:
			i = p.find(len(p.shown)-1, -1, holds)
		}
		if i < 0 {
			return found{from: from, none: none}
		}
		return found{from: from, entry: p.shown[i], around: around && i != at}
	}}
}

// name is a file name for what is shown.
func (s *Screen) name() string {
	if len(s.units) == 1 {
		return s.units[0] + ".log"
	}
	return "units.log"
}

// Target implements screens.Screen.
func (s *Screen) Target(*screens.Env) screens.Target {
	t := screens.Target{Units: slices.Clone(s.units)}
	if i := s.cursor(); i >= 0 && i < len(s.page.shown) {
		t.Text = s.page.shown[i].view
	}
	return t
}
