package sshd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"fleettop/units/safefile"
)

const (
	maxKeysFile  = 1 << 20
	othersWrite  = 0o022 // group and everybody
	stickyFolder = unix.S_ISVTX
)

// readTrusted reads a file if nobody but root and this process's user can
// change what is in it, or put another one in its place.
func readTrusted(path string) ([]byte, unix.Stat_t, error) {
	var st unix.Stat_t
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, st, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil, st, err
	}
	f, err := safefile.Open(real)
	if err != nil {
		return nil, st, err
	}
	defer f.Close()
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, st, fmt.Errorf("look at %s: %w", real, err)
	}
	if err := trusted(real, st); err != nil {
		return nil, st, err
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		var folder unix.Stat_t
		if err := unix.Stat(dir, &folder); err != nil {
			return nil, st, fmt.Errorf("look at %s: %w", dir, err)
		}
		if folder.Mode&stickyFolder != 0 {
			folder.Mode &^= othersWrite // nobody replaces what is another's there
		}
		if err := trusted(dir, folder); err != nil {
			return nil, st, err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	if err == nil && len(raw) > maxKeysFile {
		err = fmt.Errorf("%s is larger than %d KiB: is it a file of keys?", real, maxKeysFile>>10)
	}
	return raw, st, err
}

// trusted refuses what others than root and this process's user can write.
func trusted(path string, st unix.Stat_t) error {
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, who could let anybody in: chown root %s", path, st.Uid, path)
	}
	if st.Mode&othersWrite != 0 {
		return fmt.Errorf("others can write %s and so let anybody in: chmod go-w %s", path, path)
	}
	return nil
}
