package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"fleettop/units"
	"fleettop/units/atomicfile"
	"fleettop/units/filelock"
	"fleettop/units/safefile"
)

// record is what must outlive the daemon of one unit.
type record struct {
	Boot       string    `json:"boot"` // the boot in which the rest is true
	Hash       string    `json:"hash"`
	Sub        string    `json:"sub"`
	Since      time.Time `json:"since"` // of the active state that Sub implies
	Result     string    `json:"result,omitempty"`
	Detail     string    `json:"detail,omitempty"` // what first went wrong, a sentence
	Restarts   int       `json:"restarts,omitempty"`
	Invocation string    `json:"invocation,omitempty"`
	Main       *procID   `json:"main,omitempty"`
	Control    *procID   `json:"control,omitempty"`
	Sessions   []procID  `json:"sessions,omitempty"` // leaders of the sessions commands were started in
	Index      int       `json:"index,omitempty"`    // of the command that runs, in its list
	Forked     bool      `json:"forked,omitempty"`   // a forking unit's ExecStart has returned
	// MainExit is how the main process last ended; nil while it runs or if there was none.
	MainExit *exit       `json:"mainExit,omitempty"`
	LastMain int         `json:"lastMain,omitempty"` // the number of this run's latest main process
	Deadline time.Time   `json:"deadline,omitzero"`  // when the timer of this state runs out
	Starts   []time.Time `json:"starts,omitempty"`   // as far as the start limit looks back
	Stopping bool        `json:"stopping,omitempty"` // somebody asked for the stop that is under way
	Again    bool        `json:"again,omitempty"`    // and to start it after that
}

// disk is the state directory.
//
//	lock            held by the manager that has it open
//	units/NAME      the unit file, as loaded
//	state/NAME      its record
//	notify/         sockets of sd_notify
//	tmp/            files before they are renamed into place
type disk struct {
	dir  string
	lock *os.File
}

func openDisk(dir string) (*disk, error) {
	d := &disk{dir: dir}
	if err := d.makeDirs(); err != nil {
		return nil, fmt.Errorf("make the state directory: %w: choose another one, or run as a user who may write there", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w: run as the user who owns it", err)
	}
	if err := filelock.Lock(lock); err != nil {
		_ = lock.Close()
		if !errors.Is(err, filelock.ErrHeld) {
			return nil, err
		}
		return nil, fmt.Errorf("%s is in use by another daemon: stop it, or choose another state directory", dir)
	}
	stale, _ := filepath.Glob(filepath.Join(dir, "tmp", "*"))
	for _, p := range stale {
		_ = os.Remove(p)
	}
	d.lock = lock
	return d, nil
}

func (d *disk) close() error { return d.lock.Close() }

func (d *disk) unitPath(name string) string   { return filepath.Join(d.dir, "units", name) }
func (d *disk) recordPath(name string) string { return filepath.Join(d.dir, "state", name) }

// names lists the units that have a file or a record, sorted.
func (d *disk) names() ([]string, error) {
	var names []string
	for _, sub := range []string{"units", "state"} {
		entries, err := os.ReadDir(filepath.Join(d.dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if _, err := units.ParseName(e.Name()); err == nil {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// makeDirs makes the directories that aren't there.
func (d *disk) makeDirs() error {
	for _, sub := range []string{"", "units", "state", "notify", "tmp"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a file as a whole or not at all. Should the directory have
// been removed, it is made again.
func (d *disk) write(path string, content []byte) error {
	err := d.replace(path, content)
	if errors.Is(err, fs.ErrNotExist) && d.makeDirs() == nil {
		err = d.replace(path, content)
	}
	return err
}

func (d *disk) replace(path string, content []byte) error {
	return atomicfile.Replace(path, content, 0o600, filepath.Join(d.dir, "tmp"))
}

func (d *disk) save(name string, r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return d.write(d.recordPath(name), b)
}

// load reads a unit's record. Every unit held has one.
func (d *disk) load(name string) (record, error) {
	var r record
	b, err := safefile.Read(d.recordPath(name), maxRecord)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err == nil && (r.Boot == "" || r.Sub == "") {
		err = errors.New("it is not complete")
	}
	return r, err
}

// maxRecord is how much of a record is read, in bytes.
const maxRecord = 1 << 20

// removeFile removes a unit's file, and leaves its record.
func (d *disk) removeFile(name string) error {
	if err := os.Remove(d.unitPath(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// remove forgets a unit. Where only one of the two can be removed, it is held
// still and can be forgotten once more.
func (d *disk) remove(name string) error {
	for _, p := range []string{d.recordPath(name), d.unitPath(name)} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
