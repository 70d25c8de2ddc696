package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// MainPID returns the main process of a unit that runs, as the host numbers it.
func (m *Machine) MainPID(ctx context.Context, unit string) (int, error) {
	out, err := m.Exec(ctx, "systemctl", "show", "--property=MainPID", "--value", unit)
	if err != nil {
		return 0, err
	}
	inside := strings.TrimSpace(out)
	if inside == "0" || inside == "" {
		return 0, m.fail("find "+unit+" on", errors.New("it has no process"))
	}
	namespace, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(m.Pid1()), "ns/pid"))
	if err != nil {
		return 0, m.fail("find "+unit+" on", ErrOff)
	}
	statuses, _ := filepath.Glob("/proc/[0-9]*/status") // the pattern is well-formed
	for _, path := range statuses {
		status, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(status), "\nNSpid:")
		line, _, _ := strings.Cut(rest, "\n")
		ids := strings.Fields(line)
		if len(ids) < 2 || ids[len(ids)-1] != inside {
			continue
		}
		dir := filepath.Dir(path)
		if of, err := os.Readlink(filepath.Join(dir, "ns/pid")); err == nil && of == namespace {
			return strconv.Atoi(filepath.Base(dir))
		}
	}
	return 0, m.fail("find "+unit+" on", fmt.Errorf("its process %s is gone", inside))
}

// FillDisk leaves no room in the tmpfs at path: SmallDisk's, or the machine's
// own /run. It takes no memory, as the file system shrinks to what is used.
func (m *Machine) FillDisk(ctx context.Context, path string) error {
	inHost, err := m.HostPath(path)
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	for range 20 { // more may be used by the time that it shrinks
		if err = unix.Statfs(inHost, &fs); err != nil {
			break
		}
		if fs.Type != unix.TMPFS_MAGIC {
			err = errors.New("it is not on a tmpfs: mount one with SmallDisk")
			break
		}
		if err = m.resize(ctx, path, (fs.Blocks-fs.Bfree)*uint64(fs.Bsize)); err == nil {
			break
		}
	}
	return m.fail("fill "+path+" on", err)
}

// FreeDisk undoes FillDisk: the file system has so many MiB then.
func (m *Machine) FreeDisk(ctx context.Context, path string, mebibytes int) error {
	return m.resize(ctx, path, uint64(mebibytes)<<20)
}

func (m *Machine) resize(ctx context.Context, path string, size uint64) error {
	_, err := m.Exec(ctx, "mount", "-o", fmt.Sprintf("remount,size=%d", max(size, 1)), path)
	return err
}

// LimitFiles lets the main process of a unit open so many files more than it
// has open now. UnlimitFiles undoes it.
func (m *Machine) LimitFiles(ctx context.Context, unit string, more int) error {
	return m.limitFiles(ctx, unit, func(open map[uint64]bool, _ uint64) uint64 {
		limit := uint64(0) // the lowest number that it must not have, as it takes free ones in order
		for free := 0; open[limit] || free < more; limit++ {
			if !open[limit] {
				free++
			}
		}
		return limit
	})
}

// UnlimitFiles lets the main process of a unit open as many files as its hard limit allows.
func (m *Machine) UnlimitFiles(ctx context.Context, unit string) error {
	return m.limitFiles(ctx, unit, func(_ map[uint64]bool, hard uint64) uint64 { return hard })
}

func (m *Machine) limitFiles(ctx context.Context, unit string, limit func(open map[uint64]bool, hard uint64) uint64) error {
	pid, err := m.MainPID(ctx, unit)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		return m.fail("limit the files of "+unit+" on", err)
	}
	open := map[uint64]bool{}
	for _, e := range entries {
		if fd, err := strconv.ParseUint(e.Name(), 10, 64); err == nil {
			open[fd] = true
		}
	}
	var r unix.Rlimit
	if err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &r); err == nil {
		r.Cur = min(limit(open, r.Max), r.Max)
		err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &r, nil)
	}
	return m.fail("limit the files of "+unit+" on", err)
}

// StallSystemd stops the machine's PID 1, which then answers nothing and reaps
// nothing, while all else goes on: a systemd that is busy for long.
// ResumeSystemd undoes it.
func (m *Machine) StallSystemd() error { return m.signalSystemd("stall", syscall.SIGSTOP) }

// ResumeSystemd lets PID 1 go on.
func (m *Machine) ResumeSystemd() error { return m.signalSystemd("resume", syscall.SIGCONT) }

func (m *Machine) signalSystemd(verb string, sig syscall.Signal) error {
	pid := m.Pid1()
	if pid == 0 {
		return m.fail(verb+" systemd of", ErrOff)
	}
	return m.fail(verb+" systemd of", syscall.Kill(pid, sig))
}
