package systemd

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/units"
	"fleettop/units/retry"
)

const (
	// execPatience bounds the wait for a process that is named like systemd's own.
	execPatience = 5 * time.Second
	execLook     = 2 * time.Millisecond
)

// programRuns waits until the main process of a service that was started runs
// its program, and returns a *units.JobError where that could not be executed:
// of Type=simple systemd says that it is started once it has forked. before is
// the result of the run before.
func (m *Manager) programRuns(ctx context.Context, s *session, v verb, name string, before unitResult) error {
	m.mu.Lock()
	u := m.table.byName[name]
	told := u != nil && u.pid != 0 && u.unitResult().Begun != before.Begun
	m.mu.Unlock()
	if !told { // the job's end may come before the signals of what it did
		if err := m.refresh(ctx, s, []string{name}); err != nil {
			return ctx.Err()
		}
	}
	first, asked := 0, false
	for end := time.Now().Add(execPatience); ; {
		m.mu.Lock()
		u := m.table.byName[name]
		if u == nil {
			m.mu.Unlock()
			return nil
		}
		pid, how := u.pid, u.unitResult()
		m.mu.Unlock()
		if first == 0 {
			first = pid
		}
		switch {
		case (pid == 0 || pid != first) && how.Result == "exit-code" && setupFailures[how.ExitStatus] != "":
			return &units.JobError{Unit: name, Verb: v.name, Result: how.Result, Detail: how.detail()}
		case (pid == 0 || pid != first) && !asked: // the process may have ended before the signal that says how
			asked = true
			if err := m.refresh(ctx, s, []string{name}); err != nil {
				return ctx.Err()
			}
			continue
		case pid == 0 || pid != first || !beforeExec(pid) || time.Now().After(end):
			return nil
		}
		if !retry.Pause(ctx, execLook) {
			return ctx.Err()
		}
	}
}

// beforeExec reports whether a process is still systemd's own child, which
// calls itself by its program's name in parentheses. One that has ended
// without another name counts until systemd says that it has.
func beforeExec(pid int) bool {
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Is(unix.Kill(pid, 0), unix.ESRCH) // else /proc hides it
	}
	name := bytes.TrimSpace(comm)
	if err != nil {
		return false
	}
	return bytes.HasPrefix(name, []byte("(")) || string(name) == "systemd" || string(name) == "systemd-executo"
}
