package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestHeldForAMoment: a lock that is given up in time is had, and one that is kept is refused.
func TestHeldForAMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first := open()
	if err := Lock(first); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(patience/20, func() { first.Close() })
	second := open()
	if err := Lock(second); err != nil {
		t.Errorf("a lock that is held for a moment: %v", err)
	}
	if err := Lock(open()); !errors.Is(err, ErrHeld) {
		t.Errorf("a lock that is kept: %v", err)
	}
}
