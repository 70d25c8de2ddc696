package main

import (
	"os"
	"path/filepath"
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
	if got := localEndpoint(); got != api.DefaultEndpoint {
		t.Errorf("without a runtime directory it is %s", got)
	}
}
