package logs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/view"
	"fleettop/journal"
)

const (
	// window is how long a live line waits for an earlier one of another machine.
	window = 25 * time.Millisecond
	// linger is how long a machine is listened to after its unit has gone.
	linger = 5 * time.Second
	// lookEvery is how often feeds that ended are started again.
	lookEvery = time.Second
)

// conductor makes one stream of what the machines tell, for one viewer. Its
// goroutine is the viewer's.
type conductor struct {
	s     *Service
	lease *view.Lease
	o     api.JournalOptions
	q     journal.Query
	names []string
	only  cluster.Machine // whose lines alone are wanted, if any
	began time.Time
	emit  func([]journal.Entry) error

	snap      *cluster.Snapshot
	sub       *view.Subscription // to what comes after snap; nil while the store is away
	judged    <-chan struct{}    // closed when a verdict is newer than the last reconcile
	units     []string
	positions map[string]string // how far each machine was read
	lastEvent cluster.Event     // the one with the highest ID that was heard
	lost      map[string]bool   // machines that died while they were read
	feeds     map[string]*feed  // by machine
	failures  map[string]string // of each machine, what was last said of why it can't be asked
	feedCount int
	news      chan news
	gone      chan struct{} // closed when the conductor has stopped listening

	merger *journal.Merger[item]
	past   past
	moves  moves
	out    []journal.Entry
	wrote  bool // a line of a log
}

// item is a line in the merger.
type item struct {
	journal.Entry
	f    *feed
	last bool // of its batch
	past bool
}

