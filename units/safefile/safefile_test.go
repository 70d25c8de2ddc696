package safefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fleettop/units/safefile"
)

func TestReadTakesRegularFilesUpToTheLimit(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, content string
		err           error
	}{
		{path("fits", "1234"), "1234", nil},
		{path("empty", ""), "", nil},
		{path("large", "12345"), "", safefile.ErrTooLarge},
		{fifo, "", safefile.ErrNotRegular},
		{dir, "", safefile.ErrNotRegular},
		{"/dev/zero", "", safefile.ErrNotRegular},
		{filepath.Join(dir, "none"), "", os.ErrNotExist},
	} {
		got, err := safefile.Read(c.path, 4)
		if !errors.Is(err, c.err) || string(got) != c.content {
			t.Errorf("Read(%s, 4) = %q, %v; expected %q, %v", c.path, got, err, c.content, c.err)
		}
		if err != nil && !strings.Contains(err.Error(), c.path) {
			t.Errorf("the error doesn't name %s: %v", c.path, err)
		}
	}
}
