package systemd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fleettop/units"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const pendingFile = ".reload-needed" // no unit type, so never a unit's name

// heldFile is a unit file on disk.
type heldFile struct {
	name    string
	hash    string
	install bool // it has an [Install] section
	// exclusive: it says Exclusive=true, and is bound to the fence.
	exclusive bool
	written   time.Time
	units.Relations
}

// store is the directory of unit files, and the links by which systemd finds them.
type store struct {
	dir   string
	links string
	host  string // where the administrator of the machine keeps unit files
}

// path and link are where a unit's file and link are. The name was parsed
// before, so it has no slash and isn't a dot.
func (d store) path(name string) string { return filepath.Join(d.dir, name) }
func (d store) link(name string) string { return filepath.Join(d.links, name) }

// open makes the directories and returns what is held, without what an
// interrupted write left behind. Pending tells that systemd hasn't read all of it.
func (d store) open() (held []heldFile, pending bool, err error) {
	for _, dir := range []string{d.dir, d.links} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, false, fmt.Errorf("the directory of unit files: %w; run as the user who owns it, or choose another one",
				err)
		}
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, false, fmt.Errorf("reading the directory of unit files: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		switch n, err := units.ParseName(name); {
		case name == pendingFile:
			pending = true
		case atomicfile.IsTemp(name):
			if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
				return nil, false, fmt.Errorf("removing what an interrupted write left: %w", err)
			}
		case err == nil && !n.IsTemplate() && e.Type().IsRegular():
			f, err := d.read(name)
			if err != nil {
				return nil, false, err
			}
			held = append(held, f)
		}
	}
	lost, err := d.dangling()
	if err != nil {
		return nil, false, err
	}
	return append(held, lost...), pending, nil
}

// dangling returns the units whose file was taken away and whose link was not.
// They are held, without a hash, so that the next Load writes the file again.
func (d store) dangling() (lost []heldFile, err error) {
	entries, err := os.ReadDir(d.links)
	if err != nil {
		return nil, fmt.Errorf("reading the directory of links to unit files: %w", err)
	}
	for _, e := range entries {
		n, err := units.ParseName(e.Name())
		if err != nil || n.IsTemplate() || !d.linked(e.Name()) {
			continue
		}
		if _, err := os.Lstat(d.path(e.Name())); errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, heldFile{name: e.Name()})
		}
	}
	return lost, nil
}

func (d store) read(name string) (heldFile, error) {
	content, err := safefile.Read(d.path(name), units.MaxFileSize)
	if err != nil && !errors.Is(err, safefile.ErrTooLarge) {
		return heldFile{}, err
	}
	info, err := os.Stat(d.path(name))
	if err != nil {
		return heldFile{}, err
	}
	f := heldFile{name: name, written: info.ModTime().UTC()}
	// A file somebody spoilt is held without a hash, so the next Load replaces it.
	if parsed, err := units.ParseFile(string(content)); err == nil {
		f.hash, f.install, f.exclusive = parsed.Hash(), hasInstall(parsed), parsed.Exclusive()
		if n, err := units.ParseName(name); err == nil {
			f.Relations = parsed.Relations(n)
		}
	}
	return f, nil
}

func hasInstall(f *units.File) bool {
	for _, o := range f.Options() {
		if o.Section == "Install" {
			return true
		}
	}
	return false
}

// write puts a unit's file and link in place, each at once. Where it fails, a
// file that was there before still is, and a new one is not.
func (d store) write(name, content string) error {
	_, err := os.Lstat(d.path(name))
	isNew := errors.Is(err, fs.ErrNotExist)
	parsed, err := units.ParseFile(content)
	if err := d.bind(name, err == nil && parsed.Exclusive()); err != nil {
		return fmt.Errorf("bind %s to the fence: %w; make room in %s, or see that it can be written", name, err, d.links)
	}
	if err := d.replace(name, content); err != nil {
		return fmt.Errorf("write the file of %s: %w; make room in %s, or see that it can be written", name, err, d.dir)
	}
	if err := d.relink(name); err != nil {
		err = fmt.Errorf("link %s for systemd: %w; make room in %s, or see that it can be written", name, err, d.links)
		if isNew {
			err = errors.Join(err, os.Remove(d.path(name)))
		}
		return err
	}
	return nil
}

