package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/tui/tuitest"
)

const nowhere = "--endpoint=unix:///nowhere/fleettop.sock"

// ends waits for a program on a terminal, and returns its exit code.
func ends(t *testing.T, p person) int {
	t.Helper()
	err := p.Close(30 * time.Second)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// TestTheConsoleEndsWithItsTerminal: no signal tells of it, as the terminal
// isn't the one that controls the console's session.
func TestTheConsoleEndsWithItsTerminal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command("setsid", "--wait", "sh", "-c", `echo $$ >`+file+`; exec "$0" `+nowhere, self)
	cmd.Env = append(os.Environ(), actAsFleettop+"=1", "HOME="+t.TempDir(), "TERM=xterm-256color", "LANG=C.UTF-8")
	pty, err := tuitest.StartPty(cmd, 80, 24)
	if err != nil {
		t.Fatal(err)
	}
	p := person{t, pty}
	p.sees("No daemon at") // and it has nothing more to write
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	p.HangUp()
	deadline := time.Now().Add(20 * time.Second)
	for syscall.Kill(pid, 0) == nil {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the console is left behind without a terminal")
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = p.Close(10 * time.Second)
}

// editorScript notes which of its descriptors are no terminal, shows something,
// reads a line, and adds to the file.
const editorScript = `#!/bin/sh
for f in 0 1 2; do test -t $f || echo "descriptor $f is no terminal" >>"$NOTES"; done
echo THE EDITOR
read line
echo "read $line" >>"$NOTES"
echo "# $line" >>"$1"
cat "$1" >>"$NOTES"
echo LEAVES >&2
`

// TestTheEditorHasTheTerminal writes a new unit, which no daemon takes: the
// text is kept, and no file of it.
func TestTheEditorHasTheTerminal(t *testing.T) {
	dir := t.TempDir()
	editor, notes := filepath.Join(dir, "editor"), filepath.Join(dir, "notes")
	if err := os.WriteFile(editor, []byte(editorScript), 0o700); err != nil {
		t.Fatal(err)
	}
	p := person{t, onTerminalWith(t, 100, 30, []string{"EDITOR=" + editor, "NOTES=" + notes, "TMPDIR=" + dir}, nowhere)}
	p.sees("No daemon at")
	edit := func(line string) {
		p.types("2")
		p.sees("Waiting for the daemon")
		p.types("n")
		p.sees("submit file, or name of a new unit:")
		p.types("web.service\r")
		p.sees("THE EDITOR")
		if cooked, err := p.Cooked(); err != nil || !cooked {
			t.Errorf("the editor's terminal is raw (%v)", err)
		}
		p.types(line + "\n")
		p.sees("It is new")
		p.types("y")
		p.sees("Your text is kept")
	}
	edit("once")
	edit("twice") // and goes on with the text
	p.types("q")
	if code := ends(t, p); code != 0 {
		t.Errorf("it ends with %d", code)
	}
	cleanTerminal(t, p.Pty)
	raw, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	said := string(raw)
	if strings.Contains(said, "no terminal") || !strings.Contains(said, "read once\n") || !strings.Contains(said,
		"read twice\n") {
		t.Errorf("the editor notes %q", said)
	}
	if _, second, _ := strings.Cut(said, "read twice\n"); !strings.Contains(second, "# once\n# twice\n") {
		t.Errorf("the second time it has %q", second)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "fleettop-edit-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestAnInterruptIsTheEditors: ctrl-c in an editor doesn't end the console.
func TestAnInterruptIsTheEditors(t *testing.T) {
	dir := t.TempDir()
	editor := filepath.Join(dir, "editor")
	if err := os.WriteFile(editor,
		[]byte("#!/bin/sh\ntrap 'echo CAUGHT' INT\necho THE EDITOR\nread line || read line\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := person{t, onTerminalWith(t, 100, 30, []string{"EDITOR=" + editor, "TMPDIR=" + dir}, nowhere)}
	p.sees("No daemon at")
	p.types("2n")
	p.sees("submit file, or name of a new unit:")
	p.types("web.service\r")
	p.sees("THE EDITOR")
	p.types("\x03")
	p.sees("CAUGHT")
	p.types("\n")
	p.sees("Nothing was changed")
	p.types("q")
	if code := ends(t, p); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}

func TestTerminalsGetWhatTheyCanShow(t *testing.T) {
	ascii := func(p person) {
		for _, r := range p.String() {
			if r > 0x7e {
				p.t.Fatalf("it shows %q:\n%s", r, p.String())
			}
		}
	}
	for _, env := range []string{"LANG=C", "LANG=", "LC_ALL=de_DE.ISO-8859-1", "LC_CTYPE=en_US.ISO8859-15",
		"LC_ALL=POSIX"} {
		t.Run(env, func(t *testing.T) {
			p := person{t, onTerminalWith(t, 80, 24, []string{env}, nowhere)}
			p.sees("No daemon at")
			p.types("6")
			p.sees("more below")
			ascii(p)
			p.types("q")
			ends(t, p)
		})
	}
	t.Run("TERM=dumb", func(t *testing.T) {
		p := person{t, onTerminalWith(t, 80, 24, []string{"TERM=dumb"}, nowhere)}
		p.sees("TERM=dumb says that this terminal can't move its cursor")
		if code := ends(t, p); code != exitUsage {
			t.Errorf("it ends with %d", code)
		}
		if seqs := p.Others(); len(seqs) > 0 {
			t.Errorf("it sends %q", seqs)
		}
	})
	t.Run("TERM=screen", func(t *testing.T) {
		p := person{t, onTerminalWith(t, 80, 24, []string{"TERM=screen", "COLORTERM=truecolor"}, nowhere)}
		p.sees("No daemon at")
		looks := map[string]bool{}
		for _, row := range p.Cells() {
			for _, c := range row {
				looks[c.Look] = true
			}
		}
		coloured := false
		for look := range looks {
			if strings.Contains(look, "38;") || strings.Contains(look, "48;") || strings.Contains(look, ";9") ||
				strings.Contains(look, "[9") || strings.Contains(look, ";10") {
				t.Errorf("it has more than eight colours: %q", look)
			}
			coloured = coloured || strings.Contains(look, ";34") || strings.Contains(look, "[34")
		}
		if !coloured {
			t.Errorf("it has no colours: %v", looks)
		}
		p.types("q")
		ends(t, p)
	})
}

// TestFaultsOfTheConfigurationAreWarnings: the console opens all the same.
func TestFaultsOfTheConfigurationAreWarnings(t *testing.T) {
	for text, want := range map[string]string{
		"colours = 1":                 "no setting \"colours\"",
		"[keys":                       "config.toml",
		"[keys]\nstop = [\"crtl+x\"]": "\"crtl+x\"",
		"[keys]\nstopp = [\"f8\"]":    "no action \"stopp\"",
		"[colors]\ngood = \"grean\"":  "\"grean\" is no colour",
		"theme = \"none\"":            "the theme that",
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "fleettop"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "fleettop", "config.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := person{t, onTerminalWith(t, 120, 30, []string{"XDG_CONFIG_HOME=" + dir}, nowhere)}
		p.sees("1 overview")
		p.sees(want)
		p.types("q")
		if code := ends(t, p); code != 0 {
			t.Errorf("%s: it ends with %d", text, code)
		}
	}
}
