package proclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/journal"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const (
	// DefaultLimit is how many bytes of a unit's log are kept.
	DefaultLimit = 16 << 20

	suffix      = ".log"
	indexSuffix = ".log.index"

	// quiet is how long writes are gathered after the first that wakes the store.
	quiet = 3 * time.Millisecond
	// saveEvery is how much of the stamps a crash may lose.
	saveEvery = time.Second
	// sweepEvery is how often files nobody needs any more are looked for.
	sweepEvery = time.Hour
	// staleAfter is how long a file of a unit that isn't held is kept.
	staleAfter = 7 * 24 * time.Hour
)

// Options configures a Store.
type Options struct {
	Dir     string // of the logs: NAME.log each
	Machine string // the ID that entries carry
	Limit   int64  // bytes of each log that are kept; DefaultLimit if 0
	// Held reports whether a unit is held; the logs of those that aren't are
	// removed after a week. nil keeps them all.
	Held func(unit string) bool
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	Log *slog.Logger
}

// Store looks after the logs of a directory, and reads them: it implements
// journal.Source. It notices what is written while Run runs.
type Store struct {
	opts Options
	now  func() time.Time

	// The goroutine in Run (before it, Open) alone changes logs, tick and what
	// they lead to. It does so with mu held, and looks at files without.
	mu    sync.Mutex // guards what follows
	logs  map[string]*unitLog
	tick  int64
	tails map[*tail]struct{}
}

var _ journal.Source = (*Store)(nil)

// unitLog is one unit's file.
type unitLog struct {
	*index
	dirty bool // its index is to be saved; Run's own
}

// Open returns the store of a directory, which it makes if need be, with what
// was written before taken in.
func Open(o Options) (*Store, error) {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Store{opts: o, now: o.Now, logs: map[string]*unitLog{}, tails: map[*tail]struct{}{}}
	if s.now == nil {
		s.now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w: choose another one, or run as a user who may write there",
			err)
	}
	entries, _ := os.ReadDir(o.Dir) // units says why it can't be listed
	for _, e := range entries {
		if atomicfile.IsTemp(e.Name()) { // of a process that was killed
			_ = os.Remove(filepath.Join(o.Dir, e.Name()))
		}
	}
	for _, unit := range s.units() {
		if b, err := safefile.Read(s.indexPath(unit), maxIndex); err == nil {
			if x := parseIndex(b); x != nil {
				s.logs[unit] = &unitLog{index: x}
				if n := len(x.stamps); n > 0 {
					s.tick = max(s.tick, x.stamps[n-1].tick)
				}
			}
		}
	}
	for _, unit := range s.units() {
		s.look(unit, false)
	}
	return s, nil
}

func (s *Store) path(unit string) string      { return filepath.Join(s.opts.Dir, unit+suffix) }
func (s *Store) indexPath(unit string) string { return filepath.Join(s.opts.Dir, unit+indexSuffix) }

// units lists the units that have a file, sorted.
func (s *Store) units() []string {
	entries, err := os.ReadDir(s.opts.Dir)
	if err != nil {
		s.opts.Log.Warn("the logs of units can't be listed", "error", err)
	}
	var list []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && e.Type().IsRegular() {
			list = append(list, name)
		}
	}
	return list
}

// look notices what a unit's file has got. live says that it was got just now.
func (s *Store) look(unit string, live bool) {
	st, err := os.Stat(s.path(unit))
	if err != nil || !st.Mode().IsRegular() {
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			s.mu.Lock()
			delete(s.logs, unit)
			s.mu.Unlock()
		}
		return
	}
	l := s.grown(unit, st, live)
	if st.Size()-l.head > s.opts.Limit {
		s.trim(unit, l, st.Size())
	}
}

// grown takes down how long a file is now.
func (s *Store) grown(unit string, st fs.FileInfo, live bool) *unitLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	inode := st.Sys().(*syscall.Stat_t).Ino
	l := s.logs[unit]
	if l == nil || l.inode != inode || st.Size() < l.end() {
		l = &unitLog{index: newIndex(inode), dirty: true}
		s.logs[unit] = l
	}
	if st.Size() == l.end() {
		return l
	}
	now := s.now()
	at := now
	if !live {
		at = st.ModTime()
	}
	s.tick = max(s.tick+1, now.UnixNano())
	l.add(stamp{st.Size(), at.UnixNano(), s.tick})
	l.dirty = true
	for t := range s.tails {
		t.notice(unit)
	}
	return l
}