func (c *conductor) run(ctx context.Context) error {
	c.units = known(c.snap, c.names)
	strangers := c.strangers()
	if strangers && (c.o.Follow || len(c.units) == 0) {
		return c.notFound()
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	c.news, c.gone, c.merger = make(chan news), make(chan struct{}), journal.NewMerger[item](window)
	c.failures = map[string]string{}
	c.feeds, c.lost, c.moves = map[string]*feed{}, map[string]bool{}, moves{held: map[string]*hold{},
		told: map[string]string{}}
	if c.positions == nil {
		c.positions = map[string]string{}
	}
	defer func() {
		cancel()
		close(c.gone)
		wg.Wait()
	}()
	if _, live, _, _ := c.lease.Latest(); c.o.Follow && live {
		if snap, sub, err := c.lease.Subscribe(ctx); err == nil { // else the store is away; it is looked for again
			c.snap, c.sub = snap, sub
			c.units = known(snap, c.names)
		}
	}
	c.judged = c.s.cfg.Health.Changed()
	c.past.begin(c)
	c.history(ctx)
	present := present(c.snap, c.names)
	for _, id := range c.alive() {
		o := c.o
		o.Follow = c.o.Follow && present[id]
		if len(c.o.After) > 0 {
			o.Lines = 0
		}
		c.open(ctx, &wg, id, o)
	}
	if len(c.feeds) == 0 {
		return &api.Error{Code: api.CodeUnavailable, Message: "no machine that has this log can be asked", Hint: "see `fleettop list-machines --all`"}
	}
	defer func() { c.unsubscribe() }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		wait, err := c.drain()
		if err != nil {
			return err
		}
		if !c.o.Follow && len(c.feeds) == 0 {
			if strangers && !c.wrote {
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
		case n := <-c.news:
			c.hear(n)
		case <-timer:
		case <-tick.C:
			if c.o.Follow && c.sub == nil {
				c.resubscribe(ctx)
			}
			c.reconcile(ctx, &wg)
		case <-c.healthChanged():
			c.reconcile(ctx, &wg)
		case ch, ok := <-c.changes():
			if !ok {
				c.resubscribe(ctx)
			} else {
				c.apply(c.snap.With(ch), ch.Events)
			}
			c.reconcile(ctx, &wg)
		}
	}
}

func (c *conductor) healthChanged() <-chan struct{} {
	if !c.o.Follow {
		return nil
	}
	return c.judged
}

func (c *conductor) changes() <-chan cluster.Change {
	if c.sub == nil {
		return nil
	}
	return c.sub.C()
}

func (c *conductor) unsubscribe() {
	if c.sub != nil {
		c.sub.Close()
		c.sub = nil
	}
}

// resubscribe goes on with a view that started over, unless the store is away.
func (c *conductor) resubscribe(ctx context.Context) {
	c.unsubscribe()
	ctx, cancel := context.WithTimeout(ctx, time.Second) // the store may be lost at this moment
	defer cancel()
	if _, live, _, _ := c.lease.Latest(); !live {
		return
	}
	snap, sub, err := c.lease.Subscribe(ctx)
	if err != nil {
		return
	}
	c.sub = sub
	c.apply(snap, c.missed(ctx))
}

// missed are the events since the last one heard, while there was no
// subscription; those it brings as well do no harm.
func (c *conductor) missed(ctx context.Context) []cluster.Event {
	if c.s.cfg.Timeline == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	last := c.lastEvent
	events, err := c.s.cfg.Timeline.Events(ctx, last.Time, eventsMost)
	if err != nil {
		c.s.cfg.Log.Debug("a log goes on without the events it missed", "error", err)
		return nil
	}
	return slices.DeleteFunc(events, func(e cluster.Event) bool { return e.ID <= last.ID })
}

// strangers reports whether the cluster knows none of the units.
func (c *conductor) strangers() bool {
	for _, u := range c.units {
		_, isUnit := c.snap.Units[u]
		if isUnit {
			return false
		}
	}
	return len(present(c.snap, c.names)) == 0
}

func (c *conductor) notFound() error {
	message := fmt.Sprintf("Unit %s not found", c.names[0])
	if isGlob(c.names[0]) {
		message = fmt.Sprintf("no unit matches %q", c.names[0])
	}
	return &api.Error{Code: api.CodeNotFound, Message: message, Hint: "`fleettop list-unit-files` shows those there are"}
}

// alive are the machines that can be asked, sorted.
func (c *conductor) alive() []string {
	health := c.s.cfg.Health.Health()
	var ids []string
	for id := range c.snap.Machines {
		h, known := health[id]
		if (c.only.ID == "" || c.only.ID == id) && (id == c.s.cfg.Self || known && h.State.Runs()) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// open starts a feed. A machine is waited for only in the beginning.
func (c *conductor) open(ctx context.Context, wg *sync.WaitGroup, machine string, o api.JournalOptions) *feed {
	o.Local, o.Unit, o.Machine, o.After = true, "", "", nil
	if !c.q.Since.IsZero() {
		o.Since = c.q.Since.Format(time.RFC3339Nano)
	}
	if !c.q.Until.IsZero() {
		o.Until = c.q.Until.Format(time.RFC3339Nano)
	}
	if at, ok := c.positions[machine]; ok {
		o.After = map[string]string{machine: at}
	}
	c.feedCount++
	f := &feed{machine: machine, units: c.units, o: o, key: fmt.Sprintf("%s#%d", machine, c.feedCount), began: time.Now()}
	c.merger.Open(f.key)
	if !c.past.open {
		f.live = true
		c.merger.Live(f.key)
	}
	c.feeds[machine] = f
	c.start(ctx, wg, f)
	return f
}

// hear takes in what a feed tells.
func (c *conductor) hear(n news) {
	f := n.f
	if f.dropped {
		return
	}
	now := time.Now()
	for i, l := range n.lines {
		if l.Cursor != "" {
			c.positions[f.machine] = string(l.Cursor)
		}
		it := item{Entry: l, f: f, last: i == len(n.lines)-1, past: !f.live}
		if it.past {
			c.past.waiting++
		}
		c.merger.Add(f.key, it, l.Time, now)
		if l.Kind == journal.KindPosition && !f.live {
			f.live = true
			c.merger.Live(f.key)
		}
	}
	if n.ended {
		c.end(f)
		switch {
		case n.err == nil:
		case f.back:
			c.lost[f.machine] = true // it is asked again
		case c.failures[f.machine] != n.err.Error():
			c.failures[f.machine] = n.err.Error()
			c.note(fmt.Sprintf("%s can't be asked for its lines: %v", c.snap.Label(f.machine), n.err))
		}
	}
}

// end is the end of a feed; what it has told stays.
func (c *conductor) end(f *feed) {
	f.dropped, f.live = true, true
	f.cancel()
	c.merger.End(f.key)
	delete(c.feeds, f.machine)
}

// note adds a sentence to the stream, now or when the past is told.
func (c *conductor) note(text string) {
	l := journal.Entry{Kind: journal.KindDivider, Time: time.Now(), Text: text}
	if c.past.open {
		c.past.notes = append(c.past.notes, l)
		return
	}
	c.out = append(c.out, l)
}

// drain hands on what can be, and tells how long the next may have to wait.
func (c *conductor) drain() (wait time.Duration, err error) {
	now := time.Now()
	for {
		it, ok, left := c.merger.Next(now)
		if !ok {
			wait = left
			break
		}
		if it.last {
			<-it.f.room
		}
		if c.past.open {
			c.past.take(c, it)
		} else {
			c.pass(it, now)
		}
		if err := c.flush(batchMost); err != nil {
			return 0, err
		}
	}
	if c.past.open {
		if left := c.past.patience(c, now); left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
		if c.past.told(c) {
			c.past.close(c, now)
		}
	}
	if left := c.moves.expire(c, now); left > 0 && (wait == 0 || left < wait) {
		wait = left
	}
	return wait, c.flush(1)
}

// pass hands on a line of now.
func (c *conductor) pass(it item, now time.Time) {
	if it.f != nil && it.f.late && it.Kind == "" {
		it.f.late = false
		c.note(fmt.Sprintf("%s is back: what it had logged and could not tell", c.snap.Label(it.Machine)))
	}
	if c.moves.hold(it, now) {
		return
	}
	c.put(it.Entry)
}

// put queues a line for the viewer.
func (c *conductor) put(l journal.Entry) {
	if l.Kind == journal.KindPosition && !c.o.Positions {
		return
	}
	c.wrote = c.wrote || l.Kind == ""
	c.out = append(c.out, l)
}

// flush hands over what is queued, if it is so many, in pieces that a viewer
// takes in at once.
func (c *conductor) flush(least int) error {
	if len(c.out) < least {
		return nil
	}
	out := c.out
	c.out = nil
	for piece := range pieces(out) {
		if err := c.emit(piece); err != nil {
			return err
		}
	}
	return nil
}

// reconcile starts and ends feeds as units and machines come and go.
func (c *conductor) reconcile(ctx context.Context, wg *sync.WaitGroup) {
	if !c.o.Follow {
		return
	}
	c.judged = c.s.cfg.Health.Changed() // before the verdicts are read, so that no change is missed
	now := time.Now()
	units := known(c.snap, c.names)
	more := !slices.Equal(units, c.units)
	c.units = units
	wanted := present(c.snap, c.names)
	alive := map[string]bool{}
	for _, id := range c.alive() {
		alive[id] = true
	}
	for _, f := range slices.Collect(maps.Values(c.feeds)) {
		switch {
		case !alive[f.machine]:
			c.end(f)
			c.lost[f.machine] = true
		case !f.o.Follow || wanted[f.machine]:
			f.left = time.Time{}
			if more && f.o.Follow && f.live {
				c.end(f)
			}
		case f.left.IsZero():
			f.left = now
		case now.Sub(f.left) > linger:
			c.end(f)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(alive)) {
		had := c.feeds[id]
		back := c.lost[id]
		if had != nil && (had.o.Follow || !wanted[id]) || had == nil && !wanted[id] && !back {
			continue
		}
		if had != nil && !had.live {
			continue // it is still telling its past
		}
		if had != nil {
			c.end(had)
		}
		o := c.o
		o.Follow = wanted[id]
		o.Lines, o.Since = 0, ""
		if _, known := c.positions[id]; !known {
			o.Since = c.began.Format(time.RFC3339Nano)
		}
		f := c.openSince(ctx, wg, id, o)
		f.late, f.back = back, back
		delete(c.lost, id)
	}
}

// openSince starts a feed later on: behind what is known of the machine, or
// with what it has logged since the viewer came.
func (c *conductor) openSince(ctx context.Context, wg *sync.WaitGroup, id string, o api.JournalOptions) *feed {
	q := c.q
	c.q.Since = time.Time{}
	defer func() { c.q = q }()
	return c.open(ctx, wg, id, o)
}
