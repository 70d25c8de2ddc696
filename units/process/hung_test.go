package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/units"
)

// hungUnits name files on a file system that never answers, and what their starts say.
var hungUnits = []struct{ name, lines, says string }{
	{"env.service", "EnvironmentFile=-%s/env\nExecStart=/bin/sleep 1000", "is a file system gone?"},
	{"glob.service", "EnvironmentFile=-%s/*/env\nExecStart=/bin/sleep 1000", "is a file system gone?"},
	{"dir.service", "WorkingDirectory=-%s/dir\nExecStart=/bin/sleep 1000", "is a file system gone?"},
	{"program.service", "ExecStart=%s/program", "is a file system gone?"},
	{"pid.service", "Type=forking\nPIDFile=%s/pid\nTimeoutStartSec=5s\nExecStart=/bin/sh -c '/bin/sleep 1000 &'",
		"timeout"},
}

// TestFileSystemThatHangs mounts one in a namespace of its own, and has a
// manager there start units that need it.
func TestFileSystemThatHangs(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil || os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root and /dev/fuse")
	}
	dir := scratch(t)
	cmd := exec.Command("/proc/self/exe", dir)
	cmd.Env = append(os.Environ(), "PROCESS_TEST_ROLE=hung")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(3*patience, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	err := cmd.Wait()
	if strings.HasPrefix(said.String(), "no mount") {
		t.Skip(said.String())
	}
	if err != nil {
		t.Errorf("the daemon didn't end by itself: %v", err)
	}
	for _, u := range hungUnits {
		if !strings.Contains(said.String(), u.name+": start "+u.name+": ") || !strings.Contains(said.String(), u.says) {
			t.Errorf("the start of %s did not fail with %q", u.name, u.says)
		}
	}
	for _, want := range []string{"good.service: <nil>", "late.service: <nil>", "closed: <nil>"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	t.Logf("the daemon said:\n%s", &said)
}

// playHung is a daemon on a machine one of whose file systems is gone.
func playHung(dir string) {
	hung := filepath.Join(dir, "hung")
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		err = os.Mkdir(hung, 0o755)
	}
	if err == nil { // its requests are never read
		err = unix.Mount("hung", hung, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd))
	}
	if err != nil {
		fmt.Println("no mount:", err)
		return
	}
	m, err := New(Options{Dir: filepath.Join(dir, "state"), LogDir: filepath.Join(dir, "log")})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	m.fileWait, m.spawn.wait = 2*time.Second, 2*time.Second
	files := []units.UnitFile{{Name: "good.service", Content: "[Service]\nExecStart=/bin/sleep 1000\n"},
		{Name: "late.service", Content: "[Service]\nExecStart=/bin/sleep 1000\n"}}
	for _, u := range hungUnits {
		files = append(files, units.UnitFile{Name: u.name, Content: "[Service]\n" + fmt.Sprintf(u.lines, hung) + "\n"})
	}
	if bad, err := m.Load(context.Background(), files); err != nil || len(bad) > 0 {
		fmt.Println("failed:", bad, err)
	}
	results := make(chan string)
	for _, u := range hungUnits {
		go func() { results <- fmt.Sprint(u.name, ": ", m.Start(context.Background(), u.name)) }()
	}
	fmt.Println("good.service:", m.Start(context.Background(), "good.service"))
	for range hungUnits {
		fmt.Println(<-results)
	}
	fmt.Println("late.service:", m.Start(context.Background(), "late.service"))
	fmt.Println("closed:", m.Close())
}
