package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"fleettop/daemon/api/apitest"
	"fleettop/daemon/sshd"
	"fleettop/tui/tuitest"
)

// sshCluster is a cluster with an SSH server of its own, and the keys to it.
type sshCluster struct {
	*apitest.Cluster
	t    *testing.T
	dir  string
	port string
}

// newSSHCluster starts a cluster and its SSH server. There are keys of an
// operator, of a viewer and of a stranger.
func newSSHCluster(t *testing.T, machines int) *sshCluster {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatalf("these tests need OpenSSH's client: %v", err)
	}
	// What this process was started with must never be taken for what was sent.
	own := os.Args
	os.Args = []string{"fleettop", "daemon"}
	t.Cleanup(func() { os.Args = own })
	v := &sshCluster{Cluster: apitest.Start(t, machines), t: t, dir: t.TempDir()}
	lines := `fleettop-role="operator" ` + v.key("operator", "op@laptop") + v.key("viewer", "view@desk")
	v.key("stranger", "")
	v.write("keys", lines)
	server, err := sshd.Open(sshd.Config{Listen: "127.0.0.1:0", AuthorizedKeys: filepath.Join(v.dir, "keys"),
		StateDir: v.dir,
		Run:      serveSession, Refused: func(string, string) {}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, v.API) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	_, v.port, _ = net.SplitHostPort(server.Addr().String())
	raw, err := os.ReadFile(filepath.Join(v.dir, "ssh_host_ed25519_key"))
	if err != nil {
		t.Fatal(err)
	}
	host, err := ssh.ParsePrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	v.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s", v.port, ssh.MarshalAuthorizedKey(host.PublicKey())))
	v.write("config", "IdentityAgent none\nIdentitiesOnly yes\nUserKnownHostsFile "+v.dir+"/known_hosts\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nLogLevel ERROR\n")
	return v
}

