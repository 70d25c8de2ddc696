package listen

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnixSocketTakesNoOthersPlace(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	s, err := openUnixSocket(Socket{Path: path, Option: "--socket", Group: "fleettop"}, log)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v; want 0660", info.Mode().Perm(), err)
	}
	if _, err := openUnixSocket(Socket{Path: path, Option: "--socket", Group: "fleettop"}, log); err == nil ||
		!strings.Contains(err.Error(), "another daemon answers") {
		t.Errorf("the second one: %v", err)
	}
	// A daemon that was killed leaves its socket behind.
	s.listener.Close()
	if s, err = openUnixSocket(Socket{Path: path, Option: "--socket", Group: "fleettop"}, log); err != nil {
		t.Fatalf("over a dead daemon's socket: %v", err)
	}
	s.close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a socket that was closed is still there: %v", err)
	}

	missing := filepath.Join(dir, "typo", "s.sock")
	_, err = openUnixSocket(Socket{Path: missing, Option: "--fleet-socket", Group: "fleettop"}, log)
	if err == nil || !strings.Contains(err.Error(), "--fleet-socket") {
		t.Errorf("in a directory that isn't there: %v", err)
	}
	if _, err := os.Stat(filepath.Dir(missing)); err == nil {
		t.Error("the directory was made")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openUnixSocket(Socket{Path: file, Option: "--socket", Group: "fleettop"}, log); err == nil {
		t.Error("over a file")
	}
	if got, _ := os.ReadFile(file); string(got) != "precious" {
		t.Error("a file that is no socket was removed")
	}
}
