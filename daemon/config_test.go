package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/keys"
	"fleettop/daemon/trust"
)

const someID = "0123456789abcdef0123456789abcdef"

func TestCompleteRefuses(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Config)
		says   string // and what to do
	}{
		{"machine-id too short", func(c *Config) { c.MachineID = "abc" }, "systemd-machine-id-setup"},
		{"unknown manager", func(c *Config) { c.Manager = "docker" }, "choose auto, systemd"},
		{"port out of range", func(c *Config) { c.Port = 65535 }, "from 1 to 65531"},
		{"address is a name", func(c *Config) { c.Address = "host.example" }, "give this machine's IP"},
		{"address is any", func(c *Config) { c.Address = "0.0.0.0" }, "give this machine's IP"},
		{"empty seed", func(c *Config) { c.Join = []string{""} }, "host or host:port"},
		{"seed is neither", func(c *Config) { c.Join = []string{"a:b:c"} }, "neither host nor host:port"},
		{"seed with a port that is none", func(c *Config) { c.Join = []string{"[::1]:abc"} }, "from 1 to 65535"},
		{"seed with port 0", func(c *Config) { c.Join = []string{"n1:0"} }, "from 1 to 65535"},
		{"seed without a host", func(c *Config) { c.Join = []string{":7370"} }, "names no host"},
		{"seed with a blank", func(c *Config) { c.Join = []string{"n1 n2"} }, "neither host nor host:port"},
		{"address with a zone", func(c *Config) { c.Address = "fe80::1%eth0" }, "without %"},
		{"address of one link", func(c *Config) { c.Address = "fe80::1" }, "unique local"},
		{"address of many", func(c *Config) { c.Address = "224.0.0.1" }, "own IP"},
		{"name with an escape sequence", func(c *Config) { c.Name = "n1\x1b[2J" }, "can't be shown"},
		{"name with a line feed", func(c *Config) { c.Name = "n1\nn2" }, "can't be shown"},
		{"name that turns text around", func(c *Config) { c.Name = "n1\u202e" }, "can't be shown"},
		{"metadata value with an escape sequence", func(c *Config) { c.Metadata = map[string]string{"a": "\x1b]0;x\a"} },
			"can't be shown"},
		{"metadata key that isn't UTF-8", func(c *Config) { c.Metadata = map[string]string{"a\xff": "b"} }, "can't be shown"},
		{"negative grace", func(c *Config) { c.DaemonGrace = -time.Second }, "can't be negative"},
		{"probe interval too short", func(c *Config) { c.ProbeInterval = time.Millisecond }, "from 50ms"},
		{"metadata key with a space", func(c *Config) { c.Metadata = map[string]string{"a b": "c"} }, "metadata"},
		{"SSH without keys", func(c *Config) { c.SSH.Listen = ":2222" }, "give both"},
		{"SSH keys for nothing", func(c *Config) { c.SSH.AuthorizedKeys = "/etc/keys" }, "give both"},
		{"SSH on no port", func(c *Config) { c.SSH = SSH{Listen: "2222", AuthorizedKeys: "/etc/keys"} }, "give :2222"},
		{"SSH on a port that isn't", func(c *Config) { c.SSH = SSH{Listen: ":ssh", AuthorizedKeys: "/etc/keys"} },
			"give :2222"},
		{"socket path too long", func(c *Config) { c.Socket = "/" + strings.Repeat("x", 120) }, "shorter --run-dir"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := Config{MachineID: someID, Name: "n1", Address: "127.0.0.1", Manager: ManagerProcess}
			c.change(&cfg)
			if err := cfg.Complete(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want something about %q", err, c.says)
			}
		})
	}
}

func TestCompleteFillsIn(t *testing.T) {
	cfg := Config{MachineID: someID, Name: "n1", Manager: ManagerSystemd, Join: []string{"10.0.0.1", "fd00::1",
		"[fd00::2]:99", "host:1"}}
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	want := "10.0.0.1:7370 [fd00::1]:7370 [fd00::2]:99 host:1"
	if got := strings.Join(cfg.Join, " "); got != want {
		t.Errorf("seeds are %s, want %s", got, want)
	}
	if cfg.Address == "" || cfg.Socket != DefaultSocket || cfg.KeyFile != keys.DefaultFile ||
		cfg.DaemonGrace != DefaultDaemonGrace {
		t.Errorf("not filled in: %+v", cfg)
	}
}

