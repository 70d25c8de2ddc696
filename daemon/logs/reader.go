package logs

import (
	"context"
	"errors"
	"time"

	"fleettop/daemon/api"
	"fleettop/daemon/logs/stitch"
	"fleettop/journal"
	"fleettop/units/retry"
)

const (
	retryLeast = 100 * time.Millisecond
	retryMost  = 2 * time.Second
)

// reader reads one machine's log for one session.
type reader struct {
	*stitch.Reader
	o      api.JournalOptions // Local, and where to go on
	cancel context.CancelFunc
	goOn   chan struct{} // capacity 1: receives when what was read has been taken in and there is room for more
	stuck  bool          // waits on goOn; of the session
}

// readerEvent is what a reader tells its session.
type readerEvent struct {
	r     *reader
	lines []journal.Entry
	ended bool  // nothing more comes
	err   error // why
}

// start runs a reader until it has ended, which is its last event.
func (c *session) start(ctx context.Context, sr *stitch.Reader) {
	r := &reader{Reader: sr, goOn: make(chan struct{}, 1)}
	r.o = api.JournalOptions{Units: sr.Units, Lines: sr.Lines, Priority: c.o.Priority, Grep: c.o.Grep, Errors: c.o.Errors,
		Follow: sr.Follow, Fields: c.o.Fields, Local: true, Positions: true}
	if !sr.Since.IsZero() {
		r.o.Since = sr.Since.Format(time.RFC3339Nano)
	}
	if !sr.Until.IsZero() {
		r.o.Until = sr.Until.Format(time.RFC3339Nano)
	}
	r.goOnBehind(sr.After)
	ctx, r.cancel = context.WithCancel(ctx)
	c.readers[sr] = r
	c.running.Go(func() { c.send(readerEvent{r: r, ended: true, err: c.read(ctx, r)}) })
}

// goOnBehind sets where the reader goes on when it asks again.
func (r *reader) goOnBehind(at journal.Cursor) {
	if at != "" {
		r.o.After = map[string]string{r.Machine: string(at)}
	}
}

// read reads until all is read, the machine refuses, or ctx ends. When it
// follows and breaks off, it goes on.
func (c *session) read(ctx context.Context, r *reader) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for {
		told, err := c.readOnce(ctx, r)
		if ctx.Err() != nil {
			return nil
		}
		var refused *api.Error
		if !r.Follow || !told && errors.As(err, &refused) {
			return err
		}
		if told {
			delay.Reset()
		}
		c.s.cfg.Log.Debug("a machine's log broke off; going on with it", "machine", r.Machine, "error", err)
		delay.Wait(ctx)
	}
}

// readOnce asks the machine, from where it was left.
func (c *session) readOnce(ctx context.Context, r *reader) (told bool, err error) {
	pass := func(list []journal.Entry) error {
		told = true
		for i := range list {
			r.goOnBehind(list[i].Cursor)
		}
		if err := c.send(readerEvent{r: r, lines: list}); err != nil {
			return err
		}
		select {
		case <-r.goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r.Machine == c.s.cfg.Self {
		err := c.s.local(ctx, r.o.Units, r.o, pass)
		if err != nil && !told && ctx.Err() == nil { // as another machine would answer it
			err = &api.Error{Code: api.CodeUnavailable, Message: err.Error()}
		}
		return told, err
	}
	client, err := c.s.cfg.Peers.Client(r.Machine)
	if err != nil {
		return false, err
	}
	return told, client.JournalBatches(ctx, r.o, pass)
}

// send hands an event to the session, unless that has ended.
func (c *session) send(e readerEvent) error {
	select {
	case c.events <- e:
		return nil
	case <-c.ended:
		return errEnded
	}
}

var errEnded = errors.New("the session has ended")
