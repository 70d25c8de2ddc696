//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/keys"
)

// said waits until the daemon's journal has a text, which must be in one line.
func (f *fleet) said(m *lab.Machine, words ...string) string {
	f.t.Helper()
	var found string
	f.eventually("a line with "+strings.Join(words, ", "), 2*soon, func() error {
		log, err := m.Journal(f.ctx, lab.UnitName)
		if err != nil {
			return err
		}
		for line := range strings.Lines(log) {
			has := true
			for _, w := range words {
				has = has && strings.Contains(line, w)
			}
			if has {
				found = strings.TrimSpace(line)
				return nil
			}
		}
		return errors.New("no line of the journal has it")
	})
	return found
}

// up waits until the daemon answers on a machine, without starting it.
func (f *fleet) up(m *lab.Machine) {
	f.t.Helper()
	f.eventually("the daemon of "+m.Name, 2*soon, func() error {
		_, err := m.Exec(f.ctx, "fleettop", "list-machines")
		return err
	})
}

// paced checks that a daemon that fails at once is not started again at once:
// this machine's systemd knows no growing delay.
func (f *fleet) paced(m *lab.Machine) {
	f.t.Helper()
	log := f.on(m, "journalctl", "--no-pager", "--output=short-unix", "--unit="+lab.UnitName)
	var times []float64
	for _, match := range regexp.MustCompile(`(?m)^(\d+\.\d+) .*: Scheduled restart job`).FindAllStringSubmatch(log, -1) {
		at, err := strconv.ParseFloat(match[1], 64)
		f.must(err)
		times = append(times, at)
	}
	if len(times) < 2 || times[1]-times[0] < 4 {
		f.t.Errorf("systemd started it again at %v: expected two of these at least, and seconds between", times)
	}
}

// TestDaemonComesBack: what is late, or was taken away, leaves no machine
// without a daemon, and no unit without its process.
func TestDaemonComesBack(t *testing.T) {
	f := newFleet(t, 1, setup{idle: true})
	m := f.machines[0]

	// A key that isn't there yet.
	f.on(m, "mv", keys.DefaultFile, "/root/key")
	if err := m.StartFleettop(f.ctx); err == nil {
		t.Error("a daemon without a key started on the network")
	}
	f.said(m, "this daemon has no cluster key", "fleettop key generate", "join-command", "--address 127.0.0.1")
	f.eventually("systemd to start it again and again", 2*soon, func() error {
		if n := f.show(m, lab.UnitName, "NRestarts"); n < "2" || f.show(m, lab.UnitName, "Result") == "start-limit-hit" {
			return fmt.Errorf("%s restarts", n)
		}
		return nil
	})
	f.paced(m)
	f.on(m, "mv", "/root/key", keys.DefaultFile)
	f.up(m)

	// Its sockets, and all of /run/fleettop.
	f.start(m, sleepers("a.service"))
	pid := f.show(m, "a.service", "MainPID")
	for _, gone := range [][]string{{"rm", "/run/fleettop/fleettop.sock"}, {"sh", "-c", "rm -rf /run/fleettop/*"},
		{"rm", "-rf", "/run/fleettop"}} {
		f.on(m, gone...)
		f.up(m)
		if now := f.show(m, "a.service", "MainPID"); now != pid {
			t.Errorf("after %q the unit's process is %s, expected %s", strings.Join(gone, " "), now, pid)
		}
	}
	daemon := f.show(m, lab.UnitName, "MainPID")
	f.on(m, "systemctl", "reload", "fleettop")
	f.said(m, "asked to read everything again")
	if now := f.show(m, lab.UnitName, "MainPID"); now != daemon {
		t.Errorf("after a reload the daemon's process is %s, expected %s", now, daemon)
	}

	// An address that comes up when a start has given up on it already.
	const late = "198.18.77.7"
	f.must(m.StopFleettop(f.ctx))
	f.must(m.WriteFile(lab.EnvFilePath, []byte("FLEETTOP_OPTIONS=--address "+late+"\n"), 0o600))
	f.on(m, "systemctl", "start", "--no-block", "fleettop")
	f.said(m, "fleettop:", late+" is not an address of this machine", "--address")
	f.on(m, "ip", "address", "add", late+"/32", "dev", "lo")
	f.up(m)
	if now := f.show(m, "a.service", "MainPID"); now != pid {
		t.Errorf("when the daemon is back the unit's process is %s, expected %s", now, pid)
	}
}

