package proclog

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// watch makes the directory if need be, and has inotify tell what happens in it.
func (s *Store) watch(fd int) (dir fs.FileInfo, err error) {
	if err := os.MkdirAll(s.opts.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w: choose another one, or run as a user who may write there",
			err)
	}
	const events = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO
	if _, err := unix.InotifyAddWatch(fd, s.opts.Dir, events); err != nil {
		return nil, fmt.Errorf("watch the logs of units: %w: raise fs.inotify.max_user_watches", err)
	}
	return os.Stat(s.opts.Dir)
}

// changes are the units whose files have changed. Where events were lost, any
// other may have, too.
type changes struct {
	units map[string]bool
	lost  bool
}

// readEvents tells which units' files have changed, gathering for a moment.
func readEvents(ctx context.Context, f *os.File, changed chan<- changes) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return err
		}
		c := changes{units: map[string]bool{}}
		c.gather(buf[:n])
		pause := time.NewTimer(quiet)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
		if len(c.units) == 0 && !c.lost {
			continue
		}
		select {
		case changed <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gather adds what inotify's events are about.
func (c *changes) gather(b []byte) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		length := int(binary.NativeEndian.Uint32(b[12:]))
		if unix.SizeofInotifyEvent+length > len(b) {
			return
		}
		c.lost = c.lost || mask&unix.IN_Q_OVERFLOW != 0
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:][:length]), "\x00")
		if unit, ok := strings.CutSuffix(name, suffix); ok {
			c.units[unit] = true
		}
		b = b[unix.SizeofInotifyEvent+length:]
	}
}
