package logs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/state"
)

const (
	backlog    = 500 // lines asked for at first
	nowLines   = 100 // lines asked for when what waits is left out
	gather     = 50 * time.Millisecond
	retryFirst = 500 * time.Millisecond
	retryMost  = 10 * time.Second
	closing    = 20 * time.Millisecond
)

// Source is where logs come from.
type Source interface {
	Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error
}

// stream follows the logs of units. One of its goroutines reads, another fills
// the line buffer, so that drawing waits for neither; the screen takes pages.
type stream struct {
	cancel  context.CancelFunc
	done    <-chan struct{}
	ended   chan struct{}  // closed when its goroutines have
	wake    chan struct{}  // has one when the line buffer is to be brought up to date
	changed chan struct{}  // has one when there is another page
	zone    *time.Location // of the times in what is said between lines
	now     func() time.Time

	mu       sync.Mutex // guards what follows
	whole    bool       // all that was asked for was told
	lag      lagMeter
	newest   time.Time // of the lines received
	recent   recent
	cut      func()          // ends the connection; nil without one
	leaveOut bool            // what waits on the way is to be left out
	said     map[string]bool // of what is missing in older lines
	anew     bool            // what the line buffer has is to be forgotten
	pending  []journal.Entry
	older    []journal.Entry // that were asked for, from before all others
	bytes    int             // of them
	dropped  int             // of them, before the line buffer had them
	trouble  string
	filter   state.Query
	called   func(id string) string
	page     page
}

// follow starts following the part of a log, or reads it where that has an end.
func follow(src Source, units []string, sp span, zone *time.Location) *stream {
	s, ctx := newStream(zone)
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx, src, units, sp) })
	running.Go(s.keep)
	go func() {
		running.Wait()
		close(s.ended)
	}()
	return s
}

// still is a stream of lines that were read already.
func still(lines []journal.Entry) *stream {
	s, _ := newStream(time.UTC)
	s.pending, s.whole = lines, true
	poke(s.wake)
	go func() {
		s.keep()
		close(s.ended)
	}()
	return s
}

func newStream(zone *time.Location) (*stream, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	return &stream{cancel: cancel, done: ctx.Done(), ended: make(chan struct{}), wake: make(chan struct{}, 1),
		changed: make(chan struct{}, 1), zone: zone, now: steady(time.Now()), said: map[string]bool{},
		called: func(id string) string { return id }}, ctx
}

// close ends the stream. It waits for its goroutines, but not for long where a
// source doesn't let go.
func (s *stream) close() {
	s.cancel()
	select {
	case <-s.ended:
	case <-time.After(closing):
	}
}

// keep fills the line buffer.
func (s *stream) keep() {
	var b lineBuffer
	for {
		select {
		case <-s.done:
			return
		case <-s.wake:
		}
		s.mu.Lock()
		lines, older, dropped, filter := s.pending, s.older, s.dropped, s.filter
		s.pending, s.older, s.bytes, s.dropped = nil, nil, 0, 0
		if s.anew {
			b, s.anew = lineBuffer{}, false
		}
		b.called = s.called
		s.mu.Unlock()
		b.dropped += dropped
		b.setFilter(filter)
		b.add(lines)
		passed := b.passed
		b.add(older)
		b.passed = passed // they are not new
		s.mu.Lock()
		s.page = b.publish()
		s.mu.Unlock()
		poke(s.changed)
	}
}

// setFilter changes what pages show.
func (s *stream) setFilter(q state.Query) {
	s.mu.Lock()
	s.filter = q
	s.mu.Unlock()
	poke(s.wake)
}

func (s *stream) push(l journal.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Kind == "" {
		s.lag.note(&l, s.now())
		s.recent.add(&l)
		if l.Time.After(s.newest) {
			s.newest = l.Time
		}
	}
	size := textBytes(&l)
	for len(s.pending) >= kept || s.bytes+size > bytesKept && len(s.pending) > 0 {
		n := max(1, len(s.pending)/10)
		for i := range n {
			s.bytes -= textBytes(&s.pending[i])
		}
		s.pending = slices.Delete(s.pending, 0, n)
		s.dropped += n
	}
	s.pending = append(s.pending, l)
	s.bytes += size
	poke(s.wake)
}

// steady is the clock's time, which goes on evenly from one moment whatever becomes of the clock.
func steady(from time.Time) func() time.Time {
	return func() time.Time { return from.Round(0).Add(time.Since(from)) }
}

// poke wakes the goroutine that waits on a channel.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// brief is the first line of an error.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return draw.Clean(text)
}

func (s *stream) fail(err error) {
	text := "the log broke off; trying again"
	var refused *api.Error
	var away *client.UnreachableError
	switch {
	case errors.As(err, &refused):
		text = draw.Clean(refused.Error())
	case errors.As(err, &away):
		text = "no daemon at " + away.Endpoint + "; trying again"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != text {
		s.trouble = text
		poke(s.changed)
	}
}

func (s *stream) fine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = ""
}

// condition is how a stream is.
type condition struct {
	trouble string
	whole   bool          // all that there was when it was asked for is there
	behind  time.Duration // 0 for not enough to be said
}

// take returns the newest page, and how the stream is. Machines are known by name
// through called from now on.
func (s *stream) take(called func(id string) string) (page, condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called = called
	c := condition{trouble: s.trouble, whole: s.whole}
	if behind := s.lag.behind(s.now()); behind >= behindFrom && s.trouble == "" {
		c.behind = behind
	}
	return s.page, c
}
