package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api/apitest"
	"fleettop/daemon/api/server"
)

// TestTerminalsGetWhatIsPrintable: whatever units, machines, logs and errors are called, none of it is obeyed.
func TestTerminalsGetWhatIsPrintable(t *testing.T) {
	s := newShell(t, 1)
	const evil = "\x1b]0;pwned\x07\x1b[2J\u202e"
	s.file("evil.service", "[Unit]\nDescription="+evil+"\n[Service]\nExecStart=/bin/true\nEnvironment=X="+evil+"\n")
	s.must("start", "./evil.service")
	m := apitest.Machine(1)
	if err := s.Store.UpdateMachine(t.Context(), m.ID, func(m *cluster.Machine) error {
		m.Name, m.Metadata = evil, map[string]string{"k": evil}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"status evil", "cat evil", "list-units --fields=unit,name,desc,reason",
		"list-machines -a --fields=name,metadata", "events", "explain evil",
		"-o json list-units", "restart evil", "cordon " + m.ID, "start " + evil, "cordon " + evil, "submit ./" + evil, evil} {
		p := onTerminal(t, 200, 50, append([]string{"--endpoint", s.Endpoint}, strings.Fields(args)...)...)
		if err := p.Close(20 * time.Second); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Error(err)
		}
		for _, seq := range p.Others() {
			t.Errorf("%q: the terminal gets %q", args, seq)
		}
		if strings.TrimSpace(p.String()) == "" || strings.Contains(p.String(), "\u202e") {
			t.Errorf("%q shows\n%s", args, p)
		}
	}
}

// TestLostOutputIsAnError: a verb whose answer can't be written has failed, whichever it is.
func TestLostOutputIsAnError(t *testing.T) {
	s := newShell(t, 2, func(c *server.Config) {
		c.Keys, c.Hosts, c.SendTest, c.Connectivity = someKeys{}, hostsOfUnits{}, oneReceiver, oneMachine{}
	})
	s.file("bad.service", "[Service\n")
	s.file("a.service", service)
	s.must("start", "./a.service")
	cases := jsonCases(t.TempDir())
	lines := []string{"--help", "help start", "--version", "completion bash", "completion zsh", "completion"}
	for _, verb := range sortedNames(cases) {
		if line := cases[verb].ok; line != "" && verb != "destroy" && verb != "forget" && verb != "key generate" {
			lines = append(lines, line, "-o json "+line)
		}
	}
	for _, line := range append(lines, "destroy a.service") {
		var errOut bytes.Buffer
		code := Run(t.Context(), append([]string{"--endpoint", s.Endpoint}, strings.Fields(line)...), nil, full{}, &errOut)
		if code != exitFailed || strings.Count(errOut.String(), "no space left") != 1 {
			t.Errorf("%s: exit %d, %s", line, code, errOut.String())
		}
	}
}

// TestClosedPipe: who reads a verb's output may have had enough; it is no success, and no message.
func TestClosedPipe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := exec.Command(self, "version")
	cmd.Env = append(os.Environ(), actAsFleettop+"=1")
	var errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &errOut
	var ended *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE ||
		errOut.Len() > 0 {
		t.Errorf("%v\n%s", err, errOut.String())
	}
}

// TestReadOnly: the flag goes with every verb; those that look work.
func TestReadOnly(t *testing.T) {
	s := newShell(t, 2)
	s.file("a.service", service)
	s.must("start", "./a.service")
	before := s.Mem.Snapshot()
	cases := jsonCases(t.TempDir())
	root := (&app{env: &ownProcess{}, in: strings.NewReader(""), out: io.Discard, err: io.Discard}).root()
	for _, verb := range sortedNames(cases) {
		line := cases[verb].ok
		if line == "" {
			line = cases[verb].fails
		}
		cmd, _, err := root.Find(strings.Fields(verb))
		if err != nil {
			t.Fatal(err)
		}
		looks := has(cmd, looks)
		if line == "" { // a verb without JSON
			line = cases[verb].misused
		}
		code, out, errOut := s.try(append([]string{"--read-only"}, strings.Fields(strings.TrimPrefix(line, "AWAY "))...)...)
		if refused := strings.Contains(errOut, "--read-only looks and changes nothing"); refused == looks ||
			refused && code != exitFailed {
			t.Errorf("--read-only %s: exit %d\n%s%s", line, code, out, errOut)
		}
	}
	if now := s.Mem.Snapshot(); now.Revision != before.Revision {
		t.Errorf("something was changed: revision %d became %d", before.Revision, now.Revision)
	}
}

// TestNamesOfNothing: what can be part of no path is the name of nothing.
func TestNamesOfNothing(t *testing.T) {
	s := newShell(t, 1)
	for _, name := range []string{"", ".", "..", "...", "n1/../n1", "/", "%2e%2e", "?", "n1?x"} {
		for _, verb := range []string{"cordon", "drain", "uncordon", "forget"} {
			s.fails(1, "not found: `fleettop list-machines --all` shows those there are", verb, name)
		}
		for _, verb := range []string{"status", "cat", "explain", "stop", "destroy"} {
			if code, out, errOut := s.try(verb, name); code != exitFailed || out != "" || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s %q: exit %d\n%s%s", verb, name, code, out, errOut)
			}
		}
	}
	s.wants(s.must("cordon", "n1"), "is cordoned")
}

// TestTerminalsOverSSHGetWhatIsPrintable: over SSH, too, a terminal obeys no unit; a program gets it byte for byte.
func TestTerminalsOverSSHGetWhatIsPrintable(t *testing.T) {
	v := newSSHCluster(t, 1)
	evil := service + "Environment=X=\x1b]0;pwned\x07\nEnvironment=Y=\x1b[8mhidden\x1b[m\n"
	v.must("operator", evil, "submit", "evil.service")
	if out := v.must("viewer", "", "cat", "evil"); out != evil {
		t.Errorf("a program gets %q", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := v.command(ctx, "viewer", "-tt", "127.0.0.1", "cat", "evil").CombinedOutput()
	if err != nil || bytes.ContainsAny(out, "\x1b\x07") || !bytes.Contains(out, []byte("X=^[]0;pwned^G")) ||
		!bytes.Contains(out, []byte("^[[8mhidden^[[m")) { // a colour, too, may hide a line
		t.Errorf("a terminal gets %q, %v", out, err)
	}
}
