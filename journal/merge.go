package journal

import (
	"cmp"
	"container/heap"
	"time"
)

// Merger merges several streams into one by time. Each stream stays in the
// order it came; between streams the earlier entry comes first, as far as
// the window allows: a stream that is still told of its past is waited for, one
// that is live only until the entry at hand has waited for the window.
// What is later still comes late, and is never left out.
//
// A Merger does nothing by itself and knows no clock. It is for one goroutine.
type Merger[T any] struct {
	window  time.Duration
	streams map[string]*stream[T]
	heads   heads[T] // streams that have something queued
	behind  int      // streams that are not live yet and have nothing queued
	quiet   int      // streams that are live and have nothing queued
}

type stream[T any] struct {
	name  string
	live  bool
	ended bool
	queue []queued[T]
	first int // of queue
}

type queued[T any] struct {
	item    T
	at      time.Time
	arrived time.Time
}

// NewMerger returns a Merger without streams.
func NewMerger[T any](window time.Duration) *Merger[T] {
	return &Merger[T]{window: window, streams: map[string]*stream[T]{}}
}

// Open adds a stream that is to be waited for until Live or End. Opening one
// that exists makes it a thing of the past again.
func (m *Merger[T]) Open(name string) {
	s := m.streams[name]
	if s == nil {
		s = &stream[T]{name: name}
		m.streams[name] = s
		m.behind++
		return
	}
	m.count(s, -1)
	s.live, s.ended = false, false
	m.count(s, 1)
}

// count keeps the numbers of streams with nothing queued.
func (m *Merger[T]) count(s *stream[T], d int) {
	switch {
	case s.first < len(s.queue) || s.ended:
	case s.live:
		m.quiet += d
	default:
		m.behind += d
	}
}

// Live says that a stream has told its past.
func (m *Merger[T]) Live(name string) {
	if s := m.streams[name]; s != nil {
		m.count(s, -1)
		s.live = true
		m.count(s, 1)
	}
}

// End says that a stream has nothing more to come; what is queued stays.
func (m *Merger[T]) End(name string) {
	s := m.streams[name]
	if s == nil {
		return
	}
	m.count(s, -1)
	s.ended = true
	if s.first == len(s.queue) {
		delete(m.streams, name)
	}
}

// Add queues an entry of a stream that was opened.
func (m *Merger[T]) Add(name string, item T, at, now time.Time) {
	s := m.streams[name]
	m.count(s, -1)
	s.queue = append(s.queue, queued[T]{item, at, now})
	if len(s.queue)-s.first == 1 {
		heap.Push(&m.heads, s)
	}
}

// Queued is the number of entries of a stream that wait.
func (m *Merger[T]) Queued(name string) int {
	s := m.streams[name]
	if s == nil {
		return 0
	}
	return len(s.queue) - s.first
}

// Next returns the next entry of all. Where none can be told yet it returns
// false, and how long until one can if nothing comes; 0 where only Add, Live or End help.
func (m *Merger[T]) Next(now time.Time) (item T, ok bool, wait time.Duration) {
	if len(m.heads) == 0 || m.behind > 0 {
		return item, false, 0
	}
	s := m.heads[0]
	q := s.queue[s.first]
	if m.quiet > 0 {
		if left := q.arrived.Add(m.window).Sub(now); left > 0 {
			return item, false, left
		}
	}
	s.queue[s.first] = queued[T]{}
	s.first++
	switch {
	case s.first < len(s.queue):
		if s.first > 1024 && s.first > len(s.queue)/2 {
			s.queue = append([]queued[T](nil), s.queue[s.first:]...)
			s.first = 0
		}
		heap.Fix(&m.heads, 0)
	default:
		heap.Pop(&m.heads)
		s.queue, s.first = s.queue[:0], 0
		m.count(s, 1)
		if s.ended {
			delete(m.streams, s.name)
		}
	}
	return q.item, true, 0
}

// heads is a heap of streams by their first entry's time, then their name.
type heads[T any] []*stream[T]

func (h heads[T]) Len() int { return len(h) }
func (h heads[T]) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(a.queue[a.first].at.Compare(b.queue[b.first].at), cmp.Compare(a.name, b.name)) < 0
}
func (h heads[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heads[T]) Push(x any)   { *h = append(*h, x.(*stream[T])) }
func (h *heads[T]) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}
