package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fleettop/daemon/api"
)

// TestLocalEndpoint: a user who runs a daemon talks to that one.
func TestLocalEndpoint(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if got := localEndpoint(); got != api.DefaultEndpoint {
		t.Errorf("without a daemon of one's own it is %s", got)
	}
	own := filepath.Join(dir, "fleettop", "fleettop.sock")
	if err := os.MkdirAll(filepath.Dir(own), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := localEndpoint(); got != "unix://"+own {
		t.Errorf("with one it is %s", got)
	}
	if os.Geteuid() == 0 { // who became root with a user's environment
		if err := os.Chown(own, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		if got := localEndpoint(); got != api.DefaultEndpoint {
			t.Errorf("another user's daemon is taken for root's: %s", got)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if got := localEndpoint(); got != api.DefaultEndpoint {
		t.Errorf("without a runtime directory it is %s", got)
	}
	own = filepath.Join(tmp, "fleettop-"+strconv.Itoa(os.Geteuid()), "fleettop.sock")
	if err := errors.Join(os.MkdirAll(filepath.Dir(own), 0o700), os.WriteFile(own, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if got := localEndpoint(); got != "unix://"+own {
		t.Errorf("with a daemon among temporary files it is %s", got)
	}
}

// TestDaemonStoppedBeforeItWasUp: for a daemon, being told to stop is no failure.
func TestDaemonStoppedBeforeItWasUp(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := Run(ctx, []string{"daemon", "--manager=process", "--address=127.84.0.1", "--machine-id=" +
		strings.Repeat("1", 32), "--name=n1",
		"--state-dir=" + filepath.Join(dir, "state"), "--run-dir=" + filepath.Join(dir,
			"run"), "--log-level=error"}, nil, io.Discard, os.Stderr)
	if code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}
