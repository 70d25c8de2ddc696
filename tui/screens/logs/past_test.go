package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/tuitest"
)

// record is a source that answers as a daemon does: bounds, the newest lines, errors, and cursors.
type record struct {
	screens.Client
	mu    sync.Mutex // guards what follows
	lines []journal.Entry
	asked []api.JournalOptions
	fails int           // requests that break off after half their lines
	more  chan struct{} // closed and made anew when there are more lines
}

// recorded is a source with lines of one machine, a second apart, every seventh an error.
func recorded(n int) *record {
	r := &record{more: make(chan struct{})}
	for i := range n {
		r.append(time.Duration(i) * time.Second)
	}
	return r
}

func (r *record) append(after time.Duration) {
	i := len(r.lines)
	e := entryAt(0, fmt.Sprint("line ", i))
	e.Time = e.Time.Add(after)
	if e.Cursor = journal.Cursor(fmt.Sprint("c", i)); i%7 == 0 {
		e.Priority = journal.Error
	}
	r.mu.Lock()
	r.lines = append(r.lines, e)
	close(r.more)
	r.more = make(chan struct{})
	r.mu.Unlock()
}

func (r *record) Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error {
	r.mu.Lock()
	r.asked = append(r.asked, o)
	fails := r.fails > 0
	if fails {
		r.fails--
	}
	at, wake := len(r.lines), r.more
	var list []journal.Entry
	since, _ := time.Parse(time.RFC3339Nano, o.Since)
	until, _ := time.Parse(time.RFC3339Nano, o.Until)
	filter := journal.Filter{Since: since, Until: until, Errors: o.Errors}
	after := -1
	if c := o.After["m1"]; c != "" {
		fmt.Sscanf(c, "c%d", &after)
		filter.Since, o.Lines = time.Time{}, 0
	}
	for i, l := range r.lines {
		if i > after && filter.Match(&l) {
			list = append(list, l)
		}
	}
	r.mu.Unlock()
	if o.Lines > 0 {
		list = list[max(0, len(list)-o.Lines):]
	}
	if fails {
		list = list[:len(list)/2]
	}
	for _, l := range list {
		if err := f(l); err != nil {
			return err
		}
	}
	if fails {
		return errors.New("the connection broke")
	}
	for o.Follow {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
		r.mu.Lock()
		fresh := slices.Clone(r.lines[at:])
		at, wake = len(r.lines), r.more
		r.mu.Unlock()
		for _, l := range fresh {
			if filter.Match(&l) {
				if err := f(l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// viewer is a screen under test, with what its commands bring.
type viewer struct {
	*Screen
	t    *testing.T
	src  *record
	env  *screens.Env
	late chan tea.Msg
	said string
}

func view(t *testing.T, src *record, s *Screen) *viewer {
	t.Helper()
	look, err := theme.New(lipgloss.NewRenderer(io.Discard), theme.Options{})
	if err != nil {
		t.Fatal(err)
	}
	km, _ := keys.NewMap(nil, false, false)
	v := &viewer{Screen: s, t: t, src: src, late: make(chan tea.Msg, 1000),
		env: &screens.Env{Theme: look, Keys: km, Client: src, Snap: &state.Snapshot{}, Now: tuitest.Noon.Add(48 * time.Hour)}}
	s.SetSize(100, 20)
	t.Cleanup(s.Close)
	v.run(s.Start(v.env))
	return v
}

func (v *viewer) run(cmd tea.Cmd) {
	if cmd != nil {
		go func() { v.late <- cmd() }()
	}
}

func (v *viewer) intend(i screens.Intent) {
	switch i := i.(type) {
	case screens.Run:
		v.run(i.Cmd)
	case screens.Say:
		v.said = i.Text
	}
}

func (v *viewer) bound(word, text string) { v.intend(v.Bound(v.env, word, text)) }
func (v *viewer) do(a keys.Action)        { v.intend(v.Do(v.env, a)) }

func (v *viewer) await(what string, done func() bool) {
	v.t.Helper()
	limit := time.After(20 * time.Second)
	for !done() {
		select {
		case m := <-v.late:
			switch m := m.(type) {
			case screens.Say:
				v.said = m.Text
			case tea.BatchMsg:
				for _, cmd := range m {
					v.run(cmd)
				}
			default:
				v.run(v.Update(v.env, m))
			}
		case <-limit:
			v.t.Fatalf("%s: %q\n%s", what, v.said, v.screen())
		}
	}
}

func (v *viewer) screen() string { return ansi.Strip(v.View(v.env)) }

// awaits waits for a text on the screen.
func (v *viewer) awaits(text string) {
	v.t.Helper()
	v.await(text, func() bool { return strings.Contains(v.screen(), text) })
}

// shows fails the test unless the lines from one to another are shown, and no others.
func (v *viewer) shows(from, to int) {
	v.t.Helper()
	v.await(fmt.Sprintf("lines %d to %d", from, to), func() bool { return len(v.page.shown) == to-from+1 })
	for i, e := range v.page.shown {
		if e.Message != fmt.Sprint("line ", from+i) {
			v.t.Fatalf("%q is the %dth line shown, expected line %d", e.Message, i, from+i)
		}
	}
}

func (v *viewer) at() string { return v.page.shown[v.cursor()].Message }

// TestBounds: since and until load what the journal has between them, each without the other, and esc takes them away.
func TestBounds(t *testing.T) {
	v := view(t, recorded(4000), New([]string{"a.service"}))
	v.shows(3500, 3999)
	const day = "2026-03-14 "
	v.bound(SinceWord, day+"12:10")
	v.shows(600, 3999)
	v.awaits("following · since Mar 14 12:10:00 · 3,400 lines")
	v.do(keys.Top)
	v.do(keys.Up)
	if !strings.HasPrefix(v.said, "The log is shown since Mar 14 12:10:00") {
		t.Errorf("above the bound it says %q", v.said)
	}
	v.bound(UntilWord, day+"12:20:00")
	v.shows(600, 1200)
	v.awaits("a.service Mar 14 12:10:00 to Mar 14 12:20:00 · 601 lines ")
	if asked := v.src.asked[len(v.src.asked)-1]; asked.Follow || asked.Lines != 0 {
		t.Errorf("it asks for %+v", asked)
	}
	v.bound(SinceWord, "")
	v.shows(701, 1200)
	v.awaits("until Mar 14 12:20:00 · 500 lines")
	v.do(keys.Top)
	v.do(keys.Up)
	v.shows(202, 1200) // the first of 500 was there already
	v.src.mu.Lock()
	v.src.fails = 1
	v.src.mu.Unlock()
	v.bound(SinceWord, day+"12:19")
	v.shows(1140, 1200) // each once, although the connection broke in between
	v.bound(SinceWord, day+"12:21")
	if !strings.HasPrefix(v.said, "Since Mar 14 12:21:00 is after until Mar 14 12:20:00") {
		t.Errorf("the wrong way around it says %q", v.said)
	}
	for text, want := range map[string]string{"soon": `"soon" is no time`, "tomorrow": "still to come"} {
		if v.bound(SinceWord, text); !strings.Contains(v.said, want) {
			t.Errorf("since %s says %q", text, v.said)
		}
	}
	v.do(keys.Back)
	v.shows(3500, 3999)
	v.awaits("following 500 lines")
	if v.Do(v.env, keys.Back) != nil {
		t.Error("esc does not leave the log")
	}
}

// TestGoTo goes to times that are loaded, that are to be loaded, and that are too far away to load all since then.
func TestGoTo(t *testing.T) {
	v := view(t, recorded(60000), New([]string{"a.service"}))
	v.shows(59500, 59999)
	when := func(line int) string {
		return tuitest.Noon.Add(time.Duration(line) * time.Second).Format(time.DateTime)
	}
	goTo := func(line int) {
		t.Helper()
		v.bound(GoToWord, when(line))
		v.await(fmt.Sprint("line ", line), func() bool { return len(v.page.shown) > 0 && v.paused && v.at() == fmt.Sprint("line ", line) })
		if first := strings.Split(v.screen(), "\n")[1+chartLines]; !strings.Contains(first, fmt.Sprint("line ", line)) {
			t.Errorf("the first line is %q, expected line %d", first, line)
		}
	}
	goTo(59700)
	v.shows(59500, 59999)
	goTo(57000)
	v.shows(57000, 59999)
	if n := v.unread(); n != 0 {
		t.Errorf("%d older lines count as new", n)
	}
	goTo(100)
	v.shows(100, 100+goToMost-1)
	v.await("a sentence", func() bool {
		return strings.HasPrefix(v.said, "50,000 lines from Mar 14 12:01:40 on are shown, up to Mar 15 01:54:59.")
	})
	v.do(keys.Top)
	v.do(keys.Up)
	v.await("the first lines", func() bool { return v.page.shown[0].Message == "line 0" })
	last := 100 + goToMost - 1
	v.bound(GoToWord, when(last)) // as it was said: the rest, and what comes
	v.shows(last, 59999)
	v.await("the first of them", func() bool { return v.paused && v.at() == fmt.Sprint("line ", last) })
	v.src.append(60000 * time.Second)
	v.shows(last, 60000)
	v.do(keys.Back)
	v.shows(59501, 60000)
	goTo(200)
	v.do(keys.Bottom)
	v.shows(59501, 60000)
	v.awaits("following 500 lines")
	v.bound(GoToWord, when(70000))
	if v.said != "Nothing shown was logged at or after Mar 15 07:26:40." {
		t.Errorf("behind the last line it says %q", v.said)
	}
	v.bound(GoToWord, "2026-03-13")
	v.await("the beginning", func() bool { return v.paused && v.at() == "line 0" })
}

// TestOnlyErrors: errors alone are asked for, and older ones too.
func TestOnlyErrors(t *testing.T) {
	src := recorded(700)
	v := view(t, src, NewErrors([]string{"a.service"}, tuitest.Noon.Add(350*time.Second)))
	v.awaits("since Mar 14 12:05:50 · 50 errors")
	for _, e := range v.page.shown {
		if !e.urgent {
			t.Errorf("%q is shown", e.Message)
		}
	}
	v.bound(SinceWord, "")
	v.awaits("following 100 errors")
	v.do(keys.OnlyErrors)
	v.shows(200, 699)
	v.do(keys.Back)
	v.awaits("since Mar 14 12:05:50 · 50 errors")
}

// TestJumpToNow leaves out what waits on the way and says so once, unless nothing is missing.
func TestJumpToNow(t *testing.T) {
	src := recorded(1000)
	v := view(t, src, New([]string{"a.service"}))
	v.shows(500, 999)
	v.stream.jump()
	src.append(1000 * time.Second)
	v.shows(500, 1000)
	src.mu.Lock()
	for i := range 500 {
		e := entryAt(1001+i, fmt.Sprint("line ", 1001+i))
		e.Cursor = journal.Cursor(fmt.Sprint("c", 1001+i))
		src.lines = append(src.lines, e) // without waking the follower: they wait on the way
	}
	src.mu.Unlock()
	v.condition.behind = 12 * time.Second
	v.awaits("12 s behind")
	if !v.Behind() {
		t.Error("the key bar offers no way on")
	}
	v.do(keys.Bottom)
	v.await("the newest", func() bool { return v.page.shown[len(v.page.shown)-1].Message == "line 1500" })
	var said []string
	for i, e := range v.page.shown {
		if e.Kind != "" {
			said = append(said, e.Text)
			if before, after := v.page.shown[i-1].Message, v.page.shown[i+1].Message; before != "line 1000" || after != "line 1401" {
				t.Errorf("it stands between %s and %s", before, after)
			}
		}
	}
	if want := []string{"unknown number of lines left out, 12:16:40 to 12:23:21 (:since 12:16:40)"}; !slices.Equal(said, want) {
		t.Errorf("it says %q, expected %q", said, want)
	}
	src.append(1501 * time.Second)
	v.await("what comes", func() bool { return v.page.shown[len(v.page.shown)-1].Message == "line 1501" })
}
