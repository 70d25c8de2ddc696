package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
)

// past is a source with a long past: two lines a second, of which the followers get the newest.
type past struct {
	screens.Client
	lines int
	mu    sync.Mutex // guards fails
	fails error
}

func (p *past) Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error {
	p.mu.Lock()
	fails := p.fails
	p.mu.Unlock()
	if !o.Follow && fails != nil {
		return fails
	}
	var all []journal.Entry
	for i := range p.lines {
		e := entryAt(i/2, fmt.Sprint("line ", i))
		e.Cursor = journal.Cursor(fmt.Sprint("c", i))
		if until, err := time.Parse(time.RFC3339Nano, o.Until); err == nil && e.Time.After(until) {
			break
		}
		all = append(all, e)
	}
	for _, e := range all[max(0, len(all)-o.Lines):] {
		if err := f(e); err != nil {
			return err
		}
	}
	if o.Follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// TestOlderLines: going up from the first line loads older ones, each once, until there are no more. The cursor
// goes on from where it was, and what came that way doesn't count as new.
func TestOlderLines(t *testing.T) {
	src := &past{lines: 1234}
	env := &screens.Env{Client: src, Snap: &state.Snapshot{}}
	s := New([]string{"a.service"})
	s.SetSize(80, 20)
	defer s.Close()
	late := make(chan tea.Msg, 100)
	run := func(cmd tea.Cmd) {
		if cmd != nil {
			go func() { late <- cmd() }()
		}
	}
	said := ""
	await := func(what string, done func() bool) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for !done() {
			select {
			case m := <-late:
				if say, ok := m.(screens.Say); ok {
					said = say.Text
				} else {
					run(s.Update(env, m))
				}
			case <-limit:
				t.Fatalf("%s: %d lines, the cursor on %d, %q", what, len(s.page.shown), s.cursor(), said)
			}
		}
	}
	do := func(a keys.Action) {
		switch i := s.Do(env, a).(type) {
		case screens.Run:
			run(i.Cmd)
		case screens.Say:
			said = i.Text
		}
	}
	run(s.Start(env))
	await("the newest", func() bool { return len(s.page.shown) == backlog })
	do(keys.Top)
	if s.fetching {
		t.Fatal("going to the first line asks for older ones")
	}
	first := s.page.shown[0].Message
	do(keys.Up)
	await("older ones", func() bool { return len(s.page.shown) > backlog && !s.upwards })
	if at := s.cursor(); s.page.shown[at+1].Message != first {
		t.Errorf("the cursor is on %q, and was on %q", s.page.shown[at].Message, first)
	}
	if n := s.unread(); n != 0 {
		t.Errorf("%d older lines count as new", n)
	}
	src.mu.Lock()
	src.fails = errors.New("no daemon answers\nsee its log")
	src.mu.Unlock()
	do(keys.Top)
	do(keys.PageUp)
	await("a failure", func() bool { return said == "Older lines could not be read: no daemon answers." })
	src.mu.Lock()
	src.fails = nil
	src.mu.Unlock()
	for said != "These are the first lines that the journal still has." {
		do(keys.Top)
		n := len(s.page.shown)
		do(keys.Up)
		await("the rest", func() bool {
			return !s.fetching && (len(s.page.shown) > n && !s.upwards || said == "These are the first lines that the journal still has.")
		})
	}
	if len(s.page.shown) != src.lines {
		t.Errorf("%d lines of %d", len(s.page.shown), src.lines)
	}
	for i, e := range s.page.shown {
		if e.Message != fmt.Sprint("line ", i) {
			t.Fatalf("%q is line %d", e.Message, i)
		}
	}
	s.page.dropped = 1
	do(keys.Top)
	do(keys.Up)
	if said != "There is no room here for older lines: fleettop journal --until has them." {
		t.Error(said)
	}
}
