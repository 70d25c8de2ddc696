package logs

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/logs/stitch"
	"fleettop/daemon/view"
	"fleettop/journal"
)

const (
	// lookEvery is how often a store that is away is looked for.
	lookEvery = time.Second
	// storeAnswersWithin is how long the store may take for what a log can go on without.
	storeAnswersWithin = time.Second
	// eventsMost is how many events are looked through for moves.
	eventsMost = 5000
)

// session carries facts to the stitcher of one viewer, and lines from it. Its
// goroutine is the viewer's.
type session struct {
	s     *Service
	lease *view.Lease
	o     api.JournalOptions
	names []string
	emit  func([]journal.Entry) error

	snap      *cluster.Snapshot
	sub       *view.Subscription // to what comes after snap; nil while the store is away
	judged    <-chan struct{}    // closed when a verdict is newer than those the stitcher has
	lastEvent cluster.Event      // the one with the highest ID that was heard

	stitcher *stitch.Stitcher
	readers  map[*stitch.Reader]*reader
	events   chan readerEvent
	ended    chan struct{} // closed when the session has stopped listening
	running  sync.WaitGroup
}

// run serves the viewer until the log ends, emit fails or ctx ends.
func (c *session) run(ctx context.Context, r stitch.Request) error {
	ctx, cancel := context.WithCancel(ctx)
	c.readers, c.events, c.ended = map[*stitch.Reader]*reader{}, make(chan readerEvent), make(chan struct{})
	defer func() {
		cancel()
		close(c.ended)
		c.running.Wait()
		c.unsubscribe()
	}()
	if _, live, _, _ := c.lease.Latest(); r.Follow && live {
		if snap, sub, err := c.lease.Subscribe(ctx); err == nil { // else the store is away; it is looked for again
			c.snap, c.sub = snap, sub
		}
	}
	c.judged = c.s.cfg.Health.Changed() // before the verdicts are read, so that no change is missed
	c.stitcher = stitch.New(r, c.snap, c.s.cfg.Health.Health(), c.history(ctx, r))
	known := c.stitcher.Known()
	if !known && (r.Follow || !slices.ContainsFunc(r.Names, named)) {
		return c.notFound()
	}
	c.plan(ctx)
	if len(c.readers) == 0 {
		return &api.Error{Code: api.CodeUnavailable, Message: "no machine that has this log can be asked",
			Hint: "see `fleettop list-machines --all`"}
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	wrote := false
	for {
		wait, told, err := c.show()
		if wrote = wrote || told; err != nil {
			return err
		}
		if c.stitcher.Done() {
			if !known && !wrote {
				return c.notFound()
			}
			return nil
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-c.events:
			c.hear(e)
		case <-timer:
		case <-tick.C:
			if r.Follow && c.sub == nil {
				c.resubscribe(ctx)
			}
		case <-c.judged:
			c.judged = c.s.cfg.Health.Changed()
			c.stitcher.Health(c.s.cfg.Health.Health())
		case ch, ok := <-c.changes():
			if ok {
				c.tell(c.snap.With(ch), ch.Events)
			} else {
				c.resubscribe(ctx)
			}
		}
		c.plan(ctx)
	}
}

// plan starts and stops readers.
func (c *session) plan(ctx context.Context) {
	start, stop := c.stitcher.Plan(time.Now())
	for _, r := range stop {
		if reader := c.readers[r]; reader != nil {
			reader.cancel()
			delete(c.readers, r)
		}
	}
	for _, r := range start {
		c.start(ctx, r)
	}
}

// hear takes in what a reader tells.
func (c *session) hear(e readerEvent) {
	if e.ended {
		c.stitcher.End(e.r.Reader, e.err, time.Now())
		return
	}
	c.stitcher.Add(e.r.Reader, e.lines, time.Now())
	e.r.stuck = true
}

// show hands over what there is, and lets readers go on. It returns how long
// until there may be more, and whether a line of a log was among it.
func (c *session) show() (wait time.Duration, wrote bool, err error) {
	for {
		var list []journal.Entry
		if list, wait = c.stitcher.Next(time.Now()); len(list) == 0 {
			break
		}
		wrote = wrote || slices.ContainsFunc(list, func(e journal.Entry) bool { return e.Kind == "" })
		for piece := range pieces(list) {
			if err := c.emit(piece); err != nil {
				return 0, wrote, err
			}
		}
	}
	for _, r := range c.readers {
		if r.stuck && c.stitcher.Room(r.Reader) {
			r.stuck = false
			r.goOn <- struct{}{}
		}
	}
	return wait, wrote, nil
}

func (c *session) changes() <-chan cluster.Change {
	if c.sub == nil {
		return nil
	}
	return c.sub.C()
}

func (c *session) unsubscribe() {
	if c.sub != nil {
		c.sub.Close()
		c.sub = nil
	}
}

// tell tells the stitcher of a newer state of the cluster.
func (c *session) tell(snap *cluster.Snapshot, events []cluster.Event) {
	c.snap = snap
	for _, e := range events {
		if e.ID > c.lastEvent.ID {
			c.lastEvent = e
		}
	}
	c.stitcher.Cluster(snap, events, time.Now())
}

// resubscribe goes on with a view that started over, unless the store is away.
func (c *session) resubscribe(ctx context.Context) {
	c.unsubscribe()
	ctx, cancel := context.WithTimeout(ctx, storeAnswersWithin) // the store may be lost at this moment
	defer cancel()
	if _, live, _, _ := c.lease.Latest(); !live {
		return
	}
	snap, sub, err := c.lease.Subscribe(ctx)
	if err != nil {
		return
	}
	c.sub = sub
	c.tell(snap, c.missed(ctx))
}

// missed are the events since the last one heard, while there was no
// subscription; those it brings as well do no harm.
func (c *session) missed(ctx context.Context) []cluster.Event {
	last := c.lastEvent
	return slices.DeleteFunc(c.stored(ctx, last.Time), func(e cluster.Event) bool { return e.ID <= last.ID })
}

// history are the events for dividers in the past: the store's, or those that
// are known where it doesn't answer.
func (c *session) history(ctx context.Context, r stitch.Request) []cluster.Event {
	if c.s.cfg.Timeline == nil || r.Lines < 0 || r.Machine != "" {
		return nil
	}
	if _, live, _, _ := c.lease.Latest(); live {
		if events := c.stored(ctx, r.Since); events != nil {
			return events
		}
	}
	return c.lease.Events(r.Since, eventsMost)
}

// stored are the store's events; nil where it has none or doesn't answer.
func (c *session) stored(ctx context.Context, since time.Time) []cluster.Event {
	if c.s.cfg.Timeline == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeAnswersWithin)
	defer cancel()
	events, err := c.s.cfg.Timeline.Events(ctx, since, eventsMost)
	if err != nil {
		c.s.cfg.Log.Debug("a log goes on without the store's events", "error", err)
		return nil
	}
	return events
}

// named reports whether a name is of one unit.
func named(name string) bool { return !stitch.IsGlob(name) }

func (c *session) notFound() error {
	message := fmt.Sprintf("Unit %s not found", c.names[0])
	if stitch.IsGlob(c.names[0]) {
		message = fmt.Sprintf("no unit matches %q", c.names[0])
	}
	return &api.Error{Code: api.CodeNotFound, Message: message, Hint: "`fleettop list-unit-files` shows those there are"}
}
