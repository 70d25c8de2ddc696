//go:build systemd

package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fleettop/units"
)

// hostFile gives the host a unit of its own, which runs.
func hostFile(t *testing.T, opts Options, m *Manager, f units.UnitFile) string {
	t.Helper()
	path := filepath.Join(m.files.host, f.Name)
	if err := os.MkdirAll(m.files.host, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(f.Content), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, file := range []string{path, path + units.AdoptedSuffix} {
			if err := os.RemoveAll(file); err != nil {
				t.Error(err)
			}
		}
		systemctl(t, opts, "daemon-reload")
	})
	systemctl(t, opts, "daemon-reload")
	systemctl(t, opts, "start", f.Name)
	return path
}

// A unit of the host becomes the cluster's and the host's again, and runs on all the while.
func TestAdoptAndRelease(t *testing.T) {
	opts := options(t, "fleettop-adopt")
	f := sleeper("adopted.service")
	f.Content += "\n[Install]\nWantedBy=default.target\n"
	parsed, err := units.ParseFile(f.Content)
	if err != nil {
		t.Fatal(err)
	}
	f.Hash = parsed.Hash()
	m := holding(t, opts, f.Name)
	path := hostFile(t, opts, m, f)
	systemctl(t, opts, "enable", f.Name)

	host, err := m.HostUnit(t.Context(), f.Name)
	if err != nil || host.Content != f.Content || host.Path != path || host.PID == 0 {
		t.Fatalf("HostUnit: %+v, %v", host, err)
	}
	errs, err := m.Load(t.Context(), []units.UnitFile{f})
	if err != nil || !errors.Is(errs[f.Name], units.ErrHostUnit) {
		t.Fatalf("a unit of the host is shadowed without a word: %v %v", errs, err)
	}
	f.TakeOver = true
	mustLoad(t, m, f)
	s := statusOf(t, m, f.Name)
	if s.PID != host.PID || s.Active != "active" || s.Hash != f.Hash {
		t.Fatalf("adopted: %+v, its process was %d", s, host.PID)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the host's file is still there: %v", err)
	}
	if kept, err := os.ReadFile(path + units.AdoptedSuffix); err != nil || string(kept) != f.Content {
		t.Errorf("the host's file was not kept: %q, %v", kept, err)
	}
	if got := systemctl(t, opts, "show", "-p", "FragmentPath", "--value", f.Name); strings.TrimSpace(got) == path {
		t.Errorf("systemd still reads %s", got)
	}
	wants := filepath.Join(m.files.host, "default.target.wants", f.Name)
	if _, err := os.Lstat(wants); err == nil {
		t.Errorf("the host still enables it: %s", wants)
	}
	if _, err := m.HostUnit(t.Context(), f.Name); err == nil {
		t.Error("what is the cluster's can be adopted once more")
	}

	back, err := m.Release(t.Context(), f.Name)
	if err != nil || back != path {
		t.Fatalf("Release: %s, %v", back, err)
	}
	host, err = m.HostUnit(t.Context(), f.Name)
	if err != nil || host.PID != s.PID || host.Content != f.Content {
		t.Errorf("released: %+v, %v; its process was %d", host, err, s.PID)
	}
	if _, err := os.Lstat(wants); err != nil {
		t.Errorf("the host doesn't enable it again: %v", err)
	}
	if _, err := m.Release(t.Context(), f.Name); !errors.Is(err, units.ErrNotLoaded) {
		t.Errorf("released twice: %v", err)
	}
	systemctl(t, opts, "disable", f.Name)
	systemctl(t, opts, "stop", f.Name)
}

// What can't travel is refused with a reason, and nothing is touched.
func TestAdoptRefuses(t *testing.T) {
	opts := options(t, "fleettop-adopt-refuses")
	m := holding(t, opts)
	f := sleeper("refused.service")
	path := hostFile(t, opts, m, f)
	refused := func(name, sentence string) {
		t.Helper()
		if _, err := m.HostUnit(t.Context(), name); err == nil || !strings.Contains(err.Error(), sentence) {
			t.Errorf("%s: %v, want %q", name, err, sentence)
		}
	}
	dropIn := path + ".d/10-more.conf"
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(filepath.Dir(dropIn))
	if err := os.WriteFile(dropIn, []byte("[Service]\nNice=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	systemctl(t, opts, "daemon-reload")
	refused(f.Name, dropIn)
	systemctl(t, opts, "stop", f.Name)
	refused("never-there.service", units.ErrNotLoaded.Error())
	refused("some@.service", "template")
	if os.Getenv("FLEETTOP_TEST_USER") == "" {
		refused("dbus.service", "the host's own")
		refused("-.mount", "file")
	}
}
