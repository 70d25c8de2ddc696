package proclog

import (
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fleettop/journal"
	"fleettop/units"
)

// TestLostEvents fills inotify's queue while it is not read. What a file got
// after that is noticed all the same, though it never grows again.
func TestLostEvents(t *testing.T) {
	raw, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || most > 1<<20 {
		t.Skipf("a queue of %q events takes too long to fill: %v", raw, err)
	}
	r := start(t, Options{Dir: t.TempDir()})
	a, b, quiet := spawn(t, r.opts.Dir, "a.service"), spawn(t, r.opts.Dir, "b.service"), spawn(t, r.opts.Dir,
		"quiet.service")
	a.lines(0, 1)
	r.noticed(t, "a.service")
	// The store can't take down anything, and so doesn't read more events either.
	r.mu.Lock()
	a.lines(1, 2)
	for range most { // events in a row that are alike would be one
		a.write("a\n")
		b.write("b\n")
	}
	quiet.lines(0, 1)
	if err := os.WriteFile(filepath.Join(r.opts.Dir, "late.service.log"), []byte("line 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.mu.Unlock()
	for _, unit := range []string{"quiet.service", "late.service", "a.service", "b.service"} {
		r.noticed(t, unit)
	}
	list, _, _ := read(t, r.Store, journal.Query{}, "quiet.service", "late.service")
	if len(list) != 2 {
		t.Errorf("the lines %q were read, expected one of each", list)
	}
}

func TestGatherSeesLostEvents(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent, unix.SizeofInotifyEvent+16)
		binary.NativeEndian.PutUint32(b[4:], mask)
		if name != "" {
			binary.NativeEndian.PutUint32(b[12:], 16)
			b = append(b, make([]byte, 16)...)
			copy(b[unix.SizeofInotifyEvent:], name)
		}
		return b
	}
	c := changes{units: map[string]bool{}}
	c.gather(append(event(unix.IN_MODIFY, "a.service.log"), event(unix.IN_MODIFY, "other")...))
	if len(c.units) != 1 || !c.units["a.service"] || c.lost {
		t.Errorf("got %+v", c)
	}
	c.gather(event(unix.IN_Q_OVERFLOW, ""))
	if !c.lost {
		t.Error("lost events weren't seen")
	}
}

// TestLongNames keeps the log of a unit with the longest name there may be.
func TestLongNames(t *testing.T) {
	dir := t.TempDir()
	unit := strings.Repeat("x", units.MaxNameLength-len(".service")) + ".service"
	spawn(t, dir, unit).lines(0, 3)
	s, err := Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.save()
	before := s.logs[unit].id
	if s, err = Open(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if s.logs[unit].id != before {
		t.Error("what was known of the log was not kept")
	}
	if list, _, _ := read(t, s, journal.Query{}, unit); len(list) != 3 {
		t.Errorf("read %q, expected three lines", list)
	}
}

// TestDirectoryIsGone goes on when the directory of logs was removed.
func TestDirectoryIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	r := start(t, Options{Dir: dir})
	spawn(t, dir, "a.service").lines(0, 1)
	r.noticed(t, "a.service")
	for range 2 {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			_, err := os.Stat(dir)
			return err
		})
		spawn(t, dir, "b.service").lines(0, 2)
		r.noticed(t, "b.service")
		if list, _, _ := read(t, r.Store, journal.Query{}, "a.service", "b.service"); len(list) != 2 {
			t.Errorf("read %q, expected what was written since", list)
		}
	}
}