func TestFleetSocket(t *testing.T) {
	dir := t.TempDir()
	for path, says := range map[string]string{
		filepath.Join(dir, "fleet.sock"):         "",
		filepath.Join(dir, "fleettop.sock"):      "the place of another socket",
		filepath.Join(dir, "fleettop-view.sock"): "the place of another socket",
		"/" + strings.Repeat("x", 107):           "shorter --fleet-socket",
	} {
		cfg := Config{MachineID: someID, Name: "n1", Address: "127.0.0.1", Manager: ManagerSystemd, RunDir: dir,
			FleetSocket: path}
		err := cfg.Complete()
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
}

// TestUsersOwn: on the user's systemd all is in the user's directories.
func TestUsersOwn(t *testing.T) {
	for name, value := range map[string]string{"HOME": "/home/ann", "XDG_RUNTIME_DIR": "/run/user/7",
		"XDG_STATE_HOME": "", "XDG_CONFIG_HOME": ""} {
		t.Setenv(name, value)
	}
	user := Config{MachineID: someID, Name: "n1", Address: "127.0.0.1", Manager: ManagerSystemdUser}
	cfg := user
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	if cfg.StateDir != "/home/ann/.local/state/fleettop" || cfg.Socket != "/run/user/7/fleettop/fleettop.sock" ||
		cfg.KeyFile != "/home/ann/.config/fleettop/key" {
		t.Errorf("%+v", cfg)
	}
	if c, err := trust.Open(cfg.trust()); err != nil || c.Identity() != nil {
		t.Errorf("on loopback a key that nobody named is not needed: %v", err)
	}
	t.Setenv("XDG_STATE_HOME", "/srv/state")
	cfg = user
	cfg.KeyFile = "/srv/key"
	if err := cfg.Complete(); err != nil || cfg.StateDir != "/srv/state/fleettop" || cfg.KeyFile != "/srv/key" {
		t.Errorf("%+v, %v", cfg, err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	cfg = user
	if err := cfg.Complete(); err == nil || !strings.Contains(err.Error(), "set it to /run/user/UID") {
		t.Errorf("without a runtime directory: %v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	cfg = user
	cfg.Manager = ManagerAuto
	if err := cfg.Complete(); err != nil || cfg.Manager == ManagerAuto || os.Geteuid() == 0 &&
		cfg.Manager == ManagerSystemdUser {
		t.Errorf("auto is %s, %v", cfg.Manager, err)
	}
}

// An ordinary user of a machine without systemd has paths of their own, as on the
// user's systemd; without a runtime directory, a private one for temporary files.
func TestUsersOwnWithoutSystemd(t *testing.T) {
	tmp := t.TempDir()
	for name, value := range map[string]string{"HOME": "/home/ann", "XDG_RUNTIME_DIR": "", "XDG_STATE_HOME": "",
		"XDG_CONFIG_HOME": "", "TMPDIR": tmp} {
		t.Setenv(name, value)
	}
	own := Places{StateDir: "/home/ann/.local/state/fleettop", RunDir: filepath.Join(tmp, "fleettop-1000"),
		KeyFile: "/home/ann/.config/fleettop/key"}
	if got, err := placesOf(ManagerProcess, 1000); err != nil || got != own {
		t.Errorf("%+v, %v; expected %+v", got, err, own)
	}
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	t.Setenv("XDG_STATE_HOME", "/srv/state")
	own.RunDir, own.StateDir = "/run/user/1000/fleettop", "/srv/state/fleettop"
	if got, err := placesOf(ManagerProcess, 1000); err != nil || got != own {
		t.Errorf("%+v, %v; expected %+v", got, err, own)
	}
	machines := Places{DefaultStateDir, DefaultRunDir, keys.DefaultFile}
	for _, c := range []struct {
		manager ManagerKind
		uid     int
	}{{ManagerProcess, 0}, {ManagerSystemd, 0}, {ManagerSystemd, 1000}} {
		if got, err := placesOf(c.manager, c.uid); err != nil || got != machines {
			t.Errorf("%s of user %d: %+v, %v; expected the machine's", c.manager, c.uid, got, err)
		}
	}
}

// The directory among everyone's temporary files is this user's alone, or it isn't used.
func TestRunDirAmongTemporaryFiles(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("XDG_RUNTIME_DIR", "")
	dir := UserRunDir()
	for range 2 {
		if err := makeRunDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Lstat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("made as %v, %v", info, err)
	}
	for what, spoil := range map[string]func() error{
		"others can write to it": func() error { return os.Chmod(dir, 0o777) },
		"it is a link": func() error {
			return errors.Join(os.RemoveAll(dir), os.Symlink(t.TempDir(), dir))
		},
		"it is a file": func() error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := makeRunDir(dir); err == nil || !strings.Contains(err.Error(), "--run-dir") {
			t.Errorf("%s: %v", what, err)
		}
		_ = os.RemoveAll(dir)
		if err := makeRunDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 1000, 1000); err != nil {
			t.Fatal(err)
		}
		if err := makeRunDir(dir); err == nil || !strings.Contains(err.Error(), "--run-dir") {
			t.Errorf("another user's: %v", err)
		}
	}
}

func TestSSHListensWhereTheMachineIs(t *testing.T) {
	for listen, want := range map[string]string{":2222": "192.0.2.7:2222", "127.0.0.1:22": "127.0.0.1:22",
		"[fd00::1]:22": "[fd00::1]:22", "0.0.0.0:22": "0.0.0.0:22"} {
		cfg := Config{MachineID: someID, Name: "n1", Address: "192.0.2.7", Manager: ManagerProcess,
			SSH: SSH{Listen: listen, AuthorizedKeys: "/etc/keys"}}
		if err := cfg.Complete(); err != nil || cfg.SSH.Listen != want {
			t.Errorf("%s: %s, %v; want %s", listen, cfg.SSH.Listen, err, want)
		}
	}
}

func TestLockDirRefusesTheSecond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	release, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); err == nil || !strings.Contains(err.Error(), "another daemon works in") {
		t.Errorf("the second lock: %v", err)
	}
	release()
	release, err = lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
