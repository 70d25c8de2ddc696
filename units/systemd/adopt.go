package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"fleettop/units"
	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

// HostUnit implements units.Host.
func (m *Manager) HostUnit(ctx context.Context, name string) (units.HostUnit, error) {
	u := units.HostUnit{Name: name}
	n, err := units.ParseName(name)
	if err != nil {
		return u, err
	}
	if n.IsTemplate() {
		return u, unadoptable("%s is a template, which doesn't run; name an instance of it", name)
	}
	if len(m.known([]string{name})) > 0 {
		return u, unadoptable("%s is the cluster's already", name)
	}
	s, err := m.session(ctx)
	if err != nil {
		return u, fmt.Errorf("look for %s: %w", name, err)
	}
	var list []sd.UnitStatus
	if err := s.call(ctx, "ListUnitsByNames", []string{name}).Store(&list); err != nil {
		return u, fmt.Errorf("ask systemd for %s: %w", name, err)
	}
	if len(list) == 0 || list[0].LoadState == "not-found" {
		return u, fmt.Errorf("%s: %w", name, units.ErrNotLoaded)
	}
	u.Active, u.Sub = list[0].ActiveState, list[0].SubState
	if list[0].LoadState == "masked" {
		return u, unadoptable("%s is masked on this host; run `systemctl unmask %s` first", name, name)
	}
	var dropIns []string
	if err := s.get(ctx, list[0].Path, "FragmentPath", &u.Path); err != nil {
		return u, err
	}
	if err := s.get(ctx, list[0].Path, "DropInPaths", &dropIns); err != nil {
		return u, err
	}
	if err := m.adoptable(name, u.Path, dropIns); err != nil {
		return u, err
	}
	content, err := safefile.Read(u.Path, units.MaxFileSize)
	if err != nil {
		return u, fmt.Errorf("read the file of %s: %w", name, err)
	}
	u.Content = string(content)
	if iface, props := specialIface(name); len(props) > 1 { // only a service has a main process
		var pid dbus.Variant
		if err := s.wait(s.property(ctx, list[0].Path, iface, "MainPID")).Store(&pid); err != nil {
			return u, fmt.Errorf("ask systemd for the process of %s: %w", name, err)
		}
		if v, ok := pid.Value().(uint32); ok {
			u.PID = int(v)
		}
	}
	return u, nil
}

// get reads one property that every unit has.
func (s *session) get(ctx context.Context, path dbus.ObjectPath, name string, into any) error {
	var value dbus.Variant
	if err := s.wait(s.property(ctx, path, unitIface, name)).Store(&value); err != nil {
		return fmt.Errorf("ask systemd for the %s of a unit: %w", name, err)
	}
	return value.Store(into)
}

// unadoptable makes an error that says why a unit can't be taken over, and what to do.
func unadoptable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{units.ErrNotAdoptable}, args...)...)
}

// adoptable returns why a unit's file can't be taken over; nil if it can.
func (m *Manager) adoptable(name, path string, dropIns []string) error {
	base, dir := filepath.Base(path), filepath.Dir(path)
	switch {
	case path == "":
		return unadoptable("%s has no file on this machine; write one and submit that", name)
	case strings.Contains(path, "/systemd/transient/"):
		return unadoptable("%s was made by a program (as `systemd-run` does) and has no file that lasts; write one under a new name "+
			"and submit that", name)
	case strings.Contains(dir, "/systemd/generator") || strings.Contains(dir, "/systemd/user-generators"):
		return unadoptable("%s was made by a generator of this host, from its /etc/fstab or another configuration; "+
			"write a unit file under a new name and submit that", name)
	case base != name && strings.Contains(base, "@."):
		return unadoptable("%s is an instance of the host's template %s; submit the template to the cluster, "+
			"remove it from the host, and start the instance", name, path)
	case base != name:
		return unadoptable("%s is another name of %s; adopt that", name, base)
	case !m.files.administrators(name):
		return unadoptable("%s is the host's own: its file %s is neither in %s nor in %s, so other machines may have it "+
			"too; copy it to a new name and submit that", name, path, m.files.host, m.files.links)
	}
	for _, d := range dropIns {
		// A directory such as service.d is for all units of a type: it is the host's.
		if of := filepath.Base(filepath.Dir(d)); strings.Contains(strings.TrimSuffix(of, ".d"), ".") {
			return unadoptable("%s has the drop-in file %s, which does not travel; put its lines into %s, remove it, "+
				"run `systemctl daemon-reload`, and adopt the unit again", name, d, path)
		}
	}
	return nil
}

