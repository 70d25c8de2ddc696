//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/tui/tuitest"
)

// sshd starts the system's own SSH server on a machine, for root with a key.
func (f *fleet) sshd(m *lab.Machine, public string) {
	f.t.Helper()
	users, err := m.ReadFile("/etc/passwd")
	f.must(err)
	f.must(m.WriteFile("/etc/passwd", append(users, "sshd:x:110:65534::/run/sshd:/usr/sbin/nologin\n"...), 0o644))
	f.must(m.WriteFile("/root/.ssh/authorized_keys", []byte(public), 0o600))
	f.on(m, "mkdir", "-p", "/run/sshd")
	f.on(m, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/host")
	f.on(m, "systemd-run", "--quiet", "--unit=test-sshd", "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", "22",
		"-h", "/root/.ssh/host",
		"-o", "UsePAM=no", "-o", "StrictModes=no", "-o", "PermitRootLogin=prohibit-password")
}

// TestRemote has an operator work from elsewhere through the machines' own
// sshd, with verbs, files and the console while another machine dies.
func TestRemote(t *testing.T) {
	if _, err := exec.LookPath("/usr/sbin/sshd"); err != nil {
		t.Fatalf("this test needs OpenSSH's server: %v", err)
	}
	f := newFleet(t, 3, setup{})
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("make a key: %v\n%s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	f.must(err)
	n1 := f.machines[0]
	f.sshd(n1, string(public))
	// fleettop runs the user's own ssh; this one's configuration is the test's.
	config := fmt.Sprintf("Host *\n IdentityFile %s\n IdentitiesOnly yes\n IdentityAgent none\n StrictHostKeyChecking accept-new\n UserKnownHostsFile %s\n",
		key, filepath.Join(dir, "known_hosts"))
	f.must(os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600))
	f.must(os.Mkdir(filepath.Join(dir, "bin"), 0o700))
	f.must(os.WriteFile(filepath.Join(dir, "bin", "ssh"),
		[]byte("#!/bin/sh\nexec /usr/bin/ssh -F "+dir+"/config \"$@\"\n"), 0o700))
	f.must(os.WriteFile(filepath.Join(dir, "web.service"), []byte(sleeper()), 0o600))

	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(f.ctx, binary(t), append([]string{"-H", "ssh://root@" + n1.IP.String()}, args...)...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + dir,
			"TERM=xterm-256color", "LANG=C.UTF-8"}
		return cmd
	}
	does := func(args ...string) string {
		t.Helper()
		cmd := command(args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		f.must(f.lab.InSwitch(cmd.Start))
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &out)
		}
		return out.String()
	}
	f.eventually("sshd to let the operator in", soon, func() error {
		ctx, cancel := context.WithTimeout(f.ctx, soon)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "bin", "ssh"), "root@"+n1.IP.String(), "true")
		if err := f.lab.InSwitch(cmd.Start); err != nil {
			return err
		}
		return cmd.Wait()
	})
	f.must(says(does("start", "web.service"), "Unit web.service launched on"))
	f.must(says(does("list-units"), "web.service", "active", "running"))
	f.must(says(does("cat", "web.service"), "[Service]"))

	home := f.home("web.service")
	if home == n1 {
		does("drain", n1.Name)
		f.eventually("web.service to leave the drained machine", soon, func() error {
			if home = f.home("web.service"); home == n1 {
				return fmt.Errorf("it is still on %s", n1.Name)
			}
			return nil
		})
	}
	// ssh goes through n1 to where the unit is, and passes the exit code on.
	f.sshd(home, string(public))
	f.eventually("ssh to reach the unit's machine through n1", soon, func() error {
		cmd := command("ssh", "web", "cat /etc/machine-id; exit 7")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := f.lab.InSwitch(cmd.Start); err != nil {
			return err
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 || !strings.Contains(out.String(), home.MachineID) {
			return fmt.Errorf("%w: %s", err, &out)
		}
		return nil
	})
	var screen *tuitest.Pty
	f.must(f.lab.InSwitch(func() (err error) {
		screen, err = tuitest.StartPty(command(), 120, 40)
		return err
	}))
	f.must(screen.Await("3/3 machines up", soon))
	f.must(screen.Type("2"))
	f.must(screen.Await("SINCE", soon))
	_, err = home.Kill()
	f.must(err)
	moved := regexp.MustCompile(home.Name + ` → n\d \d+\.\d\ds`)
	f.must(screen.AwaitThat("the move with its outage", soon, moved.MatchString))
	f.must(screen.Type("q"))
	f.must(screen.Close(soon))
}
