package logs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
)

const (
	kept       = 100000 // lines remembered
	backlog    = 500    // lines asked for at first
	gather     = 50 * time.Millisecond
	retryFirst = 500 * time.Millisecond
	retryMost  = 10 * time.Second
)

// Source is where logs come from.
type Source interface {
	Journal(ctx context.Context, o api.JournalOptions, f func(api.LogLine) error) error
}

// stream follows the logs of units. Its goroutines only gather; the screen
// takes what they have.
type stream struct {
	cancel  context.CancelFunc
	done    <-chan struct{}
	running sync.WaitGroup
	changed chan struct{} // has one when there is something to take

	mu      sync.Mutex // guards what follows
	pending []api.LogLine
	dropped int
	trouble string
}

// follow starts following.
func follow(src Source, units []string) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{cancel: cancel, done: ctx.Done(), changed: make(chan struct{}, 1)}
	s.running.Go(func() { s.run(ctx, src, units) })
	return s
}

// close ends the stream and waits for its goroutines.
func (s *stream) close() {
	s.cancel()
	s.running.Wait()
}

// run follows the logs, again and again from where they broke off.
func (s *stream) run(ctx context.Context, src Source, units []string) {
	read := map[string]string{} // cursor of the last line, by machine
	wait := retryFirst
	for ctx.Err() == nil {
		o := api.JournalOptions{Units: units, Lines: backlog, Follow: true, Positions: true, After: maps.Clone(read)}
		err := src.Journal(ctx, o, func(l api.LogLine) error {
			s.fine()
			wait = retryFirst
			if l.Machine != "" && l.Cursor != "" {
				read[l.Machine] = l.Cursor
			}
			if l.Kind != api.LogPosition {
				s.push(l)
			}
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		s.fail(err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMost)
	}
}

func (s *stream) push(l api.LogLine) {
	l.Message, l.Text = draw.Clean(l.Message), draw.Clean(l.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) >= kept {
		s.pending = slices.Delete(s.pending, 0, kept/10)
		s.dropped += kept / 10
	}
	s.pending = append(s.pending, l)
	s.poke()
}

// poke wakes whoever waits; the caller holds mu.
func (s *stream) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *stream) fail(err error) {
	text := "the log broke off; trying again"
	var refused *api.Error
	var away *api.UnreachableError
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
		s.poke()
	}
}

func (s *stream) fine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = ""
}

// take returns what came since the last time.
func (s *stream) take() (lines []api.LogLine, dropped int, trouble string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines, dropped, trouble = s.pending, s.dropped, s.trouble
	s.pending, s.dropped = nil, 0
	return lines, dropped, trouble
}
