package journald

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fleettop/journal"
)

// follower gathers what a tail tells.
type follower struct {
	t    testing.TB
	tail journal.Tail
	got  []string
}

func follow(t testing.TB, s *Source) *follower {
	t.Helper()
	tail, err := s.Tail()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tail.Close() })
	return &follower{t: t, tail: tail}
}

var aService = journal.Wanted{Units: map[string]bool{"a.service": true}}

// until reads on until so many entries were told in all, and then makes sure
// that there are no more.
func (f *follower) until(n int) []string {
	f.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for rounds := 0; rounds < 5; {
		select {
		case <-f.tail.Wake():
		case <-time.After(time.Until(deadline)):
			f.t.Fatalf("waited for %d entries, got %q", n, f.got)
		}
		list, _, err := f.tail.Next(aService)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, e := range list {
			f.got = append(f.got, e.Message)
		}
		if len(f.got) >= n {
			rounds++
		}
	}
	if len(f.got) > n {
		f.t.Fatalf("wanted %d entries, got %q", n, f.got)
	}
	return f.got
}

func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// disk is a directory of journal files that grow and rotate.
type disk struct {
	*writer
	dir  string
	name string
	n    int
	at   uint64
}

func newDisk(t testing.TB, dir string) *disk {
	d := &disk{dir: dir, name: "system.journal", at: 1000 * second}
	d.writer = newWriter(t, 1, true, true)
	return d
}

func (d *disk) path() string { return filepath.Join(d.dir, d.name) }

func (d *disk) log(n int) {
	for range n {
		d.at += second
		d.add(d.at, d.at, fieldsOf("a.service", fmt.Sprint(d.n))...)
		d.add(d.at, d.at, fieldsOf("b.service", "other")...)
		d.n++
	}
	d.write(d.path())
}

// rotate archives the file and begins the next.
func (d *disk) rotate(t testing.TB) (archived string) {
	d.state = stateArchived
	d.write(d.path())
	archived = filepath.Join(d.dir, fmt.Sprintf("system@%d.journal", d.id[0]))
	if err := os.Rename(d.path(), archived); err != nil {
		t.Fatal(err)
	}
	next := newWriter(t, d.id[0]+1, d.compact, d.keyed)
	next.seqnum = d.seqnum
	d.writer = next
	return archived
}

func TestTailGrows(t *testing.T) {
	d := newDisk(t, t.TempDir())
	d.log(3)
	f := follow(t, openDir(t, d.dir))
	for i := range 5 {
		d.log(4)
		f.until(4 * (i + 1))
	}
	if want := numbers(3, 23); !slices.Equal(f.got, want) {
		t.Fatalf("got %q", f.got)
	}
}

func TestTailRotation(t *testing.T) {
	d := newDisk(t, t.TempDir())
	d.log(3)
	f := follow(t, openDir(t, d.dir))
	d.log(2)
	gone := d.rotate(t) // with entries that were not read yet
	d.log(2)
	f.until(4)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	for range 3 { // faster than anybody looks
		d.log(1)
		d.rotate(t)
	}
	d.log(2)
	f.until(9)
	d.log(1)
	if err := os.Remove(d.path()); err != nil { // vacuumed while it is read
		t.Fatal(err)
	}
	f.until(10)
	if want := numbers(3, 13); !slices.Equal(f.got, want) {
		t.Fatalf("got %q, want %q", f.got, want)
	}
}

// TestTailClockBack: journald begins another file when the clock jumps back.
func TestTailClockBack(t *testing.T) {
	d := newDisk(t, t.TempDir())
	d.log(3)
	s := openDir(t, d.dir)
	f := follow(t, s)
	d.log(2)
	f.until(2)
	d.rotate(t)
	for i := range 3 { // the time of day goes back, that since boot doesn't
		d.at += second
		d.add(d.at-900*second, d.at, fieldsOf("a.service", fmt.Sprint(d.n+i))...)
	}
	d.write(d.path())
	if got := f.until(5); !slices.Equal(got, numbers(3, 8)) {
		t.Fatalf("got %q", got)
	}
	if all, _, _ := read(t, s, journal.Query{}, "a.service"); !slices.Equal(all, numbers(0, 8)) {
		t.Fatalf("read anew there is %q", all)
	}
}

// TestTailFlush: what was in memory is copied to the disk, and is told once.
func TestTailFlush(t *testing.T) {
	memory, persistent := newDisk(t, t.TempDir()), newDisk(t, t.TempDir())
	persistent.id[0], persistent.seqID[0] = 90, 91
	memory.log(2)
	s := openDir(t, memory.dir, persistent.dir)
	f := follow(t, s)
	memory.log(2)
	f.until(2)
	persistent.log(4) // the copies: same times, other numbers
	if err := os.Remove(memory.path()); err != nil {
		t.Fatal(err)
	}
	persistent.log(3)
	if got := f.until(5); !slices.Equal(got, numbers(2, 7)) {
		t.Fatalf("got %q", got)
	}
}

// TestPosition: what is read up to a tail's position and what the tail then
// tells is all, once, however the files grow and rotate meanwhile.
func TestPosition(t *testing.T) {
	d := newDisk(t, t.TempDir())
	d.log(3)
	d.rotate(t)
	d.log(3)
	s := openDir(t, d.dir)
	f := follow(t, s)
	at := f.tail.Position([]string{"a.service"})
	d.log(2)
	d.rotate(t)
	d.log(2)
	var past []string
	end, err := s.Read(t.Context(), []string{"a.service"}, journal.Query{}, at, func(e journal.Entry) error {
		past = append(past, e.Message)
		return nil
	})
	if err != nil || !slices.Equal(past, numbers(0, 6)) {
		t.Fatalf("the past is %q, %v", past, err)
	}
	if got := f.until(4); !slices.Equal(got, numbers(6, 10)) {
		t.Fatalf("then came %q", got)
	}
	if rest, _, _ := read(t, s, journal.Query{After: end}, "a.service"); !slices.Equal(rest, numbers(6, 10)) {
		t.Fatalf("behind the position's cursor there is %q", rest)
	}
}
