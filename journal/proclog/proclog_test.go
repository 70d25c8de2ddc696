package proclog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/journal"
)

// running is a store at work, as a daemon has it.
type running struct {
	*Store
	stop func()
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	o.Machine, o.Log = "m1", slog.New(slog.DiscardHandler)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r := &running{s, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})}
	t.Cleanup(r.stop)
	return r
}

// process appends to a unit's file as a unit's processes do, daemon or not.
type process struct {
	t testing.TB
	f *os.File
}

func spawn(t testing.TB, dir, unit string) *process {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, unit+suffix), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &process{t, f}
}

func (p *process) write(text string) {
	p.t.Helper()
	if _, err := p.f.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) lines(from, to int) {
	p.t.Helper()
	for i := from; i < to; i++ {
		p.write(fmt.Sprintf("line %d\n", i))
	}
}

func messages(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint("line ", i))
	}
	return list
}

// noticed waits until all of a unit's file has been stamped.
func (r *running) noticed(t testing.TB, unit string) {
	t.Helper()
	eventually(t, func() error {
		st, err := os.Stat(r.path(unit))
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if l := r.logs[unit]; l == nil || l.end() != st.Size() {
			return fmt.Errorf("%s is not noticed", unit)
		}
		return nil
	})
}

func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func read(t testing.TB, s *Store, q journal.Query, units ...string) (
	list []string, all []journal.Entry, end journal.Cursor) {
	t.Helper()
	end, err := s.Read(t.Context(), units, q, nil, func(e journal.Entry) error {
		list, all = append(list, e.Message), append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list, all, end
}

func TestReadsWhatProcessesWrite(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	p := spawn(t, dir, "a.service")
	before := time.Now()
	p.write("<3>bad\nworse\r\n<9>odd\n\nbin\xff\x00\nno end")
	r.noticed(t, "a.service")
	list, all, _ := read(t, r.Store, journal.Query{}, "a.service", "none.service")
	if want := []string{"bad", "worse", "<9>odd", "", "bin\xff\x00", "no end"}; !slices.Equal(list, want) {
		t.Fatalf("got %q", list)
	}
	if e := all[0]; e.Priority != 3 || all[1].Priority != 6 || e.Unit != "a.service" || e.Machine != "m1" ||
		e.Time.Before(before.Add(-50*time.Millisecond)) || e.Time.After(time.Now()) {
		t.Errorf("%+v", e)
	}
	big := strings.Repeat("x", lineMost+5)
	p.write("\n" + big + "\n")
	r.noticed(t, "a.service")
	list, _, _ = read(t, r.Store, journal.Query{Lines: 3}, "a.service")
	if !slices.Equal(list, []string{"no end", big[:lineMost], "xxxxx"}) {
		t.Errorf("a long line is in pieces of %d, %d", len(list[1]), len(list[2]))
	}
}

func TestSinceWithAndWithoutDaemon(t *testing.T) {
	dir := t.TempDir()
	p := spawn(t, dir, "a.service")
	r := start(t, Options{Dir: dir})
	p.lines(0, 3)
	r.noticed(t, "a.service")
	mark := time.Now()
	p.lines(3, 6)
	r.noticed(t, "a.service")
	r.stop()
	p.lines(6, 9) // no daemon looks on
	changed := time.Now().Add(-10 * time.Minute).Truncate(time.Second)
	if err := os.Chtimes(filepath.Join(dir, "a.service.log"), changed, changed); err != nil {
		t.Fatal(err)
	}
	r = start(t, Options{Dir: dir})
	list, all, _ := read(t, r.Store, journal.Query{}, "a.service")
	if !slices.Equal(list, messages(0, 9)) {
		t.Fatalf("got %q", list)
	}
	if !all[7].Time.Equal(changed) {
		t.Errorf("what nobody saw come is of %v, not of the file's last change, %v", all[7].Time, changed)
	}
	if list, _, _ = read(t, r.Store, journal.Query{Filter: journal.Filter{Since: mark, Until: time.Now()}},
		"a.service"); !slices.Equal(list, messages(3, 6)) {
		t.Errorf("since then there is %q", list)
	}
}

// TestUntil reads no further than to what was noticed at a time, also in the middle of a line.
func TestUntil(t *testing.T) {
	dir := t.TempDir()
	p := spawn(t, dir, "a.service")
	r := start(t, Options{Dir: dir})
	p.lines(0, 3)
	p.write("line 3 is")
	r.noticed(t, "a.service")
	mark := time.Now()
	p.write(" whole\n")
	p.lines(4, 2000)
	r.noticed(t, "a.service")
	for lines, want := range map[int][]string{0: messages(0, 3), 2: messages(1, 3)} {
		if list, _, _ := read(t, r.Store, journal.Query{Lines: lines, Filter: journal.Filter{Until: mark}},
			"a.service"); !slices.Equal(list, want) {
			t.Errorf("until then there is %q with %d lines asked for, expected %q", list, lines, want)
		}
	}
	r.mu.Lock()
	end, all := r.logs["a.service"].index.until(mark.UnixNano()), r.logs["a.service"].index.end()
	r.mu.Unlock()
	if end > all/10 {
		t.Errorf("%d bytes of %d are read", end, all)
	}
	if list, _, _ := read(t, r.Store, journal.Query{Filter: journal.Filter{Until: mark.Add(-time.Hour)}}, "a.service"); len(list) > 0 {
		t.Errorf("an hour before there is %q", list)
	}
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	p := spawn(t, dir, "a.service")
	p.lines(0, 2)
	p.write("line 2 is")
	r.noticed(t, "a.service")
	tail, err := r.Tail()
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	at := tail.Position([]string{"a.service", "b.service"})
	p.write(" whole\n")
	spawn(t, dir, "b.service").lines(0, 3)
	var past, got []string
	end, err := r.Read(t.Context(), []string{"a.service", "b.service"}, journal.Query{}, at, func(e journal.Entry) error {
		past = append(past, e.Message)
		return nil
	})
	if err != nil || !slices.Equal(past, messages(0, 2)) {
		t.Fatalf("the past is %q, %v", past, err)
	}
	next := func(n int) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		for len(got) < n {
			select {
			case <-tail.Wake():
			case <-deadline:
				t.Fatalf("got %q", got)
			}
			list, lost, err := tail.Next(journal.Wanted{Units: map[string]bool{"a.service": true, "b.service": true}})
			if err != nil || lost > 0 {
				t.Fatal(err, lost)
			}
			for _, e := range list {
				got = append(got, e.Unit[:1]+" "+e.Message)
			}
		}
	}
	next(4)
	slices.Sort(got)
	if want := []string{"a line 2 is whole", "b line 0", "b line 1", "b line 2"}; !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	p.write("Password: ")
	next(5)
	if got[4] != "a Password: " {
		t.Errorf("the prompt reads %q", got[4])
	}
	after, _, _ := read(t, r.Store, journal.Query{After: end}, "a.service")
	if !slices.Equal(after, []string{"line 2 is whole", "Password: "}) {
		t.Errorf("behind the position there is %q", after)
	}
}

func TestEmptiedByHand(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir})
	p := spawn(t, dir, "a.service")
	p.lines(0, 50)
	r.noticed(t, "a.service")
	_, _, end := read(t, r.Store, journal.Query{}, "a.service")
	if err := os.Truncate(r.path("a.service"), 0); err != nil {
		t.Fatal(err)
	}
	p.lines(50, 52)
	r.noticed(t, "a.service")
	if list, _, _ := read(t, r.Store, journal.Query{}, "a.service"); !slices.Equal(list, messages(50, 52)) {
		t.Errorf("there is %q", list)
	}
	if list, _, _ := read(t, r.Store, journal.Query{After: end}, "a.service"); !slices.Equal(list, messages(50, 52)) {
		t.Errorf("behind the cursor there is %q", list)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	s, err := Open(Options{Dir: dir, Held: func(unit string) bool { return unit == "held.service" },
		Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"held.service", "gone.service", "fresh.service"} {
		spawn(t, dir, unit).lines(0, 1)
	}
	s.lookAll()
	s.save()
	now = now.Add(staleAfter + time.Hour)
	if err := os.Chtimes(s.path("fresh.service"), now, now); err != nil {
		t.Fatal(err)
	}
	s.sweep()
	if left := s.units(); !slices.Equal(left, []string{"fresh.service", "held.service"}) {
		t.Errorf("left are %q", left)
	}
}

// TestIndex: an index survives the disk, thinned and cut as it may be.
func TestIndex(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "x")
		x := newIndex(7)
		var s stamp
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if err := x.save(path); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if y := parseIndex(b); y == nil || y.id != x.id || y.head != x.head || !slices.Equal(y.stamps, x.stamps) {
					t.Fatalf("%+v reads as %+v", x, y)
				}
			case 1:
				x.cut(min(s.end, x.head+int64(rapid.IntRange(0, 500).Draw(t, "cut"))))
			default:
				s.end += int64(rapid.IntRange(1, 100).Draw(t, "bytes"))
				s.tick++
				s.at = int64(rapid.IntRange(0, 1000).Draw(t, "clock")) // may jump back
				x.add(s)
			}
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	x := newIndex(1)
	x.add(stamp{10, 20, 30})
	path := filepath.Join(f.TempDir(), "x")
	if err := x.save(path); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		x := parseIndex(b)
		if x == nil {
			return
		}
		last := x.head
		for _, s := range x.stamps {
			if s.end <= last {
				t.Fatalf("%+v", x)
			}
			last = s.end
		}
	})
}

func TestCursor(t *testing.T) {
	for _, c := range []cursor{{tick: 1}, {tick: 1 << 60, id: 1 << 63, end: 12345}} {
		if got, err := parseCursor(c.text()); err != nil || got != c {
			t.Errorf("%s reads as %+v, %v", c.text(), got, err)
		}
	}
	for _, text := range []journal.Cursor{"", "p=", "p=x", "p=1;f=1", "p=1;f=1;o=-1", "s=1;i=2"} {
		if c, err := parseCursor(text); !errors.Is(err, journal.ErrUnknownCursor) && err == nil {
			t.Errorf("%q reads as %+v", text, c)
		}
	}
}
