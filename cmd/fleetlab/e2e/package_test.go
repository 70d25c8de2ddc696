//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// packaged makes the package of a version, of a commit at a time in seconds since
// 1970, for this host's architecture, and returns its path.
func packaged(t testing.TB, version, epoch string) string {
	t.Helper()
	arch, err := exec.Command("go", "env", "GOARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "run", "./cmd/fleettop/dist", "-version", version, "-commit", "e2e", "-epoch", epoch,
		"-arches", strings.TrimSpace(string(arch)), "-out", dir)
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("it made %q: %v", found, err)
	}
	return found[0]
}

// forPackages makes a bare machine one that packages can be installed on: its
// /usr is the host's, with a layer of its own for what it writes, and dpkg has an
// empty list. The groups of fleettop's are taken away.
func (f *fleet) forPackages(m *lab.Machine) {
	f.t.Helper()
	const layer = "/run/usr-layer"
	f.must(m.SmallDisk(f.ctx, layer, 256))
	f.on(m, "mkdir", layer+"/upper", layer+"/work")
	f.on(m, "mount", "-t", "overlay", "-o", "lowerdir=/usr,upperdir="+layer+"/upper,workdir="+layer+"/work", "usr", "/usr")
	f.on(m, "mkdir", "-p", "/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/var/lib/dpkg/triggers")
	f.on(m, "touch", "/var/lib/dpkg/status")
	f.on(m, "sed", "-i", "/^fleettop/d", "/etc/group")
}

// dpkg installs, upgrades or removes, and returns what it and the scripts said.
func (f *fleet) dpkg(m *lab.Machine, args ...string) string {
	f.t.Helper()
	out, err := m.Exec(f.ctx, append([]string{"dpkg"}, args...)...)
	f.t.Logf("%s: dpkg %s\n%s", m.Name, strings.Join(args, " "), out)
	f.must(err)
	return out
}

// TestPackage lives a package's life as the README has it: installed on a bare
// machine, started, joined by a second one, upgraded and removed. The unit keeps
// its process all the time.
func TestPackage(t *testing.T) {
	first := packaged(t, "v1.0.0", "1767225600")
	second := packaged(t, "v1.0.1", "1767312000")
	if out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error", first).CombinedOutput(); err != nil {
		t.Errorf("lintian: %v\n%s", err, out)
	}
	f := newFleet(t, 2, setup{bare: true, limit: 6 * time.Minute})
	n1, n2 := f.machines[0], f.machines[1]
	const deb = "/root/fleettop.deb"
	for _, m := range f.machines {
		f.forPackages(m)
		f.must(m.CopyIn(first, deb, 0o644))
		said := f.dpkg(m, "--install", deb)
		if !strings.Contains(said, "nothing was started") || !strings.Contains(said, "fleettop key generate") {
			t.Errorf("it doesn't say what to do next:\n%s", said)
		}
		if state := f.show(m, lab.UnitName, "ActiveState"); state != "inactive" {
			t.Errorf("the daemon is %s after the installation", state)
		}
		if groups := f.on(m, "getent", "group", "fleettop", "fleettop-view"); strings.Count(groups, "\n") != 1 {
			t.Errorf("the groups are %q", groups)
		}
	}
	if version := f.verb(n1, "version"); !strings.HasPrefix(version, "fleettop version v1.0.0\ncommit e2e\n") {
		t.Errorf("its version is %q", version)
	}
	for _, page := range strings.Fields(f.show(n1, lab.UnitName, "Documentation")) {
		name, section, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(strings.Trim(page, `"`), "man:"), ")"), "(")
		if !ok {
			t.Errorf("%s is no page", page)
			continue
		}
		f.on(n1, "test", "-s", "/usr/share/man/man"+section+"/"+name+"."+section+".gz")
	}

	f.verb(n1, "key", "generate")
	f.on(n1, "systemctl", "enable", "--now", "fleettop")
	line := strings.TrimPrefix(f.verb(n1, "join-command"), "sudo ")
	f.on(n2, strings.Fields(line)...)
	f.settled(n1, n2)

	f.start(n1, map[string]string{"web.service": sleeper()})
	on := n1
	if f.show(n2, "web.service", "ActiveState") == "active" {
		on = n2
	}
	pid := f.show(on, "web.service", "MainPID")
	kept := func(when string) {
		t.Helper()
		if got := f.show(on, "web.service", "MainPID"); got != pid || pid == "0" {
			t.Errorf("%s its process is %s, and was %s", when, got, pid)
		}
	}

	f.must(on.CopyIn(second, deb, 0o644))
	daemon := f.show(on, lab.UnitName, "MainPID")
	f.dpkg(on, "--install", deb)
	if got := f.show(on, lab.UnitName, "MainPID"); got == daemon || got == "0" {
		t.Errorf("after the upgrade the daemon's process is %s, and was %s", got, daemon)
	}
	if version := f.verb(on, "version"); !strings.HasPrefix(version, "fleettop version v1.0.1\n") {
		t.Errorf("after the upgrade its version is %q", version)
	}
	f.settled(n1, n2)
	kept("after the upgrade")

	// One that doesn't run isn't started by an upgrade.
	other := n1
	if on == n1 {
		other = n2
	}
	f.must(other.StopFleettop(f.ctx))
	f.must(other.CopyIn(second, deb, 0o644))
	f.dpkg(other, "--install", deb)
	if state := f.show(other, lab.UnitName, "ActiveState"); state != "inactive" {
		t.Errorf("an upgrade made a stopped daemon %s", state)
	}

	said := f.dpkg(on, "--remove", "fleettop")
	for _, want := range []string{"Units of the cluster run on here: web.service", "systemctl stop web.service",
		"fleettop leave", "/etc/fleettop is kept"} {
		if !strings.Contains(said, want) {
			t.Errorf("the removal doesn't say %q:\n%s", want, said)
		}
	}
	kept("after the removal")
	if out, err := on.Exec(f.ctx, "systemctl", "is-active", lab.UnitName); err == nil {
		t.Errorf("after the removal the daemon is %s", out)
	}
	for _, gone := range []string{"/usr/bin/fleettop", "/usr/lib/systemd/system/fleettop.service",
		"/etc/systemd/system/multi-user.target.wants/fleettop.service"} {
		if _, err := on.ReadFile(gone); err == nil {
			t.Errorf("after the removal there is still %s", gone)
		}
	}
	f.on(on, "test", "-s", "/etc/fleettop/key")
}
