package systemd

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
)

// handRig is a manager that is fed systemd's signals.
type handRig struct {
	t     *testing.T
	m     *Manager
	s     *session
	clock uint64
	jobs  uint32
}

func newHandRig(t *testing.T, files map[string]string) *handRig {
	m := &Manager{table: newTable(), watchers: map[*watcher]struct{}{}, log: slog.New(slog.DiscardHandler)}
	for name, content := range files {
		f := heldFile{name: name}
		parsed, err := units.ParseFile(content)
		if err != nil {
			t.Fatal(err)
		}
		n, err := units.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Relations = parsed.Relations(n)
		m.table.add(f)
	}
	s := newSession(m)
	m.sess = s
	return &handRig{t: t, m: m, s: s}
}

// becomes is systemd's signal of a unit's new state.
func (r *handRig) becomes(name, active string) {
	u := r.m.table.byName[name]
	r.clock++
	props := map[string]any{"ActiveState": active}
	switch {
	case active == "active":
		props["ActiveEnterTimestamp"] = r.clock
	case (active == "inactive" || active == "failed") && !u.ended():
		props["InactiveEnterTimestamp"] = r.clock
	}
	sig := change(dbus.Sequence(r.clock), unitIface, props)
	sig.Path = unitPath(name)
	r.m.signal(r.s, sig)
}

// job makes a job of a unit and returns what ends it.
func (r *handRig) job(name string) (end func()) {
	r.jobs++
	id, path := r.jobs, dbus.ObjectPath("/job/"+name)
	r.m.signal(r.s, &dbus.Signal{Name: managerIface + ".JobNew", Body: []any{id, path, name}})
	return func() {
		r.m.signal(r.s, &dbus.Signal{Name: managerIface + ".JobRemoved", Body: []any{id, path, name, "done"}})
	}
}

func (r *handRig) wants(when, name string, hand units.Hand) {
	r.t.Helper()
	if got := r.m.table.byName[name].status().ByHand; got != hand {
		r.t.Errorf("%s: %s was %q by hand, want %q", when, name, got, hand)
	}
}

func TestByHand(t *testing.T) {
	const plain = "[Service]\nExecStart=/bin/a\n"
	r := newHandRig(t, map[string]string{"web.service": plain, "side.service": "[Unit]\nPartOf=web.service\n" + plain,
		"app.service": "[Unit]\nWants=web.service\n" + plain, "web.timer": "[Timer]\nOnBootSec=1\n"})
	web := "web.service"
	run := func(name string, states ...string) {
		end := r.job(name)
		for _, state := range states {
			r.becomes(name, state)
		}
		end()
	}
	run(web, "activating", "active")
	r.wants("systemctl start", web, units.HandStarted)
	run(web, "deactivating", "inactive")
	r.wants("systemctl stop", web, units.HandStopped)
	run(web, "active")
	r.wants("systemctl start", web, units.HandStarted)
	run(web, "deactivating", "inactive", "active")
	r.wants("systemctl restart", web, units.HandRestarted)
	r.becomes(web, "failed")
	r.wants("failed by itself", web, "")
	r.becomes(web, "inactive")
	r.wants("systemctl reset-failed", web, units.HandReset)
	r.becomes(web, "activating")
	r.becomes(web, "inactive")
	r.wants("it ran and ended without a job that was seen", web, "")
	run(web, "active")
	run(web)
	r.wants("systemctl start of one that runs", web, units.HandStarted)
	r.becomes(web, "inactive")
	r.wants("it ended by itself", web, "")

	run(web, "active")
	r.becomes(web, "activating")
	end := r.job(web)
	r.m.table.byName[web].restarts = 1
	r.becomes(web, "active")
	end()
	if hand := r.m.table.byName[web].status(); hand.ByHand == units.HandRestarted {
		t.Error("its Restart= is taken for a restart by hand")
	}
	run(web, "deactivating", "inactive")
	r.wants("systemctl stop", web, units.HandStopped)
	r.m.table.byName[web].restarts = 0

	done := r.m.asks(r.s, web)
	run(web, "active")
	done()
	r.wants("started by this manager", web, "")

	// What systemd does with units that are tied to others isn't done by hand.
	run("side.service", "active")
	endWeb, endSide := r.job(web), r.job("side.service")
	r.becomes("side.service", "inactive")
	endSide()
	r.becomes(web, "inactive")
	endWeb()
	r.wants("stopped with web.service", "side.service", "")
	r.wants("systemctl stop", web, units.HandStopped)
	endApp, endWeb := r.job("app.service"), r.job(web)
	r.becomes(web, "active")
	endWeb()
	r.becomes("app.service", "active")
	endApp()
	r.wants("started with app.service", web, "")
	r.wants("systemctl start", "app.service", units.HandStarted)
	r.becomes(web, "inactive")
	run("web.timer", "active")
	run(web, "active")
	r.wants("started by its timer", web, "")
	r.job("shutdown.target")
	run("app.service", "inactive")
	r.wants("stopped as the machine goes down", "app.service", "")
}