// administrators reports whether an administrator, not a package, put the
// file of a unit, or a link to it, where it is.
func (d store) administrators(name string) bool {
	for _, dir := range []string{d.host, d.links} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// setAside makes room for a unit that is taken over: the host's file gets another
// name, a link to it goes, and what enabled it too. Path is empty if the host
// has none any more. m.changing is held.
func (m *Manager) setAside(ctx context.Context, s *session, name, path string) error {
	if path != "" {
		if dir := filepath.Dir(path); dir != m.files.host && dir != m.files.links {
			return hostError(name, path)
		}
		remove := func() error { return os.Rename(path, path+units.AdoptedSuffix) }
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			remove = func() error { return os.Remove(path) }
		}
		if err := remove(); err != nil {
			return fmt.Errorf("take %s over: %w; see that its directory can be written", name, err)
		}
	}
	for _, untilReboot := range []bool{false, true} {
		if err := s.call(ctx, "DisableUnitFiles", []string{name}, untilReboot).Err; err != nil {
			m.log.Warn("a unit that was taken over may still be enabled on this host; run `systemctl disable` on it",
				"unit", name, "error", err)
		}
	}
	return nil
}

// Release implements units.Host.
func (m *Manager) Release(ctx context.Context, name string) (string, error) {
	if len(m.known([]string{name})) == 0 {
		return "", fmt.Errorf("%s: %w", name, units.ErrNotLoaded)
	}
	path := filepath.Join(m.files.host, name)
	s, err := m.session(ctx)
	if err != nil {
		return path, fmt.Errorf("release %s: %w", name, err)
	}
	if err := m.giveBack(ctx, s, name, path); err != nil {
		return path, fmt.Errorf("release %s: %w", name, err)
	}
	if err := m.reloads.reload(ctx); err != nil {
		return path, fmt.Errorf("release %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table.remove(name)
	m.mark(name)
	return path, nil
}

// giveBack puts a unit's file among the host's and takes the manager's away.
func (m *Manager) giveBack(ctx context.Context, s *session, name, path string) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	content, err := safefile.Read(m.files.path(name), units.MaxFileSize)
	if err != nil {
		return err
	}
	parsed, err := units.ParseFile(string(content))
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("the host has a file %s already; move it away", path)
	}
	m.reloads.touch()
	for _, err := range m.disableAll(ctx, s, []string{name}) {
		return err
	}
	if err := os.MkdirAll(m.files.host, 0o755); err != nil {
		return err
	}
	if err := atomicfile.Write(path, content, 0o644); err != nil {
		return errors.Join(err, m.files.relink(name))
	}
	if hasInstall(parsed) {
		var carries bool
		var changes []sd.EnableUnitFileChange
		if err := s.call(ctx, "EnableUnitFiles", []string{name}, false, false).Store(&carries, &changes); err != nil {
			m.log.Warn("a unit that was given back is not enabled; run `systemctl enable` on it", "unit", name, "error", err)
		}
	}
	if err := m.files.remove(name); err != nil {
		return err
	}
	if err := os.Remove(path + units.AdoptedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("the file that was set aside when the unit was adopted is still there", "file", path+units.AdoptedSuffix,
			"error", err)
	}
	return nil
}
