//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestFilesThatStopSystemd: a unit that names a FIFO where systemd reads a file is refused,
// as opening it would stop the machine's PID 1 for good.
func TestFilesThatStopSystemd(t *testing.T) {
	f := newFleet(t, 1, setup{})
	m := f.machines[0]
	f.on(m, "mkfifo", "/opt/fifo")
	for name, lines := range map[string]string{
		"env-fifo.service": "EnvironmentFile=-/opt/fif*\nExecStart=/bin/sleep 1000",
		"pid-fifo.service": "Type=forking\nPIDFile=/opt/fifo\nExecStart=/bin/sh -c 'sleep 1000 & exit 0'",
	} {
		path := f.write(m, map[string]string{name: "[Service]\n" + lines + "\n"})[0]
		for _, args := range [][]string{{"start", path}, {"restart", name}} {
			if _, said := f.refusal(m, args...); !strings.Contains(said,
				"/opt/fifo: it is a FIFO, and this machine's systemd would wait") {
				t.Errorf("%s: %s says:\n%s", name, args[0], said)
			}
			f.eventually(name+" to be shown as failed", soon, func() error { return f.listed(m, name, "failed") })
		}
	}
	f.on(m, "systemctl", "daemon-reload") // PID 1 answers
	f.start(m, map[string]string{"good.service": "[Service]\nEnvironmentFile=-/dev/null\nExecStart=/bin/sleep 1000\n"})
}
