package diskfault_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fleettop/units/diskfault"
)

func TestAdviceFitsTheFault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	below := os.MkdirAll(filepath.Join(file, "dir"), 0o700)
	for _, c := range []struct {
		err       error
		want, not string
	}{
		{below, "is a file and not a directory", "root"},
		{&os.PathError{Op: "write", Path: file, Err: syscall.ENOSPC}, "full", "root"},
		{fmt.Errorf("wrapped: %w", syscall.EROFS), "read-only", "root"},
		{syscall.EIO, "dmesg", "root"},
		{syscall.EMFILE, "LimitNOFILE=", "--state-dir"},
		{syscall.EACCES, "run as root, or choose another --state-dir", "full"},
		{errors.New("strange"), "can be read and written", "root"},
	} {
		got := diskfault.Advice(c.err, "--state-dir")
		if !strings.Contains(got, c.want) || strings.Contains(got, c.not) {
			t.Errorf("Advice(%v) = %q; expected %q in it and not %q", c.err, got, c.want, c.not)
		}
	}
	if got := diskfault.Advice(syscall.ENOSPC, ""); strings.Contains(got, "choose") {
		t.Errorf("without another place: %q", got)
	}
}

func TestSpaceOfWhatIsNotThereYet(t *testing.T) {
	dir := t.TempDir()
	there, err := diskfault.SpaceOf(dir)
	if err != nil || there.Size == 0 || there.Free > there.Size {
		t.Fatalf("SpaceOf(%s) = %+v, %v", dir, there, err)
	}
	notYet, err := diskfault.SpaceOf(filepath.Join(dir, "a", "b"))
	if err != nil || notYet.Size != there.Size {
		t.Errorf("below it: %+v, %v; expected the size %d", notYet, err, there.Size)
	}
}
