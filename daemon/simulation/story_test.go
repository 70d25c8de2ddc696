//go:build !race

package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	storyLines = 400   // that are kept: the end of it tells why
	spins      = 2_000 // lines of one moment: no time passes in a loop without a pause
)

// story is what happened, line by line.
type story struct {
	mu    sync.Mutex // guards what follows
	began time.Time
	lines []string
	at    time.Time // of the newest line
	same  int       // lines of that moment
	spun  bool
}

func (s *story) say(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%8.3f %-4s ", time.Since(s.began).Seconds(), who) + fmt.Sprintf(format, args...)
	s.lines = append(s.lines, line)
	if now := time.Now(); now.Equal(s.at) {
		s.same++
	} else {
		s.at, s.same = now, 0
	}
	if s.same > spins && !s.spun {
		s.spun = true
		panic("something is done again and again without a pause:\n" + strings.Join(s.lines[max(0, len(s.lines)-spins-120):max(0, len(s.lines)-spins+30)], "\n"))
	}
	if len(s.lines) > 8*storyLines {
		s.lines = append([]string(nil), s.lines[storyLines:]...)
	}
}

func (s *story) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-storyLines):], "\n")
}

// handler writes a daemon's log into the story.
func (s *story) handler(who string) slog.Handler { return &pen{s, who} }

type pen struct {
	story *story
	who   string
}

func (p *pen) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (p *pen) WithAttrs([]slog.Attr) slog.Handler           { return p }
func (p *pen) WithGroup(string) slog.Handler                { return p }
func (p *pen) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("  " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	p.story.say(p.who, "%s", b.String())
	return nil
}
