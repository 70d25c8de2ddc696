package journald

import (
	"os"

	"golang.org/x/sys/unix"
)

// bell rings at once when files come, go or are renamed. Whoever vacuums right
// after a rotation erases what a reader hasn't read by then, even of a file it
// has open. Looks at the directories' times find the same, later.
type bell struct {
	events *os.File
	fd     int
}

// newBell returns a bell, or nil where the kernel has none left.
func newBell() *bell {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	return &bell{os.NewFile(uintptr(fd), "inotify"), fd}
}

// watch makes it ring for directories, those that are there; again is no harm.
func (b *bell) watch(dirs []string) {
	for _, dir := range dirs {
		_, _ = unix.InotifyAddWatch(b.fd, dir, unix.IN_CREATE|unix.IN_MOVE|unix.IN_DELETE)
	}
}

// listen calls ring until the bell is closed.
func (b *bell) listen(ring func()) {
	buf := make([]byte, 4<<10)
	for {
		if _, err := b.events.Read(buf); err != nil {
			return
		}
		ring()
	}
}

func (b *bell) close() { b.events.Close() }
