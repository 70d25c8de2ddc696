package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/units/proc"
)

// procID names a process for good: numbers come back, start times don't.
type procID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since boot
}

// exit is how a process ended.
type exit struct {
	Known  bool // false if nobody could tell
	Code   int
	Signal syscall.Signal // 0 if it exited
	Core   bool
}

func exitOf(ws syscall.WaitStatus) exit {
	if ws.Signaled() {
		return exit{Known: true, Signal: ws.Signal(), Core: ws.CoreDump()}
	}
	return exit{Known: true, Code: ws.ExitStatus()}
}

func (x exit) String() string {
	switch {
	case !x.Known:
		return "exit status unknown, as the daemon was restarted or the process was not its child"
	case x.Signal != 0:
		return "killed by " + unix.SignalName(x.Signal)
	}
	return "exit status " + strconv.Itoa(x.Code)
}

// word is how the main process ended, in a word, where the unit's result comes of that.
func (x exit) word(result string) string {
	switch {
	case !x.Known:
	case result == resultExitCode && x.Signal == 0 && x.Code != 0:
		return "exit " + strconv.Itoa(x.Code)
	case (result == resultSignal || result == resultCoreDump) && x.Signal != 0:
		return unix.SignalName(x.Signal)
	}
	return ""
}

// process is a handle on a process, safe against the reuse of its number.
type process struct {
	procID
	fd *os.File // a pidfd
}

var errGone = errors.New("the process is gone")

// openProcess returns a handle on a process that is still the one named.
func openProcess(id procID) (*process, error) {
	fd, err := unix.PidfdOpen(id.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, errGone
	}
	if err != nil {
		return nil, fmt.Errorf("open a handle on process %d: %w", id.PID, err)
	}
	p := newProcess(id, fd)
	if stat, err := readStat(id.PID); err != nil || stat.Start != id.Start {
		p.close()
		return nil, errGone
	}
	return p, nil
}

func newProcess(id procID, fd int) *process {
	return &process{procID: id, fd: os.NewFile(uintptr(fd), "pidfd")}
}

func (p *process) close() { _ = p.fd.Close() }

// signal sends a signal; a process that is gone is no error.
func (p *process) signal(s syscall.Signal) error {
	rc, err := p.fd.SyscallConn()
	if err != nil {
		return nil // closed: it is gone
	}
	err2 := rc.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), s, nil, 0) })
	if err2 != nil || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// strangerPatience is how long a dead process that isn't our child is given to be reaped by
// its parent, where the kernel tells what it exited with only then.
const strangerPatience = 300 * time.Millisecond

// wait blocks until the process has ended, and reaps it if it is a child. It
// fails only when the handle is closed.
func (p *process) wait() (exit, error) {
	rc, err := p.fd.SyscallConn()
	if err != nil {
		return exit{}, err
	}
	var x exit
	dead := false
	err = rc.Read(func(fd uintptr) bool {
		pid := p.PID
		if x, dead = reap(int(fd), pid); x.Known {
			return true
		}
		if !dead {
			return false
		}
		if x = strangersExit(int(fd)); !x.Known {
			x = zombieExit(p.procID)
		}
		if !x.Known {
			_ = p.fd.SetReadDeadline(time.Now().Add(strangerPatience))
		}
		return x.Known
	})
	if err != nil && dead && errors.Is(err, os.ErrDeadlineExceeded) {
		return exit{}, nil
	}
	return x, err
}

// reap takes the status of a dead child; dead also tells of a process that is somebody else's.
func reap(fd, pid int) (x exit, dead bool) {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PIDFD, fd, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err == nil {
		if info.Signo == 0 {
			return exit{}, false
		}
		// It is our zombie, so the number is still its own.
		var ws syscall.WaitStatus
		if got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil); err == nil && got == pid {
			return exitOf(ws), true
		}
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return exit{}, err == nil && n > 0
}

// strangersExit asks the kernel how a process that isn't our child ended (Linux 6.15).
func strangersExit(fd int) exit {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return exit{}
	}
	return exitOf(syscall.WaitStatus(info.Exit_code))
}

// zombieExit reads how a process ended that its parent hasn't reaped yet,
// which works with every kernel, but only for those who are quicker than the parent.
func zombieExit(id procID) exit {
	var owner unix.Stat_t
	if err := unix.Stat(proc.Root+"/"+strconv.Itoa(id.PID), &owner); err != nil {
		return exit{}
	}
	s, err := proc.Read(proc.Root, id.PID)
	if err != nil || !s.Ended() || s.Start != id.Start || s.Exit < 0 {
		return exit{}
	}
	if s.Exit == 0 && int(owner.Uid) != os.Geteuid() { // the kernel tells 0 to who may not know it
		return exit{}
	}
	return exitOf(syscall.WaitStatus(s.Exit))
}

// reason is the errno beneath an error, in the words people know.
func reason(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission denied")
	}
	return err
}
