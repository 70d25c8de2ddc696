package systemd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	sd "github.com/coreos/go-systemd/v22/dbus"

	"fleettop/units"
)

// disable takes back what the old [Install] sections of a batch did.
func (m *Manager) disable(ctx context.Context, s *session, batch []incoming) error {
	var names []string
	for _, in := range batch {
		if in.old.install {
			names = append(names, in.name.String())
		}
	}
	for name, err := range m.disableAll(ctx, s, names) {
		m.log.Warn("can't disable a unit before its file changes", "unit", name, "error", err)
	}
	if !s.bus.Connected() {
		return errLost
	}
	return ctx.Err()
}

// disableAll disables units with one call, or where systemd refuses the
// batch, one by one. It takes their links away, too.
func (m *Manager) disableAll(ctx context.Context, s *session, names []string) map[string]error {
	if len(names) == 0 || s.call(ctx, "DisableUnitFiles", names, true).Err == nil {
		return nil
	}
	errs := map[string]error{}
	for _, name := range names {
		if err := s.call(ctx, "DisableUnitFiles", []string{name}, true).Err; err != nil {
			errs[name] = err
		}
	}
	return errs
}

// enable does what the [Install] sections say, with one call, or where systemd
// refuses the batch, one by one.
func (m *Manager) enable(ctx context.Context, s *session, host hostUnits, names []string, errs map[string]error) error {
	if len(names) == 0 {
		return nil
	}
	changes, err := enableFiles(ctx, s, names)
	if err == nil {
		return m.aliases(ctx, s, host, changes, errs)
	}
	// What is in place already would not be told as a change, so begin from nothing.
	if err := m.undo(ctx, s, names); err != nil {
		return err
	}
	for _, name := range names {
		changes, err := enableFiles(ctx, s, []string{name})
		switch {
		case err != nil && (!s.bus.Connected() || ctx.Err() != nil):
			return err
		case err != nil:
			errs[name] = fmt.Errorf("enable %s: %w; correct its [Install] section", name, err)
			m.spoil(name)
			if err := m.undo(ctx, s, []string{name}); err != nil {
				return err
			}
		default:
			if err := m.aliases(ctx, s, host, changes, errs); err != nil {
				return err
			}
		}
	}
	return nil
}

// undo disables units whose enabling failed midway. Their own links go with
// it, and are put back.
func (m *Manager) undo(ctx context.Context, s *session, names []string) error {
	var errs []error
	for name, err := range m.disableAll(ctx, s, names) {
		errs = append(errs, fmt.Errorf("disable %s: %w", name, err))
	}
	for _, name := range names {
		errs = append(errs, m.files.relink(name))
	}
	return errors.Join(errs...)
}

func enableFiles(ctx context.Context, s *session, names []string) ([]sd.EnableUnitFileChange, error) {
	var carries bool
	var changes []sd.EnableUnitFileChange
	err := s.call(ctx, "EnableUnitFiles", names, true, false).Store(&carries, &changes)
	return changes, err
}

// aliases looks at the links an Alias= made, before systemd does. One that
// would shadow a unit of the host is undone. The others are pointed at the
// unit's own link instead of its file: a link that leads out of systemd's
// directories makes it take the alias for another unit.
func (m *Manager) aliases(ctx context.Context, s *session, host hostUnits, changes []sd.EnableUnitFileChange,
	errs map[string]error) error {
	for _, c := range changes {
		base, name := filepath.Base(c.Filename), filepath.Base(c.Destination)
		alias, err := units.ParseName(base)
		if c.Type != "symlink" || filepath.Dir(c.Filename) != m.files.links || err != nil || !m.files.owns(c.Destination) ||
			base == name || errs[name] != nil {
			continue
		}
		if path := host.owner(alias); path != "" {
			if err := m.undo(ctx, s, []string{name}); err != nil {
				return fmt.Errorf("undoing the alias %s of %s: %w", base, name, err)
			}
			errs[name] = fmt.Errorf("the Alias= of %s: %w", name, hostError(base, path))
			m.spoil(name)
			continue
		}
		if err := m.files.alias(base, name); err != nil {
			errs[name] = fmt.Errorf("the alias %s of %s: %w", base, name, err)
			m.spoil(name)
		}
	}
	return nil
}
