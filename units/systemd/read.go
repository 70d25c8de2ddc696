package systemd

import (
	"context"
	"fmt"
	"slices"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// resync reads the state of every unit held: one call for the units systemd
// has in memory, one for those it hasn't, and details of those that run. Where
// the table is merely to be confirmed, units that systemd hasn't in memory and
// that were not running are left as they are: asking would load each of them.
func (m *Manager) resync(ctx context.Context, s *session, confirm bool) error {
	call := s.call(ctx, "ListUnits")
	var list []sd.UnitStatus
	if err := call.Store(&list); err != nil {
		return err
	}
	inMemory := make(map[string]bool, len(list))
	for _, l := range list {
		inMemory[l.Name] = true
	}
	m.mu.Lock()
	details := m.apply(list, call.ResponseSequence, true)
	var rest []string
	for name, u := range m.table.byName {
		if !inMemory[name] && !(confirm && u.active == "inactive") {
			rest = append(rest, name)
		}
	}
	m.mu.Unlock()
	slices.Sort(rest)
	if len(rest) > 0 {
		more, err := m.listed(ctx, s, rest)
		if err != nil {
			return err
		}
		details = append(details, more...)
	}
	return m.detail(ctx, s, details, false)
}

// missFiles looks for units whose file or link is no longer as it was written,
// and has them loaded anew. It is called when the directories change, and after
// each reload of systemd's; a batch of files that is being changed goes first.
func (m *Manager) missFiles() {
	m.changing.Lock()
	defer m.changing.Unlock()
	m.mu.Lock()
	files := make([]heldFile, 0, len(m.table.byName))
	for _, u := range m.table.byName {
		if u.file.hash != "" {
			files = append(files, u.file)
		}
	}
	m.mu.Unlock()
	files = slices.DeleteFunc(files, m.files.unchanged)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range files {
		name := f.name
		if u := m.table.byName[name]; u != nil {
			m.log.Warn("the file of a unit was changed or taken away; it is written again", "unit", name, "file",
				m.files.path(name))
			u.file.hash, u.hash = "", ""
			m.mark(name)
		}
	}
}

// refresh reads the state of units whose files have just been read by systemd.
func (m *Manager) refresh(ctx context.Context, s *session, names []string) error {
	details, err := m.listed(ctx, s, names)
	if err != nil {
		return err
	}
	return m.detail(ctx, s, details, true)
}

// listed reads the states of units by name, which makes systemd load them,
// and returns those whose details are needed.
func (m *Manager) listed(ctx context.Context, s *session, names []string) ([]*unit, error) {
	call := s.call(ctx, "ListUnitsByNames", names)
	var list []sd.UnitStatus
	if err := call.Store(&list); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.apply(list, call.ResponseSequence, false), nil
}

// apply takes a list of states over and returns the units that need to be
// asked for details: all that systemd remembers something of. m.mu is held.
func (m *Manager) apply(list []sd.UnitStatus, seq dbus.Sequence, inMemory bool) []*unit {
	var details []*unit
	for _, l := range list {
		u := m.table.byName[l.Name]
		if u == nil {
			continue
		}
		u.listed = true
		if seq > u.loadSeq { // no signal tells it
			u.loadSeq = seq
			u.setLoad(l.LoadState)
		}
		if seq > u.seq {
			u.sub = l.SubState
			u.setActive(l.ActiveState)
			if l.ActiveState == "inactive" && !inMemory {
				u.pid, u.restarts = 0, 0
			} else {
				details = append(details, u) // marked when they are there
				continue
			}
		}
		m.mark(u.name)
	}
	return details
}

// detail reads what a status needs and no list has, and with exits also how main
// processes ended of units that didn't fail. All questions are asked before the first answer is awaited.
func (m *Manager) detail(ctx context.Context, s *session, list []*unit, exits bool) error {
	type question struct {
		u    *unit
		name string
		call *dbus.Call
	}
	var asked []question
	for _, u := range list {
		m.mu.Lock()
		stamp, idle, ended := timestamps[u.active], u.active == "inactive", u.active == "failed" || u.sub == "auto-restart"
		m.mu.Unlock()
		ask := func(iface, prop string) {
			asked = append(asked, question{u, prop, s.property(ctx, u.path, iface, prop)})
		}
		if stamp != "" {
			ask(unitIface, stamp)
		}
		if idle {
			ask(unitIface, "ConditionResult")
			ask(unitIface, "ConditionTimestamp")
		}
		iface, props := specialIface(u.name)
		for _, prop := range props {
			ask(iface, prop)
		}
		if (exits || ended) && !idle && len(props) > 1 { // only a service has a main process
			ask(iface, "ExecMainCode")
			ask(iface, "ExecMainStatus")
		}
	}
	for _, q := range asked {
		var value dbus.Variant
		call := s.wait(q.call)
		if err := call.Store(&value); err != nil {
			if !s.bus.Connected() || ctx.Err() != nil {
				return fmt.Errorf("%s of %s: %w", q.name, q.u.name, err)
			}
			continue // of a unit that never loaded: it has no such property
		}
		m.mu.Lock()
		if call.ResponseSequence > q.u.seq {
			q.u.setOne(q.name, value)
		}
		m.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range list {
		m.mark(u.name)
	}
	return nil
}
