package process

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"fleettop/units"
)

// patience bounds every wait of these tests.
const patience = 60 * time.Second

// TestMain lets the test binary play other programs: PROCESS_TEST_ROLE says which.
func TestMain(m *testing.M) {
	switch role := os.Getenv("PROCESS_TEST_ROLE"); role {
	case "":
	case "daemon":
		playDaemon(os.Args[1], os.Args[2:])
		return
	case "hung":
		playHung(os.Args[1])
		return
	default:
		playService(role)
		return
	}
	KeepInherited()
	// The runtime's goroutine for signals stays once the fuzzer or a test wanted one; have it counted.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR2)
	signal.Stop(c)
	before := runtime.NumGoroutine()
	code := m.Run()
	if code == 0 {
		if what := leftovers(before); what != "" {
			fmt.Fprintln(os.Stderr, what)
			code = 1
		}
	}
	os.Exit(code)
}

// leftovers waits for goroutines and children to be gone, and tells of those that stay.
func leftovers(goroutines int) string {
	what := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		what = ""
		table, err := readTable()
		if err != nil {
			return err.Error()
		}
		for _, p := range table {
			// Children that died when their manager was closed have nobody else to reap them.
			if p.Parent == os.Getpid() && p.Zombie {
				_, _ = syscall.Wait4(p.PID, nil, syscall.WNOHANG, nil)
			} else if p.Parent == os.Getpid() {
				what += fmt.Sprintf("process %d is left\n", p.PID)
			}
		}
		if n := runtime.NumGoroutine(); n > goroutines {
			buf := make([]byte, 1<<16)
			what += fmt.Sprintf("%d goroutines are left:\n%s", n-goroutines, buf[:runtime.Stack(buf, true)])
		}
		if what == "" {
			return ""
		}
	}
	return what
}

// playDaemon opens a manager, loads the files of a directory, starts them all, and waits to be killed.
func playDaemon(dir string, names []string) {
	fatal := func(err error) {
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
	}
	m, err := New(Options{Dir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log")})
	fatal(err)
	var files []units.UnitFile
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n))
		fatal(err)
		files = append(files, units.UnitFile{Name: n, Content: string(b)})
	}
	bad, err := m.Load(context.Background(), files)
	fatal(err)
	for _, err := range bad {
		fatal(err)
	}
	for _, n := range names {
		fatal(m.Start(context.Background(), n))
	}
	fmt.Println("ready")
	select {}
}

// playService is a service that speaks sd_notify.
func playService(role string) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	say := func(s string) {
		if ok, err := daemon.SdNotify(false, s); !ok || err != nil {
			fmt.Println("not notified:", ok, err)
			os.Exit(3)
		}
	}
	switch role {
	case "ready":
		say("STATUS=starting\nMAINPID=1")
		say(daemon.SdNotifyReady)
	case "watched":
		say(daemon.SdNotifyReady)
		say(daemon.SdNotifyWatchdog) // once, and never again
	case "leaves":
		return
	case "silent":
	}
	<-term
	if role == "ready" {
		say(daemon.SdNotifyStopping)
	}
}

// bench is a manager under test.
type bench struct {
	testing.TB
	*Manager
	dir string
	ctx context.Context
}

func newBench(t testing.TB) *bench {
	b := &bench{TB: t, dir: scratch(t)}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	b.ctx = ctx
	b.Manager = open(t, b.dir)
	t.Cleanup(func() {
		cancel()
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

func (b *bench) load(name, content string) {
	b.Helper()
	bad, err := b.Load(b.ctx, []units.UnitFile{{Name: name, Content: content}})
	if err != nil || len(bad) > 0 {
		b.Fatalf("Load: %v %v", bad, err)
	}
}

func (b *bench) start(name string) {
	b.Helper()
	if err := b.Start(b.ctx, name); err != nil {
		b.Fatalf("Start: %v", err)
	}
}

func (b *bench) stop(name string) {
	b.Helper()
	if err := b.Stop(b.ctx, name); err != nil {
		b.Fatalf("Stop: %v", err)
	}
}

func (b *bench) status(name string) units.Status {
	b.Helper()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	list, _, err := b.Watch(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	b.Fatalf("%s is not held", name)
	return units.Status{}
}

// await follows the unit until its state is active/sub.
func (b *bench) await(name, state string) units.Status {
	b.Helper()
	return b.awaitThat(name, state, func(s units.Status) bool { return s.Active+"/"+s.Sub == state })
}

func (b *bench) awaitThat(name, what string, ok func(units.Status) bool) units.Status {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	list, changes, err := b.Watch(ctx)
	if err != nil {
		b.Fatal(err)
	}
	var last units.Status
	for open := true; open; list, open = <-changes {
		for _, s := range list {
			if s.Name != name {
				continue
			}
			if last = s; ok(s) {
				return s
			}
		}
	}
	b.Fatalf("%s never was %s; it is %+v; its log:\n%s", name, what, last, b.log(name))
	return last
}

func (b *bench) log(name string) string {
	content, err := os.ReadFile(b.logPath(name))
	if err != nil && !os.IsNotExist(err) {
		b.Fatal(err)
	}
	return string(content)
}

// read waits for a file that a unit writes, and returns it without blanks around it.
func (b *bench) read(base string) string {
	b.Helper()
	var content []byte
	b.eventually(base+" is written", func() bool {
		var err error
		content, err = os.ReadFile(filepath.Join(b.dir, base))
		return err == nil && strings.HasSuffix(string(content), "\n")
	})
	return strings.TrimSpace(string(content))
}

func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	b.Fatalf("never happened: %s", what)
}

// lives reports whether a process exists and isn't a zombie.
func lives(pid int) bool {
	s, err := readStat(pid)
	return err == nil && !s.Zombie
}

// self is the test binary, as a unit's program.
func self(t testing.TB, role string) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return "Environment=PROCESS_TEST_ROLE=" + role + "\nExecStart=" + exe + "\n"
}