func (d store) replace(name, content string) error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil { // where it was taken away
		return err
	}
	return atomicfile.Replace(d.path(name), []byte(content), 0o644, d.dir)
}

// relink points a unit's link at its file.
func (d store) relink(name string) error {
	if d.linked(name) {
		return nil
	}
	if err := os.Remove(d.link(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(d.path(name), d.link(name))
}

// alias points a second name of a unit at its link.
func (d store) alias(alias, name string) error {
	if err := os.Remove(d.link(alias)); err != nil {
		return err
	}
	return os.Symlink(d.link(name), d.link(alias))
}

// linked reports whether a unit's link is in place.
func (d store) linked(name string) bool {
	target, err := os.Readlink(d.link(name))
	return err == nil && target == d.path(name)
}

// intact reports whether a unit's file and link are in place.
func (d store) intact(name string) bool {
	_, err := os.Lstat(d.path(name))
	return err == nil && d.linked(name)
}

// unchanged reports whether a unit's file, its link and what binds it to the
// fence are as they were written.
func (d store) unchanged(f heldFile) bool {
	info, err := os.Lstat(d.path(f.name))
	if err != nil || !info.Mode().IsRegular() || !d.linked(f.name) {
		return false
	}
	if f.exclusive {
		if bound, err := safefile.Read(d.dropIn(f.name), units.MaxFileSize); err != nil || string(bound) != boundToFence {
			return false
		}
	}
	if info.ModTime().Equal(f.written) {
		return true
	}
	now, err := d.read(f.name)
	return err == nil && now.hash == f.hash
}

// dropIn is where an exclusive unit is bound to the fence.
func (d store) dropIn(name string) string {
	return filepath.Join(d.links, name+".d", fenceDropIn)
}

const fenceDropIn = "50-fleettop-fence.conf"

// bind binds a unit to the fence, or unbinds it.
func (d store) bind(name string, exclusive bool) error {
	path := d.dropIn(name)
	if !exclusive {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		} else if err == nil {
			_ = os.Remove(filepath.Dir(path)) // unless the host has others in it
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Replace(path, []byte(boundToFence), 0o644, d.links)
}

// remove takes a unit's link and file away. The file goes last: as long as it
// is there the unit is held, and can be unloaded once more.
func (d store) remove(name string) error {
	if err := d.bind(name, false); err != nil {
		return err
	}
	if target, err := os.Readlink(d.link(name)); err == nil && d.owns(target) {
		if err := os.Remove(d.link(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// stamp gives the directory of links a time that it never had: systemd looks
// for new files only where the time of a directory changed, and the file
// system's clock ticks slower than links are made.
func (d store) stamp() error {
	info, err := os.Stat(d.links)
	if err != nil {
		return err
	}
	at := time.Now()
	if next := info.ModTime().Add(time.Microsecond); at.Before(next) {
		at = next
	}
	return os.Chtimes(d.links, time.Time{}, at)
}

// isOf reports whether systemd's path of a unit's file is that of the manager's file.
func (d store) isOf(name, path string) bool { return d.owns(path) || path == d.link(name) }

// owns reports whether a path is of the directory of unit files.
func (d store) owns(path string) bool { return filepath.Dir(path) == d.dir }

// setPending leaves a mark for a manager to come, in case this one doesn't
// live to have its files read.
func (d store) setPending() error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.dir, pendingFile), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

func (d store) clearPending() error {
	err := os.Remove(filepath.Join(d.dir, pendingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
