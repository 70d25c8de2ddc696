package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asDaemon is the environment variable by which the test binary is a daemon, with an ownConfig as JSON.
const asDaemon = "FLEETTOP_TEST_DAEMON"

// ownConfig is what is a machine's own in its Config.
type ownConfig struct {
	MachineID, Name, StateDir, RunDir, KeyFile string
	Port                                       int
	Join                                       []string
}

// filtered is the environment variable of such a daemon whose writes another process sees already, or none does.
const filtered = "FLEETTOP_TEST_FILTERED"

// TestMain lets the test binary be a daemon whose writes another process sees.
func TestMain(m *testing.M) {
	if raw := os.Getenv(asDaemon); raw != "" {
		fmt.Fprintln(os.Stderr, "ended:", runWatched(raw))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runWatched first has the kernel ask the process at the other end of descriptor 3 before each
// write, by a filter that outlives exec, and is the daemon then.
func runWatched(raw string) error {
	if os.Getenv(filtered) == "" {
		runtime.LockOSThread() // the filter is this thread's, which will be all of the process
		listener, err := filterWrites()
		if err != nil {
			return err
		}
		if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
			return err
		}
		unix.CloseOnExec(3)
		return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), filtered+"=yes"))
	}
	var own ownConfig
	if err := json.Unmarshal([]byte(raw), &own); err != nil {
		return err
	}
	cfg := Config{MachineID: own.MachineID, Name: own.Name, Manager: ManagerProcess, Address: "127.0.0.1", Port: own.Port,
		StateDir: own.StateDir, RunDir: own.RunDir, KeyFile: own.KeyFile, Join: own.Join, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := Run(ctx, cfg)
	if err == nil {
		os.Exit(0)
	}
	return err
}

// writes are the system calls by which a process changes what is on the disk for good, or makes a
// file be seen; openat is one of them if it may create the file.
var writes = map[int32]string{unix.SYS_RENAMEAT: "rename", unix.SYS_RENAMEAT2: "rename", unix.SYS_UNLINKAT: "unlink",
	unix.SYS_LINKAT: "link", unix.SYS_SYMLINKAT: "symlink", unix.SYS_MKDIRAT: "mkdir", unix.SYS_FSYNC: "fsync",
	unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FTRUNCATE: "truncate", unix.SYS_OPENAT: "create"}

// filterWrites makes the kernel ask before each write of this thread and of what it becomes.
func filterWrites() (listener int, err error) {
	const (
		number    = 0        // in struct seccomp_data
		openFlags = 16 + 2*8 // the low half of the third argument
		load      = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal     = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		has       = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		end       = unix.BPF_RET | unix.BPF_K
	)
	ask, allow := unix.SockFilter{Code: end, K: unix.SECCOMP_RET_USER_NOTIF}, unix.SockFilter{Code: end, K: unix.SECCOMP_RET_ALLOW}
	filter := []unix.SockFilter{{Code: load, K: number},
		{Code: equal, K: unix.SYS_OPENAT, Jf: 4}, {Code: load, K: openFlags}, {Code: has, K: unix.O_CREAT, Jf: 1}, ask, allow}
	for call := range writes {
		if call != unix.SYS_OPENAT {
			filter = append(filter, unix.SockFilter{Code: equal, K: uint32(call), Jf: 1}, ask)
		}
	}
	filter = append(filter, allow)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Go's signals must not take back a question that was received.
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, fmt.Errorf("ask before writes: %w", errno)
	}
	return int(fd), nil
}

// question is struct seccomp_notif, answer struct seccomp_notif_resp.
type question struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	pointer    uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	value int64
	error int32
	flags uint32
}

// watched is a daemon in a process of its own, which is killed just before its n-th write.
type watched struct {
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan struct{} // closed when the process has, and err is set
	err   error
	quit  chan struct{} // its units are asked for, too, until it is closed
	done  sync.WaitGroup

	killAt int
	mu     sync.Mutex // guards what follows
	count  int
	last   string // the write before which it was killed
}

