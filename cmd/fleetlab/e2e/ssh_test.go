//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/tui/tuitest"
)

const sshKeys = "/etc/fleettop/ssh_keys"

// people are those with keys to a fleet's SSH servers, at the switch of the lab.
type people struct {
	*fleet
	dir string
}

// newPeople makes keys of an operator, of a viewer and of a
// stranger, and a fleet whose daemons let the first two in.
func newPeople(t *testing.T, machines int) *people {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Fatalf("this test needs OpenSSH's client: %v", err)
	}
	p := &people{dir: t.TempDir()}
	p.fleet = newFleet(t, machines,
		setup{idle: true, options: func(*lab.Machine) string {
			return "--ssh-listen :2222 --ssh-authorized-keys " +
				sshKeys
		}})
	lines := `fleettop-role="operator" ` + p.key("operator", "op@laptop") + p.key("viewer", "view@desk")
	p.key("stranger", "mallory")
	for _, m := range p.machines {
		p.must(m.WriteFile(sshKeys, []byte(lines), 0o644))
	}
	for _, m := range p.machines {
		p.must(m.StartFleettop(p.ctx))
	}
	p.settled(p.machines...)
	return p
}

func (p *people) key(name, comment string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f",
		path).CombinedOutput(); err != nil {
		p.t.Fatalf("make a key: %v\n%s", err, out)
	}
	line, err := os.ReadFile(path + ".pub")
	p.must(err)
	return string(line)
}

// command is a real ssh to a daemon. It must be started in the switch.
func (p *people) command(ctx context.Context, who string, args ...string) *exec.Cmd {
	all := []string{"-F", "/dev/null", "-p", "2222", "-i", filepath.Join(p.dir, who), "-o", "IdentityAgent=none", "-o",
		"IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "UserKnownHostsFile=" + filepath.Join(p.dir,
			"known_hosts"), "-o", "LogLevel=ERROR"}
	cmd := exec.CommandContext(ctx, "ssh", append(all, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TERM=xterm-256color"}
	return cmd
}

// ssh runs a verb on a machine and returns its exit code and what it printed.
func (p *people) ssh(who string, m *lab.Machine, stdin string, args ...string) (code int, out, said string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, soon)
	defer cancel()
	cmd := p.command(ctx, who, append([]string{"-T", "-o", "BatchMode=yes", m.IP.String()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	p.must(p.lab.InSwitch(cmd.Start))
	err := cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode(), stdout.String(), stderr.String()
	}
	p.must(err)
	return 0, stdout.String(), stderr.String()
}

func (p *people) does(who string, m *lab.Machine, stdin string, args ...string) string {
	p.t.Helper()
	code, out, said := p.ssh(who, m, stdin, args...)
	if code != 0 {
		p.t.Fatalf("%s on %s: %s: exit %d\n%s%s", who, m.Name, strings.Join(args, " "), code, out, said)
	}
	return out
}

// console opens the console of a machine's daemon on a terminal.
func (p *people) console(who string, m *lab.Machine) *tuitest.Pty {
	p.t.Helper()
	cmd := p.command(context.Background(), who, "-tt", m.IP.String())
	var screen *tuitest.Pty
	p.must(p.lab.InSwitch(func() (err error) {
		screen, err = tuitest.StartPty(cmd, 120, 40)
		return err
	}))
	p.t.Cleanup(func() {
		if screen.Cmd.ProcessState == nil {
			_ = screen.Cmd.Process.Kill()
			_ = screen.Close(soon)
		}
	})
	return screen
}

// TestSSH has people come in by the daemons' own SSH servers with a real ssh:
// with verbs, and with the console while a machine dies.
func TestSSH(t *testing.T) {
	p := newPeople(t, 3)
	n1 := p.machines[0]
	p.does("operator", n1, sleeper(), "submit", "web.service")
	p.does("operator", n1, "", "start", "web.service")
	home := p.home("web.service")
	p.must(says(p.does("viewer", p.machines[1], "", "list-units"), "web.service", "running"))
	if code, _, said := p.ssh("viewer", n1, "", "stop", "web.service"); code != 1 ||
		says(said, "is for operators") != nil {
		t.Errorf("a viewer's stop: exit %d: %s", code, said)
	}
	if code, _, said := p.ssh("operator", n1, "", "stop nope.service"); code != 1 || says(said, "nope.service") != nil {
		t.Errorf("stop of an unknown unit: exit %d: %s", code, said)
	}
	if code, _, said := p.ssh("operator", n1, "", "list-units; touch /root/mark"); code != 2 ||
		says(said, "no shell") != nil {
		t.Errorf("a shell's command: exit %d: %s", code, said)
	}
	p.must(says(p.verb(n1, "events"), "by op@laptop (ssh)", "by view@desk (ssh)"))

	// Strangers: refused, and told of once.
	for range 3 {
		if code, out, said := p.ssh("stranger", n1, "", "list-units"); code != 255 || out != "" ||
			says(said, "Permission denied (publickey)") != nil {
			t.Errorf("a stranger: exit %d: %s%s", code, out, said)
		}
	}
	log := p.on(n1, "journalctl", "--no-pager", "--output=cat", "--unit="+lab.UnitName)
	if n := strings.Count(log, "none of its keys may come in"); n != 1 {
		t.Errorf("the stranger is told of %d times", n)
	}

	// A machine dies; the console on another shows the move, and then the outage.
	var other *lab.Machine
	for _, m := range p.machines {
		if m != home {
			other = m
		}
	}
	screen := p.console("operator", other)
	p.must(screen.Await("3/3 machines up", soon))
	p.must(screen.Type("2"))
	p.must(screen.Await("SINCE", soon))
	_, err := home.Kill()
	p.must(err)
	moved := regexp.MustCompile(`web\.service +● running +` + home.Name + ` → n\d \d+\.\d\ds`)
	p.must(screen.AwaitThat("the move with its outage", soon, moved.MatchString))
	p.must(screen.Type("q"))
	p.must(screen.Close(soon))

	// A daemon that stops says so, and the machine's key stays what it was.
	screen = p.console("viewer", other)
	p.must(screen.Await("machines up", soon))
	before := p.procs.snapshot()
	p.must(other.RestartFleettop(p.ctx))
	p.must(screen.Await("this daemon is stopping; the units keep running", soon))
	if failed, ok := errors.AsType[*exec.ExitError](screen.Close(soon)); !ok || failed.ExitCode() == 0 {
		t.Errorf("the console ended with %v", failed)
	}
	p.eventually("the same machine to let people in again", soon, func() error {
		if code, _, said := p.ssh("viewer", other, "", "list-units"); code != 0 {
			return fmt.Errorf("exit %d: %s", code, said)
		}
		return nil
	})
	p.procs.unchanged(t, before)

	// Who is taken out of the file is out, also of the console.
	screen = p.console("viewer", other)
	p.must(screen.Await("machines up", soon))
	began := time.Now()
	p.must(other.WriteFile(sshKeys, nil, 0o644))
	p.must(screen.Await("the key's line has changed", soon))
	t.Logf("out after %s", time.Since(began).Round(time.Millisecond))
	if code, _, said := p.ssh("viewer", other, "", "list-units"); code != 255 || says(said, "Permission denied") != nil {
		t.Errorf("once more: exit %d: %s", code, said)
	}
}
