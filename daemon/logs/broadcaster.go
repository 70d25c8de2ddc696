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

// broadcaster follows the log of this machine for any number of viewers: it opens the
// source's tail when the first one comes and closes it when the last one goes.
type broadcaster struct {
	src journal.Source

	mu     sync.Mutex // guards tailer and what counts its members
	tailer *tailer
}

// tailer is one life of the tail. Its goroutine owns the tail and the viewers.
type tailer struct {
	tail    journal.Tail // nil where opening it failed with err
	members int          // of broadcaster.mu
	calls   chan func()
	stop    chan struct{}
	done    chan struct{}

	viewers map[*viewer]bool
	wanted  journal.Wanted
	err     error
}

// viewer is one reader of the broadcaster.
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
func (b *broadcaster) join(units []string, fields bool) (*viewer, journal.Position, func(), error) {
	b.mu.Lock()
	if b.tailer == nil {
		b.tailer = &tailer{calls: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}),
			viewers: map[*viewer]bool{}}
		go b.tailer.run(b.src)
	}
	t := b.tailer
	t.members++
	b.mu.Unlock()

	v := &viewer{units: map[string]bool{}, fields: fields, ready: make(chan struct{}, 1)}
	for _, u := range units {
		v.units[u] = true
	}
	var at journal.Position
	var err error
	t.call(func() {
		if err = t.err; err == nil {
			t.viewers[v] = true
			t.setWanted()
			at = t.tail.Position(units)
		}
	})
	leave := sync.OnceFunc(func() { b.leave(t, v) })
	if err != nil {
		leave()
		return nil, nil, nil, err
	}
	return v, at, leave, nil
}

func (b *broadcaster) leave(t *tailer, v *viewer) {
	t.call(func() {
		delete(t.viewers, v)
		t.setWanted()
	})
	b.mu.Lock()
	t.members--
	last := t.members == 0
	if last {
		b.tailer = nil
	}
	b.mu.Unlock()
	if last {
		close(t.stop)
		<-t.done
	}
}

// call has f run by the tailer's goroutine, and waits for it.
func (t *tailer) call(f func()) {
	ran := make(chan struct{})
	t.calls <- func() {
		f()
		close(ran)
	}
	<-ran
}

// run opens the tail, which may take a while, and serves it until the last viewer has left.
func (t *tailer) run(src journal.Source) {
	defer close(t.done)
	var wake <-chan struct{}
	if t.tail, t.err = src.Tail(); t.err == nil {
		defer t.tail.Close()
		wake = t.tail.Wake()
	}
	for {
		select {
		case <-t.stop:
			return
		case f := <-t.calls:
			f()
		case <-wake:
			t.next()
		}
	}
}

// setWanted works out what the viewers want.
func (t *tailer) setWanted() {
	t.wanted = journal.Wanted{Units: map[string]bool{}}
	for v := range t.viewers {
		t.wanted.Fields = t.wanted.Fields || v.fields
		for u := range v.units {
			t.wanted.Units[u] = true
		}
	}
}

// next reads what there is and hands it on.
func (t *tailer) next() {
	if t.err != nil || len(t.viewers) == 0 {
		return
	}
	list, lost, err := t.tail.Next(t.wanted)
	for v := range t.viewers {
		v.put(list, lost, err)
	}
	t.err = err
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
