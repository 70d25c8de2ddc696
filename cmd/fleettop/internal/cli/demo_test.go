package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleettop/internal/demo"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// runDemoProcess starts the demo as a process of its own, with its temporary
// files in a directory of the test's.
func runDemoProcess(t *testing.T) (cmd *exec.Cmd, out *safeBuffer, tmp string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Short, as sockets have their place in it.
	if tmp, err = os.MkdirTemp("", "demo"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	out = &safeBuffer{}
	cmd = exec.Command(self, "demo")
	cmd.Env = append(os.Environ(), actAsFleettop+"=1", "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the demo said:\n%s", out)
		}
	})
	return cmd, out, tmp
}

// leftovers lists files below dir and processes whose command line names it.
func leftovers(dir string) []string {
	var left []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		left = append(left, filepath.Join(dir, e.Name()))
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(dir)) {
			left = append(left, path+": "+strings.ReplaceAll(string(raw), "\x00", " "))
		}
	}
	return left
}

func finish(cmd *exec.Cmd, limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		cmd.Process.Kill()
		return fmt.Errorf("still running after %s", limit)
	}
}

func TestDemoTellsItsStory(t *testing.T) {
	cmd, out, tmp := runDemoProcess(t)
	if err := finish(cmd, 2*time.Minute); err != nil {
		t.Fatalf("the demo: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	if !regexp.MustCompile(`^demo: ok machines=3 units=3 moved=[1-3] outage=\d+\.\d\ds$`).MatchString(last) {
		t.Errorf("the last line is %q", last)
	}
	if strings.Contains(out.String(), "lost its daemon") {
		t.Error("of a machine without power it is said that it lost its daemon")
	}
	if !regexp.MustCompile(`(?m)^ready after .* from another terminal, .*\n  FLEETTOP_ENDPOINT=unix:///\S+/n1/run/fleettop\.sock \S+ list-units$`).MatchString(out.String()) {
		t.Error("it doesn't say how to reach it")
	}
	if n := strings.Count(out.String(), "UNIT  "); n != 2 {
		t.Errorf("list-unit-files was shown %d times, want 2", n)
	}
	if left := leftovers(tmp); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestDemoInterruptedLeavesNothing(t *testing.T) {
	for _, after := range []string{"starting", "ready", "$ fleettop start"} {
		t.Run(after, func(t *testing.T) {
			cmd, out, tmp := runDemoProcess(t)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := out.await(ctx, after); err != nil {
				t.Error(err)
			}
			// People press it twice.
			for range 2 {
				if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
					t.Error(err)
				}
			}
			var ended *exec.ExitError
			if err := finish(cmd, time.Minute); !errors.As(err, &ended) || ended.ExitCode() != exitInterrupted {
				t.Errorf("the demo was interrupted, and ended with %v", err)
			}
			if left := leftovers(tmp); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestNoPowerIsNoLostDaemon: of a machine whose power is cut it is never said that it lost its daemon.
func TestNoPowerIsNoLostDaemon(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(actAsFleettop, "1")
	t.Setenv("TMPDIR", "/tmp") // short, as sockets have their place in it
	c, err := demo.Start(self, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The console writes a refusal with a capital letter, and a name keeps its own.
	if err := c.PowerOn(c.Machines[0]); err == nil || err.Error() != "machine n1 is on already" {
		t.Errorf("power for a machine that has it: %v", err)
	}
	client, err := client.Dial("unix://" + c.Machines[0].Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	list, err := client.Machines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// One that doesn't lead: its death is judged at once, by one that was there before.
	var victim *demo.Machine
	for _, m := range list.Machines {
		if !m.Leader && m.ID != c.Machines[0].ID {
			victim = c.Machines[slices.IndexFunc(c.Machines, func(d *demo.Machine) bool { return d.ID == m.ID })]
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	off, errFailed := false, errors.New("failed")
	err = client.Watch(ctx, api.WatchOptions{}, func(s *api.State, l *api.Line) error {
		if !off {
			off = true
			_, err := c.PowerOff(victim)
			return err
		}
		for _, e := range l.Events {
			if strings.Contains(e.Text, "lost its daemon") {
				t.Errorf("it is said: %s", e.Text)
			}
		}
		if s.Machines[victim.ID].Health.State == cluster.Failed {
			return errFailed
		}
		return nil
	})
	if !errors.Is(err, errFailed) {
		t.Fatal(err)
	}
}
