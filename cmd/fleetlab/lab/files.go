package lab

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

const localDir = "/usr/local"

// openRoot opens the tree a path of the machine is in, and returns the path
// within it: the tree as the machine's processes see it while it runs, its disk
// while it is off. Links with absolute targets can't be followed.
func (m *Machine) openRoot(path string) (*os.Root, string, error) {
	tree, path := m.root(), inTree(path)
	if pid := m.Pid1(); pid != 0 {
		tree = filepath.Join("/proc", strconv.Itoa(pid), "root")
	} else if below, err := filepath.Rel(inTree(localDir), path); err == nil && filepath.IsLocal(below) {
		tree, path = m.local(), below
	}
	root, err := os.OpenRoot(tree)
	return root, path, err
}

// inTree turns a path in the machine into one of os.Root's.
func inTree(path string) string {
	return filepath.Join(".", filepath.Clean("/" + path)[1:])
}

// HostPath returns the path by which the host reaches a file, or a unix
// socket, of the running machine. It holds for this boot.
func (m *Machine) HostPath(path string) (string, error) {
	pid := m.Pid1()
	if pid == 0 {
		return "", m.fail("reach "+path+" on", ErrOff)
	}
	return filepath.Join("/proc", strconv.Itoa(pid), "root", inTree(path)), nil
}

// ReadFile reads a file of the machine; of its disk, if the machine is off.
func (m *Machine) ReadFile(path string) ([]byte, error) {
	root, inside, err := m.openRoot(path)
	if err != nil {
		return nil, m.fail("read "+path+" on", err)
	}
	defer root.Close()
	data, err := root.ReadFile(inside)
	return data, m.fail("read "+path+" on", err)
}

// WriteFile writes a file of the machine, making the directories to it; on its
// disk, if the machine is off. The old file is replaced in one step.
func (m *Machine) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return m.fail("write "+path+" on", m.replace(path, mode, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	}))
}

// CopyIn copies a file of the host to the machine. The old file is replaced in
// one step, so that a running program can be.
func (m *Machine) CopyIn(source, path string, mode fs.FileMode) error {
	from, err := os.Open(source)
	if err != nil {
		return m.fail("copy to", err)
	}
	defer from.Close()
	return m.fail("copy "+source+" to", m.replace(path, mode, func(f *os.File) error {
		_, err := io.Copy(f, from)
		return err
	}))
}

func (m *Machine) replace(path string, mode fs.FileMode, fill func(*os.File) error) error {
	root, path, err := m.openRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = root.Rename(tmp, path)
	}
	if err != nil {
		_ = root.Remove(tmp)
	}
	return err
}

// SmallDisk mounts an empty file system of so many MiB on a directory of the
// running machine, to be filled. It is gone, with its files, after a reboot or
// RemoveSmallDisk.
func (m *Machine) SmallDisk(ctx context.Context, path string, mebibytes int) error {
	if _, err := m.Exec(ctx, "mkdir", "-p", path); err != nil {
		return err
	}
	_, err := m.Exec(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=755", mebibytes), "small", path)
	return err
}

// RemoveSmallDisk undoes SmallDisk, even while files on it are open.
func (m *Machine) RemoveSmallDisk(ctx context.Context, path string) error {
	_, err := m.Exec(ctx, "umount", "--lazy", path)
	return err
}
