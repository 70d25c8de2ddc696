package journald

import (
	"os"

	"golang.org/x/sys/unix"
)

// dirWatcher reports at once that files come, go or are renamed. A vacuum right
// after a rotation erases what a reader hasn't read by then, even of a file that
// it has open. The directories' times tell the same, later.
type dirWatcher struct {
	events *os.File
	fd     int
}

// newDirWatcher returns a dirWatcher, or nil where the kernel has no inotify instance left.
func newDirWatcher() *dirWatcher {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	return &dirWatcher{os.NewFile(uintptr(fd), "inotify"), fd}
}

// watch adds directories; it leaves out those that don't exist, and may be called again.
func (w *dirWatcher) watch(dirs []string) {
	for _, dir := range dirs {
		_, _ = unix.InotifyAddWatch(w.fd, dir, unix.IN_CREATE|unix.IN_MOVE|unix.IN_DELETE)
	}
}

// listen calls changed for each change until the dirWatcher is closed.
func (w *dirWatcher) listen(changed func()) {
	buf := make([]byte, 4<<10)
	for {
		if _, err := w.events.Read(buf); err != nil {
			return
		}
		changed()
	}
}

func (w *dirWatcher) close() { w.events.Close() }