// trim gives back the beginning of a file, so that half of the limit is left
// to grow. Readers are told before it is gone.
func (s *Store) trim(unit string, l *unitLog, size int64) {
	head := (size - s.opts.Limit/2) &^ 4095
	if head <= l.head {
		return
	}
	f, err := os.OpenFile(s.path(unit), os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		s.opts.Log.Warn("a log can't be kept within its limit", "unit", unit, "error", err)
		return
	}
	defer f.Close()
	s.cut(unit, l, f, head)
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, head)
	if errors.Is(err, unix.EOPNOTSUPP) {
		if err = f.Truncate(0); err == nil {
			s.mu.Lock()
			l.index = newIndex(l.inode)
			s.mu.Unlock()
		}
	}
	if err != nil {
		s.opts.Log.Warn("a log can't be kept within its limit", "unit", unit, "error", err)
	}
}

// cut makes a file begin at head, and counts what each tail hadn't read yet.
func (s *Store) cut(unit string, l *unitLog, f *os.File, head int64) {
	type count struct{ from, lost int64 }
	counts := map[*tail]*count{}
	for {
		s.mu.Lock()
		var later []*tail // those that have moved since they were counted
		for t := range s.tails {
			if from, ok := t.behind(unit, l.id, head); ok && (counts[t] == nil || counts[t].from != from) {
				counts[t] = &count{from: from}
				later = append(later, t)
			}
		}
		if len(later) == 0 {
			for t := range s.tails {
				if _, ok := t.behind(unit, l.id, head); ok {
					t.passed(unit, place{l.id, head}, int(counts[t].lost))
				}
			}
			l.cut(head)
			l.dirty = true
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for _, t := range later {
			c := counts[t]
			// The line in whose middle head is is lost, too. One in whose middle
			// the tail is was counted when that was the head.
			c.lost = 1 + countLines(f, c.from, head)
			if c.from > 0 && c.from == l.head {
				c.lost--
			}
		}
	}
}

// countLines counts the lines that end in a part of a file.
func countLines(f *os.File, from, to int64) (n int64) {
	buf := make([]byte, 64<<10)
	for from < to {
		got, err := f.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		n += int64(bytes.Count(buf[:got], []byte{'\n'}))
		from += int64(got)
		if err != nil && err != io.EOF || got == 0 {
			break
		}
	}
	return n
}

// Run notices what is written, keeps the logs within their limit and removes
// those nobody needs any more. It blocks until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch the logs of units: %w: raise fs.inotify.max_user_instances", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer func() {
		if stop() {
			f.Close()
		}
	}()
	dir, err := s.watch(fd)
	if err != nil {
		return err
	}
	s.lookAll()
	defer s.save()
	save := time.NewTicker(saveEvery)
	defer save.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	changed := make(chan changes)
	failed := make(chan error, 1)
	go func() { failed <- readEvents(ctx, f, changed) }()
	for {
		select {
		case c := <-changed:
			for name := range c.units {
				s.look(name, true)
			}
			if c.lost {
				s.lookAll()
			}
		case <-save.C:
			// inotify doesn't tell of a directory's end while a unit has a file in it open.
			if now, err := os.Stat(s.opts.Dir); err != nil || !os.SameFile(now, dir) {
				made, err := s.watch(fd)
				if err != nil {
					s.opts.Log.Warn("the directory of logs was removed; trying again to make it", "error", err)
					continue
				}
				s.opts.Log.Warn("the directory of logs was removed, and was made again", "directory", s.opts.Dir)
				dir = made
				s.lookAll()
			}
			s.save()
		case <-sweep.C:
			s.sweep()
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch the logs of units: %w", err)
		}
	}
}

// lookAll looks at every file there is, or was.
func (s *Store) lookAll() {
	all := s.units()
	for unit := range s.logs {
		all = append(all, unit)
	}
	slices.Sort(all)
	for _, unit := range slices.Compact(all) {
		s.look(unit, false)
	}
}

// save writes the indexes that have changed.
func (s *Store) save() {
	for unit, l := range s.logs {
		if !l.dirty {
			continue
		}
		if err := l.save(s.indexPath(unit)); err != nil {
			s.opts.Log.Warn("the times of a unit's log can't be written down; make room", "unit", unit, "error", err)
			continue
		}
		l.dirty = false
	}
}

// sweep removes what nobody needs any more.
func (s *Store) sweep() {
	if s.opts.Held == nil {
		return
	}
	for _, unit := range s.units() {
		st, err := os.Stat(s.path(unit))
		if err != nil || s.now().Sub(st.ModTime()) < staleAfter || s.opts.Held(unit) {
			continue
		}
		for _, path := range []string{s.path(unit), s.indexPath(unit)} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.opts.Log.Warn("an old log can't be removed", "unit", unit, "error", err)
			}
		}
		s.mu.Lock()
		delete(s.logs, unit)
		s.mu.Unlock()
	}
}
