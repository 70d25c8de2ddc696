package logs

import (
	"context"
	"errors"
	"sort"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/screens"
	"fleettop/units/wording"
)

const (
	goToMost     = 50000 // lines loaded to go to a time
	goToPatience = 30 * time.Second
)

// reached is what came of reading a log from a time on.
type reached struct {
	from  *stream
	at    time.Time
	first time.Time // of the lines read
	n     int
	whole bool            // all that there is was read, and nothing was loaded before
	cut   []journal.Entry // the first lines from that time on, where there are more than are loaded
	err   error
}

// goToTime goes to the first line at or after a time, and loads what is missing up to it.
func (s *Screen) goToTime(env *screens.Env, at time.Time) screens.Intent {
	all := s.page.all
	switch {
	case !s.span.since.IsZero() && at.Before(s.span.since):
		return screens.Say{Text: "The log is shown since " + moment(s.span.since, env.Now) +
			": :since without a time shows all of it."}
	case s.fetching:
		return screens.Say{Text: "Older lines are still being loaded."}
	case len(all) == 0 && !s.whole:
		s.goal = at // once they have come
		return nil
	case len(all) == 0:
		return screens.Say{Text: "No line is shown: :since without a time shows all of the log."}
	case s.span.more && !at.Before(s.span.until.Truncate(time.Second)): // as people read that time, and write it
		sp := s.span
		sp.until, sp.more = time.Time{}, false
		return s.readFrom(env, at, sp, nil)
	case !at.Before(all[0].Time):
		return s.goToLoaded(env, at)
	}
	return s.readFrom(env, at, s.span, all)
}

// goToLoaded goes to the first line at or after a time, of those that are loaded.
func (s *Screen) goToLoaded(env *screens.Env, at time.Time) screens.Intent {
	shown := s.page.shown
	i := sort.Search(len(shown), func(i int) bool { return !shown[i].Time.Before(at) })
	if i == len(shown) {
		return screens.Say{Text: "Nothing shown was logged at or after " + moment(at, env.Now) + "."}
	}
	s.goTo(i)
	s.top = s.at
	return nil
}

// readFrom reads from a time up to what is loaded already, which is by time and may be nothing.
func (s *Screen) readFrom(env *screens.Env, at time.Time, sp span, all []*entry) screens.Intent {
	s.fetching = true
	src, st, units := env.Client, s.stream, s.units
	return screens.Run{Cmd: func() tea.Msg {
		m := reached{from: st, at: at}
		room := goToMost
		o := api.JournalOptions{Units: units, Since: at.Format(time.RFC3339Nano), Errors: sp.errors}
		switch {
		case len(all) > 0:
			o.Until = all[0].Time.Format(time.RFC3339Nano)
			room = min(room, kept-len(all))
		case !sp.until.IsZero():
			o.Until = sp.until.Format(time.RFC3339Nano)
		}
		lines, whole, err := read(src, st.done, o, goToPatience, max(room, olderLines), newKnown(all))
		switch {
		case whole && len(all) > 0 && len(lines) <= room:
			m.n = len(lines)
			if m.n > 0 {
				m.first = lines[0].Time
				st.pushOlder(lines)
			}
		case whole && len(all) == 0:
			m.n, m.whole = len(lines), true
		case len(lines) > 0: // the rest is missing: what is loaded can't stand behind it
			m.n, m.cut = len(lines), lines
		case !whole:
			m.err = err
		}
		return m
	}}
}

// reachedTime shows what came of it.
func (s *Screen) reachedTime(env *screens.Env, m reached) tea.Cmd {
	if m.from != s.stream {
		return nil
	}
	s.fetching = false
	say := func(text string) tea.Cmd { return func() tea.Msg { return screens.Say{Text: text} } }
	switch {
	case m.err != nil && errors.Is(m.err, errClosed):
	case m.err != nil:
		return say("The log from " + moment(m.at, env.Now) + " on could not be read: " + brief(m.err) + ".")
	case m.cut != nil:
		last := m.cut[len(m.cut)-1].Time
		filter, sp := s.page.filter, s.span
		s.leave()
		s.span = span{until: last, errors: sp.errors, more: true}
		s.stream = still(m.cut)
		s.setFilter(filter)
		s.goal = m.at
		end := moment(last, env.Now)
		return tea.Batch(wait(s.stream), say(wording.Number(len(m.cut))+" lines from "+moment(m.at, env.Now)+
			" on are shown, up to "+end+". :goto "+end+" shows the next ones, and "+s.bottomKey(env)+" goes to now."))
	case m.whole && m.n > 0:
		cmd := s.reopen(env, span{since: m.at, errors: s.span.errors})
		s.goal = m.at
		return cmd
	case m.n == 0:
		if len(s.page.shown) > 0 {
			s.goTo(0)
		}
		return say("The journal has nothing from " + moment(m.at, env.Now) + " that isn't shown.")
	default:
		s.goal, s.loaded = m.at, m.first
		s.gather(env) // they may be there already
	}
	return nil
}

// goToGoal moves the cursor to a time, once what was read for it is on the page.
func (s *Screen) goToGoal(env *screens.Env) {
	all := s.page.all
	if s.goal.IsZero() || len(all) == 0 || !s.loaded.IsZero() && all[0].Time.After(s.loaded) {
		return
	}
	at := s.goal
	s.goal, s.loaded = time.Time{}, time.Time{}
	s.goToLoaded(env, at)
}

// errEnough ends the reading of lines, as there is no room for more.
var errEnough = errors.New("there are enough lines")

// read reads lines that are not known yet, oldest first; whole reports that there are no more. What is said between
// lines is told once.
func read(src Source, done <-chan struct{}, o api.JournalOptions, patience time.Duration, most int,
	old known) (lines []journal.Entry, whole bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var notes []journal.Entry
	err = src.Journal(ctx, o, func(l journal.Entry) error {
		select {
		case <-done:
			return errClosed
		default:
		}
		switch {
		case l.Kind == journal.KindPosition || old.has(&l):
		case l.Kind != "" && !old.begins.IsZero() && l.Time.After(old.begins):
			notes = append(notes, l) // said now, of what is missing there
		case l.Kind == "" && !old.begins.IsZero() && l.Time.After(old.begins):
		case len(lines) >= most:
			return errEnough
		default:
			lines = append(lines, l)
		}
		return nil
	})
	if len(notes) > 0 {
		at := old.begins
		if len(lines) > 0 {
			at = lines[0].Time
		}
		for i := range notes {
			notes[i].Time = at
		}
		lines = append(notes, lines...)
	}
	return lines, err == nil, err
}

// known are the first lines of those that are loaded: what is read up to them may have them again.
type known struct {
	begins time.Time // zero for nothing
	at     map[place]bool
}

// place is where a line stands in the log of a machine.
type place struct {
	machine string
	cursor  journal.Cursor
	text    string
}

func placeOf(l *journal.Entry) place { return place{l.Machine, l.Cursor, l.Message + l.Text} }

func newKnown(all []*entry) known {
	k := known{at: map[place]bool{}}
	if len(all) == 0 {
		return k
	}
	k.begins = all[0].Time
	for _, e := range all {
		if e.Time.After(k.begins) {
			break
		}
		k.at[placeOf(&e.Entry)] = true
	}
	return k
}

func (k known) has(l *journal.Entry) bool { return k.at[placeOf(l)] }
