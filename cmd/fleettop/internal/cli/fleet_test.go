package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// bare runs a command line that names no endpoint.
func bare(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// TestFleetClient has, under their names, the cases of fleet's functional
// tests of its client.
func TestFleetClient(t *testing.T) {
	t.Run("KnownHostsVerification", func(t *testing.T) {
		s := newShell(t, 1)
		m := newFarMachine(t, s.Endpoint)
		through := func() (int, string) {
			code, _, errOut := bare(t, "-H", "ssh://far", "list-machines")
			return code, errOut
		}
		if code, errOut := through(); code != 0 {
			t.Fatalf("to a host that is known: %d\n%s", code, errOut)
		}
		known := filepath.Join(m.dir, "known_hosts")
		line, err := os.ReadFile(known)
		if err != nil {
			t.Fatal(err)
		}
		host, _, _ := strings.Cut(string(line), " ")
		key, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		stranger, err := ssh.NewPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for what, content := range map[string]string{"another": host + " " + string(ssh.MarshalAuthorizedKey(stranger)), "no": ""} {
			m.cut()
			if err := os.WriteFile(known, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, errOut := through(); code != exitFailed || !strings.Contains(errOut, "Host key verification failed") {
				t.Errorf("to a host of which %s key is known: %d\n%s", what, code, errOut)
			}
		}
	})
	t.Run("FleetctlWithEnv", func(t *testing.T) {
		s := newShell(t, 3)
		t.Setenv("FLEETTOP_ENDPOINT", s.Endpoint)
		code, out, errOut := bare(t, "list-machines", "--no-legend")
		if code != 0 || strings.Count(out, "\n") != 3 {
			t.Errorf("%d\n%s%s", code, out, errOut)
		}
	})
	t.Run("ClientVersionFlag", func(t *testing.T) {
		_, flag, _ := bare(t, "--version")
		_, verb, _ := bare(t, "version")
		if !strings.HasPrefix(flag, "fleettop version ") || !strings.HasPrefix(verb, flag) {
			t.Errorf("--version says %q, version %q", flag, verb)
		}
	})
	for name, forms := range map[string][][]string{"ClientHelpFlag": {{"--help"}, {"-h"}, {"help"}},
		"ClientVersionHelpOutput": {{"version", "--help"}, {"version", "-h"}, {"help", "version"}}} {
		t.Run(name, func(t *testing.T) {
			_, first, _ := bare(t, forms[0]...)
			if !strings.Contains(first, "Usage:") {
				t.Errorf("%v says\n%s", forms[0], first)
			}
			for _, args := range forms[1:] {
				if code, out, errOut := bare(t, args...); code != 0 || out != first {
					t.Errorf("%v: %d, other than %v:\n%s%s", args, code, forms[0], out, errOut)
				}
			}
		})
	}
	t.Run("TunnelScheduleBatchUnits", func(t *testing.T) {
		s := newShell(t, 3)
		newFarMachine(t, s.Endpoint)
		args := []string{"-H", "ssh://far", "start"}
		for i := range 9 {
			name := fmt.Sprintf("hello-%d.service", i)
			s.file(name, service)
			args = append(args, name)
		}
		if code, out, errOut := bare(t, args...); code != 0 || strings.Count(out, " launched on ") != 9 {
			t.Fatalf("%d\n%s%s", code, out, errOut)
		}
		if out := s.must("list-units", "--no-legend", "--fields=machine"); strings.Count(out, "198.18.1.1") != 3 ||
			strings.Count(out, "198.18.1.2") != 3 || strings.Count(out, "198.18.1.3") != 3 {
			t.Errorf("nine units are not three on each of three machines:\n%s", out)
		}
	})
}

// TestFleetUnits has, under their names, the cases of fleet's functional tests
// of a unit's life, but for those that need systemd.
func TestFleetUnits(t *testing.T) {
	// states are those of hello.service, as list-unit-files has them.
	states := func(s *shell) string {
		return strings.Join(strings.Fields(s.must("list-unit-files", "--no-legend", "--fields=dstate,state", "hello.service")), " ")
	}
	const changed = "[Unit]\nDescription=Changed\n[Service]\nExecStart=/bin/true\n"
	for _, verb := range []struct{ test, replace, verb, states string }{
		{"UnitSubmit", "UnitSubmitReplace", "submit", "inactive inactive"},
		{"UnitLoad", "UnitLoadReplace", "load", "loaded loaded"},
		{"UnitStart", "UnitStartReplace", "start", "launched launched"},
	} {
		t.Run(verb.test, func(t *testing.T) {
			s := newShell(t, 1)
			s.file("hello.service", service)
			abs, err := filepath.Abs("hello.service")
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"hello.service", "./hello.service", abs} {
				for range 2 { // the second time there is nothing to do
					s.must(verb.verb, path)
					if got := states(s); got != verb.states {
						t.Errorf("%s %s: %s, want %s", verb.verb, path, got, verb.states)
					}
				}
				s.must("destroy", "hello.service")
				if left := s.must("list-unit-files", "--no-legend"); left != "" {
					t.Errorf("destroyed, there is\n%s", left)
				}
			}
		})
		t.Run(verb.replace, func(t *testing.T) {
			s := newShell(t, 1)
			s.file("hello.service", service)
			s.must(verb.verb, "./hello.service")
			s.file("hello.service", changed)
			s.fails(1, "--replace", verb.verb, "./hello.service")
			for range 2 {
				s.must(verb.verb, "--replace", "./hello.service")
				if got := states(s); got != verb.states {
					t.Errorf("replaced: %s, want %s", got, verb.states)
				}
				if cat := s.must("cat", "hello.service"); cat != changed {
					t.Errorf("replaced, it has\n%s", cat)
				}
			}
		})
	}
	t.Run("SystemdUnitFlow", func(t *testing.T) {
		s := newShell(t, 1)
		s.file("hello.service", service)
		for _, step := range []struct{ verb, states, systemd string }{
			{"submit", "inactive inactive", ""},
			{"load", "loaded loaded", "loaded inactive dead"},
			{"start", "launched launched", "loaded active running"},
			{"stop", "loaded loaded", "loaded inactive dead"},
			{"start", "launched launched", "loaded active running"},
			{"unload", "inactive inactive", ""},
			{"start", "launched launched", "loaded active running"},
			{"destroy", "", ""},
		} {
			s.must(step.verb, "hello.service")
			if step.verb != "destroy" && states(s) != step.states {
				t.Errorf("%s: %s, want %s", step.verb, states(s), step.states)
			}
			if got := strings.Join(strings.Fields(s.must("list-units", "--no-legend", "--fields=load,active,sub")), " "); got != step.systemd {
				t.Errorf("%s: systemd has %q, want %q", step.verb, got, step.systemd)
			}
		}
	})
	t.Run("UnitRunnable", func(t *testing.T) {
		s := newShell(t, 1)
		s.file("hello.service", service)
		s.must("start", "hello.service")
		s.wants(s.must("list-units", "--no-legend"), "hello.service", "active", "running")
	})
	t.Run("UnitRestart", func(t *testing.T) {
		s := newShell(t, 1)
		s.file("hello.service", service)
		s.fails(1, "hello.service not found", "restart", "hello.service")
		s.must("start", "hello.service")
		s.wants(s.must("restart", "hello.service"), "Unit hello.service restarted on ")
		if got := states(s); got != "launched launched" {
			t.Errorf("restarted: %s", got)
		}
	})
	t.Run("UnitCat", func(t *testing.T) {
		s := newShell(t, 1)
		s.file("hello.service", service)
		s.fails(1, "hello.service not found", "cat", "hello.service")
		s.must("submit", "hello.service")
		if cat := s.must("cat", "hello.service"); cat != service {
			t.Errorf("it is\n%s", cat)
		}
	})
	t.Run("UnitStatus", func(t *testing.T) {
		s := newShell(t, 1)
		s.file("hello.service", service)
		s.fails(1, "hello.service not found", "status", "hello.service")
		s.must("submit", "hello.service")
		s.wants(s.must("status", "hello.service"), "hello.service - A test")
		s.must("start", "hello.service")
		s.wants(s.must("status", "hello.service"), "hello.service - A test", "active (running)", "198.18.1.1")
	})
	t.Run("UnitSSHActions", func(t *testing.T) {
		s := newShell(t, 3)
		fakeSSH(t)
		s.file("hello.service", service)
		s.must("start", "hello.service")
		home := strings.SplitN(machineOf(s, "hello.service"), "/", 2)[1]
		if out := s.must("ssh", "hello.service", "uptime"); strings.Join(strings.Fields(out), " ") != "-- "+home+" uptime" {
			t.Errorf("ssh goes to %q, want %s", out, home)
		}
		s.wants(s.must("status", "hello.service"), home) // without any SSH
	})
	t.Run("ListUnitFilesOrder", func(t *testing.T) {
		s := newShell(t, 1)
		s.file("hello@.service", service)
		s.must("submit", "hello@.service")
		args, want := []string{"start"}, []string{"hello@.service"}
		for i := range 20 {
			name := fmt.Sprintf("hello@%d.service", 20-i)
			args, want = append(args, name), append(want, name)
		}
		s.must(args...)
		slices.Sort(want)
		if got := strings.Fields(s.must("list-unit-files", "--no-legend", "--fields=unit")); !slices.Equal(got, want) {
			t.Errorf("in the order %v, want %v", got, want)
		}
	})
}
