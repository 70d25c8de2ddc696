package keys

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFilesThatAreNone gives what is no file for each file that a flag names.
// None may be waited for, or read without an end.
func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	ring := NewRing()
	for path, want := range map[string]string{fifo: "it is a FIFO", "/dev/zero": "it is a device",
		dir: "it is a directory"} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the key %s: %v, expected %q", path, err, want)
		}
		for _, pki := range []Files{{path, text, text}, {text, path, text}} {
			_, err := NewIdentity(Config{Machine: "m", Address: net.IPv4(127, 0, 0, 1), Ring: ring, PKI: pki})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, expected %q", pki, err, want)
			}
		}
		own := &ownFiles{files: Files{text, text, path}}
		if _, err := own.pool(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the authorities %s: %v, expected %q", path, err, want)
		}
	}
}
