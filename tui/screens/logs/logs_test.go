package logs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

func entryAt(i int, message string) api.LogLine {
	return api.LogLine{Time: tuitest.Noon.Add(time.Duration(i) * time.Second), Unit: "a.service", Machine: "m1", Priority: 6, Message: message}
}

func TestTheBookIsBoundedAndInOrder(t *testing.T) {
	b := book{called: func(id string) string { return id }}
	for i := range kept + 500 {
		b.add([]api.LogLine{entryAt(i, fmt.Sprint("line ", i))})
	}
	if len(b.all) != kept || b.dropped != 500 || b.all[0].Message != "line 500" {
		t.Errorf("%d lines, %d dropped, the first is %q", len(b.all), b.dropped, b.all[0].Message)
	}
	b.add([]api.LogLine{entryAt(kept, "late")}) // from another unit, a little behind
	if at := len(b.all) - 1; b.all[at].Message == "late" || b.all[at-499].Message != "late" {
		t.Errorf("what came late is not in its place")
	}
	b.setFilter(state.ParseQuery("late"))
	if len(b.shown) != 1 {
		t.Errorf("the filter leaves %d", len(b.shown))
	}
	b.setFilter(state.ParseQuery("!line"))
	b.add([]api.LogLine{entryAt(kept+600, "line more"), entryAt(kept+601, "other")})
	if len(b.shown) != 2 || b.shown[1].Message != "other" {
		t.Errorf("new lines pass the filter wrongly: %d", len(b.shown))
	}
}

func TestPauseLosesNothing(t *testing.T) {
	s := New([]string{"a.service"})
	s.SetSize(80, 10)
	s.book.called = func(id string) string { return id }
	add := func(i int) { s.book.add([]api.LogLine{entryAt(i, fmt.Sprint("line ", i))}) }
	for i := range 30 {
		add(i)
	}
	s.goTo(20)
	for i := 30; i < 60; i++ {
		add(i)
	}
	if at := s.book.shown[s.cursor()]; at.Message != "line 20" {
		t.Errorf("while paused the cursor went to %q", at.Message)
	}
	s.goTo(len(s.book.shown))
	if s.paused || s.cursor() != 59 {
		t.Errorf("past the end it does not follow again: %d", s.cursor())
	}
	path := filepath.Join(t.TempDir(), "a.log")
	if n, err := s.Save(path); n != 60 || err != nil {
		t.Errorf("saved %d lines, %v", n, err)
	}
}

// broken is a source that breaks off after some lines, and remembers how it was asked.
type broken struct {
	mu    sync.Mutex // guards asked
	asked []api.JournalOptions
}

func (b *broken) Journal(ctx context.Context, o api.JournalOptions, f func(api.LogLine) error) error {
	b.mu.Lock()
	o.After = maps.Clone(o.After)
	b.asked = append(b.asked, o)
	n := len(b.asked)
	b.mu.Unlock()
	if n > 2 {
		<-ctx.Done()
		return ctx.Err()
	}
	l := entryAt(n, fmt.Sprint("part ", n))
	l.Cursor = fmt.Sprint("c", n)
	if err := f(l); err != nil {
		return err
	}
	if err := f(api.LogLine{Kind: api.LogPosition, Machine: "m2", Cursor: "p"}); err != nil {
		return err
	}
	return errors.New("the daemon ended the stream")
}

func TestAStreamGoesOnWhereItBrokeOff(t *testing.T) {
	src := &broken{}
	st := follow(src, []string{"a.service", "b.service"})
	var got []api.LogLine
	deadline := time.After(10 * time.Second)
	for len(got) < 2 {
		select {
		case <-st.changed:
			lines, _, _ := st.take()
			got = append(got, lines...)
		case <-deadline:
			t.Fatalf("only %d lines came", len(got))
		}
	}
	st.close()
	if got[0].Message != "part 1" || got[1].Message != "part 2" {
		t.Errorf("got %+v", got)
	}
	second := src.asked[1]
	if second.After["m1"] != "c1" || second.After["m2"] != "p" || len(second.Units) != 2 || !second.Follow {
		t.Errorf("it went on with %+v", second)
	}
}

func BenchmarkAppend(b *testing.B) {
	book := book{called: func(id string) string { return id }}
	for i := range kept {
		book.add([]api.LogLine{entryAt(i, "GET /things 200")})
	}
	line := []api.LogLine{entryAt(kept, "GET /things 200")}
	b.ReportAllocs()
	for b.Loop() {
		book.add(line)
	}
}
