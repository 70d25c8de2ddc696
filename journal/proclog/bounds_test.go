package proclog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fleettop/journal"
)

// blocks is what a file takes on the disk, in bytes.
func blocks(t testing.TB, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestBounded(t *testing.T) {
	dir := t.TempDir()
	probe := spawn(t, dir, "probe.service")
	probe.lines(0, 2000)
	if err := unix.Fallocate(int(probe.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0,
		4096); errors.Is(err, unix.EOPNOTSUPP) {
		t.Fatalf("the test needs a TMPDIR whose file system has holes: %v", err)
	}
	const limit = 256 << 10
	r := start(t, Options{Dir: dir, Limit: limit})
	p := spawn(t, dir, "a.service")
	tail, err := r.Tail()
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	tail.Position([]string{"a.service"})
	const all = 200_000 // some 2.2 MB
	wanted := journal.Wanted{Units: map[string]bool{"a.service": true}}
	n, told, lost := 0, 0, 0
	hear := func() {
		list, missed, err := tail.Next(wanted)
		if err != nil {
			t.Fatal(err)
		}
		told, lost = told+len(list), lost+missed
		for _, e := range list {
			if !strings.HasPrefix(e.Message, "line ") {
				t.Fatalf("%q is no line", e.Message)
			}
		}
	}
	var cursor journal.Cursor
	for n < all {
		p.lines(n, n+5000)
		n += 5000
		r.noticed(t, "a.service")
		if n%4 == 0 {
			hear()
		}
		if n == all-5000 {
			_, last, _ := read(t, r.Store, journal.Query{Lines: 1}, "a.service")
			cursor = last[0].Cursor
		}
	}
	if size := blocks(t, r.path("a.service")); size > limit+64<<10 {
		t.Errorf("the file takes %d bytes", size)
	}
	eventually(t, func() error {
		hear()
		if told+lost < all {
			return fmt.Errorf("%d told and %d lost, of %d", told, lost, all)
		}
		return nil
	})
	// Each line was told or lost, and none both.
	if told+lost != all {
		t.Errorf("%d told and %d lost, of %d", told, lost, all)
	}
	list, _, _ := read(t, r.Store, journal.Query{}, "a.service")
	if first := all - len(list); len(list) < 1000 || !slices.Equal(list, messages(first, all)) {
		t.Fatalf("%d lines are left, from %q to %q", len(list), list[0], list[len(list)-1])
	}
	after, _, _ := read(t, r.Store, journal.Query{After: cursor}, "a.service")
	if !slices.Equal(after, messages(all-5000, all)) {
		t.Errorf("behind a cursor from before there are %d lines", len(after))
	}
	r.stop()
	p.lines(all, all+100_000) // nobody keeps it short
	r = start(t, Options{Dir: dir, Limit: limit})
	if size := blocks(t, r.path("a.service")); size > limit+64<<10 {
		t.Errorf("with the daemon back the file takes %d bytes", size)
	}
	if list, _, _ = read(t, r.Store, journal.Query{Lines: 2}, "a.service"); !slices.Equal(list,
		messages(all+99_998, all+100_000)) {
		t.Errorf("it ends in %q", list)
	}
}

// TestCutWhileRead: what becomes a hole while it is read is left out, and not read as zeros.
func TestCutWhileRead(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Options{Dir: dir, Limit: 1 << 20})
	p := spawn(t, dir, "a.service")
	const before, after = 40_000, 80_000 // some 450 kB each
	p.lines(0, before)
	r.noticed(t, "a.service")
	var got []string
	_, err := r.Read(t.Context(), []string{"a.service"}, journal.Query{}, nil, func(e journal.Entry) error {
		if len(got) == 0 {
			p.lines(before, before+after)
			r.noticed(t, "a.service")
		}
		got = append(got, e.Message)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range got {
		if !strings.HasPrefix(m, "line ") {
			t.Fatalf("%.40q is no line", m)
		}
	}
	if len(got) >= before {
		t.Fatal("nothing was cut while it was read: the test shows nothing")
	}
}
