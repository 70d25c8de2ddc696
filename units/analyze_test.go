package units

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSystemdAgrees has systemd-analyze read what is accepted and refused here.
// What is accepted must load, be it with a warning, and of what is refused
// systemd must say something, too.
func TestSystemdAgrees(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	for _, tt := range acceptable {
		t.Run(tt.name, func(t *testing.T) {
			for _, said := range complaints(t, analyze, tt.unit, tt.content) {
				if !strings.Contains(said, "gnoring") {
					t.Errorf("accepted, and systemd says %q of\n%s", said, tt.content)
				}
			}
		})
	}
	for _, tt := range refusable {
		if strings.Contains(tt.content, "leet]\n") {
			continue // refused by fleet's rules
		}
		t.Run(tt.name, func(t *testing.T) {
			if complaints(t, analyze, tt.unit, tt.content) == nil {
				t.Errorf("refused (%s), and systemd takes\n%s", tt.want, tt.content)
			}
		})
	}
}

// TestSystemdRefusesForeignBlanks puts each blank that is refused where it
// would matter most, into a command and around a name.
func TestSystemdRefusesForeignBlanks(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	for _, blank := range []string{"\u00a0", "\u0085", "\u2003", "\u3000", "\f", "\v"} {
		for _, content := range []string{
			"[Service]\nExecStart=_/bin/a\n", "[Service]\n_ExecStart=/bin/a\n", "[Service]\nExecStart_=/bin/a\n",
			"[Service]\nType=simple_\nExecStart=/bin/a\n", "[Service]\nExecStart=\\\n_/bin/a\n", "[Service]\nExecStart=/bin/a\n_\n",
			"[Service]\nExecStart=/bin/a \\_\n b\n", "[Service]_\nExecStart=/bin/a\n", "[Service]\nExecStart=/bin/a\n_#c\n",
		} {
			content = strings.ReplaceAll(content, "_", blank)
			if _, err := ParseFile(content); err == nil {
				t.Errorf("accepted: %q", content)
			}
			if complaints(t, analyze, "web.service", content) == nil {
				t.Errorf("systemd takes %q", content)
			}
		}
	}
}

// aboutTheFile finds the complaints that are about the file's text; programs
// and units that aren't on this machine don't matter.
var aboutTheFile = regexp.MustCompile(`(?m)^.*(:[0-9]+: |bad unit file setting|fatal error|Refusing).*$`)

func complaints(t *testing.T, analyze, name, content string) []string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Skipf("systemd-analyze verify can't be run here: %v", err)
	}
	return aboutTheFile.FindAllString(string(out), -1)
}
