//go:build e2e

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tellTime writes the time of day in seconds and how long this process has
// run by the monotonic clock, again and again, as long as it can open a file.
func tellTime(path string) {
	began := time.Now()
	for {
		text := fmt.Sprintf("%d %d\n", time.Now().Unix(), time.Since(began).Milliseconds())
		if os.WriteFile(path+".new", []byte(text), 0o644) == nil {
			_ = os.Rename(path+".new", path) // the next time
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestShiftClock: one process sees another time of day, forward and back, while
// its monotonic clock goes on; its neighbours, the machine and the host don't.
func TestShiftClock(t *testing.T) {
	l, ctx := newLab(t, "testclock", 1)
	m := l.Machines()[0]
	self, err := os.Executable()
	must(t, err)
	must(t, m.CopyIn(self, "/usr/local/bin/clock", 0o755))
	for _, unit := range []string{"shifted", "neighbour"} {
		_, err := m.Exec(ctx, "systemd-run", "--quiet", "--unit="+unit, "/usr/local/bin/clock", "clock", "/run/"+unit)
		must(t, err)
	}
	read := func(unit string) (offset time.Duration, monotonic int) {
		text, err := m.ReadFile("/run/" + unit)
		if err != nil {
			return 0, 0 // it has just begun
		}
		day, mono, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		seconds, err := strconv.ParseInt(day, 10, 64)
		must(t, err)
		monotonic, err = strconv.Atoi(mono)
		must(t, err)
		return time.Until(time.Unix(seconds, 0)).Round(10 * time.Second), monotonic
	}
	pid, err := m.MainPID(ctx, "shifted.service")
	must(t, err)
	for _, offset := range []time.Duration{time.Hour, -time.Hour, 90 * time.Second, 0, time.Hour, 0} {
		_, before := read("shifted")
		must(t, m.ShiftClock(ctx, "shifted.service", offset))
		var after int
		limit, cancel := context.WithTimeout(ctx, 20*time.Second)
		if err := waitFor(limit, "the process to see it", func() bool {
			var seen time.Duration
			seen, after = read("shifted")
			return seen == offset.Round(10*time.Second) && after > before
		}); err != nil {
			seen, _ := read("shifted")
			t.Errorf("shifted by %s it sees %s: %v", offset, seen, err)
		}
		cancel()
		if after-before > 20_000 {
			t.Errorf("shifted by %s its monotonic clock went from %d to %d ms", offset, before, after)
		}
		if seen, _ := read("neighbour"); seen != 0 {
			t.Errorf("its neighbour is off by %s", seen)
		}
		out, err := m.Exec(ctx, "date", "+%s")
		must(t, err)
		if seconds, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64); err != nil ||
			time.Since(time.Unix(seconds, 0)).Abs() > 20*time.Second {
			t.Errorf("the machine's time is %s (%v)", out, err)
		}
	}
	if now, err := m.MainPID(ctx, "shifted.service"); err != nil || now != pid {
		t.Errorf("the process was %d and is %d: %v", pid, now, err)
	}
	if err := m.ShiftClock(ctx, "shifted.service", time.Millisecond); err == nil {
		t.Error("an offset of a millisecond was taken")
	}
	if err := m.ShiftClock(ctx, "nothing.service", time.Hour); err == nil {
		t.Error("a unit without a process has another time now")
	}
	must(t, m.StallSystemd())
	hung, cancel := context.WithTimeout(ctx, time.Second)
	if _, err := m.Exec(hung, "systemctl", "is-active", "shifted"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a systemd that is stalled answers: %v", err)
	}
	cancel()
	must(t, m.ResumeSystemd())
	if _, err := m.Exec(ctx, "systemctl", "is-active", "shifted"); err != nil {
		t.Errorf("systemd after its stall: %v", err)
	}
}

// TestStarve: a full disk and a process without descriptors, and both again with room.
func TestStarve(t *testing.T) {
	l, ctx := newLab(t, "teststarve", 1)
	m := l.Machines()[0]
	must(t, m.SmallDisk(ctx, "/srv/small", 8))
	for _, dir := range []string{"/run", "/srv/small"} {
		write := []string{"sh", "-c", "head -c 100000 /dev/zero > " + dir + "/x"}
		must(t, m.FillDisk(ctx, dir))
		if _, err := m.Exec(ctx, write...); err == nil {
			t.Errorf("%s is full and takes a file", dir)
		}
		must(t, m.FreeDisk(ctx, dir, 64))
		if _, err := m.Exec(ctx, write...); err != nil {
			t.Errorf("%s has room again: %v", dir, err)
		}
	}
	if err := m.FillDisk(ctx, "/"); err == nil {
		t.Error("the host's own disk was filled")
	}
	self, err := os.Executable()
	must(t, err)
	must(t, m.CopyIn(self, "/usr/local/bin/clock", 0o755))
	_, err = m.Exec(ctx, "systemd-run", "--quiet", "--unit=opens", "/usr/local/bin/clock", "clock", "/run/opens")
	must(t, err)
	writes := func() bool {
		before, _ := m.ReadFile("/run/opens")
		time.Sleep(200 * time.Millisecond)
		after, _ := m.ReadFile("/run/opens")
		return string(before) != string(after)
	}
	must(t, waitFor(ctx, "the process to write", writes))
	must(t, waitFor(ctx, "the process to be without descriptors", func() bool {
		must(t, m.LimitFiles(ctx, "opens.service", 0)) // again, if it had a file open just then
		return !writes()
	}))
	must(t, m.UnlimitFiles(ctx, "opens.service"))
	must(t, waitFor(ctx, "the process to write again", writes))
}