// TestLeavingIsForGood: a machine that left is no member again by starting its
// daemon, nor by booting; the line of join-command makes it one.
func TestLeavingIsForGood(t *testing.T) {
	f := newFleet(t, 2, setup{idle: true, unwatched: true})
	n1, n2 := f.machines[0], f.machines[1]
	f.must(n1.StartFleettop(f.ctx))
	f.must(n2.StartFleettop(f.ctx))
	f.settled(n1, n2)
	f.verb(n2, "leave")
	f.said(n2, "the daemon's service is disabled")
	aside := f.on(n2, "sh", "-c", "ls "+keys.DefaultFile+".*")
	f.said(n2, "the cluster's key was put aside", aside)
	f.eventually("the daemon to end", soon, func() error {
		if s := f.show(n2, lab.UnitName, "ActiveState"); s != "failed" && s != "inactive" {
			return errors.New("it is " + s)
		}
		return nil
	})
	if out, _ := n2.Exec(f.ctx, "systemctl", "is-enabled", "fleettop"); strings.TrimSpace(out) != "disabled" {
		t.Errorf("its service is %s, expected disabled", out)
	}
	f.on(n2, "systemctl", "reset-failed", "fleettop")
	if err := n2.StartFleettop(f.ctx); err == nil {
		t.Error("the daemon of a machine that left was started again")
	}
	f.said(n2, "fleettop: this machine left the cluster for good at ", aside, "join-command")
	alone := func() error {
		list, err := f.client(n1).Machines(f.ctx)
		if err == nil && len(list.Machines) != 1 {
			err = fmt.Errorf("expected one machine, there are %+v", list.Machines)
		}
		return err
	}
	f.eventually("n1 to be alone", soon, alone) // gossip hears of it a moment longer
	f.throughout("n1 alone", time.Second, alone)
	line := strings.Fields(f.verb(n1, "join-command"))
	f.on(n2, line[1:]...)
	f.settled(n1, n2)
	if out := f.on(n2, "systemctl", "is-enabled", "fleettop"); out != "enabled" {
		t.Errorf("its service is %s, expected enabled", out)
	}
}

// usersServiceOfReadme returns the README's text of an ordinary user's service.
func usersServiceOfReadme(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), "As `~/.config/systemd/user/fleettop.service`:\n")
	block := regexp.MustCompile(`(?m)\A(?:\n|    .*\n)+`).FindString(rest)
	if !ok || !strings.Contains(block, "ExecStart=") {
		t.Fatal("the README has no service for an ordinary user")
	}
	return strings.ReplaceAll(block, "    ", "")
}

// TestUsersDaemonByTheReadme does what the README tells an ordinary user to do,
// and nothing else.
func TestUsersDaemonByTheReadme(t *testing.T) {
	f := newFleet(t, 2, setup{idle: true, unwatched: true})
	service := usersServiceOfReadme(t)
	var anns []user
	for _, m := range f.machines {
		u := f.account(m)
		u.write("/home/ann/.config/systemd/user/fleettop.service", service)
		u.run("systemctl", "--user", "daemon-reload")
		anns = append(anns, u)
	}
	first, second := anns[0], anns[1]
	made := first.run("fleettop", "key", "generate")
	if !strings.Contains(made, "/home/ann/.config/fleettop/key") ||
		!strings.Contains(made, "systemctl --user enable --now fleettop") {
		t.Errorf("key generate says: %s", made)
	}
	first.run("systemctl", "--user", "enable", "--now", "--quiet", "fleettop")
	line := first.run("fleettop", "join-command")
	if !strings.HasPrefix(line, "fleettop join --start ") {
		t.Fatalf("the line to join is %q, expected one without sudo", line)
	}
	second.run(strings.Fields(line)...)
	f.eventually("both daemons to be there", soon, func() error {
		if out := second.run("fleettop", "list-machines", "--no-legend"); strings.Count(out, "\n") != 1 {
			return errors.New(out)
		}
		return nil
	})
	if kept := second.run("ls", "/home/ann/.config/fleettop"); kept != "key" {
		t.Errorf("in her configuration is %q, expected the key", kept)
	}
	second.write("/home/ann/a.service", sleeper())
	second.run("fleettop", "start", "/home/ann/a.service")

	second.run("fleettop", "leave")
	f.eventually("her service to be disabled", soon, func() error {
		out, _ := second.m.Exec(f.ctx, second.command("systemctl", "--user", "is-enabled", "fleettop")...)
		if strings.TrimSpace(out) != "disabled" {
			return errors.New("it is " + out)
		}
		return nil
	})
	f.eventually("one machine", soon, func() error {
		if out := first.run("fleettop", "list-machines", "--no-legend"); strings.Count(out, "\n") != 0 {
			return errors.New(out)
		}
		return nil
	})
}
