package systemd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"fleettop/units"
)

// batchPatience bounds a batch whose callers may all have gone.
const batchPatience = 5 * time.Minute

// gatherer makes one batch of the loads that come while another is under way:
// each costs a reload, and systemd answers nobody during one.
type gatherer struct {
	mu      sync.Mutex // guards what follows
	running bool
	waiting []*loadRequest
}

// loadRequest is one call of Load.
type loadRequest struct {
	batch []incoming
	done  chan struct{}
	errs  map[string]error // to be read after done, as err
	err   error
}

// Load implements units.Manager. When ctx ends before, the files are loaded
// all the same.
func (m *Manager) Load(ctx context.Context, files []units.UnitFile) (map[string]error, error) {
	errs := map[string]error{}
	r := &loadRequest{batch: check(files, errs), done: make(chan struct{})}
	if len(r.batch) == 0 {
		return errs, nil
	}
	// A closed manager, or no systemd, is told to who asks.
	if _, err := m.session(ctx); err != nil {
		return errs, fmt.Errorf("load units: %w", err)
	}
	g := &m.loads
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	if !g.running {
		g.running = m.spawn(m.gather)
	}
	g.mu.Unlock()
	select {
	case <-r.done:
	case <-m.ctx.Done():
		return errs, fmt.Errorf("load units: %w", errClosed)
	case <-ctx.Done():
		return errs, fmt.Errorf("load units: %w", ctx.Err())
	}
	for name, err := range r.errs {
		errs[name] = err
	}
	if r.err != nil {
		return errs, fmt.Errorf("load units: %w", r.err)
	}
	return errs, nil
}

// gather carries out waiting requests until there are none.
func (m *Manager) gather() {
	for {
		requests := m.loads.take()
		if len(requests) == 0 {
			return
		}
		var batch []incoming
		for _, r := range requests {
			batch = append(batch, r.batch...)
		}
		errs, err := m.load(batch)
		for _, r := range requests {
			r.errs, r.err = map[string]error{}, err
			for _, in := range r.batch {
				if err := errs[in.name.String()]; err != nil {
					r.errs[in.name.String()] = err
				}
			}
			close(r.done)
		}
	}
}

// take returns the requests of the next batch, in the order they came: all up
// to one that has a name twice. None means that the gatherer has stopped.
func (g *gatherer) take() []*loadRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := map[string]bool{}
	n := 0
next:
	for _, r := range g.waiting {
		for _, in := range r.batch {
			if seen[in.name.String()] {
				break next
			}
		}
		for _, in := range r.batch {
			seen[in.name.String()] = true
		}
		n++
	}
	taken := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	g.running = n > 0
	return taken
}

// load loads a batch.
func (m *Manager) load(batch []incoming) (map[string]error, error) {
	ctx, cancel := context.WithTimeout(m.ctx, batchPatience)
	defer cancel()
	errs := map[string]error{}
	s, err := m.session(ctx)
	if err != nil {
		return errs, err
	}
	names, err := m.place(ctx, s, batch, errs)
	if err != nil {
		return errs, err
	}
	if m.reloads.needed() {
		if err := m.reloads.reload(ctx); err != nil {
			return errs, err
		}
	}
	return errs, m.settle(ctx, names, errs)
}