// startWatched starts a daemon that is killed before its killAt-th write, or never if that is 0.
func startWatched(t *testing.T, cfg Config, killAt int) *watched {
	t.Helper()
	raw, err := json.Marshal(ownConfig{cfg.MachineID, cfg.Name, cfg.StateDir, cfg.RunDir, cfg.KeyFile, cfg.Port, cfg.Join})
	if err != nil {
		t.Fatal(err)
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[0])
	theirs := os.NewFile(uintptr(ends[1]), "watcher")
	w := &watched{killAt: killAt, ended: make(chan struct{}), quit: make(chan struct{})}
	w.cmd = exec.Command("/proc/self/exe")
	w.cmd.Env = append(os.Environ(), asDaemon+"="+string(raw))
	w.cmd.Stdout, w.cmd.Stderr = &w.log, &w.log
	w.cmd.ExtraFiles = []*os.File{theirs}
	w.cmd.WaitDelay = time.Second // its units hold what it wrote to
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = w.cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() { w.err = w.cmd.Wait(); close(w.ended) }()
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(ends[0], buf, oob, unix.MSG_CMSG_CLOEXEC)
	var fds []int
	if messages, parseErr := unix.ParseSocketControlMessage(oob[:n]); err == nil && parseErr == nil && len(messages) == 1 {
		fds, err = unix.ParseUnixRights(&messages[0])
	}
	if err != nil || len(fds) != 1 {
		<-w.ended
		t.Skipf("this kernel doesn't let a process see another one's writes: %v\n%s", err, w.log.String())
	}
	w.done.Go(func() { w.watch(fds[0]) })
	t.Cleanup(func() {
		w.kill()
		<-w.ended
		close(w.quit)
		w.done.Wait()
	})
	return w
}

func (w *watched) kill() { _ = unix.Kill(w.cmd.Process.Pid, unix.SIGKILL) }

// watch answers what the kernel asks: go on, but for the write before which the daemon is killed.
func (w *watched) watch(listener int) {
	defer unix.Close(listener)
	for {
		select {
		case <-w.quit:
			return
		default:
		}
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 100); n == 0 || err != nil {
			continue
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return // no process is left that could ask
		}
		var q question
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV,
			uintptr(unsafe.Pointer(&q))); errno != 0 {
			continue // who asked has ended
		}
		if processOf(int(q.pid)) == w.cmd.Process.Pid && w.counted(q) {
			w.kill()
			continue
		}
		a := answer{id: q.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND,
			uintptr(unsafe.Pointer(&a))) // it fails if who asked has ended
	}
}

// counted counts a write, and reports whether it is the one that must not be.
func (w *watched) counted(q question) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	if w.count != w.killAt {
		return false
	}
	w.last = writes[q.number] + " " + pathOf(q)
	return true
}

func (w *watched) written() (count int, last string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count, w.last
}

// processOf returns the process of a thread.
func processOf(thread int) int {
	status, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(thread), "status")) // an ended one has none
	_, rest, _ := strings.Cut(string(status), "\nTgid:")
	line, _, _ := strings.Cut(rest, "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	return pid
}

// pathOf returns the file of a write: what is renamed to, or what the descriptor is of.
func pathOf(q question) string {
	proc := filepath.Join("/proc", strconv.Itoa(int(q.pid)))
	at := q.args[1]
	switch q.number {
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE:
		path, _ := os.Readlink(filepath.Join(proc, "fd", strconv.Itoa(int(q.args[0]))))
		return path
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT:
		at = q.args[3]
	case unix.SYS_SYMLINKAT:
		at = q.args[2]
	}
	mem, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return err.Error()
	}
	defer mem.Close()
	text := make([]byte, 512)
	n, err := mem.ReadAt(text, int64(at))
	if n == 0 {
		return err.Error()
	}
	path, _, _ := bytes.Cut(text[:n], []byte{0})
	return string(path)
}
