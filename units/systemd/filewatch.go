package systemd

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/units"
	"fleettop/units/atomicfile"
	"fleettop/units/retry"
)

// fileWatch reports at once that files of the manager's, or of the host's
// systemd, were changed, by whomever. What systemd itself makes of that is up to
// its reloads.
type fileWatch struct {
	events *os.File
	fd     int
	own    map[int32]bool // the watches of the manager's own directories
}

const (
	watchOwn  = unix.IN_CREATE | unix.IN_MOVE | unix.IN_DELETE | unix.IN_CLOSE_WRITE
	watchHost = unix.IN_CREATE | unix.IN_MOVE | unix.IN_DELETE

	// watchQuiet is how long changes of files are gathered.
	watchQuiet = 50 * time.Millisecond
	eventRoom  = 64 << 10
)

// newFileWatch returns a fileWatch, or an error where the kernel has no inotify instance left.
func newFileWatch() (*fileWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &fileWatch{events: os.NewFile(uintptr(fd), "inotify"), fd: fd, own: map[int32]bool{}}, nil
}

// watch adds directories; those that don't exist are left out. It may be called again.
func (w *fileWatch) watch(dirs []string, own bool) {
	mask := uint32(watchHost)
	if own {
		mask = watchOwn
	}
	for _, dir := range dirs {
		if wd, err := unix.InotifyAddWatch(w.fd, dir, mask|unix.IN_ONLYDIR); err == nil {
			w.own[int32(wd)] = own
		}
	}
}

// changes are what a batch of events says.
type changes struct {
	own, host map[string]bool // names of files in the manager's own directories, and in the host's
	all       bool            // events were lost, or a directory is gone: look at everything
}

// read waits for events and returns what they say.
func (w *fileWatch) read(buf []byte) (changes, error) {
	c := changes{own: map[string]bool{}, host: map[string]bool{}}
	n, err := w.events.Read(buf)
	if err != nil {
		return c, err
	}
	for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
		wd, mask := int32(binary.NativeEndian.Uint32(rest)), binary.NativeEndian.Uint32(rest[4:])
		end := min(len(rest), unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(rest[12:])))
		name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
		rest = rest[end:]
		switch {
		case mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED) != 0:
			delete(w.own, wd)
			c.all = true
		case w.own[wd]:
			c.own[name] = true
		default:
			c.host[name] = true
		}
	}
	return c, nil
}

// watchFiles puts right what is done to the manager's own files, and takes
// notice of drop-ins, until the manager is closed.
func (m *Manager) watchFiles() {
	w, err := newFileWatch()
	if err != nil {
		m.log.Warn("changes of unit files are seen only when systemd reads them: the kernel has no inotify instance left; "+
			"raise fs.inotify.max_user_instances", "error", err)
		return
	}
	stop := context.AfterFunc(m.ctx, func() { w.events.Close() })
	defer stop()
	defer w.events.Close()
	buf := make([]byte, eventRoom)
	for {
		m.watchDirs(w)
		c, err := w.read(buf)
		if err != nil {
			return
		}
		files, dropIns := m.concern(c)
		if !files && !dropIns {
			continue
		}
		retry.Pause(m.ctx, watchQuiet)
		s, err := m.session(m.ctx)
		if err != nil {
			return
		}
		m.missFiles()
		if dropIns {
			m.lookForAltered(s)
		}
	}
}

// concern reports whether changes may be about the files of units held, and
// about files of the host's that alter one. Of names that are no unit's, as of
// drop-ins and directories, either may be.
func (m *Manager) concern(c changes) (files, dropIns bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	may := func(names map[string]bool) (held, other bool) {
		for name := range names {
			_, err := units.ParseName(name)
			held = held || m.table.byName[name] != nil
			other = other || err != nil && !atomicfile.IsTemp(name)
		}
		return held, other
	}
	held, other := may(c.own)
	shadow, more := may(c.host)
	return c.all || held || other, c.all || other || shadow || more
}

// watchDirs watches the manager's own directories, and those of systemd's in
// which people and programs change units: what is in them, and that they come.
func (m *Manager) watchDirs(w *fileWatch) {
	m.mu.Lock()
	host := slices.Clone(m.dropInDirs)
	if m.sess != nil {
		for _, dir := range m.sess.unitDirs {
			made := strings.Contains(dir, "generator") || strings.HasSuffix(dir, "/transient") // by systemd
			if dir != m.files.links && !made && !strings.HasPrefix(dir, "/usr/") && !strings.HasPrefix(dir, "/lib/") {
				host = append(host, dir, filepath.Dir(dir))
			}
		}
	}
	own := []string{m.files.dir, m.files.links}
	for name, u := range m.table.byName {
		if u.file.exclusive {
			own = append(own, filepath.Dir(m.files.dropIn(name)))
		}
	}
	m.mu.Unlock()
	w.watch(host, false)
	w.watch(own, true)
}
