package systemd

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// reloader has systemd read its unit files anew, once for all who ask while a
// reload is under way.
type reloader struct {
	m *Manager

	mu      sync.Mutex // guards what follows
	running bool
	next    *reloadRun // not begun yet
	changes int        // of files, counted
	read    int        // changes systemd has read
}

type reloadRun struct {
	done chan struct{}
	err  error // to be read after done
}

func (r *reloader) init(m *Manager, pending bool) {
	r.m = m
	if pending {
		r.changes = 1
	}
}

// touch says that files are about to change.
func (r *reloader) touch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes == r.read {
		if err := r.m.files.setPending(); err != nil {
			// It matters only to a daemon that dies before the reload.
			r.m.log.Warn("can't leave the mark that a reload is needed", "error", err)
		}
	}
	r.changes++
}

// untouch takes back the last touch, where it is the only one that systemd
// hasn't read the files of, and reports whether it was.
func (r *reloader) untouch() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes != r.read+1 {
		return false
	}
	r.haveRead(r.changes)
	return true
}

// haveRead notes that systemd needs no reload for the changes up to one; r.mu is held.
func (r *reloader) haveRead(changes int) {
	r.read = changes
	if r.changes != r.read {
		return
	}
	if err := r.m.files.clearPending(); err != nil {
		r.m.log.Warn("can't remove the mark that a reload is needed", "error", err)
	}
}

// needed reports whether files changed since systemd last read them.
func (r *reloader) needed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes != r.read
}

// reload waits for a reload that begins after the call.
func (r *reloader) reload(ctx context.Context) error {
	r.mu.Lock()
	if r.next == nil {
		r.next = &reloadRun{done: make(chan struct{})}
	}
	run := r.next
	if !r.running {
		r.running = r.m.spawn(r.loop)
	}
	r.mu.Unlock()
	select {
	case <-run.done:
		return run.err
	case <-r.m.ctx.Done():
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for systemd to read its unit files: %w", ctx.Err())
	}
}

func (r *reloader) loop() {
	for {
		r.mu.Lock()
		run, changes := r.next, r.changes
		r.next = nil
		if run == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()

		run.err = r.once()
		if run.err == nil {
			r.mu.Lock()
			r.haveRead(max(changes, r.read))
			r.mu.Unlock()
		}
		close(run.done)
	}
}

// once reloads systemd. A connection that is lost meanwhile says nothing about
// the reload, and reloading twice does no harm.
func (r *reloader) once() error {
	ctx, cancel := context.WithTimeout(r.m.ctx, reloadPatience)
	defer cancel()
	for {
		s, err := r.m.session(ctx)
		if err == nil {
			err = s.call(ctx, "Reload").Err
		}
		if errors.Is(err, errLost) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return fmt.Errorf("systemd could not read its unit files anew: %w; see `journalctl -b _PID=1`", err)
		}
		return nil
	}
}
