//go:build systemd

package systemd

import (
	"context"
	"os"
	"testing"
	"time"

	"fleettop/units"
)

// awaitStatus waits until a unit's status is as it should be.
func awaitStatus(t *testing.T, m *Manager, name, what string, ok func(units.Status) bool) units.Status {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s := statusOf(t, m, name)
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not %s: %+v", name, what, s)
		}
	}
}

// A unit whose file is taken away is held, with its process, and without a
// hash, so that its file is loaded anew; by a manager that comes later, too.
func TestVanishedFile(t *testing.T) {
	opts := options(t, "fleettop-vanished")
	f, idle := sleeper("vanished.service"), sleeper("vanished-idle.service")
	m := openReal(t, opts)
	defer func() {
		if errs, err := m.Unload(context.Background(), []string{f.Name, idle.Name}); err != nil || len(errs) > 0 {
			t.Errorf("Unload: %v %v", errs, err)
		}
		m.Close()
	}()
	mustLoad(t, m, f, idle)
	if err := m.Start(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	was := statusOf(t, m, f.Name)
	vanish := func(names ...string) {
		t.Helper()
		for _, name := range names {
			for _, path := range []string{m.files.path(name), m.files.link(name)} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		systemctl(t, opts, "daemon-reload")
	}
	whole := func(when string) {
		t.Helper()
		mustLoad(t, m, f, idle)
		if s := statusOf(t, m, f.Name); !s.Equal(was) {
			t.Errorf("%s: %+v, was %+v", when, s, was)
		}
		if s := statusOf(t, m, idle.Name); s.Hash == "" || s.Load != "loaded" {
			t.Errorf("%s: %+v", when, s)
		}
	}
	vanish(f.Name, idle.Name)
	s := awaitStatus(t, m, f.Name, "without a hash", func(s units.Status) bool { return s.Hash == "" })
	if s.Active != "active" || s.PID != was.PID {
		t.Errorf("without its file: %+v", s)
	}
	awaitStatus(t, m, idle.Name, "without a hash", func(s units.Status) bool { return s.Hash == "" })
	whole("loaded anew")

	next := opts
	next.Known = []string{f.Name, idle.Name, "dbus.service", "never-there.service"}
	m.Close()
	vanish(f.Name)
	m = openReal(t, next)
	list, _, err := m.Watch(t.Context())
	if err != nil || len(list) != 2 {
		t.Errorf("a later manager holds %+v, %v", list, err)
	}
	whole("by a later manager")

	vanish(f.Name)
	if err := m.Stop(t.Context(), f.Name); err != nil {
		t.Error(err)
	}
	awaitStatus(t, m, f.Name, "inactive", func(s units.Status) bool { return s.Active == "inactive" && s.PID == 0 })
}

// What is skipped because of its conditions says so.
func TestConditionNotMet(t *testing.T) {
	opts := options(t, "fleettop-condition")
	f := units.UnitFile{Name: "condition.service",
		Content: "[Unit]\nConditionPathExists=/nonexistent\n[Service]\nExecStart=/bin/sleep 1000\n"}
	m := holding(t, opts, f.Name)
	mustLoad(t, m, f)
	if s := statusOf(t, m, f.Name); s.Result == units.ResultCondition {
		t.Errorf("before it was started: %+v", s)
	}
	if err := m.Start(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, m, f.Name, "skipped", func(s units.Status) bool {
		return s.Active == "inactive" &&
			s.Result == units.ResultCondition
	})
	f.Content = "[Service]\nExecStart=/bin/sleep 1000\n"
	mustLoad(t, m, f)
	if err := m.Start(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, m, f.Name, "active", func(s units.Status) bool { return s.Active == "active" })
	if err := m.Stop(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, m, f.Name, "stopped", func(s units.Status) bool {
		return s.Active == "inactive" &&
			s.Result != units.ResultCondition
	})
}
