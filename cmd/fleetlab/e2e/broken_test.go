//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestBrokenUnits starts units that can't work among good ones: only they
// show an error, each its own, and the good ones start.
func TestBrokenUnits(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1 := f.machines[0]
	files := sleepers("good1.service", "good2.service", "good3.service")
	files["nothere.service"] = "[Service]\nType=exec\nExecStart=/opt/is-not-there\n"
	files["fails.service"] = "[Service]\nType=oneshot\nExecStart=/bin/false\n"
	// Only systemd itself knows that this path leads nowhere at load.
	files["badsetting.service"] = "[Service]\nType=dbus\nBusName=not a bus name\nExecStart=/bin/sleep infinity\n"
	files["hangs.service"] = "[Service]\nType=notify\nTimeoutStartSec=2\nExecStart=/bin/sleep infinity\n"
	code, said := f.refusal(n1, append([]string{"start"}, f.write(n1, files)...)...)
	t.Logf("exit code %d\n%s", code, said)
	for name := range files {
		good := strings.HasPrefix(name, "good")
		if launched := strings.Contains(said, "Unit "+name+" launched on"); launched != good {
			t.Errorf("%s: launched is %v", name, launched)
		}
	}
	for _, unit := range []string{"good1.service", "good2.service", "good3.service"} {
		f.home(unit)
	}
	list := f.verb(n1, "list-units", "--no-legend", "--fields", "unit,load,active,error")
	t.Logf("\n%s", list)
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		fine := fields[2] == "active" && fields[3] == "-"
		if good := strings.HasPrefix(line, "good"); good != fine {
			t.Errorf("%s", line)
		}
	}
	before := f.procs.snapshot()
	// Nobody is held up by them: mended, they run.
	f.write(n1, map[string]string{"nothere.service": sleeper(), "badsetting.service": sleeper()})
	f.verb(n1, "start", "--replace", "/root/nothere.service", "/root/badsetting.service")
	f.home("nothere.service")
	f.home("badsetting.service")
	f.verb(n1, "destroy", "fails.service", "hangs.service")
	if out := f.verb(n1, "list-unit-files", "--no-legend"); strings.Count(out, "launched  launched") != 5 {
		t.Errorf("after mending:\n%s", out)
	}
	for p := range before {
		if !strings.HasPrefix(p.unit, "good") {
			delete(before, p)
		}
	}
	f.procs.unchanged(t, before)
}
