package faultlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// record logs one record at a time of the test's own.
func record(l *slog.Logger, at time.Duration, level slog.Level, msg string, args ...any) {
	r := slog.NewRecord(time.Unix(0, 0).Add(at), level, msg, 0)
	r.Add(args...)
	_ = l.Handler().Handle(context.Background(), r)
}

func newLog() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	plain := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(New(plain)), &b
}

func TestAFaultThatLastsIsSaidOnceAndCounted(t *testing.T) {
	l, b := newLog()
	for second := range 3 * 60 * 60 {
		err := fmt.Errorf("open /x/tmp%d: no space left on device", 1000000+second)
		record(l, time.Duration(second)*time.Second, slog.LevelWarn, "not saved", "unit", "a.service", "try", second, "error",
			err)
	}
	got := strings.Count(b.String(), "\n")
	if got < 3 || got > 9 {
		t.Errorf("a fault of three hours was said %d times, expected a few:\n%s", got, b)
	}
	repeated := 0
	for line := range strings.Lines(b.String()) {
		n := 0
		if _, after, ok := strings.Cut(line, "repeated="); ok {
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Error(err)
			}
		}
		repeated += n
	}
	if repeated < 60*60 {
		t.Errorf("%d repetitions were counted:\n%s", repeated, b)
	}
}

func TestDifferentFaultsAreSaid(t *testing.T) {
	l, b := newLog()
	for _, args := range [][]any{
		{"unit", "a@1.service", "error", errors.New("disk full")},
		{"unit", "a@2.service", "error", errors.New("disk full")},
		{"unit", "a@1.service", "error", errors.New("read-only")},
	} {
		for range 3 {
			record(l, 0, slog.LevelError, "not saved", args...)
			record(l.With(args...), 0, slog.LevelError, "not loaded")
			record(l.WithGroup("g").With(args...), 0, slog.LevelError, "not loaded")
		}
	}
	if got := strings.Count(b.String(), "\n"); got != 9 {
		t.Errorf("nine faults were said %d times:\n%s", got, b)
	}
}

func TestAFaultThatComesBackIsNew(t *testing.T) {
	l, b := newLog()
	for _, at := range []time.Duration{0, time.Hour, 2 * time.Hour} {
		record(l, at, slog.LevelWarn, "lost")
	}
	if got := b.String(); got != strings.Repeat("msg=lost\n", 3) {
		t.Errorf("got %q", got)
	}
}

func TestNewsIsNoFault(t *testing.T) {
	l, b := newLog()
	for range 3 {
		record(l, 0, slog.LevelInfo, "started", "unit", "a.service")
	}
	if got := strings.Count(b.String(), "\n"); got != 3 {
		t.Errorf("three messages became %d", got)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	l, _ := newLog()
	for i := range 3 * most {
		record(l, 0, slog.LevelWarn, "lost", "unit", fmt.Sprint(i))
	}
	if n := len(l.Handler().(*Handler).faults.known); n > most {
		t.Errorf("%d faults are kept, expected at most %d", n, most)
	}
}
