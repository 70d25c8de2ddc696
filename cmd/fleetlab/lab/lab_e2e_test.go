//go:build e2e

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be other processes: a cable in user space, one
// that tells the time, and one that holds a lab until it is interrupted.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "cable" {
		if err := RunCable(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 2 && os.Args[1] == "clock" {
		tellTime(os.Args[2])
	}
	if len(os.Args) > 3 && os.Args[1] == "hold" {
		fmt.Fprintln(os.Stderr, hold(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func hold(name, dir string) error {
	l, err := New(Options{Name: name, Dir: dir})
	if err != nil {
		return err
	}
	defer l.DownOnSignal()()
	if err := l.Up(context.Background(), 1); err != nil {
		return err
	}
	fmt.Println("up")
	select {} // until the signal
}

func newLab(t *testing.T, name string, n int, change ...func(*Options)) (*Lab, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	t.Cleanup(cancel)
	opts := Options{Name: name, Dir: filepath.Join(t.TempDir(), name), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range change {
		f(&opts)
	}
	l, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
		for _, left := range leftovers(t, l) {
			t.Errorf("Down left %s", left)
		}
	})
	if err := l.Up(ctx, n); err != nil {
		t.Fatal(err)
	}
	return l, ctx
}

// leftovers returns all on this host that carries the lab's prefix or lies below its directory.
func leftovers(t *testing.T, l *Lab) []string {
	t.Helper()
	left := ownGroups(l.prefix())
	for _, pattern := range []string{filepath.Join(netnsHome, l.prefix()+"*"), filepath.Join(registryHome, l.name), l.dir,
		"/run/systemd/nspawn/*/" + l.prefix() + "*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, l.prefix()) || strings.Contains(line, l.dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		line, _ := os.ReadFile(path)
		if bytes.Contains(line, []byte(l.prefix())) {
			left = append(left, "process "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return left
}

// stallDir is a directory of every machine that is a disk of its own.
const stallDir = "/var/lib/stall"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, ctx context.Context, m *Machine, args ...string) string {
	t.Helper()
	out, err := m.Exec(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// echoServer has a machine send back, on TCP and UDP port 7, what it gets.
func echoServer(t *testing.T, ctx context.Context, m *Machine) {
	t.Helper()
	// From a file: systemd would make a script on the command line the unit's
	// description, and can't log one of several lines.
	must(t, m.WriteFile("/opt/echo.py", []byte(`
import socketserver, threading
class D(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(self.request[0], self.client_address)
threading.Thread(target=socketserver.UDPServer(("", 7), D).serve_forever, daemon=True).start()
class H(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class S(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
S(("", 7), H).serve_forever()
`), 0o644))
	run(t, ctx, m, "systemd-run", "--quiet", "--unit=echo", "--property=Type=exec", "python3", "/opt/echo.py")
}

// roundTrip sends a line to a machine's echo server and waits for it to come back.
func roundTrip(ctx context.Context, l *Lab, m *Machine, patience time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := l.Dial(ctx, "tcp", m.Name+":7")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return echo(conn, patience)
}

func echo(conn net.Conn, patience time.Duration) (time.Duration, error) {
	began := time.Now()
	if err := conn.SetDeadline(began.Add(patience)); err != nil {
		return 0, err
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(conn, make([]byte, 5))
	return time.Since(began), err
}

// answers waits until a machine's echo server answers.
func answers(t *testing.T, ctx context.Context, l *Lab, m *Machine) {
	t.Helper()
	err := waitFor(ctx, "an answer from "+m.Name, func() bool {
		_, err := roundTrip(ctx, l, m, time.Second)
		return err == nil
	})
	must(t, err)
}

func TestMachines(t *testing.T) {
	l, ctx := newLab(t, "testmachines", 3, func(o *Options) { o.Disks = map[string]int{stallDir: 64} })
	machines := l.Machines()
	for _, m := range machines {
		if got := run(t, ctx, m, "hostname"); got != m.Name {
			t.Errorf("hostname of %s: %q", m.Name, got)
		}
		if got := run(t, ctx, m, "cat", "/etc/machine-id"); got != m.MachineID {
			t.Errorf("machine-id of %s: %q, want %q", m.Name, got, m.MachineID)
		}
		if got := run(t, ctx, m, "systemctl", "is-system-running"); got != "running" {
			t.Errorf("%s is %s: %s", m.Name, got, run(t, ctx, m, "systemctl", "--failed"))
		}
		if got := run(t, ctx, m, "busctl", "--system", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
			"org.freedesktop.DBus.Peer", "GetMachineId"); got != fmt.Sprintf("s %q", m.MachineID) {
			t.Errorf("systemd of %s over D-Bus: %s", m.Name, got)
		}
		if got := run(t, ctx, m, "env"); strings.Contains(got, "SSH") || !strings.Contains(got, "PATH="+cleanPath) {
			t.Errorf("environment of %s: %s", m.Name, got)
		}
		echoServer(t, ctx, m)
	}
	for _, m := range machines {
		answers(t, ctx, l, m)
	}
	for _, m := range machines {
		for _, other := range machines {
			run(t, ctx, m, "bash", "-c", "exec 3<>/dev/tcp/"+other.Name+"/7; echo hi >&3; read -t 5 line <&3; [ $line = hi ]")
		}
	}

	t.Run("exec", func(t *testing.T) {
		_, err := machines[0].Exec(ctx, "bash", "-c", "echo out; echo bad >&2; exit 7")
		failed, ok := errors.AsType[*ExecError](err)
		if !ok || ExitCode(err) != 7 || failed.Stdout != "out\n" || failed.Stderr != "bad\n" {
			t.Errorf("exec of exit 7: %#v", err)
		}
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if _, err := machines[0].Exec(short, "sleep", "5021"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("exec past its time: %v", err)
		}
		must(t, waitFor(ctx, "sleep to be killed", func() bool {
			_, err := machines[0].Exec(ctx, "pgrep", "-f", "^sleep 5021")
			return ExitCode(err) == 1
		}))
	})
	t.Run("journal", func(t *testing.T) {
		run(t, ctx, machines[1], "systemd-run", "--quiet", "--wait", "--unit=speaker", "echo", "said it")
		log, err := machines[1].Journal(ctx, "speaker")
		must(t, err)
		if !strings.Contains(log, "said it") {
			t.Errorf("journal of speaker: %s", log)
		}
	})
	t.Run("files", func(t *testing.T) {
		m := machines[0]
		must(t, m.WriteFile("/var/lib/new/a.txt", []byte("one"), 0o640))
		if got := run(t, ctx, m, "stat", "--format=%a %s", "/var/lib/new/a.txt"); got != "640 3" {
			t.Errorf("written file: %s", got)
		}
		run(t, ctx, m, "bash", "-c", "echo two >/run/b.txt")
		data, err := m.ReadFile("/run/b.txt")
		if err != nil || string(data) != "two\n" {
			t.Errorf("read file: %q, %v", data, err)
		}
		must(t, m.SmallDisk(ctx, "/var/lib/small", 1))
		if err := m.WriteFile("/var/lib/small/big", make([]byte, 2<<20), 0o644); err == nil ||
			!strings.Contains(err.Error(), "no space") {
			t.Errorf("2 MiB on a disk of 1: %v", err)
		}
		must(t, m.RemoveSmallDisk(ctx, "/var/lib/small"))
	})
	t.Run("freeze", func(t *testing.T) {
		m := machines[2]
		answers(t, ctx, l, m)
		must(t, m.Freeze())
		if _, err := roundTrip(ctx, l, m, 300*time.Millisecond); err == nil {
			t.Error("a frozen machine answered")
		}
		must(t, m.Thaw())
		answers(t, ctx, l, m)
	})
	t.Run("cut", func(t *testing.T) {
		m := machines[1]
		must(t, m.Cut())
		if _, err := roundTrip(ctx, l, m, 300*time.Millisecond); err == nil {
			t.Error("a machine without cable answered")
		}
		if _, err := roundTrip(ctx, l, machines[0], 5*time.Second); err != nil {
			t.Errorf("another machine: %v", err)
		}
		must(t, m.Heal())
		answers(t, ctx, l, m)
	})
	t.Run("disk", func(t *testing.T) {
		m := machines[1]
		if got := run(t, ctx, m, "stat", "--file-system", "--format=%T", stallDir); got != "ext2/ext3" {
			t.Fatalf("%s is on %s", stallDir, got)
		}
		must(t, m.StallDisk(stallDir))
		written := m.Command(ctx, "sh", "-c", "echo one >"+stallDir+"/f && sync "+stallDir+"/f")
		must(t, written.Start())
		done := make(chan error, 1)
		go func() { done <- written.Wait() }()
		select {
		case err := <-done:
			t.Errorf("a write to a disk that is stalled ended: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		must(t, m.ResumeDisk(stallDir))
		must(t, m.ResumeDisk(stallDir))
		must(t, <-done)
		must(t, m.StallDisk(stallDir))
		_, err := m.Kill() // with its disk
		must(t, err)
		must(t, m.Boot(ctx))
		must(t, m.WaitBooted(ctx))
		if got := run(t, ctx, m, "cat", stallDir+"/f"); got != "one" {
			t.Errorf("after the loss of power the file has %q", got)
		}
	})
	t.Run("memory", func(t *testing.T) {
		m := machines[1]
		must(t, m.LimitMemory(200<<20))
		run(t, ctx, m, "systemd-run", "--quiet", "--unit=hog", "--property=OOMScoreAdjust=1000", "tail", "/dev/zero")
		must(t, waitFor(ctx, "the kernel to kill what takes all the memory", func() bool {
			out, _ := m.Exec(ctx, "systemctl", "show", "--value", "--property=ExecMainStatus", "hog")
			return strings.TrimSpace(out) == "9"
		}))
		must(t, m.LimitMemory(0))
		run(t, ctx, m, "systemctl", "reset-failed", "hog")
	})
}

func TestLifecycle(t *testing.T) {
	l, ctx := newLab(t, "testlife", 1)
	side, _ := newLab(t, "testlifeb", 1)
	if l.Subnet() == side.Subnet() {
		t.Errorf("two labs on %s", l.Subnet())
	}
	// While its process lives, a lab is not taken for left over.
	again, err := New(Options{Name: "testlife"})
	must(t, err)
	if err := again.Up(ctx, 1); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Up over a living lab: %v", err)
	}
	// Another process can act on it.
	found, err := Open(Options{Name: "testlife"})
	must(t, err)
	if got := run(t, ctx, found.Machines()[0], "hostname"); got != "n1" {
		t.Errorf("hostname by Open: %q", got)
	}
	// One that was left behind is removed by the next Up, which builds it new.
	must(t, l.Disown())
	fresh, err := New(Options{Name: "testlife", Dir: filepath.Join(t.TempDir(), "fresh")})
	must(t, err)
	t.Cleanup(func() { must(t, fresh.Down(context.Background())) })
	must(t, fresh.Up(ctx, 2))
	if _, err := os.Stat(l.dir); err == nil {
		t.Errorf("the old lab's directory %s is still there", l.dir)
	}
	// So is one that nobody remembers.
	must(t, fresh.Disown())
	must(t, os.Remove(filepath.Join(registryHome, "testlife")))
	third, err := New(Options{Name: "testlife", Dir: fresh.dir})
	must(t, err)
	must(t, third.Up(ctx, 1))
	must(t, third.Down(ctx))
	must(t, third.Down(ctx))
	if got := run(t, ctx, side.Machines()[0], "systemctl", "is-system-running"); got != "running" {
		t.Errorf("the other lab is %s", got)
	}
	// Down removes what it can find of a lab whose state file is lost.
	ruin, err := New(Options{Name: "testlifec", Dir: filepath.Join(t.TempDir(), "ruin")})
	must(t, err)
	must(t, ruin.Up(ctx, 1))
	must(t, ruin.Machines()[0].Slow(time.Millisecond, 0))
	must(t, os.Remove(filepath.Join(ruin.dir, labFile)))
	stranger, err := New(Options{Name: "testlifec"})
	must(t, err)
	must(t, stranger.Down(ctx))
	for _, left := range leftovers(t, ruin) {
		t.Errorf("left of a lab without state: %s", left)
	}
	// An Up that is interrupted leaves nothing.
	short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
	defer cancel()
	broken, err := New(Options{Name: "testlifec", Dir: filepath.Join(t.TempDir(), "broken")})
	must(t, err)
	if err := broken.Up(short, 3); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Up with no time: %v", err)
	}
	for _, left := range append(leftovers(t, third), leftovers(t, broken)...) {
		t.Errorf("left: %s", left)
	}
}
