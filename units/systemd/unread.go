package systemd

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// systemd reads the file of a unit that it doesn't have loaded when it is first
// asked for it, so a new unit needs no reload, which takes 300 ms on an idle
// machine and seconds on a busy one, and stalls each client of systemd's. One
// that is loaded (it runs, failed, or a loaded unit refers to it) keeps its old
// content without one, and starts with it as if that were right.

// loaded returns the units that systemd has loaded, by each of their names. It
// asks by GetUnit: most other questions make systemd load what they ask for.
func (s *session) loaded(ctx context.Context, names []string) (map[string]dbus.ObjectPath, error) {
	calls := make([]*dbus.Call, len(names))
	for i, name := range names {
		calls[i] = s.systemd.GoWithContext(ctx, managerIface+".GetUnit", 0, make(chan *dbus.Call, 1), name)
	}
	found := map[string]dbus.ObjectPath{}
	for i, call := range calls {
		var path dbus.ObjectPath
		switch err := s.wait(call).Store(&path); {
		case err == nil:
			found[names[i]] = path
		case !isNoSuchUnit(err):
			return nil, fmt.Errorf("ask systemd whether %s is loaded: %w", names[i], err)
		}
	}
	return found, nil
}

func isNoSuchUnit(err error) bool {
	var refusal dbus.Error
	return errors.As(err, &refusal) && refusal.Name == busName+".NoSuchUnit"
}

// spareReload takes back that a reload is needed, where systemd has none of the
// units loaded whose files were just changed, and reports whether that is so.
// The files are in place, so what loads such a unit from here on reads the new
// one. m.changing is held.
func (m *Manager) spareReload(ctx context.Context, s *session, names []string) bool {
	if err := m.files.stamp(); err != nil {
		m.log.Warn("the time of the directory of links can't be set, so systemd must read all its unit files anew",
			"directory", m.files.links, "error", err)
		return false
	}
	loaded, err := s.loaded(ctx, names)
	return err == nil && len(loaded) == 0 && m.reloads.untouch()
}

// readFrom returns the path of the file that systemd has of a unit, and whether
// it or one of its drop-in files changed since.
func (s *session) readFrom(ctx context.Context, name string, path dbus.ObjectPath) (
	file string, stale bool, err error) {
	fragment := s.property(ctx, path, unitIface, "FragmentPath")
	need := s.property(ctx, path, unitIface, "NeedDaemonReload")
	var value dbus.Variant
	if err = s.wait(fragment).Store(&value); err == nil {
		err = value.Store(&file)
	}
	if err == nil {
		err = s.wait(need).Store(&value)
	}
	if err == nil {
		err = value.Store(&stale)
	}
	if err != nil {
		return "", false, fmt.Errorf("ask systemd which file %s is from: %w", name, err)
	}
	return file, stale, nil
}

// setUnread notes that systemd was not told of the new files of units, and is to
// be asked what it made of them when they have been started.
func (m *Manager) setUnread(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if u := m.table.byName[name]; u != nil {
			u.unread = true
		}
	}
}

// notFound returns those units that systemd finds no file of.
func (m *Manager) notFound(names []string) (missing []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if u := m.table.byName[name]; u != nil && u.unread && u.load == "not-found" {
			missing = append(missing, name)
		}
	}
	return missing
}

// verify checks that a unit that was started runs what was written, if systemd
// was not told of its file. Where it doesn't, systemd reads its files anew, and
// again says that the unit is to be restarted.
func (m *Manager) verify(ctx context.Context, s *session, name string, path dbus.ObjectPath) (again bool, err error) {
	if !m.takeUnread(name) {
		return false, nil
	}
	file, stale, err := s.readFrom(ctx, name, path)
	if errors.Is(err, errLost) && ctx.Err() == nil {
		return false, nil // systemd executed itself anew, and with that read its files
	}
	if err != nil || m.files.isOf(name, file) && !stale {
		return false, err
	}
	m.log.Warn("systemd started a unit from another file than the one written; it reads its files anew", "unit", name,
		"file", file)
	if err := m.reloads.reload(ctx); err != nil {
		return false, err
	}
	if file, _, err = s.readFrom(ctx, name, path); err == nil && !m.files.isOf(name, file) {
		err = hostError(name, file)
	}
	return err == nil, err
}

// takeUnread reports whether a unit is marked as unread, and takes the mark away.
func (m *Manager) takeUnread(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.table.byName[name]
	if u == nil || !u.unread {
		return false
	}
	u.unread = false
	return true
}
