package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/tui/tuitest"
)

// onTerminal starts fleettop on a terminal of its own.
func onTerminal(t *testing.T, width, height int, args ...string) *tuitest.Pty {
	t.Helper()
	return onTerminalWith(t, width, height, nil, args...)
}

// onTerminalWith is onTerminal with more in the environment.
func onTerminalWith(t *testing.T, width, height int, env []string, args ...string) *tuitest.Pty {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Short, as sockets have their place in it.
	tmp, err := os.MkdirTemp("", "ft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), actAsFleettop+"=1", "TMPDIR="+tmp, "HOME="+tmp, "XDG_CONFIG_HOME=", "XDG_STATE_HOME="+t.TempDir(),
		"TERM=xterm-256color", "COLORTERM=", "LC_ALL=", "LC_CTYPE=", "LANG=C.UTF-8", "TMUX=", "STY=", "EDITOR=true",
		"VISUAL=")
	cmd.Env = append(cmd.Env, env...)
	p, err := tuitest.StartPty(cmd, width, height)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.Cmd.ProcessState == nil {
			_ = p.Cmd.Process.Signal(syscall.SIGTERM)
			_ = p.Close(30 * time.Second)
		}
		if left := leftovers(tmp); t.Failed() && len(left) > 0 {
			t.Logf("left behind: %q", left)
		}
	})
	return p
}

type person struct {
	t *testing.T
	*tuitest.Pty
}

func (p person) sees(text string) {
	p.t.Helper()
	if err := p.Await(text, time.Minute); err != nil {
		p.t.Fatal(err)
	}
}

func (p person) types(keys string) {
	p.t.Helper()
	if err := p.Type(keys); err != nil {
		p.t.Fatal(err)
	}
}

func (p person) seesMatch(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	err := p.AwaitThat(pattern, time.Minute, func(screen string) bool {
		found = re.FindStringSubmatch(screen)
		return found != nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// TestConsoleOnTheDemo drives the demo with real keys.
func TestConsoleOnTheDemo(t *testing.T) {
	p := person{t, onTerminal(t, 120, 40, "demo")}
	p.sees("any one machine may die")
	p.sees("3 active")
	// What it says of other terminals is true.
	reach := p.seesMatch(`FLEETTOP_ENDPOINT=(unix:\S+\.sock)\s+(\S+)`)
	other := exec.Command(p.Cmd.Path, "list-units")
	other.Env = append(os.Environ(), actAsFleettop+"=1", "FLEETTOP_ENDPOINT="+reach[1])
	if out, err := other.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("someapp.service")) {
		t.Errorf("from another terminal: %v\n%s", err, out)
	}

	p.types("2") // stop one, and start it again
	p.sees("SINCE")
	p.types("/someapp\r")
	p.sees("filter someapp")
	p.types("x")
	p.sees("Stop 1 unit?")
	p.types("\x1b[D\r")
	p.seesMatch(`someapp\.service +○ loaded`)
	p.types("s")
	p.seesMatch(`someapp\.service +● running`)
	p.types("\x1b")
	p.sees("anotherapp.service")

	// A machine dies; the row says where the unit goes, and how long it was away.
	victim := p.seesMatch(`myapp\.service +● running +(n\d)`)[1]
	p.types(":power-off " + victim + "\r")
	p.seesMatch(`myapp\.service .*` + victim + ` → n\d`)
	outage := p.seesMatch(`myapp\.service +● running +` + victim + ` → (n\d) (\d+\.\d\ds)`)
	t.Logf("outage %s", outage[2])
	p.types("1")
	p.sees("2/3 machines up")
	p.sees("✖ failed")
	p.sees(victim + " failed · ")
	p.sees("worst outage")
	p.types("4")
	p.seesMatch(`\+\d\.\d\ds . myapp\.service is active on ` + outage[1])

	p.types(":power-on " + victim + "\r")
	p.sees("3/3 machines up")

	p.types("2")
	p.sees("SINCE")
	p.types("/anotherapp\r")
	p.sees("1 unit ")
	p.types("D")
	p.sees("Destroy 1 unit?")
	p.sees("anotherapp.service")
	p.types("y")
	p.sees("No unit matches anotherapp")
	p.types("\x1b")
	p.types("q")
	if err := p.Close(30 * time.Second); err != nil {
		t.Errorf("the demo ends with %v", err)
	}
	cleanTerminal(t, p.Pty)
}

// cleanTerminal checks that a terminal was left as it was found.
func cleanTerminal(t *testing.T, p *tuitest.Pty) {
	t.Helper()
	on := map[string]bool{}
	for _, seq := range p.Others() {
		if mode, ok := strings.CutPrefix(seq, "\x1b[?"); ok {
			on[mode[:len(mode)-1]] = mode[len(mode)-1] == 'h'
		}
	}
	for mode, set := range on {
		if set != (mode == "25") {
			t.Errorf("mode %s is left on=%v", mode, set)
		}
	}
}

func TestSignalsLeaveTheTerminalClean(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			p := person{t, onTerminal(t, 80, 24, "--endpoint=unix:///nowhere/fleettop.sock")}
			p.sees("No daemon at unix:///nowhere/fleettop.sock: no such file")
			if err := p.Cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			var ended *exec.ExitError
			if err := p.Close(20 * time.Second); !errors.As(err, &ended) || ended.ExitCode() != 128+int(sig) {
				t.Errorf("it ended with %v", err)
			}
			cleanTerminal(t, p.Pty)
			if len(p.Others()) == 0 {
				t.Error("the console was never there")
			}
			if left := strings.TrimSpace(p.String()); left != "" {
				t.Errorf("it leaves a message:\n%s", left)
			}
		})
	}
}

