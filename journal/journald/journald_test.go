package journald

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/journal"
)

const second = 1_000_000

func fieldsOf(unit, message string, more ...string) []string {
	return append([]string{"_SYSTEMD_UNIT=" + unit, "_PID=12", "_UID=0", "SYSLOG_IDENTIFIER=prog", "MESSAGE=" + message},
		more...)
}

func openDir(t testing.TB, dirs ...string) *Source {
	t.Helper()
	s, err := Open(Options{Dirs: dirs, Machine: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t testing.TB, s *Source, q journal.Query, units ...string) (
	messages []string, all []journal.Entry, end journal.Cursor) {
	t.Helper()
	end, err := s.Read(t.Context(), units, q, nil, func(e journal.Entry) error {
		messages, all = append(messages, e.Message), append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages, all, end
}

func TestRead(t *testing.T) {
	for _, c := range []struct{ compact, keyed, lz4 bool }{{true, true, false}, {false, true, true}, {false, false, false},
		{true, false, true}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			dir := t.TempDir()
			w := newWriter(t, 1, c.compact, c.keyed)
			w.lz4 = c.lz4
			long := strings.Repeat("long ", 50_000)
			for i := range 100 {
				w.add(uint64(i)*second, uint64(i)*second, fieldsOf("a.service", fmt.Sprint("a", i), "PRIORITY=3")...)
				w.add(uint64(i)*second, uint64(i)*second+1, fieldsOf("b.service", fmt.Sprint("b", i))...)
			}
			w.add(200*second, 200*second, fieldsOf("a.service", long)...)
			w.add(201*second, 201*second, "_SYSTEMD_UNIT=init.scope", "_PID=1", "_UID=0", "UNIT=a.service",
				"MESSAGE=Stopped a.service.")
			w.add(202*second, 202*second, "_SYSTEMD_UNIT=liar.service", "_PID=9", "_UID=1000", "UNIT=a.service",
				"MESSAGE=not about it")
			w.add(202*second, 202*second+1, "_SYSTEMD_UNIT=c.service", "_PID=10", "_UID=0", "_COMM=native",
				"MESSAGE=by its own socket")
			w.add(203*second, 203*second, fieldsOf("a.service", "bin\xff\x00=\n")...)
			w.write(filepath.Join(dir, "system.journal"))
			s := openDir(t, dir)

			messages, all, end := read(t, s, journal.Query{}, "a.service")
			if len(messages) != 103 || messages[0] != "a0" || messages[100] != long || messages[101] != "Stopped a.service." ||
				messages[102] != "bin\xff\x00=\n" {
				t.Fatalf("%d entries, ending in %.40q", len(messages), messages[max(0, len(messages)-3):])
			}
			if e := all[7]; e.Unit != "a.service" || e.Priority != 3 || e.Machine != "m1" || !e.Time.Equal(time.Unix(7, 0)) ||
				e.Fields["_PID"] != "12" || e.Fields["SYSLOG_IDENTIFIER"] != "prog" {
				t.Errorf("%+v", e)
			}
			if end != all[102].Cursor {
				t.Errorf("it ends at %s, not at %s", end, all[102].Cursor)
			}
			both, _, _ := read(t, s, journal.Query{Lines: 7}, "b.service", "a.service")
			if want := []string{"b97", "a98", "b98", "a99", "b99"}; !slices.Equal(both[:0:0], nil) || len(both) != 7 ||
				!slices.Equal(both[:4], want[1:]) {
				t.Errorf("the newest are %.60q", both)
			}
			after, _, _ := read(t, s, journal.Query{After: all[98].Cursor}, "b.service")
			if !slices.Equal(after, []string{"b98", "b99"}) {
				t.Errorf("behind a98 come %q", after)
			}
			some, _, _ := read(t, s, journal.Query{Filter: journal.Filter{Since: time.Unix(10, 0), Until: time.Unix(12, 0)}},
				"b.service")
			if !slices.Equal(some, []string{"b10", "b11", "b12"}) {
				t.Errorf("from 10 to 12 there are %q", some)
			}
			if grep, _, _ := read(t, s, journal.Query{Lines: 2, Filter: journal.Filter{Priorities: &journal.Priorities{From: 0,
				To: 3}}}, "a.service"); !slices.Equal(grep, []string{"a98", "a99"}) {
				t.Errorf("the newest errors are %q", grep)
			}
			if none, _, end := read(t, s, journal.Query{Lines: -1}, "a.service"); len(none) > 0 || end == "" {
				t.Errorf("asked for none: %q, %q", none, end)
			}
			if _, own, _ := read(t, s, journal.Query{}, "c.service"); len(own) != 1 || own[0].Fields["_COMM"] != "native" {
				t.Errorf("who logs without an identifier goes by the program's name: %+v", own)
			}
			_, full, _ := read(t, s, journal.Query{Lines: 1, Fields: true}, "b.service")
			if full[0].Fields["_UID"] != "0" || full[0].Fields["__MONOTONIC_TIMESTAMP"] != "99000001" {
				t.Errorf("%+v", full[0].Fields)
			}
		})
	}
}

// TestReadHalfway: journald counts an entry before it is found by its fields.
func TestReadHalfway(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, 1, true, true)
	for i := range 5 {
		w.halfway = i == 4
		w.add(uint64(i)*second, uint64(i)*second, fieldsOf("a.service", fmt.Sprint(i))...)
	}
	w.write(filepath.Join(dir, "system.journal"))
	for want, q := range map[string]journal.Query{"01234": {}, "34": {Lines: 2},
		"4": {Filter: journal.Filter{Since: time.Unix(4, 0)}}} {
		if got, _, _ := read(t, openDir(t, dir), q, "a.service"); strings.Join(got, "") != want {
			t.Errorf("%+v finds %q, want %s", q, got, want)
		}
	}
	if got, _, _ := read(t, openDir(t, dir), journal.Query{}, "b.service"); len(got) > 0 {
		t.Errorf("of another unit there is %q", got)
	}
}

func TestCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := cursor{seqnum: rapid.Uint64().Draw(t, "i"), monotonic: rapid.Uint64().Draw(t, "m"),
			realtime: rapid.Uint64().Draw(t, "t"), xor: rapid.Uint64().Draw(t, "x")}
		copy(c.boot[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "b"))
		got, err := parseCursor(journal.Cursor(c.String()))
		if err != nil || got != c {
			t.Fatalf("%s reads as %+v, %v", c, got, err)
		}
	})
	for _, text := range []journal.Cursor{"s=1", "p=1;f=2;o=3", "s=zz;i=1;b=2;m=3;t=4;x=5"} {
		if _, err := parseCursor(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestReal reads a file that journald wrote, and compares with what journalctl made of it.
func TestReal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "system.journal"), unzip(t, "real.journal.gz"), 0o644); err != nil {
		t.Fatal(err)
	}
	messages, all, _ := read(t, openDir(t, dir), journal.Query{}, "aa.service")
	var got strings.Builder
	for i := range all {
		fmt.Fprintf(&got, "%s %d %s %q\n", all[i].Cursor, all[i].Priority, all[i].Fields["_PID"], messages[i])
	}
	want := string(unzip(t, "real.txt.gz"))
	if got.String() != want {
		t.Fatalf("%d bytes, and journalctl has %d", got.Len(), len(want))
	}
}

