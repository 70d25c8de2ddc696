package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

// verb is a job's name, to people and to systemd.
type verb struct {
	name   string
	method string
	repeat bool // may be asked for again when its result was lost
}

var (
	start   = verb{"start", "StartUnit", true}
	stop    = verb{"stop", "StopUnit", true}
	restart = verb{"restart", "RestartUnit", false}
)

// Start implements units.Manager.
func (m *Manager) Start(ctx context.Context, name string) error { return m.runJob(ctx, start, name) }

// Stop implements units.Manager.
func (m *Manager) Stop(ctx context.Context, name string) error { return m.runJob(ctx, stop, name) }

// Restart implements units.Manager.
func (m *Manager) Restart(ctx context.Context, name string) error {
	return m.runJob(ctx, restart, name)
}

// runJob queues a job and waits for its result. When ctx ends before, the job
// goes on without its caller.
func (m *Manager) runJob(ctx context.Context, v verb, name string) error {
	method := v.method
	for {
		m.mu.Lock()
		u := m.table.byName[name]
		held := u != nil && (u.visible || v == stop)
		var before unitResult
		var path dbus.ObjectPath
		if held {
			before, path = u.unitResult(), u.path
		}
		m.mu.Unlock()
		if !held {
			return fmt.Errorf("%s %q: %w; load it first", v.name, name, units.ErrNotLoaded)
		}
		s, err := m.session(ctx)
		if err != nil {
			return fmt.Errorf("%s %s: %w", v.name, name, err)
		}
		if v != stop {
			err := s.checkFiles(ctx, v, name, path)
			if err == nil {
				err = m.checkBound(ctx, s, v, name, path)
			}
			m.refuse(name, err != nil)
			if err != nil {
				return err
			}
		}
		done := m.asks(s, name)
		o, err := s.job(ctx, method, name)
		done()
		if errors.Is(err, errLost) && v.repeat && ctx.Err() == nil {
			continue
		}
		if isNoSuchUnit(err) && v != stop && m.takeUnread(name) {
			if err := m.reloads.reload(ctx); err != nil {
				return fmt.Errorf("%s %s: %w", v.name, name, err)
			}
			continue
		}
		if err != nil {
			return v.refused(name, err)
		}
		if err := v.ended(name, before, o); err != nil || v == stop {
			return s.nameFile(ctx, err, name, path)
		}
		failure := m.programRuns(ctx, s, v, name, before)
		switch again, err := m.verify(ctx, s, name, path); {
		case err != nil:
			return fmt.Errorf("%s %s: %w", v.name, name, err)
		case !again:
			return failure
		}
		method = restart.method
	}
}

// refuse notes whether a start was refused. A unit that runs goes on.
func (m *Manager) refuse(name string, refused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.table.byName[name]
	switch {
	case u == nil || !refused && u.refused.IsZero() || refused && !u.ended():
		return
	case refused:
		u.refused = time.Now()
	default:
		u.refused = time.Time{}
	}
	m.mark(name)
}

// nameFile adds to the error of a start that took too long the file it waits for.
func (s *session) nameFile(ctx context.Context, err error, name string, path dbus.ObjectPath) error {
	var job *units.JobError
	if !errors.As(err, &job) || job.Result != "timeout" || job.Verb == stop.name {
		return err
	}
	if file := s.pidFile(ctx, name, path)(); file != "" {
		job.Detail += fmt.Sprintf("; its start ends when PIDFile=%s names a process of the unit", file)
	}
	return job
}

// job queues a job and waits for its outcome.
func (s *session) job(ctx context.Context, method, name string) (outcome, error) {
	s.jobs.asking()
	var path dbus.ObjectPath
	err := s.call(ctx, method, name, "replace").Store(&path)
	wait := s.jobs.asked(path, err)
	if err != nil {
		return outcome{}, err
	}
	select {
	case o := <-wait:
		return o, nil
	case <-s.bus.Context().Done():
		return outcome{}, errLost
	case <-ctx.Done():
		s.jobs.leave(path, wait)
		return outcome{}, fmt.Errorf("its job is still queued or running: %w", ctx.Err())
	}
}

// outcome is a job's result and what was known of its unit at that moment.
type outcome struct {
	result string
	unit   unitResult
}

// jobs matches job results with those who wait for them. A result may be read
// before the answer that names the job is, so while questions are open every
// result is kept.
type jobs struct {
	mu      sync.Mutex // guards what follows
	waiting map[dbus.ObjectPath][]chan outcome
	open    int // questions without an answer
	early   map[dbus.ObjectPath]outcome
}

func newJobs() *jobs {
	return &jobs{waiting: map[dbus.ObjectPath][]chan outcome{}, early: map[dbus.ObjectPath]outcome{}}
}

// asking is called before systemd is asked for a job.
func (j *jobs) asking() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open++
}

// asked is called with the answer, and returns where the outcome will come.
func (j *jobs) asked(path dbus.ObjectPath, err error) <-chan outcome {
	j.mu.Lock()
	defer j.mu.Unlock()
	ch := make(chan outcome, 1)
	if err == nil {
		if o, ok := j.early[path]; ok {
			ch <- o
		} else {
			j.waiting[path] = append(j.waiting[path], ch)
		}
	}
	if j.open--; j.open == 0 {
		clear(j.early)
	}
	return ch
}

// done hands an outcome to all who wait for it.
func (j *jobs) done(path dbus.ObjectPath, o outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open > 0 {
		j.early[path] = o
	}
	for _, ch := range j.waiting[path] {
		ch <- o
	}
	delete(j.waiting, path)
}

// leave gives up waiting.
func (j *jobs) leave(path dbus.ObjectPath, wait <-chan outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	left := slices.DeleteFunc(j.waiting[path], func(ch chan outcome) bool { return ch == wait })
	if len(left) == 0 {
		delete(j.waiting, path)
		return
	}
	j.waiting[path] = left
}
