package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/tuitest"
)

func entryAt(i int, message string) journal.Entry {
	return journal.Entry{Time: tuitest.Noon.Add(time.Duration(i) * time.Second), Unit: "a.service", Machine: "m1",
		Priority: 6, Message: message}
}

func TestLineBufferIsBoundedAndInOrder(t *testing.T) {
	b := lineBuffer{called: func(id string) string { return id }}
	for i := range kept + 500 {
		b.add([]journal.Entry{entryAt(i, fmt.Sprint("line ", i))})
	}
	if len(b.all) != kept || b.dropped != 500 || b.all[0].Message != "line 500" {
		t.Errorf("%d lines, %d dropped, the first is %q", len(b.all), b.dropped, b.all[0].Message)
	}
	b.add([]journal.Entry{entryAt(kept, "late")}) // from another unit, a little behind
	if at := len(b.all) - 1; b.all[at].Message == "late" || b.all[at-499].Message != "late" {
		t.Errorf("what came late is not in its place")
	}
	b.setFilter(state.ParseQuery("late"))
	if len(b.shown) != 1 {
		t.Errorf("the filter leaves %d", len(b.shown))
	}
	b.setFilter(state.ParseQuery("!line"))
	b.add([]journal.Entry{entryAt(kept+600, "line more"), entryAt(kept+601, "other")})
	if len(b.shown) != 2 || b.shown[1].Message != "other" {
		t.Errorf("new lines pass the filter wrongly: %d", len(b.shown))
	}
	b = lineBuffer{}
	for i := range 40 {
		b.add([]journal.Entry{entryAt(i, strings.Repeat("x", 4<<20))})
	}
	if b.bytes > bytesKept || len(b.all) != bytesKept>>22 {
		t.Errorf("of long lines %d are kept, with %d bytes", len(b.all), b.bytes)
	}
}

// TestLineBufferMergesAnything adds batches of any age and order: it has what a
// plain sort of all would have, and no page that was handed out changes.
func TestLineBufferMergesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := lineBuffer{called: func(id string) string { return id }}
		var want []string
		var pages []page
		var saw []string
		n := 0
		for range rapid.IntRange(1, 8).Draw(t, "batches") {
			var batch []journal.Entry
			for _, at := range rapid.SliceOfN(rapid.IntRange(0, 50), 0, 12).Draw(t, "times") {
				n++
				batch = append(batch, entryAt(at, fmt.Sprintf("%02d %s %04d", at, []string{"odd", "even"}[n%2], n)))
			}
			if rapid.IntRange(0, 3).Draw(t, "filter") == 0 {
				b.setFilter(state.ParseQuery(rapid.SampledFrom([]string{"", "odd", "!odd"}).Draw(t, "query")))
			}
			b.add(batch)
			for _, l := range batch {
				want = append(want, l.Message)
			}
			slices.SortStableFunc(want, func(a, b string) int { return strings.Compare(a[:2], b[:2]) })
			var passing []string
			for _, m := range want {
				if b.passes(newEntry(entryAt(0, m))) {
					passing = append(passing, m)
				}
			}
			if got := texts(b.all); got != strings.Join(want, ",") {
				t.Fatalf("it has %s, want %s", got, strings.Join(want, ","))
			}
			if got := texts(b.shown); got != strings.Join(passing, ",") {
				t.Fatalf("it shows %s, want %s", got, strings.Join(passing, ","))
			}
			pages, saw = append(pages, b.page), append(saw, texts(b.all)+"|"+texts(b.shown))
			for i, p := range pages {
				if now := texts(p.all) + "|" + texts(p.shown); now != saw[i] {
					t.Fatalf("a page changed from %s to %s", saw[i], now)
				}
			}
		}
	})
}

func texts(list []*entry) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Message)
	}
	return strings.Join(out, ",")
}

// older is a source with much of the past of one unit after the present of another.
type older struct{ first, then int }