// What the host says of a unit beside its own file.
func TestAltered(t *testing.T) {
	d := newStore(t)
	if err := d.write("web@1.service", plain); err != nil {
		t.Fatal(err)
	}
	etc, lib := filepath.Join(t.TempDir(), "etc"), filepath.Join(t.TempDir(), "lib")
	dirs := []string{etc, d.links, lib, "/never-there"}
	put := func(path, content string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wants := func(when, text string) {
		t.Helper()
		got, _, err := d.altered(dirs, map[string]bool{"web@1.service": true})
		if err != nil || got["web@1.service"] != text {
			t.Errorf("%s: %q %v, want %q", when, got["web@1.service"], err, text)
		}
	}
	put(filepath.Join(lib, "web@1.service"), plain) // of lower precedence
	put(filepath.Join(etc, "service.d/all.conf"), plain)
	put(filepath.Join(etc, "web@1.service.d/notes.txt"), "")
	if err := d.bind("web@1.service", true); err != nil {
		t.Fatal(err)
	}
	wants("nothing of it", "")
	own := put(filepath.Join(etc, "web@1.service.d/override.conf"), plain)
	of := put(filepath.Join(d.links, "web@.service.d/x.conf"), plain)
	wants("drop-ins", "changed by "+own+", changed by "+of)
	if err := os.RemoveAll(filepath.Dir(of)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	full := put(filepath.Join(etc, "web@1.service"), plain)
	wants("a file of that name", "replaced by "+full)
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", full); err != nil {
		t.Fatal(err)
	}
	wants("masked", "masked by "+full)
}

// A file that isn't as it was written is written again.
func TestUnchanged(t *testing.T) {
	d := newStore(t)
	write := func() heldFile {
		t.Helper()
		if err := d.write("a.service", plain+"[X-Fleet]\nExclusive=true\n"); err != nil {
			t.Fatal(err)
		}
		f, err := d.read("a.service")
		if err != nil || !d.unchanged(f) {
			t.Fatalf("as written: %+v %v", f, err)
		}
		return f
	}
	for name, do := range map[string]func() error{
		"file gone":       func() error { return os.Remove(d.path("a.service")) },
		"link gone":       func() error { return os.Remove(d.link("a.service")) },
		"binding gone":    func() error { return os.RemoveAll(d.link("a.service") + ".d") },
		"binding changed": func() error { return os.WriteFile(d.dropIn("a.service"), []byte("[Unit]\n"), 0o644) },
		"file changed":    func() error { return os.WriteFile(d.path("a.service"), []byte(plain), 0o644) },
		"file a directory": func() error {
			if err := os.Remove(d.path("a.service")); err != nil {
				return err
			}
			return os.Mkdir(d.path("a.service"), 0o755)
		},
	} {
		f := write()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if d.unchanged(f) {
			t.Errorf("%s: not noticed", name)
		}
		_ = os.RemoveAll(d.path("a.service"))
	}
	f := write()
	if err := os.WriteFile(d.path("a.service"), []byte("# Said otherwise.\n"+plain+"[X-Fleet]\nExclusive=true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !d.unchanged(f) {
		t.Error("a comment counts as a change")
	}
}