func TestNewerFormat(t *testing.T) {
	dir := t.TempDir()
	w := newWriter(t, 1, true, true)
	w.add(1, 1, fieldsOf("a.service", "x")...)
	b := w.bytes()
	b[13] |= 0x80
	if err := os.WriteFile(filepath.Join(dir, "system.journal"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	s := openDir(t, dir)
	_, err := s.Read(t.Context(), []string{"a.service"}, journal.Query{}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "newer than this fleettop") {
		t.Errorf("Read: %v", err)
	}
	if _, err := s.Tail(); err == nil || !strings.Contains(err.Error(), "newer than this fleettop") {
		t.Errorf("Tail: %v", err)
	}
}

// FuzzFile reads what is left of a journal that was damaged: nothing may
// panic, hang or take all memory.
func FuzzFile(f *testing.F) {
	for _, compact := range []bool{false, true} {
		w := newWriter(f, 1, compact, compact)
		w.lz4 = !compact
		for i := range 12 {
			w.add(uint64(i), uint64(i), fieldsOf("a.service", fmt.Sprint("line ", i))...)
		}
		w.add(20, 20, fieldsOf("a.service", strings.Repeat("z", 600))...)
		f.Add(w.bytes(), uint32(400), byte(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, at uint32, v byte) {
		if len(b) > 1<<20 {
			return
		}
		b = slices.Clone(b)
		if int(at) < len(b) {
			b[at] ^= v
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "system.journal"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		s := openDir(t, dir)
		for _, lines := range []int{0, 5} {
			n := 0
			_, _ = s.Read(ctx, []string{"a.service"}, journal.Query{Lines: lines, Fields: true}, nil, func(journal.Entry) error {
				n++
				return nil
			})
			if n > len(b) {
				t.Fatalf("%d entries out of %d bytes", n, len(b))
			}
		}
		if ctx.Err() != nil {
			t.Fatal("it took too long")
		}
	})
}
