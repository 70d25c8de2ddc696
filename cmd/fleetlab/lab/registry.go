package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// register is a directory with a symlink for each lab of this host, from its
// name to its Dir. It is in /run, as no lab survives the host's reboot.
type register string

const registryHome = "/run/fleetlab"

// lock keeps other processes from bringing labs up or taking them down.
func (r register) lock() (unlock func(), err error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	if err := os.MkdirAll(string(r), 0o755); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(string(r), ".lock"))
}

// find returns a lab's directory; the error wraps ErrNotUp if there is no such lab.
func (r register) find(name string) (string, error) {
	dir, err := os.Readlink(filepath.Join(string(r), name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotUp
	}
	return dir, err
}

func (r register) add(name, dir string) error {
	if err := r.remove(name); err != nil {
		return err
	}
	return os.Symlink(dir, filepath.Join(string(r), name))
}

func (r register) remove(name string) error {
	err := os.Remove(filepath.Join(string(r), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// names returns the labs' names, sorted.
func (r register) names() ([]string, error) {
	entries, err := os.ReadDir(string(r))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type() == fs.ModeSymlink {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// subnets returns the networks of the labs that are registered.
func (r register) subnets() []netip.Prefix {
	names, err := r.names()
	if err != nil {
		return nil
	}
	var taken []netip.Prefix
	for _, name := range names {
		dir, err := r.find(name)
		if err != nil {
			continue
		}
		if state, err := readLabState(dir); err == nil {
			taken = append(taken, state.Subnet)
		}
	}
	return taken
}
