package engine

import (
	"context"
	"sync"
	"time"

	"fleettop/cluster"
)

// outbox does what must not hold up moves: it records events, in order, and
// ends the leases of dead machines.
type outbox struct {
	ctx     context.Context
	cfg     Config
	running sync.WaitGroup

	mu     sync.Mutex // guards what follows
	events []cluster.Event
	gone   map[string]bool // runs evicted, by ID
	wake   chan struct{}   // capacity 1
}

const (
	recordTimeout = 5 * time.Second
	lastWords     = 2 * time.Second // the next leader waits for them
	mostRecorded  = 500             // events in one call
)

// newOutbox returns an outbox that works until ctx ends.
func newOutbox(ctx context.Context, cfg Config) *outbox {
	o := &outbox{ctx: ctx, cfg: cfg, gone: map[string]bool{}, wake: make(chan struct{}, 1)}
	o.running.Go(o.run)
	return o
}

// wait blocks until what was started has ended; the context must have.
func (o *outbox) wait() { o.running.Wait() }

// record queues events and doesn't block.
func (o *outbox) record(events []cluster.Event) {
	if len(events) == 0 {
		return
	}
	o.mu.Lock()
	o.events = append(o.events, events...)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run records what is queued until ctx ends, and then the last words of the
// term: all that is queued by that time.
func (o *outbox) run() {
	for o.ctx.Err() == nil {
		select {
		case <-o.ctx.Done():
		case <-o.wake:
			o.flush(recordTimeout)
		}
	}
	o.flush(lastWords)
}

// flush records what is queued, each batch within a time, also when ctx has ended.
func (o *outbox) flush(limit time.Duration) {
	for batch := o.next(); len(batch) > 0; batch = o.next() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), limit)
		err := o.cfg.Store.Record(ctx, batch...)
		cancel()
		if err == nil {
			continue
		}
		o.cfg.Log.Warn("events are missing in the timeline", "events", len(batch), "first", batch[0].Text, "error", err)
		if o.ctx.Err() != nil {
			return // the store that wouldn't take these won't take more
		}
	}
}

func (o *outbox) next() []cluster.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.events), mostRecorded)
	batch := o.events[:n:n]
	o.events = o.events[n:]
	return batch
}

// evict ends runs, each once, and doesn't block.
func (o *outbox) evict(runs []cluster.Run) {
	for _, r := range runs {
		o.mu.Lock()
		known := o.gone[r.ID]
		o.gone[r.ID] = true
		o.mu.Unlock()
		if known {
			continue
		}
		o.running.Go(func() {
			if err := o.cfg.Store.Evict(o.ctx, r.Machine, r.ID); err != nil && o.ctx.Err() == nil {
				o.cfg.Log.Warn("could not end the lease of a dead machine; it runs out by itself", "machine", r.Machine, "error",
					err)
			}
		})
	}
}
