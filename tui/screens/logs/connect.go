package logs

import (
	"context"
	"maps"
	"slices"
	"time"

	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/units/retry"
)

// connections reads a log, again and again from where it broke off. It belongs to the goroutine that reads.
type connections struct {
	*stream
	span  span
	read  map[string]string // cursor of the last line, by machine
	began time.Time         // from here on lines of machines that told nothing yet are asked for
	gap   *gap              // nil unless lines were left out and that isn't told yet
}

// gap is what is left out between the newest line received and the next.
type gap struct {
	from  time.Time
	known map[place]bool // lines received before it
}

// run reads the logs until they end or the stream is closed.
func (s *stream) run(ctx context.Context, src Source, units []string, sp span) {
	c := connections{stream: s, span: sp, read: map[string]string{}, began: time.Now()}
	if !sp.since.IsZero() {
		c.began = sp.since
	}
	delay := retry.NewDelay(retryFirst, retryMost)
	for ctx.Err() == nil {
		connection, cut := context.WithCancel(ctx)
		c.begin(cut)
		err := src.Journal(connection, c.request(units), func(l journal.Entry) error {
			delay.Reset()
			c.receive(l)
			return connection.Err()
		})
		left := connection.Err() != nil
		cut()
		switch {
		case ctx.Err() != nil:
			return
		case left: // at once on with the newest lines
		case err == nil && !sp.follows():
			s.finish()
			return
		default:
			if !sp.follows() { // it is read again
				clear(c.read)
				s.forget()
			}
			s.fail(err)
			delay.Wait(ctx)
		}
	}
}

// begin makes out whether something is left out before a connection, which cut ends.
func (c *connections) begin(cut func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if c.leaveOut {
		c.leaveOut = false
		c.gap = &gap{c.newest, c.recent.set()}
		clear(c.read)
		c.began = time.Now()
		c.lag.reset()
	}
}

// request is what is asked for next.
func (c *connections) request(units []string) api.JournalOptions {
	o := api.JournalOptions{Units: units, Errors: c.span.errors, Follow: c.span.follows(), Positions: true,
		After: maps.Clone(c.read)}
	since := c.span.since
	switch {
	case len(c.read) > 0:
		since = c.began
	case c.gap != nil:
		o.Lines = nowLines
	case since.IsZero():
		o.Lines = backlog
	}
	if !since.IsZero() {
		o.Since = since.Format(time.RFC3339Nano)
	}
	if !c.span.until.IsZero() {
		o.Until = c.span.until.Format(time.RFC3339Nano)
	}
	return o
}

// receive takes in a line.
func (c *connections) receive(l journal.Entry) {
	if l.Machine != "" && l.Cursor != "" {
		c.read[l.Machine] = string(l.Cursor)
	}
	c.fine()
	if l.Kind == journal.KindPosition {
		if c.span.follows() {
			c.finish()
		}
		return
	}
	if g := c.gap; g != nil && l.Kind == "" {
		if g.known[placeOf(&l)] {
			g.from = time.Time{} // nothing is missing
			return
		}
		if !g.from.IsZero() && !l.Time.Before(g.from) {
			c.push(g.entry(l.Time, c.zone))
			g.from = time.Time{}
		}
	}
	c.push(l)
}

// entry says what is left out up to a time.
func (g *gap) entry(to time.Time, zone *time.Location) journal.Entry {
	from, now := moment(g.from, to.In(zone)), to.In(zone)
	return journal.Entry{Kind: journal.KindMissed, Time: g.from, Text: "unknown number of lines left out, " + from + " to " +
		moment(to, now) + " (:since " + from + ")"}
}

// jump leaves out what waits on the way, and goes on with the newest lines.
func (s *stream) jump() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveOut = true
	if s.cut != nil {
		s.cut()
	}
}

// forget forgets the lines received.
func (s *stream) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.older, s.bytes, s.dropped, s.anew = nil, nil, 0, 0, true
	poke(s.wake)
}

// finish says that all there was has been told.
func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.whole {
		s.whole = true
		poke(s.changed)
	}
}

// pushOlder hands older lines, which it takes over, to the line buffer. What is said between them is told once.
func (s *stream) pushOlder(lines []journal.Entry) {
	s.mu.Lock()
	s.older = append(s.older, slices.DeleteFunc(lines, func(l journal.Entry) bool {
		told := l.Kind != "" && s.said[l.Text]
		if l.Kind != "" {
			s.said[l.Text] = true
		}
		return told
	})...)
	s.mu.Unlock()
	poke(s.wake)
}
