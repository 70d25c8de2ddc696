package process

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"fleettop/units"
)

// watcherPatience is how many changes a watcher may leave unread before it is cut off.
const watcherPatience = 10_000

// hub has the latest status of each unit, and tells watchers of changes.
type hub struct {
	mu       sync.Mutex // guards what follows, and the fields of each watcher
	latest   map[string]units.Status
	watchers map[*watcher]struct{}
	closed   bool
}

type watcher struct {
	pending []units.Status
	wake    chan struct{} // capacity 1
	cut     bool
}

func newHub() *hub {
	return &hub{latest: map[string]units.Status{}, watchers: map[*watcher]struct{}{}}
}

// set publishes a status that differs from the one before.
func (h *hub) set(s units.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.latest[s.Name]; ok && old.Equal(s) {
		return
	}
	h.latest[s.Name] = s
	h.tell(s)
}

// drop publishes that a unit is held no more.
func (h *hub) drop(s units.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.latest, s.Name)
	h.tell(s)
}

// tell hands a status to every watcher; h.mu is held.
func (h *hub) tell(s units.Status) {
	for w := range h.watchers {
		if len(w.pending) >= watcherPatience {
			h.cut(w)
			continue
		}
		w.pending = append(w.pending, s)
		w.rouse()
	}
}

func (w *watcher) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// cut ends a watcher; h.mu is held.
func (h *hub) cut(w *watcher) {
	delete(h.watchers, w)
	w.cut, w.pending = true, nil
	w.rouse()
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for w := range h.watchers {
		h.cut(w)
	}
}

// watch returns the statuses now and later changes; all that gathers while
// the reader is busy comes as one batch.
func (h *hub) watch(ctx context.Context, wg *sync.WaitGroup) ([]units.Status, <-chan []units.Status, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, nil, errClosed
	}
	now := slices.SortedFunc(maps.Values(h.latest), func(a, b units.Status) int { return cmp.Compare(a.Name, b.Name) })
	w := &watcher{wake: make(chan struct{}, 1)}
	h.watchers[w] = struct{}{}
	out := make(chan []units.Status)
	wg.Go(func() { h.pump(ctx, w, out) })
	return now, out, nil
}

func (h *hub) pump(ctx context.Context, w *watcher, out chan<- []units.Status) {
	defer close(out)
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		h.mu.Lock()
		batch, cut := w.pending, w.cut
		w.pending = nil
		h.mu.Unlock()
		for len(batch) > 0 && !cut {
			select {
			case <-ctx.Done():
				return
			case out <- batch:
				batch = nil
			case <-w.wake:
				h.mu.Lock()
				if batch, cut = append(batch, w.pending...), w.cut; len(batch) >= watcherPatience {
					cut = true
				}
				w.pending = nil
				h.mu.Unlock()
			}
		}
		if cut {
			return
		}
	}
}
