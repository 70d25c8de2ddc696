package systemd

import (
	"context"
	"slices"
	"strings"
	"time"

	"fleettop/units"
)

// quiet is how long changes are gathered into a batch.
const quiet = 4 * time.Millisecond

// watcher is one reader of changes. Units, not changes, wait for a slow one,
// so there is no queue that could overflow.
type watcher struct {
	out  chan []units.Status
	end  chan struct{} // closed when the manager can no longer promise every change
	wake chan struct{} // capacity 1

	changed []string                // units not yet reported, in the order they changed; guarded by the manager's mutex
	waiting map[string]bool         // the same as a set
	last    map[string]units.Status // what the reader knows; its goroutine's own
}

// Watch implements units.Manager.
func (m *Manager) Watch(ctx context.Context) ([]units.Status, <-chan []units.Status, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if _, err := m.session(ctx); err != nil {
			return nil, nil, err
		}
		m.mu.Lock()
		if m.live {
			break
		}
		m.mu.Unlock()
	}
	defer m.mu.Unlock()
	w := &watcher{out: make(chan []units.Status), end: make(chan struct{}), wake: make(chan struct{}, 1),
		waiting: map[string]bool{}, last: map[string]units.Status{}}
	var list []units.Status
	for _, u := range m.table.byName {
		if u.visible {
			list = append(list, u.status())
		}
	}
	slices.SortFunc(list, func(a, b units.Status) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range list {
		w.last[s.Name] = s
	}
	m.watchers[w] = struct{}{}
	m.wg.Go(func() { m.feed(ctx, w) })
	return list, w.out, nil
}

// feed hands a watcher its changes.
func (m *Manager) feed(ctx context.Context, w *watcher) {
	defer close(w.out)
	defer func() {
		m.mu.Lock()
		delete(m.watchers, w)
		m.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.end:
			return
		case <-w.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-w.end:
			return
		case <-time.After(quiet):
		}
		batch := m.batch(w)
		if len(batch) == 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-w.end:
			return
		case w.out <- batch:
		}
	}
}

// batch takes the changes that wait for a watcher.
func (m *Manager) batch(w *watcher) []units.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	var batch []units.Status
	for _, name := range w.changed {
		last, known := w.last[name]
		u := m.table.byName[name]
		switch {
		case u != nil && u.visible:
			if s := u.status(); !known || !s.Equal(last) {
				w.last[name] = s
				batch = append(batch, s)
			}
		case u == nil && known:
			delete(w.last, name)
			batch = append(batch, units.Status{Name: name, Hash: last.Hash, Load: "not-found",
				Active: "inactive", Sub: "dead", Since: last.Since})
		}
	}
	w.changed = w.changed[:0]
	clear(w.waiting)
	return batch
}

// mark tells the watchers that a unit may have changed; m.mu is held.
func (m *Manager) mark(name string) {
	for w := range m.watchers {
		if w.waiting[name] {
			continue
		}
		w.waiting[name] = true
		w.changed = append(w.changed, name)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// cutWatchers ends every watch; m.mu is held.
func (m *Manager) cutWatchers() {
	for w := range m.watchers {
		delete(m.watchers, w)
		close(w.end)
	}
}
