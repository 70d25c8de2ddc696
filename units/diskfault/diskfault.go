// Package diskfault says what to do about a disk that refuses: each kind of
// refusal needs another remedy, and none of them is helped by a guess.
package diskfault

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// advice has the remedy for each errno that is about the disk.
var advice = []struct {
	errno syscall.Errno
	text  string
}{
	{syscall.ENOSPC, "the disk is full: free some space there"},
	{syscall.EDQUOT, "the disk quota is used up: free some space there, or raise it"},
	{syscall.EROFS, "the file system is read-only: see with 'dmesg' whether the kernel made it so after an error, " +
		"and remount it"},
	{syscall.EIO, "the disk fails: see 'dmesg', and replace it"},
	{syscall.ENOTDIR, "a part of the path is a file and not a directory: move it away"},
	{syscall.EISDIR, "a directory is where a file belongs: move it away"},
	{syscall.ELOOP, "the path's symbolic links lead in a circle: remove one of them"},
	{syscall.ENAMETOOLONG, "the path is too long for this file system"},
	{syscall.EMFILE, "the daemon may not open more files: raise its limit, LimitNOFILE= in its unit or 'ulimit -n'"},
	{syscall.ENFILE, "the machine may not open more files: raise fs.file-max"},
	{syscall.ENOMEM, "the machine is out of memory: free some"},
}

// Advice says what to do about an error of a file or directory. elsewhere, if
// not empty, names the flag that chooses another place, as "--state-dir".
func Advice(err error, elsewhere string) string {
	text := "see that it can be read and written"
	for _, a := range advice {
		if errors.Is(err, a.errno) {
			text = a.text
			break
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		text = "run as root"
	}
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return text // another place wouldn't help
		}
	}
	if elsewhere == "" {
		return text
	}
	return text + ", or choose another " + elsewhere
}

// Known reports whether an error is one that Advice has a remedy of its own for.
func Known(err error) bool {
	for _, a := range advice {
		if errors.Is(err, a.errno) {
			return true
		}
	}
	return errors.Is(err, fs.ErrPermission)
}

// Space is the room on a file system.
type Space struct{ Free, Size uint64 } // bytes; Free is what is left for anybody but root

// SpaceOf returns the room where a path is, or where its nearest ancestor that exists is.
func SpaceOf(path string) (Space, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(path, &st)
		if err == nil {
			unit := uint64(st.Bsize)
			return Space{Free: st.Bavail * unit, Size: st.Blocks * unit}, nil
		}
		parent := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path {
			return Space{}, fmt.Errorf("the room at %s: %w", path, err)
		}
		path = parent
	}
}
