package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

// hostUnits are the unit files, links and aliases of the host: the path of
// each by its name.
type hostUnits map[string]string

// hostUnits reads the directories systemd finds units in. Links into the
// manager's own directory are not the host's.
func (d store) hostUnits(dirs []string) (hostUnits, error) {
	host := hostUnits{}
	for _, dir := range dirs { // in systemd's order of precedence
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("looking for the host's units: %w", err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if host[e.Name()] != "" || e.IsDir() {
				continue
			}
			if dir == d.links && d.leadsHere(path) {
				continue
			}
			host[e.Name()] = path
		}
	}
	return host, nil
}

// leadsHere reports whether a link leads to one of the manager's files, be it
// the link of a unit or of an alias.
func (d store) leadsHere(link string) bool {
	for range 2 {
		target, err := os.Readlink(link)
		if err != nil {
			return false
		}
		if d.owns(target) {
			return true
		}
		if filepath.Dir(target) != d.links {
			return false
		}
		link = target
	}
	return false
}

// owner returns the path of the host's file that a name stands for, or "".
func (h hostUnits) owner(name units.Name) string {
	if path := h[name.String()]; path != "" {
		return path
	}
	return h[name.Template()]
}

func hostError(name, path string) error {
	if path == "" {
		return fmt.Errorf("%s is a unit systemd made on this host: %w; choose another name", name, units.ErrHostUnit)
	}
	return fmt.Errorf("%s is the host's own, from %s: %w; choose another name, or remove the host's unit", name, path,
		units.ErrHostUnit)
}

// unitsWithoutFile finds names that systemd has a unit of, though no file of
// that name is where it looks: mounts, scopes, services whose package was
// removed while they run. Units of this manager's own files are not among them.
func (m *Manager) unitsWithoutFile(ctx context.Context, s *session, names []string) (map[string]string, error) {
	loaded, err := s.loaded(ctx, names)
	if err != nil || len(loaded) == 0 {
		return nil, err
	}
	call := s.call(ctx, "ListUnitsByNames", slices.Sorted(maps.Keys(loaded)))
	var list []sd.UnitStatus
	if err := call.Store(&list); err != nil {
		return nil, fmt.Errorf("asking systemd for units of the host: %w", err)
	}
	found := map[string]string{}
	for _, l := range list {
		if l.LoadState == "not-found" && l.ActiveState == "inactive" {
			continue
		}
		var value dbus.Variant
		var path string
		if err := s.wait(s.property(ctx, l.Path, unitIface, "FragmentPath")).Store(&value); err != nil {
			return nil, fmt.Errorf("asking systemd where %s is from: %w", l.Name, err)
		}
		if err := value.Store(&path); err != nil {
			return nil, err
		}
		if !m.files.isOf(l.Name, path) {
			found[l.Name] = path
		}
	}
	return found, nil
}
