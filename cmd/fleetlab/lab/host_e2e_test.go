//go:build e2e

package lab

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestForeignMounts: a lab can be booted and taken down after another program
// mounted over /run/netns, as `ip netns add` does. It runs in a mount namespace
// of its own, which a second process of this test makes.
func TestForeignMounts(t *testing.T) {
	if os.Getenv("FLEETLAB_OWN_MOUNTS") == "" {
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", os.Args[0], "-test.run=^TestForeignMounts$",
			"-test.v")
		cmd.Env = append(os.Environ(), "FLEETLAB_OWN_MOUNTS=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("in a mount namespace of its own: %v\n%s", err, out)
		}
		return
	}
	const home = "/run/netns"
	must(t, os.MkdirAll(home, 0o755))
	l, ctx := newLab(t, "testmounts", 2)
	must(t, unix.Mount(home, home, "", unix.MS_BIND|unix.MS_REC, ""))
	m := l.Machines()[0]
	_, err := m.Kill()
	must(t, err)
	must(t, m.Boot(ctx))
	must(t, m.WaitBooted(ctx))
	echoServer(t, ctx, m)
	answers(t, ctx, l, m)
}

// TestClockIsTheHosts: a machine shares the host's clock, so it must not set it.
func TestClockIsTheHosts(t *testing.T) {
	l, ctx := newLab(t, "testclock", 1)
	for _, by := range [][]string{nil, {"systemd-run", "--wait", "--pipe", "--quiet"}} {
		// To what it is already, should it work.
		out, err := l.Machines()[0].Exec(ctx, append(by, "date", "--set", "now")...)
		if err == nil || !strings.Contains(out+err.Error(), "not permitted") {
			t.Errorf("%q date --set: %q, %v; expected that it isn't permitted", by, out, err)
		}
	}
}
