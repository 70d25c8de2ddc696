package lab

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func paperMachine(t *testing.T) *Machine {
	t.Helper()
	l, err := New(Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(t.TempDir(), newLabState("x", netip.MustParsePrefix("198.18.7.0/24"), 2))
	return l.Machines()[1]
}

func TestNspawnCommandLine(t *testing.T) {
	m := paperMachine(t)
	args := nspawnArgs(m, []string{"/lib"})
	for _, want := range []string{"--machine=fleetlab-x-n2", "--hostname=n2", "--uuid=" + m.MachineID,
		"--network-namespace-path=/run/fleetlab/netns/fleetlab-x-n2",
		"--bind-ro=/usr", "--bind=" + m.dir() + "/local:/usr/local", "--bind-ro=/lib", "--register=no"} {
		if !slices.Contains(args, want) {
			t.Errorf("no %s in %v", want, args)
		}
	}
	if args[len(args)-1] != "--boot" {
		t.Errorf("%v doesn't boot", args)
	}
	m.lab.layers = []string{"/tools", "/more:tools"}
	if args := nspawnArgs(m, nil); !slices.Contains(args, `--overlay-ro=/usr:/tools:/more\:tools:/usr`) ||
		slices.Contains(args, "--bind-ro=/usr") {
		t.Errorf("layers aren't over /usr: %v", args)
	}
	if slices.Contains(nspawnEnv(false), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1") ||
		!slices.Contains(nspawnEnv(true), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1") {
		t.Error("the machine's hierarchy isn't the host's")
	}
}

func TestHierarchies(t *testing.T) {
	for _, c := range []struct {
		host    string
		files   []string
		want    []string
		unified string
	}{
		{"v2", []string{"cgroup.procs", "cgroup.controllers"}, []string{""}, ""},
		{"hybrid", []string{"systemd/cgroup.procs", "unified/cgroup.procs", "unified/cgroup.controllers",
			"freezer/cgroup.procs", "memory/cgroup.procs"},
			[]string{"systemd", "unified"}, "unified"},
		{"v1", []string{"systemd/cgroup.procs", "freezer/cgroup.procs", "memory/cgroup.procs"},
			[]string{"systemd", "freezer"}, "none"},
		{"bare", nil, nil, "none"},
	} {
		home := t.TempDir()
		for _, path := range c.files {
			if err := os.MkdirAll(filepath.Join(home, filepath.Dir(path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, path), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for _, w := range c.want {
			want = append(want, filepath.Join(home, w))
		}
		if got := hierarchies(home); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.host, got, want)
		}
		unified := filepath.Join(home, c.unified)
		if c.unified == "none" {
			unified = ""
		}
		if got := unifiedRoot(home); got != unified {
			t.Errorf("%s: unified %q, want %q", c.host, got, unified)
		}
	}
}

func TestEtcFiles(t *testing.T) {
	m := paperMachine(t)
	users := map[string]account{"messagebus": {"x", "104", "111"}}
	groups := map[string]account{"messagebus": {"x", "111", ""}, "systemd-journal": {"x", "101", ""}}
	files := m.etcFiles(2, users, groups)
	for name, want := range map[string]string{
		"hostname":   "n2\n",
		"machine-id": m.MachineID + "\n",
		"hosts":      "127.0.0.1 localhost\n198.18.7.254 switch\n198.18.7.1 n1\n198.18.7.2 n2\n",
	} {
		if files[name] != want {
			t.Errorf("%s: %q, want %q", name, files[name], want)
		}
	}
	for name, want := range map[string]string{"passwd": "\nmessagebus:x:104:111:", "group": "\nsystemd-journal:x:101:\n"} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s has no %q, as the host has: %s", name, want, files[name])
		}
	}
	if files := m.etcFiles(2, nil, nil); !strings.Contains(files["group"], "systemd-journal:x:999:") {
		t.Errorf("group on a host without accounts: %s", files["group"])
	}
}

func TestAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "group")
	if err := os.WriteFile(path, []byte("root:x:0:\n\n# odd\nmessagebus:x:107:a,b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got := accounts(path)
	if len(got) != 2 || id(got, "messagebus", "1") != "107" || id(got, "nosuch", "1") != "1" {
		t.Errorf("accounts %v", got)
	}
	if got := accounts(path + "x"); len(got) != 0 {
		t.Errorf("accounts of no file: %v", got)
	}
}

func TestRootLinks(t *testing.T) {
	host := t.TempDir()
	if err := os.Symlink("usr/bin", filepath.Join(host, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(host, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := rootLinks(host); !maps.Equal(got, map[string]string{"bin": "usr/bin"}) {
		t.Errorf("links %v", got)
	}
	if got := separateDirs(host); !slices.Equal(got, []string{filepath.Join(host, "lib")}) {
		t.Errorf("separate %v", got)
	}
}

func TestFilesOfMachineThatIsOff(t *testing.T) {
	m := paperMachine(t)
	for _, dir := range []string{m.root(), m.local()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for path, real := range map[string]string{
		"/etc/x/y":                  "root/etc/x/y",
		"/usr/local/bin/a":          "local/bin/a",
		"/usr/local/../../etc/b":    "root/etc/b",
		"/../../outside":            "root/outside",
		"/usr/localized/not/in/it/": "root/usr/localized/not/in/it",
	} {
		if err := m.WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(m.dir(), real))
		if err != nil || string(data) != path {
			t.Errorf("%s: %q, %v", path, data, err)
		}
		if back, err := m.ReadFile(path); err != nil || string(back) != path {
			t.Errorf("read %s: %q, %v", path, back, err)
		}
	}
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(m.local(), "bin/a")
	running, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	if err := m.CopyIn(source, "/usr/local/bin/a", 0o755); err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 100)
	n, _ := running.Read(old)
	info, err := os.Stat(target)
	if err != nil || string(old[:n]) != "/usr/local/bin/a" || info.Mode() != 0o755 {
		t.Errorf("the open file reads %q, the new one is %v, %v", old[:n], info, err)
	}
	if _, err := m.HostPath("/run/x"); err == nil {
		t.Error("a machine that is off has a host path")
	}
}

func TestEnvFile(t *testing.T) {
	got := envFile(map[string]string{"B": "--x 'y'", "A": `a"b$c\d` + "`"})
	if want := `A="a\"b\$c\\d\` + "`\"\n" + `B="--x 'y'"` + "\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestExecError(t *testing.T) {
	err := error(&ExecError{Machine: "n1", Args: []string{"ls", "x"}, Code: 2, Stderr: "no such file\n"})
	if got := err.Error(); got != "n1: ls x: exit code 2: no such file" {
		t.Error(got)
	}
	if ExitCode(err) != 2 || ExitCode(nil) != 0 || ExitCode(ErrOff) != -1 {
		t.Error("exit codes")
	}
}

func TestUnescapeMount(t *testing.T) {
	if got := unescapeMount(`/a\040b\134c`); got != `/a b\c` {
		t.Error(got)
	}
}
