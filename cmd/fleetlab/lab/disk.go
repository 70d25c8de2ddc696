package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The ioctls that hold back writes to a file system, and let them go on.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// makeDisk puts an ext4 file system of its own on a directory of the machine's
// disk. It stays over boots, and goes with the lab.
func (m *Machine) makeDisk(path string, mebibytes int) error {
	image := filepath.Join(m.dir(), "disk"+strings.ReplaceAll(filepath.Clean(path), "/", "-"))
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image, int64(mebibytes)<<20); err != nil {
		return err
	}
	dir := m.diskDir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("disk for %s: %s: %w: %s", path, args[0], err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

func (m *Machine) diskDir(path string) string { return filepath.Join(m.root(), inTree(path)) }

// StallDisk holds back every write and every fsync to a disk of Options.Disks,
// until ResumeDisk or until the machine loses its power: to its processes the
// disk is as one whose controller doesn't answer. It returns when no write is
// under way any more.
func (m *Machine) StallDisk(path string) error {
	return m.fail("stall "+path+" of", controlDisk(m.diskDir(path), fiFreeze))
}

// ResumeDisk undoes StallDisk. A disk that isn't stalled is fine.
func (m *Machine) ResumeDisk(path string) error {
	err := controlDisk(m.diskDir(path), fiThaw)
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return m.fail("resume "+path+" of", err)
}

func controlDisk(dir string, request uint) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetInt(int(f.Fd()), request, 0)
}

// resumeDisks has no write to any disk below a directory wait any more:
// processes that wait for one can't be killed.
func resumeDisks(dir string) {
	mounts, _ := mountsBelow(dir) // what can't be read has none
	for _, path := range mounts {
		_ = controlDisk(path, fiThaw) // most aren't stalled
	}
}