func (o older) Journal(ctx context.Context, _ api.JournalOptions, f func(journal.Entry) error) error {
	for i := range o.first + o.then {
		at := i + o.then
		if i >= o.first {
			at = i - o.first
		}
		if err := f(entryAt(at, fmt.Sprint("line ", at))); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestManyOlderLinesAreMergedAside: while 75,000 older lines are merged into
// 60,000, taking and drawing what is there are as quick as with one line.
func TestManyOlderLinesAreMergedAside(t *testing.T) {
	st := follow(older{60000, 75000}, []string{"a.service"}, span{}, time.UTC)
	defer st.close()
	called := func(id string) string { return id }
	s := New([]string{"a.service"})
	s.stream = st
	deadline := time.After(time.Minute)
	var longest time.Duration
	for {
		began := time.Now()
		p, _ := st.take(called)
		s.page = p
		longest = max(longest, time.Since(began))
		if len(p.all)+p.dropped == 135000 {
			break
		}
		select {
		case <-st.changed:
		case <-deadline:
			t.Fatalf("after a minute there are %d lines and %d dropped", len(p.all), p.dropped)
		}
	}
	if n := len(s.page.all); n != kept || s.page.all[0].Message != "line 35000" ||
		s.page.all[n-1].Message != "line 134999" {
		t.Errorf("%d lines, from %q to %q", n, s.page.all[0].Message, s.page.all[n-1].Message)
	}
	if !slices.IsSortedFunc(s.page.all, func(a, b *entry) int { return a.Time.Compare(b.Time) }) {
		t.Error("they are not in order")
	}
	t.Logf("the drawing side was held up for %s at most", longest)
}

// TestDrawingWaitsForNoMerge stops the line buffer in the middle of a batch, for as
// long as the screen takes keys, draws, is filtered, searched and closed.
func TestDrawingWaitsForNoMerge(t *testing.T) {
	st := follow(older{600, 750}, []string{"a.service"}, span{}, time.UTC)
	stop, stopped := make(chan struct{}), make(chan struct{}, 1)
	blocks := func(id string) string {
		poke(stopped)
		<-stop
		return id
	}
	s := New([]string{"a.service"})
	s.stream = st
	s.SetSize(80, 20)
	look, err := theme.New(lipgloss.NewRenderer(io.Discard), theme.Options{})
	if err != nil {
		t.Fatal(err)
	}
	env := &screens.Env{Theme: look, Snap: &state.Snapshot{}}
	st.take(blocks)
	st.setFilter(state.ParseQuery("machine=m1"))
	<-stopped
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Update(env, arrived{st})
		st.take(blocks)
		s.setFilter(state.ParseQuery("other"))
		for _, a := range []keys.Action{keys.Up, keys.PageUp, keys.Pause, keys.NextError, keys.Bottom} {
			s.Do(env, a)
			s.View(env)
		}
		s.Saver(env, false)
		s.Close()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("the screen waits for the line buffer")
	}
	close(stop)
	<-st.ended
}

func TestPauseLosesNothing(t *testing.T) {
	s := New([]string{"a.service"})
	s.SetSize(80, 10)
	b := lineBuffer{called: func(id string) string { return id }}
	add := func(i int) {
		b.add([]journal.Entry{entryAt(i, fmt.Sprint("line ", i))})
		s.page = b.page
	}
	for i := range 30 {
		add(i)
	}
	s.goTo(20)
	for i := 30; i < 60; i++ {
		add(i)
	}
	if at := s.page.shown[s.cursor()]; at.Message != "line 20" {
		t.Errorf("while paused the cursor went to %q", at.Message)
	}
	if s.unread() != 30 {
		t.Errorf("%d lines are new, want 30", s.unread())
	}
	s.goTo(len(s.page.shown))
	if s.paused || s.cursor() != 59 {
		t.Errorf("past the end it does not follow again: %d", s.cursor())
	}
}

// TestSave writes messages as they were logged, without what steers a terminal
// unless that is asked for, with machines' names, and over nothing unasked.
func TestSave(t *testing.T) {
	raw := "tab\there, \xff\xfe bytes, a \x1b[31mred\x1b[m one, \u009b31m too, \x9b1m and ü\nsecond line"
	l := entryAt(0, "")
	line := journal.Entry{Time: l.Time, Machine: "m1", Unit: "a.service", Priority: 6, Message: raw}
	b := lineBuffer{}
	b.add([]journal.Entry{line, {Kind: journal.KindDivider, Time: l.Time, Text: "moved n3 → n1"}})
	s := New([]string{"a.service"})
	s.page = b.page
	r := state.NewReducer()
	r.Apply(&api.Line{Kind: api.LineSnapshot, Machines: []api.Machine{{Machine: cluster.Machine{ID: "m1",
		Name: "n7"}}}}, tuitest.Noon)
	env := &screens.Env{Snap: r.Snapshot(tuitest.Noon)}
	dir := t.TempDir()
	const head = "2026-03-14T12:00:00Z "
	for name, want := range map[string]string{
		"plain": head +
			"n7 a.service info: tab\there, \xff\xfe bytes, a ^[[31mred^[[m one, \\u009b31m too, \\x9b1m and ü\nsecond line\n" +
			head + "moved n3 → n1\n",
		"raw": head + "n7 a.service info: " + raw + "\n" + head + "moved n3 → n1\n",
	} {
		path := filepath.Join(dir, name)
		save := s.Saver(env, name == "raw")
		if n, err := save(path, false); n != 2 || err != nil {
			t.Errorf("saved %d lines, %v", n, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s has\n%q, %v, want\n%q", name, got, err, want)
		}
		if err := errors.Join(os.WriteFile(path, []byte("mine"), 0o600), os.Chmod(path, 0o640)); err != nil {
			t.Fatal(err)
		}
		if _, err := save(path, false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over a file that is there: %v", err)
		}
		if got, _ := os.ReadFile(path); string(got) != "mine" {
			t.Errorf("it was overwritten with %q", got)
		}
		if _, err := save(path, true); err != nil {
			t.Error(err)
		}
		info, err := os.Stat(path)
		if got, _ := os.ReadFile(path); err != nil || string(got) != want || info.Mode() != 0o640 {
			t.Errorf("over it: %q, %v, %v", got, info, err)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, over := range []bool{false, true} {
		if _, err := s.Saver(env, false)(fifo, over); err == nil {
			t.Error("a FIFO was written")
		}
	}
	if list, _ := filepath.Glob(filepath.Join(dir, ".*")); len(list) > 0 {
		t.Errorf("left behind: %q", list)
	}
}

// broken is a source that breaks off after some lines, and remembers how it was asked.
type broken struct {
	mu    sync.Mutex // guards asked
	asked []api.JournalOptions
}

func (b *broken) Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error {
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
	l.Cursor = journal.Cursor(fmt.Sprint("c", n))
	if err := f(l); err != nil {
		return err
	}
	if err := f(journal.Entry{Kind: journal.KindPosition, Machine: "m2", Cursor: "p"}); err != nil {
		return err
	}
	return errors.New("the daemon ended the stream")
}

func TestAStreamGoesOnWhereItBrokeOff(t *testing.T) {
	src := &broken{}
	st := follow(src, []string{"a.service", "b.service"}, span{}, time.UTC)
	var got []*entry
	deadline := time.After(10 * time.Second)
	for len(got) < 2 {
		select {
		case <-st.changed:
			p, _ := st.take(func(id string) string { return id })
			got = p.all
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
	buffer := lineBuffer{called: func(id string) string { return id }}
	for i := range kept {
		buffer.add([]journal.Entry{entryAt(i, "GET /things 200")})
	}
	line := []journal.Entry{entryAt(kept, "GET /things 200")}
	b.ReportAllocs()
	for b.Loop() {
		buffer.add(line)
	}
}

// BenchmarkOlderLines merges 75,000 older lines into 60,000.
func BenchmarkOlderLines(b *testing.B) {
	var first, then []journal.Entry
	for i := range 60000 {
		first = append(first, entryAt(75000+i, "GET /things 200"))
	}
	for i := range 75000 {
		then = append(then, entryAt(i, "GET /things 200"))
	}
	for b.Loop() {
		var buffer lineBuffer
		buffer.add(first)
		buffer.add(then)
	}
}
