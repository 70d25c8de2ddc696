package journald

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fleettop/journal"
)

// Options says which journal to read. The zero value is this system's.
type Options struct {
	// Dirs hold the files: what is in memory before what is on disk. By
	// default those of this machine below /run/log/journal and /var/log/journal.
	Dirs []string
	// Machine is the ID that entries carry.
	Machine string
	// User reads what the units of the user's own systemd logged.
	User bool
	// UID is that user; 0 for who runs this process.
	UID int
}

func (o *Options) uid() string {
	if o.UID != 0 {
		return strconv.Itoa(o.UID)
	}
	return strconv.Itoa(os.Getuid())
}

// Source reads systemd's journal. It implements journal.Source.
type Source struct{ opts Options }

var _ journal.Source = (*Source)(nil)

// Open returns the source of a machine's journal. Nothing is read yet, and
// the directories may appear later.
func Open(o Options) (*Source, error) {
	if len(o.Dirs) == 0 {
		raw, err := os.ReadFile("/etc/machine-id")
		if err != nil {
			return nil, fmt.Errorf("find the journal of this machine: %w: run systemd-machine-id-setup", err)
		}
		id := strings.TrimSpace(string(raw))
		o.Dirs = []string{filepath.Join("/run/log/journal", id), filepath.Join("/var/log/journal", id)}
	}
	return &Source{o}, nil
}

// paths lists the journal's files, those in memory first. Only a directory
// that is there and can't be read is an error.
func (s *Source) paths() ([]string, error) {
	var out []string
	for _, dir := range s.opts.Dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, s.refused(err)
		}
		for _, e := range entries {
			if name := e.Name(); strings.HasSuffix(name, ".journal") || strings.HasSuffix(name, ".journal~") {
				out = append(out, filepath.Join(dir, name))
			}
		}
	}
	return out, nil
}

// refused says that the journal can't be read, and what to do where it is
// not for this user.
func (s *Source) refused(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("read the journal: %w", err)
	}
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return fmt.Errorf("read the journal: %w: the daemon runs as %s, who must be in the group systemd-journal "+
		"(usermod -aG systemd-journal %[2]s) and log in again", err, name)
}

// changed are the times at which files came, went or were renamed last.
func (s *Source) changed() []time.Time {
	out := make([]time.Time, len(s.opts.Dirs))
	for i, dir := range s.opts.Dirs {
		if st, err := os.Stat(dir); err == nil {
			out[i] = st.ModTime()
		}
	}
	return out
}

// openTries bounds how often a directory that keeps changing is looked through again.
const openTries = 5

// open opens all files there are, one that is renamed meanwhile included, and
// reports whether another is just being made.
func (s *Source) open() (files []*file, making bool, err error) {
	for try := 1; ; try++ {
		before := s.changed()
		files, making, err = s.openListed()
		if err != nil || try == openTries || slices.EqualFunc(before, s.changed(), time.Time.Equal) {
			return files, making, err
		}
		closeAll(files)
	}
}

// openListed opens the files that a look finds. Those that can't be are left
// out, as others' are, unless none can, or it is one in memory, where there is
// one for all users.
func (s *Source) openListed() (files []*file, making bool, err error) {
	paths, err := s.paths()
	if err != nil {
		return nil, false, err
	}
	var failed error
	var unknown *FormatError
	seen := map[[16]byte]bool{}
	for _, p := range paths {
		f, err := openFile(p)
		switch {
		case err == nil && seen[f.fileID]: // renamed meanwhile
			f.close()
		case err == nil:
			seen[f.fileID] = true
			files = append(files, f)
		case errors.As(err, &unknown):
			closeAll(files)
			return nil, false, s.refused(err) // better than to leave lines out without a word
		case errors.Is(err, fs.ErrPermission) && s.inMemory(p):
			closeAll(files)
			return nil, false, s.refused(err)
		case errors.Is(err, errNotJournal):
			st, err := os.Stat(p)
			making = making || err == nil && time.Since(st.ModTime()) < scanEvery
		case !errors.Is(err, fs.ErrNotExist):
			failed = err
		}
	}
	if len(files) == 0 && failed != nil {
		return nil, false, s.refused(failed)
	}
	return files, making, nil
}

// inMemory reports whether a file is one that journald keeps until it may write
// to the disk, or for good.
func (s *Source) inMemory(path string) bool {
	return len(s.opts.Dirs) > 1 && filepath.Dir(path) == filepath.Clean(s.opts.Dirs[0])
}

func closeAll(files []*file) {
	for _, f := range files {
		f.close()
	}
}

// position is how far each file counts: the offset of the last entry. Files
// that aren't in it came later.
type position map[[16]byte]uint64

// Read implements journal.Source.
func (s *Source) Read(ctx context.Context, units []string, q journal.Query, upTo journal.Position,
	f func(journal.Entry) error) (journal.Cursor, error) {
	var after *cursor
	if q.After != "" {
		c, err := parseCursor(q.After)
		if err != nil {
			return "", err
		}
		after = &c
	}
	files, _, err := s.open()
	if err != nil {
		return "", err
	}
	defer closeAll(files)
	at, _ := upTo.(position)
	if upTo == nil {
		at = positionOf(files)
	}
	r := reading{src: s, wanted: journal.Wanted{Units: map[string]bool{}, Fields: q.Fields}, q: &q, after: after}
	for _, u := range units {
		r.wanted.Units[u] = true
	}
	for _, file := range files {
		if last, ok := at[file.fileID]; ok && last != 0 {
			r.add(file, last)
		}
	}
	defer r.close()
	end := r.cursor()
	if q.Lines > 0 {
		return end, r.newest(ctx, f)
	}
	return end, r.forward(ctx, f)
}

// lastOffset is the offset of a file's last entry, or 0.
func (f *file) lastOffset() uint64 {
	if f.entries == 0 {
		return 0
	}
	list, err := f.all(nil, f.entries-1, 1)
	if err != nil || len(list) == 0 {
		return 0
	}
	return list[0]
}

func positionOf(files []*file) position {
	p := position{}
	for _, f := range files {
		p[f.fileID] = f.lastOffset()
	}
	return p
}
