//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/units"
)

// TestHostileUnits gives a machine that runs units as child processes what
// stopped such a daemon for good, and then takes its records from it.
func TestHostileUnits(t *testing.T) {
	f := newFleet(t, 1, setup{options: func(*lab.Machine) string { return "--manager=process" }, unwatched: true})
	m := f.machines[0]
	f.on(m, "mkfifo", "/opt/fifo")
	f.on(m, "mknod", "-m", "666", "/opt/zero", "c", "1", "5")
	long := strings.Repeat("l", units.MaxNameLength-len(".service"))
	f.start(m, map[string]string{
		"good.service":    "[Service]\nExecStart=/bin/sh -c \\\n  'echo up; \\\n   exec sleep 4242'\n",
		long + ".service": "[Service]\nExecStart=/bin/sh -c 'echo long; exec sleep 1000'\n",
	})
	pid := func() string { return f.on(m, "pgrep", "-x", "-f", "sleep 4242") }
	first := pid()

	// What systemd would refuse is refused, with advice.
	files := f.write(m, map[string]string{
		"date.service":      "[Service]\nExecStart=/bin/sh -c 'date +\"%F %T\"'\n",
		"pasted.service":    "[Service]\nExecStart=/bin/sleep \\\n\u00a0 100\n",
		long + "l.service":  "[Service]\nExecStart=/bin/sleep 100\n",
		"fine-date.service": "[Service]\nExecStart=/bin/sh -c 'date +\"%%F %%T\"; exec sleep 1000'\n",
	})
	_, said := f.refusal(m, append([]string{"submit"}, files...)...)
	for _, want := range []string{"write %%F", "no-break space (U+00A0)", "shorten it to at most 240"} {
		if !strings.Contains(said, want) {
			t.Errorf("submit doesn't say %q:\n%s", want, said)
		}
	}
	if _, said := f.refusal(m, "submit", "/opt/fifo"); !strings.Contains(said, "it is a FIFO") {
		t.Errorf("submit of a FIFO says:\n%s", said)
	}

	// What units name is not waited for, not read without an end, and not deleted.
	const noProcess = "names no process of the unit"
	for name, c := range map[string]struct{ lines, says string }{
		"env-fifo.service":  {"EnvironmentFile=/opt/fifo\nExecStart=/bin/sleep 1000", "it is a FIFO"},
		"env-zero.service":  {"EnvironmentFile=/opt/zero\nExecStart=/bin/sleep 1000", "it is a device"},
		"pid-fifo.service":  {"Type=forking\nPIDFile=/opt/fifo\nExecStart=/bin/true", noProcess},
		"pid-zero.service":  {"Type=forking\nPIDFile=/opt/zero\nExecStart=/bin/true", noProcess},
		"pid-other.service": {"Type=forking\nPIDFile=/etc/fleettop/key\nExecStart=/bin/true", noProcess},
	} {
		path := f.write(m, map[string]string{name: "[Service]\n" + c.lines + "\n"})[0]
		if _, said := f.refusal(m, "start", path); !strings.Contains(said, c.says) {
			t.Errorf("start %s doesn't say %q:\n%s", name, c.says, said)
		}
	}
	f.on(m, "ls", "/opt/fifo", "/opt/zero", "/etc/fleettop/key")
	f.eventually("the long name's log", soon, func() error {
		if out := f.verb(m, "journal", long+".service"); !strings.Contains(out, "long") {
			return fmt.Errorf("it has %q", out)
		}
		return nil
	})

	// The daemon ends in time, and finds what runs when it is back.
	starts := 0
	back := func(what string) {
		t.Helper()
		// When another unit was started, the agent has been through all of them.
		starts++
		f.start(m, map[string]string{fmt.Sprintf("probe%d.service", starts): "[Service]\nExecStart=/bin/sleep 1000\n"})
		f.eventually("good.service to be found "+what, soon, func() error {
			out, said, err := f.try(m, "list-units", "--no-legend", "--fields", "unit,active", "good.service")
			if err != nil || !strings.Contains(out, "good.service  active") {
				return fmt.Errorf("%v: %s%s", err, out, said)
			}
			return nil
		})
		if now := pid(); now != first {
			t.Errorf("%s good.service has the process %q, and had %s", what, now, first)
		}
	}
	began := time.Now()
	f.on(m, "systemctl", "restart", lab.UnitName)
	t.Logf("the daemon was restarted in %.1f s", time.Since(began).Seconds())
	if result := f.on(m, "journalctl", "--no-pager", "--output=cat", "--unit="+lab.UnitName); strings.Contains(result,
		"timed out") {
		t.Errorf("the daemon had to be killed:\n%s", result)
	}
	back("after a restart")
	for _, gone := range []string{"/run/fleettop/process/state/good.service", "/run/fleettop/process/units/good.service",
		"/run/fleettop/process", "/run/fleettop"} {
		f.on(m, "systemctl", "stop", lab.UnitName)
		f.on(m, "rm", "-r", gone)
		f.on(m, "systemctl", "reset-failed") // what is tested isn't systemd's limit of starts
		f.must(m.StartFleettop(f.ctx))
		back("without " + gone)
	}
	f.verb(m, "stop", "good.service")
	f.eventually("its process to end", soon, func() error {
		if out, err := m.Exec(f.ctx, "pgrep", "-x", "-f", "sleep 4242"); err == nil {
			return fmt.Errorf("process %s lives", out)
		}
		return nil
	})
}
