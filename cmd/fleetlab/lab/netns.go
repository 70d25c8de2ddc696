package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// netnsHome has the labs' named network namespaces. It is not /run/netns: other
// programs mount over that (`ip netns add` does), and a file whose mount is
// covered can be neither unmounted nor removed.
const netnsHome = registryHome + "/netns"

// inThread runs f on an operating system thread of its own, which ends with f:
// whatever f does to it can't reach other goroutines.
func inThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		result <- f()
	}()
	return <-result
}

// inNamespace runs f on a thread that is in a named network namespace. What f
// opens stays in it.
func inNamespace(name string, f func() error) error {
	return inThread(func() error {
		fd, err := unix.Open(filepath.Join(netnsHome, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("network namespace %s: %w", name, err)
		}
		err = unix.Setns(fd, unix.CLONE_NEWNET)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("enter network namespace %s: %w", name, err)
		}
		return f()
	})
}

// makeNamespace makes a named network namespace and runs f in it.
func makeNamespace(name string, f func() error) error {
	return inThread(func() error {
		if err := os.MkdirAll(netnsHome, 0o755); err != nil {
			return err
		}
		path := filepath.Join(netnsHome, name)
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
		if err != nil {
			return err
		}
		file.Close()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return errors.Join(fmt.Errorf("make network namespace %s: %w", name, err), os.Remove(path))
		}
		self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(self, path, "", unix.MS_BIND, ""); err != nil {
			return errors.Join(fmt.Errorf("name network namespace %s: %w", name, err), os.Remove(path))
		}
		return f()
	})
}

// removeNamespace takes the name from a network namespace, which ends with its
// last process; without processes, at once. One that isn't there is fine.
func removeNamespace(name string) error {
	path := filepath.Join(netnsHome, name)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) { // EINVAL: not mounted
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeNamespaces removes all network namespaces that carry the prefix.
func removeNamespaces(prefix string) error {
	paths, _ := filepath.Glob(filepath.Join(netnsHome, prefix+"*")) // the pattern is well-formed
	var errs []error
	for _, path := range paths {
		errs = append(errs, removeNamespace(filepath.Base(path)))
	}
	return errors.Join(errs...)
}
