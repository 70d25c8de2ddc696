// Package filelock keeps a second process from working where one works.
package filelock

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a lock is waited for that another process holds. One that was killed as it
	// started a child holds its locks until the child begins its own program.
	patience = 2 * time.Second
	between  = 20 * time.Millisecond
)

// ErrHeld is returned where another process holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// Lock locks an open file for this process, until the file is closed or the process has ended. It
// returns an error that wraps ErrHeld where another process has it, after two seconds.
func Lock(f *os.File) error {
	for end := time.Now().Add(patience); ; time.Sleep(between) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(end):
			return fmt.Errorf("lock %s: %w", f.Name(), ErrHeld)
		}
	}
}
