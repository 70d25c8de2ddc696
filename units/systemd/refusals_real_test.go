//go:build systemd

package systemd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fleettop/units"
)

func TestHostUnits(t *testing.T) {
	opts := options(t, "fleettop-host")
	transient, good := "fleettop-transient.service", sleeper("beside-the-host.service")
	run := exec.Command("systemd-run", "--unit="+transient, "/bin/sleep", "1000")
	if opts.User {
		run.Args = append(run.Args[:1], append([]string{"--user"}, run.Args[1:]...)...)
	}
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("systemd-run: %v %s", err, out)
	}
	defer systemctl(t, opts, "stop", transient)
	hosts := map[string]string{ // name -> what the error must name
		transient: "/transient/" + transient, "basic.target": "/basic.target", "-.slice": "systemd made",
		"default.target": "default.target", "systemd-tmpfiles-clean.timer": "/systemd-tmpfiles-clean.timer",
	}
	if !opts.User {
		hosts["getty@tty9.service"] = "/getty@.service"      // an instance of the host's template
		hosts["ctrl-alt-del.target"] = "ctrl-alt-del.target" // an alias
		hosts["systemd-logind.service"] = "/etc/systemd/system/systemd-logind.service"
		hosts["-.mount"] = "systemd made"
	}
	m := holding(t, opts, good.Name)
	files := []units.UnitFile{good}
	for name := range hosts {
		files = append(files, sleeper(name))
	}
	errs, err := m.Load(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	for name, says := range hosts {
		if !errors.Is(errs[name], units.ErrHostUnit) && !(name == "-.slice" || name == "-.mount") || errs[name] == nil {
			t.Errorf("%s: %v, want ErrHostUnit", name, errs[name])
		} else if !strings.Contains(errs[name].Error(), says) {
			t.Errorf("%s: %q doesn't say %q", name, errs[name], says)
		}
		if _, err := os.Lstat(m.files.path(name)); err == nil {
			t.Errorf("%s was written all the same", name)
		}
	}
	if len(errs) != len(hosts) {
		t.Errorf("errors: %v", errs)
	}
	if err := m.Start(t.Context(), good.Name); err != nil {
		t.Error(err)
	}
}

func TestAliasOfHostUnit(t *testing.T) {
	opts := options(t, "fleettop-alias")
	bad, good, broken := sleeper("alias-bad.service"), sleeper("alias-good.service"), sleeper("alias-broken.service")
	bad.Content += "[Install]\nAlias=alias-innocent.service systemd-exit.service\n"
	good.Content += "[Install]\nAlias=alias-other.service\nWantedBy=default.target\n"
	broken.Content += "[Install]\nAlias=systemd-exit.service alias-broken.socket\n"
	m := holding(t, opts, bad.Name, good.Name, broken.Name)
	// systemd takes the first, and refuses the second as a whole
	for _, batch := range [][]units.UnitFile{{bad, good}, {broken, bad, good}} {
		errs, err := m.Load(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(errs[bad.Name], units.ErrHostUnit) || errs[good.Name] != nil || len(errs) != len(batch)-1 {
			t.Errorf("errors: %v", errs)
		}
		for _, shadow := range []string{"systemd-exit.service", "alias-innocent.service", "alias-broken.socket"} {
			if _, err := os.Lstat(m.files.link(shadow)); err == nil {
				t.Errorf("the alias %s was left", shadow)
			}
		}
	}
	if err := m.Start(t.Context(), good.Name); err != nil {
		t.Error(err)
	}
	if out := systemctl(t, opts, "is-active", "alias-other.service"); strings.TrimSpace(out) != "active" {
		t.Errorf("the alias of the good unit is %s", out)
	}
}

func TestDiskFull(t *testing.T) {
	opts := options(t, "fleettop-full")
	if opts.User {
		opts.Dir = filepath.Join(t.TempDir(), "units") // a user can't mount; nor does it matter whose systemd it is
	}
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", opts.Dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("mounting a small file system (as root): %v", err)
	}
	defer unix.Unmount(opts.Dir, unix.MNT_DETACH)
	small1, big, small2 := sleeper("full-1.service"), sleeper("full-big.service"), sleeper("full-2.service")
	big.Content += strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 100)
	ctx := t.Context()
	m := openReal(t, opts)
	defer m.Close()
	errs, err := m.Load(ctx, []units.UnitFile{small1, big, small2})
	if err != nil {
		t.Fatal(err)
	}
	if len(errs) != 1 || !errors.Is(errs[big.Name], unix.ENOSPC) {
		t.Errorf("errors: %v, want one for %s", errs, big.Name)
	}
	for _, f := range []units.UnitFile{small1, small2} {
		if err := m.Start(ctx, f.Name); err != nil {
			t.Error(err)
		}
	}
	pid := statusOf(t, m, small1.Name).PID
	big.Name = small1.Name // an update that doesn't fit leaves the old file
	if errs, err := m.Load(ctx, []units.UnitFile{big}); err != nil || !errors.Is(errs[small1.Name], unix.ENOSPC) {
		t.Errorf("an update that doesn't fit: %v %v", errs, err)
	}
	if s := statusOf(t, m, small1.Name); s.PID != pid || s.Active != "active" {
		t.Errorf("an update that didn't fit left %+v", s)
	}
	entries, err := os.ReadDir(opts.Dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the directory has %v (%v), want the two small files", entries, err)
	}
	if errs, err := m.Unload(ctx, []string{small1.Name, small2.Name}); err != nil || len(errs) > 0 {
		t.Errorf("Unload: %v %v", errs, err)
	}
}
