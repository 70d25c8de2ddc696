package systemd

import (
	"context"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

// incoming is a file of a batch that passed the checks.
type incoming struct {
	name    units.Name
	content string
	held    heldFile
	old     heldFile // what was held under this name, if anything
	// takeOver says that a unit of the host's of this name is to be replaced.
	takeOver bool
}

// check refuses what can't be a unit of this manager.
func check(files []units.UnitFile, errs map[string]error) []incoming {
	var batch []incoming
	seen := map[string]bool{}
	for _, f := range files {
		name, err := units.ParseName(f.Name)
		if err != nil {
			errs[f.Name] = err
			continue
		}
		if name.IsTemplate() {
			errs[f.Name] = fmt.Errorf("%s is a template, which can't run; load an instance of it such as %s1.%s", f.Name,
				name.Base(), name.Type())
			continue
		}
		if seen[f.Name] {
			errs[f.Name] = fmt.Errorf("%s is twice in one batch; load it once", f.Name)
			continue
		}
		seen[f.Name] = true
		parsed, err := units.ParseFile(f.Content)
		if err != nil {
			errs[f.Name] = fmt.Errorf("the file of %s: %w", f.Name, err)
			continue
		}
		batch = append(batch, incoming{name: name, content: f.Content, takeOver: f.TakeOver,
			held: heldFile{name: f.Name, hash: parsed.Hash(), install: hasInstall(parsed),
				exclusive: parsed.Exclusive()}})
	}
	return batch
}

// place writes, links and enables those files of a batch that are not in
// place yet, and returns the names that are in place afterwards.
func (m *Manager) place(ctx context.Context, s *session, batch []incoming, errs map[string]error) ([]string, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	var names []string
	var fresh []incoming
	for _, in := range batch {
		known := true // to systemd
		m.mu.Lock()
		if u := m.table.byName[in.name.String()]; u != nil {
			in.old, known = u.file, u.load != "not-found"
		}
		m.mu.Unlock()
		if in.old.hash == in.held.hash && known && m.files.unchanged(in.old) {
			names = append(names, in.name.String())
			continue
		}
		fresh = append(fresh, in)
	}
	if len(fresh) == 0 {
		return names, nil
	}
	host, err := m.files.hostUnits(s.unitDirs)
	if err != nil {
		return nil, err
	}
	fresh, err = m.refuseHosts(ctx, s, host, fresh, errs)
	if err != nil || len(fresh) == 0 {
		return names, err
	}
	m.reloads.touch()
	if err := m.disable(ctx, s, fresh); err != nil {
		return nil, err
	}
	var enable, written []string
	alone := true // their links are all that changes
	for _, in := range fresh {
		name := in.name.String()
		alone = alone && !in.takeOver && !in.old.install && !in.held.install
		if in.takeOver {
			if err := m.setAside(ctx, s, name, host[name]); err != nil {
				errs[name] = err
				continue
			}
			delete(host, name)
		}
		if err := m.files.write(name, in.content); err != nil {
			errs[name] = err
			if in.old.install && m.files.intact(name) { // the old file stays, and stays enabled
				enable = append(enable, name)
			}
			continue
		}
		held, err := m.files.read(name)
		if err != nil {
			errs[name] = err
			continue
		}
		m.mu.Lock()
		m.table.add(held)
		m.mu.Unlock()
		names, written = append(names, name), append(written, name)
		if held.install {
			enable = append(enable, name)
		}
	}
	if err := m.enable(ctx, s, host, enable, errs); err != nil || !alone {
		return names, err
	}
	if m.spareReload(ctx, s, written) {
		m.setUnread(written)
	}
	return names, nil
}

// refuseHosts takes the names out of a batch that are the host's.
func (m *Manager) refuseHosts(ctx context.Context, s *session, host hostUnits, batch []incoming,
	errs map[string]error) ([]incoming, error) {
	var names []string
	for _, in := range batch {
		if in.old.name == "" && !in.takeOver { // what is held is ours, whatever became of its file
			names = append(names, in.name.String())
		}
	}
	loaded, err := m.unitsWithoutFile(ctx, s, names)
	if err != nil {
		return nil, err
	}
	var ours []incoming
	for _, in := range batch {
		name := in.name.String()
		if in.takeOver {
			ours = append(ours, in)
		} else if path := host.owner(in.name); path != "" {
			errs[name] = hostError(name, path)
		} else if path, ok := loaded[name]; ok {
			errs[name] = hostError(name, path)
		} else {
			ours = append(ours, in)
		}
	}
	return ours, nil
}

// spoil makes the next Load of a unit try again, though the file is in place.
func (m *Manager) spoil(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.table.byName[name]; u != nil {
		u.file.hash = ""
	}
}

// settle reads the state of units after their files were put in place, has
// systemd read its files anew where it finds none of one, and reports those
// that did not load.
func (m *Manager) settle(ctx context.Context, names []string, errs map[string]error) error {
	s, err := m.session(ctx)
	if err != nil {
		return err
	}
	if err := m.readStates(ctx, s, names); err != nil {
		return err
	}
	if missing := m.notFound(names); len(missing) > 0 {
		if err := m.reloads.reload(ctx); err != nil {
			return err
		}
		if err := m.readStates(ctx, s, missing); err != nil {
			return err
		}
	}
	m.mu.Lock()
	bad := map[string]string{}
	for _, name := range names {
		if u := m.table.byName[name]; u != nil && u.load != "loaded" && errs[name] == nil {
			bad[name] = u.load
		}
	}
	m.mu.Unlock()
	for name, load := range bad {
		errs[name] = fmt.Errorf("systemd did not load %s (%s): %s; `systemd-analyze verify %s` names the line",
			name, load, m.loadError(ctx, s, name, load), m.files.path(name))
	}
	return nil
}

// readStates reads the state of those units that have a new file.
func (m *Manager) readStates(ctx context.Context, s *session, names []string) error {
	var unread []string
	m.mu.Lock()
	for _, name := range names {
		u := m.table.byName[name]
		if u != nil && (!u.visible || u.hash != u.file.hash) {
			u.listed = false
			unread = append(unread, name)
		}
	}
	m.mu.Unlock()
	if len(unread) > 0 {
		if err := m.refresh(ctx, s, unread); err != nil {
			return fmt.Errorf("reading the state of units: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range unread {
		if u := m.table.byName[name]; u != nil {
			u.visible = true
			if !u.listed { // systemd passes over names of types it doesn't know
				u.setLoad("not-found")
			}
			if u.file.hash != "" && u.load != "not-found" {
				u.hash = u.file.hash
			}
			m.mark(name)
		}
	}
	return nil
}

// loadError is what systemd has to say about a unit that did not load.
func (m *Manager) loadError(ctx context.Context, s *session, name, load string) string {
	var value dbus.Variant
	var why struct{ Name, Message string }
	if s.wait(s.property(ctx, unitPath(name), unitIface, "LoadError")).Store(&value) == nil && value.Store(&why) == nil &&
		why.Message != "" {
		return strings.TrimSuffix(why.Message, ".")
	}
	switch load {
	case "bad-setting":
		return "a setting is missing or wrong"
	case "masked":
		return "it is masked on this host"
	case "not-found":
		return "this systemd has no units of that name or type"
	}
	return "its file can't be read"
}
