package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fleettop/units"
)

const plain = "[Service]\nExecStart=/bin/true\n"

func newStore(t testing.TB) store {
	t.Helper()
	dir := t.TempDir()
	d := store{dir: filepath.Join(dir, "units"), links: filepath.Join(dir, "links")}
	if _, _, err := d.open(); err != nil {
		t.Fatal(err)
	}
	return d
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestStoreKeepsUnits(t *testing.T) {
	d := newStore(t)
	if err := d.write("a.service", plain); err != nil {
		t.Fatal(err)
	}
	if err := d.write("a.service", plain+"[Install]\nWantedBy=b.target\n"); err != nil { // replaced
		t.Fatal(err)
	}
	if err := d.setPending(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{ // what isn't held
		".new-123.tmp": "half", "notes.txt": "x", "t@.service": plain,
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	held, pending, err := d.open()
	if err != nil || !pending || len(held) != 1 {
		t.Fatalf("open: %v %v %v, want one unit and a pending reload", held, pending, err)
	}
	f, err := units.ParseFile(plain + "[Install]\nWantedBy=b.target\n")
	if err != nil {
		t.Fatal(err)
	}
	if h := held[0]; h.name != "a.service" || h.hash != f.Hash() || !h.install || h.written.IsZero() {
		t.Errorf("held: %+v", h)
	}
	if _, err := os.Lstat(filepath.Join(d.dir, ".new-123.tmp")); err == nil {
		t.Error("what an interrupted write left is still there")
	}
	if !d.intact("a.service") {
		t.Error("its link isn't in place")
	}
	if err := d.remove("a.service"); err != nil {
		t.Fatal(err)
	}
	if err := d.remove("a.service"); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	if left := names(t, d.links); len(left) != 0 {
		t.Errorf("links left: %v", left)
	}
	if err := d.clearPending(); err != nil {
		t.Fatal(err)
	}
	if err := d.clearPending(); err != nil {
		t.Errorf("clearing twice: %v", err)
	}
}

// A write that fails leaves what was there, and nothing else.
func TestStoreFailedWrite(t *testing.T) {
	d := newStore(t)
	if err := d.write("old.service", plain); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new.service", "old.service"} {
		// A directory where the link belongs can't be replaced by a link.
		if err := os.RemoveAll(d.link(name)); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(d.link(name), "full"), 0o755); err != nil {
			t.Fatal(err)
		}
		err := d.write(name, plain)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("writing %s: %v, want an error that names it", name, err)
		}
	}
	if left := names(t, d.dir); len(left) != 1 || left[0] != "old.service" {
		t.Errorf("the directory holds %v, want old.service alone", left)
	}
	if err := os.MkdirAll(d.path("dir.service"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.write("dir.service", plain); err == nil {
		t.Error("a file took the place of a directory")
	}
	for _, name := range names(t, d.dir) {
		if strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s was left", name)
		}
	}
}

func TestHostFiles(t *testing.T) {
	d := newStore(t)
	lib := t.TempDir()
	for _, name := range []string{"ssh.service", "getty@.service"} {
		if err := os.WriteFile(filepath.Join(lib, name), []byte(plain), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, link string) {
		t.Helper()
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(lib, "ssh.service"), filepath.Join(lib, "sshd.service"))
	link("/dev/null", d.link("masked.service"))
	if err := os.Mkdir(filepath.Join(lib, "web.service.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.write("mine.service", plain); err != nil {
		t.Fatal(err)
	}
	link(d.path("mine.service"), d.link("alias1.service"))
	link(d.link("mine.service"), d.link("alias2.service"))

	host, err := d.hostUnits([]string{d.links, lib, filepath.Join(lib, "missing")})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ssh.service": lib + "/ssh.service", "sshd.service": lib + "/sshd.service",
		"getty@tty1.service": lib + "/getty@.service", "masked.service": d.link("masked.service"),
		"mine.service": "", "alias1.service": "", "alias2.service": "", "web.service": "", "getty.service": "",
	} {
		n, err := units.ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := host.owner(n); got != want {
			t.Errorf("%s is owned by %q, want %q", name, got, want)
		}
	}
	if err := hostError("ssh.service", lib+"/ssh.service"); !errors.Is(err, units.ErrHostUnit) ||
		!strings.Contains(err.Error(), lib) {
		t.Errorf("the error %q doesn't name the host's file", err)
	}
}

// No name that passes the checks leaves the directory or meets the manager's
// own files there.
func TestNamesStayInside(t *testing.T) {
	d := store{dir: "/run/x/units", links: "/run/x/links"}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(
			rapid.StringMatching(`[a-z./@:_\\-]{0,12}\.(service|tmp|socket)`),
			rapid.SampledFrom([]string{"..", ".", "", "../a.service", pendingFile, ".new-1.tmp", "/etc/a.service",
				"a/../../b.service"}),
		).Draw(t, "name")
		errs := map[string]error{}
		batch := check([]units.UnitFile{{Name: name, Content: plain}}, errs)
		if len(batch)+len(errs) != 1 {
			t.Fatalf("%q: %v %v", name, batch, errs)
		}
		for _, in := range batch {
			n := in.name.String()
			if filepath.Dir(d.path(n)) != d.dir || filepath.Dir(d.link(n)) != d.links || filepath.Base(d.path(n)) != name ||
				n == pendingFile || strings.HasSuffix(n, ".tmp") {
				t.Fatalf("%q is written to %s and linked from %s", name, d.path(n), d.link(n))
			}
		}
	})
}

func TestCheck(t *testing.T) {
	errs := map[string]error{}
	batch := check([]units.UnitFile{
		{Name: "a.service", Content: plain}, {Name: "t@.service", Content: plain},
		{Name: "bad.service", Content: "no section\n"}, {Name: "a.service", Content: plain},
	}, errs)
	if len(batch) != 1 || len(errs) != 3 {
		t.Fatalf("%v %v", batch, errs)
	}
	for name, says := range map[string]string{"t@.service": "t@1.service", "bad.service": "bad.service",
		"a.service": "twice"} {
		if errs[name] == nil || !strings.Contains(errs[name].Error(), says) {
			t.Errorf("%s: %v, want it to say %q", name, errs[name], says)
		}
	}
}

// TestSpoiltFilesAreHeld opens a store with files that can't be units any more:
// they are held without a hash, so that the next Load replaces them.
func TestSpoiltFilesAreHeld(t *testing.T) {
	d := newStore(t)
	for name, content := range map[string]string{
		"empty.service": "", "binary.service": "\x00", "large.service": strings.Repeat("#\n", units.MaxFileSize),
	} {
		if err := d.write(name, content); err != nil {
			t.Fatal(err)
		}
	}
	held, _, err := d.open()
	if err != nil || len(held) != 3 {
		t.Fatalf("open: %v %v, want three units", held, err)
	}
	for _, f := range held {
		if f.hash != "" {
			t.Errorf("%s has the hash %s, expected none", f.name, f.hash)
		}
	}
}
