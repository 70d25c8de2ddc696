package cli

import (
	"strings"
	"testing"

	"fleettop/units"
)

// TestUnitsDontSteerTheTerminal starts a unit whose description tries to.
func TestUnitsDontSteerTheTerminal(t *testing.T) {
	s := newShell(t, 1)
	s.file("evil.service", "[Unit]\nDescription=a\x1b]0;b\tc\n[Service]\nExecStart=/bin/true\n")
	s.Break("evil.service", units.Status{Active: "failed", Sub: "failed"}, "its \x1b[2J program")
	s.fails(1, "its ^[[2J program", "start", "evil.service")
	for _, args := range [][]string{{"status", "evil"}, {"list-units", "--fields=unit,desc,error"},
		{"list-unit-files", "--fields=unit,desc"}, {"events"}} {
		if out := s.must(args...); strings.Contains(out, "\x1b") {
			t.Errorf("%s: %q", args, out)
		}
	}
	s.wants(s.must("list-units", "--fields=desc,unit"), "a^[]0;b    c  evil.service")
}

// TestDescriptionOfAnInstance: it is told as systemd does, with its specifiers replaced.
func TestDescriptionOfAnInstance(t *testing.T) {
	s := newShell(t, 1)
	s.file("web@.service", strings.Replace(service, "A test", "Web %i of %p", 1))
	s.file("host.service", strings.Replace(service, "A test", "On %H", 1))
	s.must("submit", "web@.service", "web@1.service", "host.service")
	if got, want := s.must("list-unit-files", "--no-legend",
		"--fields=unit,desc"),
		"host.service   On %H\nweb@.service   Web %i of %p\nweb@1.service  Web 1 of web\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