func TestResize(t *testing.T) {
	p := person{t, onTerminal(t, 120, 40, "--endpoint=unix:///nowhere/fleettop.sock", "--read-only")}
	p.sees("1 overview")
	if err := p.Resize(60, 20); err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Process.Signal(syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	// The footer is on the last line there is.
	if err := p.AwaitThat("a footer in line 20", 10*time.Second, func(screen string) bool {
		return strings.Contains(strings.Split(screen, "\n")[19], "enter open")
	}); err != nil {
		t.Fatal(err)
	}
	p.types("q")
	if err := p.Close(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestSuspend(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `set -m; "$0" --endpoint=unix:///nowhere/fleettop.sock; echo the shell; read line; fg`, self)
	cmd.Env = append(os.Environ(), actAsFleettop+"=1", "HOME="+t.TempDir(), "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "TERM=xterm-256color",
		"LC_ALL=", "LC_CTYPE=", "LANG=C.UTF-8")
	pty, err := tuitest.StartPty(cmd, 80, 24)
	if err != nil {
		t.Fatal(err)
	}
	p := person{t, pty}
	p.sees("1 overview")
	p.types("\x1a")
	p.sees("the shell")
	cleanTerminal(t, p.Pty)
	if cooked, err := p.Cooked(); err != nil || !cooked {
		t.Errorf("while it is stopped the terminal is raw (%v)", err)
	}
	p.types("\n")
	p.sees("1 overview")
	p.types("q")
	if err := p.Close(10 * time.Second); err != nil {
		t.Error(err)
	}
	cleanTerminal(t, p.Pty)
}

// TestNoEscapeCodeWithoutAConsole guards the initialization of the terminal
// libraries that are linked in.
func TestNoEscapeCodeWithoutAConsole(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"version"}, {"list-units", "--endpoint=unix:///nowhere/s"}, {"daemon", "--port=notanumber"}, {"--help"}} {
		t.Run(args[0], func(t *testing.T) {
			cmd := exec.Command(self, args...)
			cmd.Env = append(os.Environ(), actAsFleettop+"=1", "TERM=xterm-256color", "CLICOLOR_FORCE=1")
			began := time.Now()
			out, _ := cmd.CombinedOutput()
			piped := time.Since(began)
			if bytes.ContainsRune(out, 0x1b) || len(out) == 0 {
				t.Errorf("into a pipe it writes %q", out)
			}
			p := onTerminal(t, 80, 24, append(args, "--no-color")...)
			began = time.Now()
			_ = p.Close(20 * time.Second)
			for _, seq := range p.Others() {
				t.Errorf("it asks the terminal something: %q", seq)
			}
			// Terminal libraries wait five seconds for an answer.
			if took := time.Since(began); took > 4*piped+4*time.Second {
				t.Errorf("it took %s, and %s without a terminal: does it wait for the terminal's answer?", took, piped)
			}
		})
	}
}

func TestNoTerminalNoConsole(t *testing.T) {
	var out, errOut bytes.Buffer
	code := Run(t.Context(), nil, strings.NewReader(""), &out, &errOut)
	if code != exitUsage || !strings.Contains(errOut.String(), "which needs a terminal") ||
		!strings.Contains(errOut.String(), "list-units") || out.Len() > 0 {
		t.Errorf("code %d, out %q, err %q", code, out.String(), errOut.String())
	}
}
