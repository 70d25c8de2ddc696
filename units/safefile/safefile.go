// Package safefile reads files that somebody else names: a unit, a flag, a
// configuration. Such a path may lead to a FIFO that blocks for ever, to a
// device that never ends, or to a directory.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrNotRegular is wrapped when a path leads to something that is not a regular file.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge is wrapped when a file has more bytes than its reader takes.
var ErrTooLarge = errors.New("too large")

// Open opens a regular file for reading; it never blocks on what is at the
// path. The error wraps ErrNotRegular, or is that of os.OpenFile.
func Open(path string) (*os.File, error) {
	// O_NONBLOCK: without it, opening a FIFO waits for a writer.
	// O_NOCTTY: opening a terminal must not make it ours.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is %s: %w", kind(info.Mode()), ErrNotRegular)}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read returns the content of a regular file of at most limit bytes. The error
// wraps ErrNotRegular or ErrTooLarge, or is that of reading.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes: %w", limit,
			ErrTooLarge)}
	}
	return data, nil
}

func kind(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&os.ModeNamedPipe != 0:
		return "a FIFO"
	case m&os.ModeSocket != 0:
		return "a socket"
	case m&os.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}
