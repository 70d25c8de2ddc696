package logs

import (
	"context"
	"sync"

	"fleettop/journal"
)

// What waits for a viewer that doesn't keep up. What comes beyond is dropped and counted.
const (
	waitingLines = 32 << 10
	waitingBytes = 32 << 20
)

// hub follows the log of this machine for any number of viewers: it opens the
// source's tail when the first one comes and closes it when the last one goes.
type hub struct {
	src journal.Source

	mu   sync.Mutex // guards loop and what counts its members
	loop *loop
}

// loop is one life of the tail. Its goroutine owns the tail and the viewers.
type loop struct {
	tail    journal.Tail // nil where opening it failed with err
	members int          // of hub.mu
	calls   chan func()
	stop    chan struct{}
	done    chan struct{}

	viewers map[*viewer]bool
	byUnit  map[string][]*viewer
	wanted  journal.Wanted
	err     error
}

// viewer is one reader of the hub.
type viewer struct {
	units  map[string]bool
	fields bool

	mu     sync.Mutex // guards what follows
	queue  []journal.Entry
	bytes  int
	missed int
	err    error
	ready  chan struct{} // capacity 1
}

// join begins to collect what is logged of units behind the position returned.
func (h *hub) join(units []string, fields bool) (*viewer, journal.Position, func(), error) {
	h.mu.Lock()
	if h.loop == nil {
		h.loop = &loop{calls: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}),
			viewers: map[*viewer]bool{}, byUnit: map[string][]*viewer{}}
		go h.loop.run(h.src)
	}
	l := h.loop
	l.members++
	h.mu.Unlock()

	v := &viewer{units: map[string]bool{}, fields: fields, ready: make(chan struct{}, 1)}
	for _, u := range units {
		v.units[u] = true
	}
	var at journal.Position
	var err error
	l.call(func() {
		if err = l.err; err == nil {
			l.viewers[v] = true
			l.recount()
			at = l.tail.Position(units)
		}
	})
	leave := sync.OnceFunc(func() { h.leave(l, v) })
	if err != nil {
		leave()
		return nil, nil, nil, err
	}
	return v, at, leave, nil
}

func (h *hub) leave(l *loop, v *viewer) {
	l.call(func() {
		delete(l.viewers, v)
		l.recount()
	})
	h.mu.Lock()
	l.members--
	last := l.members == 0
	if last {
		h.loop = nil
	}
	h.mu.Unlock()
	if last {
		close(l.stop)
		<-l.done
	}
}

// call has f run by the loop's goroutine, and waits for it.
func (l *loop) call(f func()) {
	ran := make(chan struct{})
	l.calls <- func() {
		f()
		close(ran)
	}
	<-ran
}

// run opens the tail, which may take a while, and serves it until the last viewer has left.
func (l *loop) run(src journal.Source) {
	defer close(l.done)
	var wake <-chan struct{}
	if l.tail, l.err = src.Tail(); l.err == nil {
		defer l.tail.Close()
		wake = l.tail.Wake()
	}
	for {
		select {
		case <-l.stop:
			return
		case f := <-l.calls:
			f()
		case <-wake:
			l.next()
		}
	}
}

// recount finds out anew who wants what.
func (l *loop) recount() {
	clear(l.byUnit)
	l.wanted = journal.Wanted{Units: map[string]bool{}}
	for v := range l.viewers {
		l.wanted.Fields = l.wanted.Fields || v.fields
		for u := range v.units {
			l.wanted.Units[u] = true
			l.byUnit[u] = append(l.byUnit[u], v)
		}
	}
}

// next reads what there is and hands it on.
func (l *loop) next() {
	if l.err != nil || len(l.viewers) == 0 {
		return
	}
	list, lost, err := l.tail.Next(l.wanted)
	for v := range l.viewers {
		v.put(list, lost, err)
	}
	l.err = err
}

// put queues what is for the viewer, or counts it where it has no place left.
func (v *viewer) put(list []journal.Entry, lost int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := len(v.queue) + v.missed
	v.missed += lost
	for i := range list {
		if !v.units[list[i].Unit] {
			continue
		}
		// Behind a gap nothing is queued until the gap was told.
		if v.missed > 0 || len(v.queue) >= waitingLines || v.bytes >= waitingBytes {
			v.missed++
			continue
		}
		v.queue = append(v.queue, list[i])
		v.bytes += list[i].Size()
	}
	v.err = err
	if len(v.queue)+v.missed > before || err != nil {
		select {
		case v.ready <- struct{}{}:
		default:
		}
	}
}

// take waits for entries and returns all there are, with the number of those that were missed
// behind them.
func (v *viewer) take(ctx context.Context) (list []journal.Entry, missed int, err error) {
	for {
		v.mu.Lock()
		list, missed, err = v.queue, v.missed, v.err
		v.queue, v.bytes, v.missed = nil, 0, 0
		v.mu.Unlock()
		if len(list) > 0 || missed > 0 || err != nil {
			return list, missed, err
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-v.ready:
		}
	}
}
