package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fifo makes a FIFO without a writer.
func (b *bench) fifo(base string) string {
	b.Helper()
	path := filepath.Join(b.dir, base)
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		b.Fatal(err)
	}
	return path
}

func (b *bench) write(base, content string) string {
	b.Helper()
	path := filepath.Join(b.dir, base)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		b.Fatal(err)
	}
	return path
}

// TestEnvironmentFilesThatAreNone names files that never end, or never begin.
func TestEnvironmentFilesThatAreNone(t *testing.T) {
	b := newBench(t)
	b.write("big1", "A="+strings.Repeat("x", maxEnvironment*2/3))
	b.write("big2", "B="+strings.Repeat("x", maxEnvironment*2/3))
	for i, test := range []struct{ file, detail string }{
		{b.fifo("fifo"), "is a FIFO: not a regular file: name a plain file"},
		{"-" + filepath.Join(b.dir, "fif*"), "is a FIFO"},
		{"/dev/zero", "is a device"},
		{b.dir, "is a directory"},
		{"-" + b.dir, "is a directory"},
		{filepath.Join(b.dir, "big*"), "may have 1024 KiB in all"},
	} {
		name := fmt.Sprintf("a%d.service", i)
		b.load(name, "[Service]\nEnvironmentFile="+test.file+"\nExecStart=/bin/sleep 1000\n")
		wantJobError(t, b.Start(b.ctx, name), "resources", test.detail)
	}
	b.load("good.service",
		"[Service]\nEnvironmentFile="+b.dir+"/big1\nEnvironmentFile=-/nope\nExecStart=/bin/sleep 1000\n")
	wantJobError(t, b.Start(b.ctx, "good.service"), "exit-code", "argument list too long")
}

// TestPIDFilesThatAreNone names files that aren't the unit's.
func TestPIDFilesThatAreNone(t *testing.T) {
	b := newBench(t)
	precious, number, empty := b.write("precious", "data\n"), b.write("number", "1\n"), filepath.Join(b.dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	device := filepath.Join(b.dir, "device") // a link: whatever goes wrong here must not remove the machine's own
	if err := os.Symlink("/dev/zero", device); err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{precious, number, empty, b.fifo("fifo"), device} {
		for kind, result := range map[string]string{"simple": "", "forking": "protocol"} {
			name := fmt.Sprintf("a%d-%s.service", i, kind)
			command := map[string]string{"simple": "/bin/sleep 1000", "forking": "/bin/true"}[kind]
			b.load(name, "[Service]\nType="+kind+"\nPIDFile="+path+"\nExecStart="+command+"\n")
			err := b.Start(b.ctx, name)
			if result == "" && err != nil {
				t.Errorf("PIDFile=%s, %s: %v", path, kind, err)
			} else if result != "" {
				wantJobError(t, err, result, "names no process of the unit")
			}
			b.stop(name)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("a file that a unit calls its PID file is gone: %v", err)
		}
	}
}

// TestPIDFileOfASimpleUnit is written by its main process, and goes with it.
func TestPIDFileOfASimpleUnit(t *testing.T) {
	b := newBench(t)
	b.load("a.service", "[Service]\nPIDFile="+b.dir+"/pid\nExecStart=/bin/sh -c 'echo $$$$ > "+b.dir+"/pid; exec sleep 1000'\n")
	b.start("a.service")
	b.read("pid")
	b.stop("a.service")
	if _, err := os.Stat(filepath.Join(b.dir, "pid")); !os.IsNotExist(err) {
		t.Errorf("the PID file is left: %v", err)
	}
}

// TestLogThatIsNone has a FIFO where a unit's log should be.
func TestLogThatIsNone(t *testing.T) {
	b := newBench(t)
	b.fifo("log/a.service.log")
	b.load("a.service", "[Service]\nExecStart=/bin/sleep 1000\n")
	wantJobError(t, b.Start(b.ctx, "a.service"), "resources", "open the unit's log")
}

// TestStartThatHangs has a program whose execution never comes to an end, as
// on a file system that is gone. Other units don't wait for it, nor does Close.
func TestStartThatHangs(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	b.spawn.wait = time.Second
	late := make(chan int, 2*starters)
	b.spawn.exec = func(l launch) (*process, error) {
		if !strings.HasSuffix(l.path, "/false") {
			return l.start()
		}
		<-release
		l.path = "/bin/sleep"
		l.argv = []string{"sleep", "1000"}
		p, err := l.start()
		if err == nil {
			late <- p.PID
		}
		return p, err
	}
	results := make(chan error)
	for i := range 2 * starters {
		name := fmt.Sprintf("hangs%d.service", i)
		b.load(name, "[Service]\nExecStart=/bin/false\n")
		go func() { results <- b.Start(b.ctx, name) }()
	}
	b.load("good.service", "[Service]\nExecStart=/bin/sleep 1000\nStartLimitBurst=0\n")
	b.eventually("another unit starts", func() bool { return b.Start(b.ctx, "good.service") == nil })
	for range 2 * starters {
		wantJobError(t, <-results, "exit-code", "takes too long")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	// What was given up doesn't run when the file system is back.
	close(release)
	for range 2 * starters {
		pid := <-late
		b.eventually("the late process is killed", func() bool { return !lives(pid) })
	}
	b.Manager = open(t, b.dir)
}

// TestFileThatHangs has a file that is never read to its end.
func TestFileThatHangs(t *testing.T) {
	release, ended := make(chan struct{}), make(chan struct{})
	calls := newFiles()
	for range maxStuck {
		if _, ok := within(calls, time.Millisecond, func() bool { <-release; ended <- struct{}{}; return true }); ok {
			t.Error("what hangs had a result")
		}
	}
	// The threads that are left behind are bounded.
	if _, ok := within(calls, time.Millisecond, func() bool { t.Error("one too many is run"); return true }); ok {
		t.Error("one too many had a result")
	}
	close(release)
	for range maxStuck {
		<-ended
	}
	if v, ok := within(calls, patience, func() int { return 7 }); !ok || v != 7 {
		t.Errorf("within = %d, %v", v, ok)
	}
}

// TestNewLeavesDescriptorsAlone: those of the process that opens a manager are its own business.
func TestNewLeavesDescriptorsAlone(t *testing.T) {
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	flags := func() int {
		got, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	b := newBench(t)
	if flags()&unix.FD_CLOEXEC != 0 {
		t.Error("opening a manager changed a descriptor it has nothing to do with")
	}
	KeepInherited()
	b.load("a.service", fmt.Sprintf("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'ls -l /proc/self/fd/%d || echo none'\n", fd))
	b.start("a.service")
	if flags()&unix.FD_CLOEXEC == 0 || !strings.Contains(b.log("a.service"), "none") {
		t.Errorf("an inherited descriptor is passed on: %s", b.log("a.service"))
	}
}