func (v *sshCluster) write(name, content string) {
	v.t.Helper()
	if err := os.WriteFile(filepath.Join(v.dir, name), []byte(content), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// key makes a key and returns its line.
func (v *sshCluster) key(name, comment string) string {
	v.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		v.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		v.t.Fatal(err)
	}
	v.write(name, string(pem.EncodeToMemory(block)))
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		v.t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " " + comment + "\n"
}

// command is a real ssh, with somebody's key.
func (v *sshCluster) command(ctx context.Context, who string, args ...string) *exec.Cmd {
	all := append([]string{"-F", v.dir + "/config", "-i", v.dir + "/" + who, "-p", v.port, "-o", "User=anybody"}, args...)
	cmd := exec.CommandContext(ctx, "ssh", all...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + v.dir, "TERM=xterm-256color"}
	return cmd
}

// ssh runs a command and returns its exit code and what it printed.
func (v *sshCluster) ssh(who, stdin string, args ...string) (code int, out, errOut string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	cmd := v.command(ctx, who, append([]string{"-o", "BatchMode=yes", "-T", "127.0.0.1"}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &o, &e
	err := cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), o.String(), e.String()
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return 0, o.String(), e.String()
}

func (v *sshCluster) must(who, stdin string, args ...string) string {
	v.t.Helper()
	code, out, errOut := v.ssh(who, stdin, args...)
	if code != 0 || errOut != "" {
		v.t.Fatalf("%s: %s: exit %d\n%s%s", who, strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// TestVerbsOverSSH has an operator do a unit's whole life by a real ssh.
func TestVerbsOverSSH(t *testing.T) {
	v := newSSHCluster(t, 3)
	has := func(out string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	v.must("operator", service, "submit", "web@.service")
	has(v.must("operator", "", "start", "web@1", "web@2"), "Unit web@1.service launched on")
	has(v.must("viewer", "", "list-units"), "web@1.service", "web@2.service", "active")
	has(v.must("viewer", "", "fleettop", "list-units", "--no-legend"), "web@1.service")
	has(v.must("viewer", "", "cat", "web@1"), "ExecStart=/bin/true")
	has(v.must("viewer", service, "verify", "web@1.service"), "verified successfully")
	has(v.must("viewer", "", "list-machines", "-o", "json"), `"n3"`)
	has(v.must("operator", "", "stop", "'web@*'"), "web@1.service", "web@2.service")
	has(v.must("operator", "", "events"), "op@laptop (ssh)")
	if events := v.must("viewer", "", "events"); strings.Contains(events, "anybody") {
		t.Errorf("the user's own word on who it is counts:\n%s", events)
	}

	// What fails does so with the exit code and on the error output.
	for _, c := range []struct {
		who, stdin, line string
		code             int
		says             string
	}{
		{"operator", "", "start nope", 1, "nope.service"},
		{"operator", "", "strat web@1", 2, "did you mean start"},
		{"operator", "", "list-units --fields colour", 2, "colour"},
		{"operator", "", "", 2, "needs a terminal"},
		{"operator", "", "submit web.service", 2, "nothing came for web.service"},
		{"operator", service, "submit", 2, "name what to submit"},
		{"operator", service, "submit -", 2, "one unit at a time"},
		{"operator", service, "submit a.service b.service", 2, "one unit at a time"},
		{"operator", "nonsense", "submit a.service", 1, "a.service"},
		{"operator", strings.Repeat("#", 300<<10), "submit a.service", 1, "larger than 256 KiB"},
		{"viewer", "", "stop web@1", 1, "ask an operator, or for fleettop-role"},
	} {
		code, out, errOut := v.ssh(c.who, c.stdin, c.line)
		if code != c.code || !strings.Contains(errOut, c.says) || out != "" {
			t.Errorf("%s: exit %d, want %d with %q\nout: %s\nerr: %s", c.line, code, c.code, c.says, out, errOut)
		}
	}
}

// TestViewersOverSSH tries every verb that changes something.
func TestViewersOverSSH(t *testing.T) {
	v := newSSHCluster(t, 3)
	v.must("operator", service, "submit", "web.service")
	v.must("operator", "", "start", "web.service")
	before := v.must("viewer", "", "list-unit-files", "-o", "json") + v.must("viewer", "", "list-machines", "-o", "json")
	for _, line := range []string{"submit x.service", "submit --replace web.service", "load web.service",
		"start web.service", "stop web.service", "restart web.service",
		"unload web.service", "destroy web.service", "cordon n2", "drain n2", "uncordon n2", "rebalance", "forget n3", "leave",
		"join-command"} {
		code, out, errOut := v.ssh("viewer", service, line)
		if code != 1 || !strings.Contains(errOut, "operators") || out != "" {
			t.Errorf("%s: exit %d\n%s%s", line, code, out, errOut)
		}
	}
	if after := v.must("viewer", "", "list-unit-files", "-o", "json") +
		v.must("viewer", "", "list-machines", "-o", "json"); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	if events := v.must("viewer", "", "events"); strings.Count(events, "view@desk (ssh)") < 5 ||
		!strings.Contains(events, "refused") {
		t.Errorf("the tries are not in the timeline:\n%s", events)
	}
}

// TestNothingElseOverSSH tries to get at this machine through the verbs.
func TestNothingElseOverSSH(t *testing.T) {
	v := newSSHCluster(t, 1)
	secret := filepath.Join(t.TempDir(), "secret.service")
	if err := os.WriteFile(secret, []byte(service), 0o600); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(t.TempDir(), "mark")
	t.Chdir(filepath.Dir(secret))
	for _, c := range []struct {
		line string
		says string
	}{
		{"list-units; touch " + mark, "there is no shell here"},
		{"list-units && touch " + mark, "there is no shell here"},
		{"list-units | tee " + mark, "there is no shell here"},
		{"list-units > " + mark, "there is no shell here"},
		{"stop $(touch " + mark + ")", "there is no shell here"},
		{"stop `touch " + mark + "`", "there is no shell here"},
		{"list-units\ntouch " + mark, "control characters"},
		{"touch " + mark, "unknown verb"},
		{"ssh n1", "ssh runs your own ssh, which is not at this end"},
		{"sh -c 'touch " + mark + "'", ""},
		{"scp -t " + mark, ""},
		{"submit " + secret, "looks like a file"},
		{"submit ./secret.service", "looks like a file"},
		{"start " + secret, "looks like a file"},
		{"verify /etc/passwd", "looks like a file"},
		{"stop /etc/passwd", "looks like a file"},
		{"start secret.service", "not found"}, // it is in the folder of this process
		{"list-units --endpoint " + v.Endpoint, "unknown flag: --endpoint"},
		{"list-units -H ssh://127.0.0.1", "unknown shorthand flag: 'H'"},
		{"dial-stdio --endpoint " + v.Endpoint, "unknown flag: --endpoint"},
		{"daemon", "log in to the machine itself"},
		{"daemon --help", "log in to the machine itself"},
		{"demo", "log in to the machine itself"},
		{"join x y", "log in to the machine itself"},
		{"key generate --key-file " + mark, ""},
		{"key list", "log in to the machine itself"},
		{"completion bash", "log in to the machine itself"},
	} {
		code, out, errOut := v.ssh("operator", "", c.line)
		if code == 0 || out != "" || !strings.Contains(errOut, c.says) {
			t.Errorf("%q: exit %d, want %q\n%s%s", c.line, code, c.says, out, errOut)
		}
		if _, err := os.Stat(mark); err == nil {
			t.Fatalf("%q wrote a file", c.line)
		}
	}
	if out := v.must("viewer", "", "list-unit-files", "--no-legend"); out != "" {
		t.Errorf("something was submitted:\n%s", out)
	}
	if out := v.must("viewer", "", "help"); strings.Contains(out, "\n  daemon ") || strings.Contains(out, "--endpoint") ||
		!strings.Contains(out, "list-units") {
		t.Errorf("the help offers what isn't there:\n%s", out)
	}
}

// TestStrangersOverSSH knocks with a real ssh.
func TestStrangersOverSSH(t *testing.T) {
	v := newSSHCluster(t, 1)
	for name, args := range map[string][]string{
		"a wrong key": {"127.0.0.1", "list-units"},
		"a password": {"-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no", "127.0.0.1",
			"list-units"},
		"a keyboard": {"-o", "PreferredAuthentications=keyboard-interactive", "-o", "PubkeyAuthentication=no", "127.0.0.1",
			"list-units"},
	} {
		if code, out, errOut := v.raw("stranger", args...); code != 255 || out != "" ||
			!strings.Contains(errOut, "Permission denied (publickey)") {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, errOut)
		}
	}
	for name, args := range map[string][]string{
		"a port forwarded":        {"-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "127.0.0.1"},
		"input and output":        {"-W", "127.0.0.1:" + v.port, "127.0.0.1"},
		"the sftp subsystem":      {"-s", "127.0.0.1", "sftp"},
		"an agent, and a command": {"-A", "127.0.0.1", "nonsense"},
	} {
		if code, out, errOut := v.raw("operator", args...); code == 0 || out != "" {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, errOut)
		}
	}
	// Local forwarding is refused when it is used.
	if code, _, errOut := v.raw("operator", "-o", "LogLevel=INFO", "-W", "127.0.0.1:"+v.port, "127.0.0.1"); code == 0 ||
		!strings.Contains(errOut, "unsupported channel type") && !strings.Contains(errOut, "unknown channel type") {
		t.Errorf("-W: exit %d: %s", code, errOut)
	}
}

// raw runs ssh with options of one's own.
func (v *sshCluster) raw(who string, args ...string) (code int, out, errOut string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	cmd := v.command(ctx, who, append([]string{"-o", "BatchMode=yes"}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		code = failed.ExitCode()
	} else if err != nil {
		v.t.Fatal(err)
	}
	return code, o.String(), e.String()
}

// console opens the console on a terminal, by a real ssh.
func (v *sshCluster) console(who string, width, height int, args ...string) person {
	v.t.Helper()
	cmd := v.command(context.Background(), who, append([]string{"-tt", "127.0.0.1"}, args...)...)
	p, err := tuitest.StartPty(cmd, width, height)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		if p.Cmd.ProcessState == nil {
			_ = p.Cmd.Process.Signal(syscall.SIGTERM)
			_ = p.Close(10 * time.Second)
		}
	})
	return person{v.t, p}
}

// TestConsoleOverSSH drives the console on a real terminal by a real ssh.
func TestConsoleOverSSH(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state) // the daemon is this process
	v := newSSHCluster(t, 3)
	v.must("operator", service, "submit", "web.service")
	v.must("operator", "", "start", "web.service")

	p := v.console("operator", 120, 40)
	p.sees("3/3 machines up")
	p.types("2")
	p.sees("SINCE")
	if err := p.Resize(60, 20); err != nil {
		t.Fatal(err)
	}
	narrow := func(screen string) bool {
		for i, line := range strings.Split(screen, "\n") {
			if line = strings.TrimRight(line, " "); len([]rune(line)) > 60 || i >= 20 && line != "" {
				return false
			}
		}
		return strings.Contains(screen, "web.service")
	}
	if err := p.AwaitThat("nothing beyond 60x20", time.Minute, narrow); err != nil {
		t.Fatal(err)
	}
	if err := p.Resize(120, 40); err != nil {
		t.Fatal(err)
	}
	if err := p.AwaitThat("more than 60x20", time.Minute, func(screen string) bool {
		return !narrow(screen) &&
			strings.Contains(screen, "SINCE")
	}); err != nil {
		t.Fatal(err)
	}
	coloured := false
	for _, row := range p.Cells() {
		for _, c := range row {
			coloured = coloured || strings.Contains(c.Look, "[32m")
		}
	}
	if !coloured {
		t.Error("nothing is green on a terminal with colours")
	}
	p.types("x")
	p.sees("Stop 1 unit?")
	p.types("\x1b[D\r")
	p.seesMatch(`web\.service +○ loaded`)
	p.types("4")
	p.sees("op@laptop (ssh)")

	// This machine's files are not theirs: not to submit, to edit or to list.
	for _, keys := range []string{":submit /etc/passwd\r", ":new web2.service\r", ":edit web.service\r"} {
		p.types(keys)
		p.sees("Files can't be read or written over this connection")
		p.types(":redraw\r")
	}
	p.types("q")
	if err := p.Close(10 * time.Second); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
		t.Errorf("what was typed there is kept on the daemon's machine: %v (%v)", left, err)
	}
}

// TestViewersConsoleOverSSH presses what acts, in vain; without colours.
func TestViewersConsoleOverSSH(t *testing.T) {
	v := newSSHCluster(t, 3)
	v.must("operator", service, "submit", "web.service")
	v.must("operator", "", "start", "web.service")
	cmd := v.command(context.Background(), "viewer", "-o", "SendEnv=NO_COLOR", "-tt", "127.0.0.1")
	cmd.Env = append(cmd.Env, "NO_COLOR=1")
	screen, err := tuitest.StartPty(cmd, 80, 24)
	if err != nil {
		t.Fatal(err)
	}
	p := person{t, screen}
	p.sees("3/3 machines up")
	p.types("2")
	p.sees("SINCE")
	p.types("x")
	p.types(":stop web.service\r")
	p.sees("only reads: ask an operator for fleettop-role=")
	for _, row := range p.Cells() {
		for _, c := range row {
			if strings.Contains(c.Look, "[3") {
				t.Fatalf("%q is coloured: %q", c.Text, c.Look)
			}
		}
	}
	p.types("5")
	p.types("S")
	p.sees("Files can't be read or written")
	p.types("q")
	if err := p.Close(10 * time.Second); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if out := v.must("viewer", "", "list-units", "--no-legend", "--fields", "unit,active"); !strings.Contains(out,
		"active") {
		t.Errorf("it was stopped:\n%s", out)
	}
}

// TestFollowingOverSSH follows events on a terminal and without one; ^C and
// the end of ssh end it.
func TestFollowingOverSSH(t *testing.T) {
	v := newSSHCluster(t, 1)
	p := v.console("viewer", 120, 40, "events", "-f")
	v.must("operator", service, "submit", "web.service")
	p.sees("web.service")
	p.types("\x03")
	if failed, ok := errors.AsType[*exec.ExitError](p.Close(10 * time.Second)); !ok ||
		failed.ExitCode() != exitInterrupted {
		t.Errorf("after ^C: %v", failed)
	}
}

// TestFarVerbsThroughTheDaemonsOwnServer has -H come in by the daemon's server, with this machine's files.
func TestFarVerbsThroughTheDaemonsOwnServer(t *testing.T) {
	v := newSSHCluster(t, 2)
	binary, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"),
		[]byte(fmt.Sprintf("#!/bin/sh\nexec %s -F %s/config -i %s/$FLEETTOP_TEST_KEY \"$@\"\n", binary, v.dir,
			v.dir)), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("FLEETTOP_TEST_KEY", "operator")
	t.Chdir(t.TempDir())
	if err := os.WriteFile("web.service", []byte(service), 0o600); err != nil {
		t.Fatal(err)
	}
	far := func(args ...string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var out bytes.Buffer
		code := Run(ctx, append([]string{"-H", "ssh://127.0.0.1:" + v.port}, args...), strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	if code, out := far("start", "web.service"); code != 0 || !strings.Contains(out, "launched on") {
		t.Errorf("start: exit %d: %s", code, out)
	}
	t.Setenv("FLEETTOP_TEST_KEY", "viewer")
	if code, out := far("list-units"); code != 0 || !strings.Contains(out, "web.service") {
		t.Errorf("list-units: exit %d: %s", code, out)
	}
	if code, out := far("stop", "web.service"); code != 1 || !strings.Contains(out, "you are viewer here") {
		t.Errorf("a viewer's stop: exit %d: %s", code, out)
	}
}

// TestTenConsolesOverSSH has ten people look at once: all see what happens.
func TestTenConsolesOverSSH(t *testing.T) {
	v := newSSHCluster(t, 3)
	v.must("operator", service, "submit", "web.service")
	v.must("operator", "", "start", "web.service")
	var all []person
	for i := range 10 {
		all = append(all, v.console([]string{"operator", "viewer"}[i%2], 120, 40))
	}
	for _, p := range all {
		p.sees("3/3 machines up")
		p.types("2")
	}
	for _, p := range all {
		p.seesMatch(`web\.service +● running`)
	}
	v.must("operator", "", "stop", "web.service")
	for _, p := range all {
		p.seesMatch(`web\.service +○ loaded`)
	}
	for _, p := range all {
		p.types("q")
	}
	for _, p := range all {
		if err := p.Close(10 * time.Second); err != nil {
			t.Errorf("one ended with %v", err)
		}
	}
}
