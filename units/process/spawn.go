package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launch is a program about to be started.
type launch struct {
	path       string
	argv, env  []string
	dir        string
	umask      int
	credential *syscall.Credential
	stdin      *os.File
	out, err   *os.File
}

// KeepInherited keeps the files that this program was started with from the
// programs it starts itself; what Go opens is kept from them anyway. It is for
// a program's main, as it changes descriptors of the whole process. Where the
// kernel is older than Linux 5.11, they are passed on.
func KeepInherited() { _ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) }

// starters is how many programs are started at a time.
const starters = 4

// errSlowStart means that executing a program did not come to an end.
var errSlowStart = errors.New("executing it takes too long: is the file system it is on gone?")

// spawner starts programs on threads of their own: the file mode mask belongs
// to a thread there, and to the whole process anywhere else.
type spawner struct {
	wait time.Duration                  // for one start
	exec func(launch) (*process, error) // launch.start, but for tests
	left files                          // starts that were given up
	idle chan *starter                  // nil stands for one that is yet to be made
}

// starter is one thread.
type starter struct {
	requests chan request
	done     chan struct{}
}

type request struct {
	launch
	reply chan<- reply
}

type reply struct {
	p   *process
	err error
}

func newSpawner(wait time.Duration) (*spawner, error) {
	s := &spawner{wait: wait, exec: launch.start, left: newFiles(), idle: make(chan *starter, starters)}
	first, err := s.newStarter() // fails here rather than later
	if err != nil {
		return nil, err
	}
	s.idle <- first
	for range starters - 1 {
		s.idle <- nil
	}
	return s, nil
}

func (s *spawner) newStarter() (*starter, error) {
	t := &starter{requests: make(chan request), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(t.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		ready <- err
		if err != nil {
			return
		}
		for r := range t.requests {
			p, err := s.exec(r.launch)
			r.reply <- reply{p, err}
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("give the starter of programs a file mode mask of its own: %w", err)
	}
	return t, nil
}

// close ends the threads, after what they are at.
func (s *spawner) close() {
	for range starters {
		if t := <-s.idle; t != nil {
			close(t.requests)
			<-t.done
		}
	}
}

// start runs a program in a session of its own. It returns when the program
// has been executed, or with the errno of what kept it from being.
func (s *spawner) start(l launch) (*process, error) {
	t := <-s.idle
	defer func() { s.idle <- t }()
	if len(s.left) > maxStuck-starters {
		return nil, errSlowStart
	}
	if t == nil {
		var err error
		if t, err = s.newStarter(); err != nil {
			return nil, err
		}
	}
	c := make(chan reply, 1)
	t.requests <- request{l, c}
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case r := <-c:
		return r.p, r.err
	case <-timer.C:
	}
	s.left <- struct{}{}
	go s.abandon(t, c)
	t = nil
	return nil, errSlowStart
}

// abandon waits for a start that was given up, and kills what came of it.
func (s *spawner) abandon(t *starter, c <-chan reply) {
	defer func() { <-s.left }()
	close(t.requests)
	if r := <-c; r.p != nil {
		_ = r.p.signal(syscall.SIGKILL)
		_, _ = r.p.wait()
		r.p.close()
	}
}

func (l launch) start() (*process, error) {
	unix.Umask(l.umask)
	fd := -1
	pid, err := syscall.ForkExec(l.path, l.argv, &syscall.ProcAttr{
		Dir: l.dir, Env: l.env,
		Files: []uintptr{l.stdin.Fd(), l.out.Fd(), l.err.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: l.credential, PidFD: &fd},
	})
	runtime.KeepAlive(l)
	if err != nil {
		return nil, err
	}
	// Until it is waited for, the number can't be anybody else's.
	st, err := readStat(pid)
	if err == nil && fd < 0 {
		err = errors.New("the kernel has no pidfds: Linux 5.10 or later is needed")
	}
	if err == nil {
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	return newProcess(st.procID, fd), nil
}

// findProgram does what a shell does, with a PATH of our own.
func findProgram(name, path string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, dir := range filepath.SplitList(path) {
		p := filepath.Join(dir, name)
		if info, err := os.Stat(p); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("no such program in %s", path)
}

// account is whom a unit's commands run as.
type account struct {
	name, home, shell string
	credential        *syscall.Credential // nil for the daemon's own
}

// findAccount resolves User= and Group=.
func findAccount(name, group string, h *host) (account, error) {
	if name == "" && group == "" {
		return account{}, nil
	}
	u, err := h.user, error(nil)
	if name != "" {
		if _, bad := strconv.Atoi(name); bad == nil {
			u, err = user.LookupId(name)
		} else {
			u, err = user.Lookup(name)
		}
		if err != nil {
			return account{}, fmt.Errorf("no such user for User=%s: create it on this machine, or correct the name", name)
		}
	}
	gid := u.Gid
	if group != "" {
		if _, bad := strconv.Atoi(group); bad == nil {
			gid = group
		} else if g, err := user.LookupGroup(group); err == nil {
			gid = g.Gid
		} else {
			return account{}, fmt.Errorf("no such group for Group=%s: create it on this machine, or correct the name", group)
		}
	}
	a := account{name: u.Username, home: u.HomeDir, shell: shellOf(u.Username)}
	if !h.root {
		if u.Uid != h.user.Uid || gid != h.user.Gid {
			return account{}, fmt.Errorf("only root can run units as somebody else, as User=%s asks: run the daemon as root, or leave the option out", name)
		}
		return a, nil
	}
	cred := &syscall.Credential{Uid: number32(u.Uid), Gid: number32(gid)}
	groups, _ := u.GroupIds() // without a group file there are none
	for _, g := range groups {
		cred.Groups = append(cred.Groups, number32(g))
	}
	a.credential = cred
	return a, nil
}

func number32(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32) // the user database has only numbers here
	return uint32(n)
}
