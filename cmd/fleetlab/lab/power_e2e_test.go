//go:build e2e

package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPower(t *testing.T) {
	l, ctx := newLab(t, "testpower", 2)
	m, other := l.Machines()[0], l.Machines()[1]
	echoServer(t, ctx, m)
	answers(t, ctx, l, m)
	must(t, m.WriteFile("/var/lib/kept", []byte("kept"), 0o644))
	must(t, m.WriteFile("/run/lost", []byte("lost"), 0o644))

	must(t, waitFor(ctx, "the journal", func() bool {
		log, err := m.Journal(ctx, "echo")
		return err == nil && strings.Contains(log, "Started")
	}))

	// A connection to a machine that loses power hears nothing of it.
	conn, err := l.Dial(ctx, "tcp", m.Name+":7")
	must(t, err)
	defer conn.Close()
	_, err = echo(conn, 5*time.Second)
	must(t, err)
	before := time.Now()
	died, err := m.Kill()
	must(t, err)
	t.Logf("Kill took %v", time.Since(before))
	if died.Before(before) {
		t.Errorf("it died %v before Kill", before.Sub(died))
	}
	if m.Running() {
		t.Error("it runs after Kill")
	}
	if _, err := m.Exec(ctx, "true"); !errors.Is(err, ErrOff) {
		t.Errorf("exec on a dead machine: %v", err)
	}
	if _, err := m.Kill(); !errors.Is(err, ErrOff) {
		t.Errorf("kill of a dead machine: %v", err)
	}
	must(t, conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection to a dead machine ended: %v", err)
	}

	data, err := m.ReadFile("/var/lib/kept")
	if err != nil || string(data) != "kept" {
		t.Errorf("the disk of a dead machine: %q, %v", data, err)
	}
	began := time.Now()
	must(t, m.Boot(ctx))
	must(t, m.WaitBooted(ctx))
	t.Logf("booted in %v", time.Since(began))
	if err := m.Boot(ctx); err == nil {
		t.Error("booted twice")
	}
	if got := run(t, ctx, m, "cat", "/etc/machine-id", "/var/lib/kept"); got != m.MachineID+"\nkept" {
		t.Errorf("after the power loss: %q", got)
	}
	if _, err := m.ReadFile("/run/lost"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("/run survived a boot: %v", err)
	}
	if log, err := m.Journal(ctx, "echo"); err != nil || !strings.Contains(log, "Started") {
		t.Errorf("the journal of the boot before: %s, %v", log, err)
	}

	// A clean reboot stops units in order.
	run(t, ctx, m, "systemd-run", "--quiet", "--unit=tidy", "--property=ExecStop=/usr/bin/touch /var/lib/tidied", "sleep",
		"infinity")
	must(t, m.Reboot(ctx))
	must(t, m.WaitBooted(ctx))
	run(t, ctx, m, "test", "-e", "/var/lib/tidied")

	// Frozen machines lose power too.
	must(t, m.Freeze())
	_, err = m.Kill()
	must(t, err)
	must(t, m.Boot(ctx))
	must(t, m.WaitBooted(ctx))

	must(t, m.PowerOff(ctx))
	if m.Running() {
		t.Error("it runs after PowerOff")
	}
	must(t, m.Cut())
	must(t, m.Boot(ctx))
	must(t, m.WaitBooted(ctx))
	echoServer(t, ctx, m)
	if _, err := roundTrip(ctx, l, m, 300*time.Millisecond); err == nil {
		t.Error("a machine booted without cable answered")
	}
	must(t, m.Heal())
	answers(t, ctx, l, m)
	if got := run(t, ctx, other, "systemctl", "is-system-running"); got != "running" {
		t.Errorf("the other machine is %s", got)
	}
}

func TestDownOnSignal(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	self, err := os.Executable()
	must(t, err)
	l, err := New(Options{Name: "testsignal", Dir: filepath.Join(t.TempDir(), "held")})
	must(t, err)
	cmd := exec.CommandContext(ctx, self, "hold", l.Name(), l.Dir())
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := io.ReadFull(out, make([]byte, len("up\n"))); err != nil {
		t.Fatal(err, complaints.String())
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM)) // not SIGINT, which a shell's background jobs ignore
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, not by the signal: %s", exit, complaints.String())
	}
	for _, left := range leftovers(t, l) {
		t.Errorf("the signal left %s", left)
	}
}
