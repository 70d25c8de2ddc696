package systemd

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/godbus/dbus/v5"
)

// Unload implements units.Manager.
func (m *Manager) Unload(ctx context.Context, names []string) (map[string]error, error) {
	errs := map[string]error{}
	names = m.known(names)
	if len(names) == 0 && !m.reloads.needed() {
		return errs, nil
	}
	names = m.stopAll(ctx, names, errs)
	s, err := m.session(ctx)
	if err != nil {
		return errs, fmt.Errorf("unload units: %w", err)
	}
	names, err = m.takeAway(ctx, s, names, errs)
	if err != nil {
		return errs, fmt.Errorf("unload units: %w", err)
	}
	if m.reloads.needed() {
		err = m.reloads.reload(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names { // their files are gone, whatever became of the reload
		m.table.remove(name)
		m.mark(name)
	}
	if err != nil {
		return errs, fmt.Errorf("unload units: %w", err)
	}
	return errs, nil
}

// known returns those names that are held, sorted, each once.
func (m *Manager) known(names []string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var held []string
	for _, name := range names {
		if m.table.byName[name] != nil {
			held = append(held, name)
		}
	}
	slices.Sort(held)
	return slices.Compact(held)
}

// stopAll stops units at the same time and returns those that are stopped.
func (m *Manager) stopAll(ctx context.Context, names []string, errs map[string]error) []string {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	results := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { results[i] = m.runJob(ctx, stop, name) })
	}
	wg.Wait()
	var stopped []string
	for i, name := range names {
		if results[i] != nil {
			errs[name] = fmt.Errorf("%s is kept, as it could not be stopped: %w", name, results[i])
			continue
		}
		stopped = append(stopped, name)
	}
	return stopped
}

// takeAway makes systemd forget failures, and disables and removes files. It
// returns the names of those that are gone.
func (m *Manager) takeAway(ctx context.Context, s *session, names []string, errs map[string]error) ([]string, error) {
	m.changing.Lock()
	defer m.changing.Unlock()
	if len(names) == 0 {
		return nil, nil
	}
	var installed []string
	var resets []*dbus.Call
	m.mu.Lock()
	for _, name := range names {
		u := m.table.byName[name]
		if u == nil {
			continue
		}
		if u.file.install {
			installed = append(installed, name)
		}
		if u.active == "failed" {
			resets = append(resets, s.systemd.GoWithContext(ctx, managerIface+".ResetFailedUnit", 0, make(chan *dbus.Call, 1),
				name))
		}
	}
	m.mu.Unlock()
	for _, call := range resets { // one that systemd has dropped since needs no reset
		if s.wait(call); !s.bus.Connected() || ctx.Err() != nil {
			return nil, call.Err
		}
	}
	m.reloads.touch()
	for name, err := range m.disableAll(ctx, s, installed) {
		errs[name] = fmt.Errorf("disable %s: %w", name, err)
	}
	var gone []string
	for _, name := range names {
		if errs[name] != nil {
			continue
		}
		if err := m.files.remove(name); err != nil {
			errs[name] = fmt.Errorf("remove the file of %s: %w", name, err)
			continue
		}
		gone = append(gone, name)
	}
	m.mu.Lock()
	for _, name := range gone {
		if u := m.table.byName[name]; u != nil {
			u.file.hash = "" // or missFiles would miss the file
		}
	}
	m.mu.Unlock()
	if len(installed) == 0 {
		m.spareReload(ctx, s, gone)
	}
	return gone, nil
}
