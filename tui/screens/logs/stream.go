package logs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/state"
	"fleettop/units/retry"
)

const (
	backlog    = 500 // lines asked for at first
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
	ended   chan struct{} // closed when its goroutines have
	wake    chan struct{} // has one when the line buffer is to be brought up to date
	changed chan struct{} // has one when there is another page

	mu      sync.Mutex // guards what follows
	pending []journal.Entry
	older   []journal.Entry // that were asked for, from before all others
	bytes   int             // of them
	dropped int             // of them, before the line buffer had them
	trouble string
	filter  state.Query
	called  func(id string) string
	page    page
}

// follow starts following.
func follow(src Source, units []string) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{cancel: cancel, done: ctx.Done(), ended: make(chan struct{}), wake: make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		called:  func(id string) string { return id }}
	var running sync.WaitGroup
	running.Go(func() { s.run(ctx, src, units) })
	running.Go(s.keep)
	go func() {
		running.Wait()
		close(s.ended)
	}()
	return s
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
		b.called = s.called
		s.mu.Unlock()
		b.dropped += dropped
		b.setFilter(filter)
		b.add(lines)
		passed := b.passed
		b.add(older)
		b.passed = passed // they are not new
		s.mu.Lock()
		s.page = b.page
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

// run follows the logs, again and again from where they broke off.
func (s *stream) run(ctx context.Context, src Source, units []string) {
	read := map[string]string{} // cursor of the last line, by machine
	began := time.Now().Format(time.RFC3339Nano)
	delay := retry.NewDelay(retryFirst, retryMost)
	for ctx.Err() == nil {
		o := api.JournalOptions{Units: units, Lines: backlog, Follow: true, Positions: true, After: maps.Clone(read)}
		if len(read) > 0 {
			o.Since = began // of machines that told nothing yet
		}
		err := src.Journal(ctx, o, func(l journal.Entry) error {
			s.fine()
			delay.Reset()
			if l.Machine != "" && l.Cursor != "" {
				read[l.Machine] = string(l.Cursor)
			}
			if l.Kind != journal.KindPosition {
				s.push(l)
			}
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		s.fail(err)
		delay.Wait(ctx)
	}
}

func (s *stream) push(l journal.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// take returns the newest page, and what is wrong. Machines are known by name
// through called from now on.
func (s *stream) take(called func(id string) string) (page, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called = called
	return s.page, s.trouble
}
