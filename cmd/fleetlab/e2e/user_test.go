//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

const (
	ann        = "1000" // the user's and her group's number
	annRuntime = "/run/user/" + ann
)

// usersManager lets a user have a systemd of her own on a machine that has
// neither PAM's configuration nor logind.
const usersManager = "[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"

// usersDaemon is the unit of a user's daemon with options.
const usersDaemon = "[Service]\nType=notify\nExecStart=/usr/local/bin/fleettop daemon %s\nRestart=always\n[Install]\nWantedBy=default.target\n"

// user is ann on a machine.
type user struct {
	f *fleet
	m *lab.Machine
}

// command is what she runs from a shell she logged in to.
func (u user) command(args ...string) []string {
	return append([]string{"setpriv", "--reuid=" + ann, "--regid=" + ann, "--init-groups",
		"env", "HOME=/home/ann", "USER=ann", "XDG_RUNTIME_DIR=" + annRuntime}, args...)
}

func (u user) run(args ...string) string {
	u.f.t.Helper()
	return u.f.on(u.m, u.command(args...)...)
}

// refusal runs a verb that must fail, and returns all it said.
func (u user) refusal(args ...string) string {
	u.f.t.Helper()
	ctx, cancel := context.WithTimeout(u.f.ctx, soon)
	defer cancel()
	out, err := u.m.Exec(ctx, u.command(append([]string{"fleettop"}, args...)...)...)
	failed, ok := errors.AsType[*lab.ExecError](err)
	if !ok {
		u.f.t.Fatalf("fleettop %s: it should have failed: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out + failed.Stderr
}

func (u user) write(path, content string) {
	u.f.t.Helper()
	u.f.must(u.m.WriteFile(path, []byte(content), 0o644))
	u.f.on(u.m, "chown", "--recursive", ann+":"+ann, "/home/ann")
}

// account makes ann at home on a machine: with an account and a systemd.
func (f *fleet) account(m *lab.Machine) user {
	f.t.Helper()
	u := user{f, m}
	for file, line := range map[string]string{"/etc/passwd": "ann:x:" + ann + ":" + ann + "::/home/ann:/bin/bash\n",
		"/etc/group": "ann:x:" + ann + ":\n"} {
		had, err := m.ReadFile(file)
		f.must(err)
		f.must(m.WriteFile(file, append(had, line...), 0o644))
	}
	f.must(m.WriteFile("/etc/systemd/system/user@.service.d/lab.conf", []byte(usersManager), 0o644))
	f.on(m, "mkdir", "-p", "/home/ann/.config/systemd/user")
	f.on(m, "chown", "--recursive", ann+":"+ann, "/home/ann")
	f.must(m.Systemctl(f.ctx, "daemon-reload"))
	f.must(m.Systemctl(f.ctx, "start", "user@"+ann+".service"))
	return u
}

// userOn makes ann at home on a machine, with a daemon that has the lab's key.
func (f *fleet) userOn(m *lab.Machine, options string) user {
	f.t.Helper()
	u := f.account(m)
	f.on(m, "mkdir", "-p", "/home/ann/.config/fleettop")
	f.on(m, "cp", "/etc/fleettop/key", "/home/ann/.config/fleettop/key")
	u.write("/home/ann/.config/systemd/user/fleettop.service", fmt.Sprintf(usersDaemon, options))
	u.run("systemctl", "--user", "daemon-reload")
	u.run("systemctl", "--user", "enable", "--now", "--quiet", "fleettop")
	return u
}

// TestUserManager: an ordinary user's daemons run units by her own systemds,
// with her own files, and read her own journal.
func TestUserManager(t *testing.T) {
	f := newFleet(t, 2, setup{idle: true, unwatched: true})
	n1, n2 := f.machines[0], f.machines[1]
	// With a grace that no step waits for: who leaves says so, and its units move at once.
	first := f.userOn(n1, "--daemon-grace=10m --address "+n1.IP.String())
	second := f.userOn(n2, "--daemon-grace=10m --address "+n2.IP.String()+" --join "+n1.IP.String())
	f.eventually("both daemons to be there", soon, func() error {
		if out := first.run("fleettop", "list-machines", "--no-legend"); strings.Count(out, "\n") != 1 {
			return errors.New(out)
		}
		return nil
	})
	if said := first.refusal("--endpoint=unix:///run/fleettop/fleettop.sock", "list-units"); !strings.Contains(said, "/run/fleettop/fleettop.sock") {
		t.Errorf("asked for the machine's daemon: %s", said)
	}

	for _, name := range []string{"a.service", "b.service"} {
		first.write("/home/ann/"+name, counting)
		first.run("fleettop", "start", "/home/ann/"+name)
	}
	if got := second.run("fleettop", "cat", "a"); got+"\n" != counting {
		t.Errorf("cat shows %q", got)
	}
	moving := "a.service"
	out := strings.Fields(first.run("fleettop", "list-units", "--no-legend", "--fields", "unit,machine"))
	if len(out) != 4 || !strings.HasPrefix(out[1], n2.MachineID[:8]) {
		moving = "b.service"
	}
	// A unit of the machine with the same name is none of hers.
	f.on(n2, "systemd-run", "--quiet", "--unit="+moving, "/bin/bash", "-c",
		"echo of the system; x=$(head --bytes=16M /dev/zero | tr '\\0' x); sleep 1000; echo ${#x}")
	f.usersStats(second, moving)
	f.must(n2.Systemctl(f.ctx, "stop", moving))

	pid := func() string {
		return second.run("systemctl", "--user", "show", "--property=MainPID", "--value", moving)
	}
	before := pid()
	if status := first.run("fleettop", "status", moving); !strings.Contains(status, "Main PID: "+before) ||
		!strings.Contains(status, "(n2)") {
		t.Fatalf("its PID on n2 is %s, and\n%s", before, status)
	}
	second.run("systemctl", "--user", "restart", "fleettop")
	if now := pid(); now != before {
		t.Errorf("when the daemon was restarted, %s became %s", before, now)
	}

	v := f.followAs(n1, first.command("fleettop", "journal", "--follow", "--lines=all", moving)...)
	f.shows(v, "Started", 0)
	f.shows(v, "bash", 0)
	for _, verb := range []string{"stop", "start", "restart"} {
		seen := len(v.lines())
		first.run("fleettop", verb, moving)
		if verb == "stop" {
			f.shows(v, "Stopped", seen)
			continue
		}
		f.shows(v, "bash", seen+20)
	}
	for name, from := range map[string]string{"fleettop.service": "/home/ann/.config/systemd/user/fleettop.service",
		"dbus.service": "/usr/lib/systemd/user/dbus.service"} {
		first.write("/home/ann/"+name, sleeper())
		if said := first.refusal("start", "/home/ann/"+name); !strings.Contains(said, "the host's own, from "+from) {
			t.Errorf("a name that is taken: %s", said)
		}
		first.run("fleettop", "destroy", name)
	}

	// Her systemd ends, as when she logs out, and takes the units with it.
	seen := len(v.lines())
	f.must(n2.Systemctl(f.ctx, "stop", "user@"+ann+".service"))
	f.shows(v, "moved n2", seen)
	f.shows(v, "bash", seen+20)
	runs := gapless(t, tallies(v.lines()))
	if len(runs) != 4 || runs[2].machine != "n2" || runs[3].machine != "n1" {
		t.Errorf("there were to be three runs on n2 and one on n1: %+v", runs)
	}
	if all := strings.Join(v.lines(), "\n"); strings.Contains(all, "of the system") {
		t.Errorf("another systemd's unit is in the log:\n%s", all)
	}
	first.run("fleettop", "destroy", moving)

	// In memory journald has one file for all, which is not for everybody.
	left := map[string]string{"a.service": "b.service", "b.service": "a.service"}[moving]
	f.must(n1.WriteFile("/etc/systemd/journald.conf.d/z.conf", []byte("[Journal]\nStorage=volatile\n"), 0o644))
	f.must(n1.Systemctl(f.ctx, "restart", "systemd-journald"))
	const advice = "usermod -aG systemd-journal ann"
	if out := first.run("fleettop", "journal", left); !strings.Contains(out, advice) {
		t.Errorf("of a journal she can't read: %q", out)
	}
	f.shows(f.followAs(n1, first.command("fleettop", "journal", "--follow", left)...), advice, 0)
	f.on(n1, "usermod", "-aG", "systemd-journal", "ann")
	f.must(n1.Systemctl(f.ctx, "restart", "user@"+ann+".service"))
	f.eventually("the unit to run again", soon, func() error {
		_, err := n1.Exec(f.ctx, first.command("fleettop", "start", left)...)
		return err
	})
	f.shows(f.followAs(n1, first.command("fleettop", "journal", "--follow", left)...), "bash", 0)
	f.eventually("its end to be logged", soon, func() error {
		first.run("fleettop", "stop", left)
		if out := first.run("fleettop", "journal", left); !strings.Contains(out, "Stopped") ||
			strings.Contains(out, "of the system") {
			return errors.New(out)
		}
		return nil
	})
}

// usersStats waits until a unit is measured, and not the machine's unit of the
// same name, which has much more memory.
func (f *fleet) usersStats(u user, unit string) {
	f.t.Helper()
	const much = 16 << 20
	others := func() int64 {
		statm := strings.Fields(f.on(u.m, "cat", "/proc/"+f.on(u.m, "systemctl", "show", "--property=MainPID", "--value",
			unit)+"/statm"))
		pages, err := strconv.ParseInt(statm[1], 10, 64)
		f.must(err)
		return pages * int64(os.Getpagesize())
	}
	f.eventually("the machine's unit to have its memory", 3*soon, func() error {
		if got := others(); got < much {
			return fmt.Errorf("it has %d bytes, expected at least %d\n%s", got, much, f.on(u.m, "ps", "aux"))
		}
		return nil
	})
	path, err := u.m.HostPath(annRuntime + "/fleettop/fleettop.sock")
	f.must(err)
	c, err := client.Dial("unix://" + path)
	f.must(err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(f.ctx, soon)
	defer cancel()
	enough := errors.New("enough")
	times := 0
	err = c.Stats(ctx, func(s api.Stats) error {
		for _, got := range s.Units {
			if got.Name != unit || s.Machine != u.m.MachineID {
				continue
			}
			if other := others(); got.Memory <= 0 || got.Memory > other/2 {
				f.t.Errorf("ann's %s is said to have %d bytes of memory; expected more than 0 and less than half of the %d of the machine's unit of that name", unit, got.Memory, other)
			}
			if times++; times == 3 {
				return enough
			}
		}
		return nil
	})
	if !errors.Is(err, enough) {
		f.t.Errorf("%s was measured %d times in %v, expected 3: %v", unit, times, soon, err)
	}
}
