package systemd

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFilesThatBlock: what systemd would wait for is told from what it reads to its end.
func TestFilesThatBlock(t *testing.T) {
	dir := t.TempDir()
	plain, fifo, link := filepath.Join(dir, "plain"), filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fifo, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		plain: "", fifo: "a FIFO", link: "a FIFO", dir: "", "/dev/null": "", "/dev/zero": "a device",
		filepath.Join(dir, "missing"): "",
	} {
		if got := (namedFile{"PIDFile", path}).blocks(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
