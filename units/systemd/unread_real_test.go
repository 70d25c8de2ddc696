//go:build systemd

package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/units"
)

// environment is a sleeper with a word in its environment, to tell its files apart.
func environment(name, word string, more ...string) units.UnitFile {
	f := sleeper(name, "Environment=WORD="+word)
	f.Content = strings.Join(more, "\n") + "\n" + f.Content
	return f
}

// wantRead checks that systemd has read a unit's file, its last one.
func wantRead(t *testing.T, opts Options, name, word string) {
	t.Helper()
	out := systemctl(t, opts, "show", "-p", "Environment,NeedDaemonReload", name)
	if !strings.Contains(out, "WORD="+word+"\n") || !strings.Contains(out, "NeedDaemonReload=no") {
		t.Errorf("%s, want WORD=%s:\n%s", name, word, out)
	}
}

func mustStart(t *testing.T, m *Manager, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := m.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// What systemd doesn't have loaded needs no reload, be it new, changed or taken away.
func TestNoReload(t *testing.T) {
	opts := options(t, "fleettop-unread")
	name, dropIn := "unread@1.service", "/run/systemd/system/unread@.service.d"
	if opts.User {
		dropIn = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd/user/unread@.service.d")
	}
	if err := os.MkdirAll(dropIn, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dropIn)
	if err := os.WriteFile(filepath.Join(dropIn, "10.conf"), []byte("[Service]\nNice=7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := holding(t, opts, name)
	n := reloads(t, opts, func() {
		for _, word := range []string{"one", "two", "three"} {
			mustLoad(t, m, environment(name, word))
			mustStart(t, m, name)
			wantRead(t, opts, name, word)
			if nice := strings.TrimSpace(systemctl(t, opts, "show", "-p", "Nice", "--value", name)); nice != "7" {
				t.Errorf("the drop-in file of its template is not in effect: nice %s", nice)
			}
			if err := m.Stop(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if word == "two" {
				if errs, err := m.Unload(t.Context(), []string{name}); err != nil || len(errs) > 0 {
					t.Fatal(errs, err)
				}
				if out := systemctl(t, opts, "show", "-p", "LoadState", "--value", name); strings.TrimSpace(out) != "not-found" {
					t.Errorf("unloaded, it is %s", out)
				}
			}
		}
	})
	if n != 0 {
		t.Errorf("%d reloads, want none", n)
	}
	if _, err := os.Lstat(filepath.Join(opts.Dir, pendingFile)); err == nil {
		t.Error("the mark that a reload is needed is still there")
	}
}

// What systemd has loaded keeps its old content without a reload.
func TestReloadOfWhatIsLoaded(t *testing.T) {
	opts := options(t, "fleettop-reread")
	const name = "reread.service"
	for _, test := range []struct {
		why   string
		files []units.UnitFile // loaded at first
		start []string
		prior func(m *Manager) // what happens before the new file comes
		file  units.UnitFile   // loaded then
	}{
		{why: "running", files: []units.UnitFile{environment(name, "old")}, start: []string{name}, file: environment(name, "new")},
		{why: "failed", files: []units.UnitFile{{Name: name, Content: "[Service]\nType=oneshot\nExecStart=/bin/false\n"}},
			prior: func(m *Manager) { _ = m.Start(t.Context(), name) }, file: environment(name, "new")},
		{why: "referred to", files: []units.UnitFile{environment(name, "old"), environment("reread-pin.service", "", "[Unit]", "After="+name)},
			start: []string{"reread-pin.service", name}, prior: func(m *Manager) { _ = m.Stop(t.Context(), name) },
			file: environment(name, "new")},
		{why: "referred to before it came", files: []units.UnitFile{environment("reread-pin.service", "", "[Unit]", "After="+name)},
			start: []string{"reread-pin.service"}, file: environment(name, "new")},
		{why: "triggered by a timer", files: []units.UnitFile{environment(name, "old"), {Name: "reread.timer", Content: "[Timer]\nOnActiveSec=1h\n"}},
			start: []string{"reread.timer"}, file: environment(name, "new")},
		{why: "triggered by a path", files: []units.UnitFile{environment(name, "old"), {Name: "reread.path", Content: "[Path]\nPathExists=/nonexistent\n"}},
			start: []string{"reread.path"}, file: environment(name, "new")},
		{why: "triggered by a socket", files: []units.UnitFile{environment(name, "old"), {Name: "reread.socket", Content: "[Socket]\nListenStream=@reread\n"}},
			start: []string{"reread.socket"}, file: environment(name, "new")},
		{why: "enabled", file: environment(name, "new", "[Install]", "WantedBy=default.target")},
		{why: "enabled before", files: []units.UnitFile{environment(name, "old", "[Install]", "WantedBy=default.target")},
			file: environment(name, "new")},
	} {
		t.Run(test.why, func(t *testing.T) {
			m := holding(t, opts, name, "reread-pin.service", "reread.timer", "reread.path", "reread.socket")
			if len(test.files) > 0 {
				mustLoad(t, m, test.files...)
			}
			mustStart(t, m, test.start...)
			if test.prior != nil {
				test.prior(m)
			}
			if n := reloads(t, opts, func() { mustLoad(t, m, test.file) }); n != 1 {
				t.Errorf("%d reloads, want 1", n)
			}
			mustStart(t, m, name)
			wantRead(t, opts, name, "new")
		})
	}
}

// A drop-in file of a unit that runs counts from the next reload on.
func TestDropInOfWhatRuns(t *testing.T) {
	opts := options(t, "fleettop-dropin")
	f := environment("dropin.service", "old")
	m := holding(t, opts, f.Name)
	mustLoad(t, m, f)
	mustStart(t, m, f.Name)
	dir := m.files.link(f.Name) + ".d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "10.conf"), []byte("[Service]\nNice=7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := reloads(t, opts, func() { mustLoad(t, m, environment(f.Name, "new")) }); n != 1 {
		t.Errorf("%d reloads, want 1", n)
	}
	wantRead(t, opts, f.Name, "new")
	if nice := strings.TrimSpace(systemctl(t, opts, "show", "-p", "Nice", "--value", f.Name)); nice != "7" {
		t.Errorf("its drop-in file is not in effect: nice %s", nice)
	}
}

// Where systemd doesn't see a new file, or has another one of that name, that is put right.
func TestWrongFileStarted(t *testing.T) {
	opts := options(t, "fleettop-wrong")
	f := environment("wrong.service", "old")
	m := holding(t, opts, f.Name)
	replaceUnseen := func(word string) { // as if systemd had not had it loaded
		t.Helper()
		if err := m.files.write(f.Name, environment(f.Name, word).Content); err != nil {
			t.Fatal(err)
		}
		m.setUnread([]string{f.Name})
	}
	mustLoad(t, m, f)
	mustStart(t, m, f.Name)
	was := statusOf(t, m, f.Name).PID
	time.Sleep(10 * time.Millisecond) // files change at different times, by the file system's clock
	replaceUnseen("new")
	if n := reloads(t, opts, func() { mustStart(t, m, f.Name) }); n != 1 {
		t.Errorf("old content: %d reloads, want 1", n)
	}
	wantRead(t, opts, f.Name, "new")
	if now := statusOf(t, m, f.Name); now.PID == was || now.Active != "active" {
		t.Errorf("old content: not restarted: %+v", now)
	}

	if err := m.Stop(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.files.link(f.Name)); err != nil {
		t.Fatal(err)
	}
	systemctl(t, opts, "daemon-reload")
	info, err := os.Stat(m.files.links)
	if err != nil {
		t.Fatal(err)
	}
	replaceUnseen("third")
	if err := os.Chtimes(m.files.links, time.Time{}, info.ModTime()); err != nil { // as a slow clock would
		t.Fatal(err)
	}
	mustStart(t, m, f.Name)
	wantRead(t, opts, f.Name, "third")

	if err := m.Stop(t.Context(), f.Name); err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(m.files.host, f.Name)
	if err := os.MkdirAll(m.files.host, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte(environment(f.Name, "the host's").Content), 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() {
		os.Remove(host)
		systemctl(t, opts, "daemon-reload")
	}()
	m.setUnread([]string{f.Name})
	if err := m.Start(t.Context(), f.Name); !errors.Is(err, units.ErrHostUnit) || !strings.Contains(err.Error(), host) {
		t.Errorf("the host's file is started without a word: %v", err)
	}
	systemctl(t, opts, "stop", f.Name)
}
