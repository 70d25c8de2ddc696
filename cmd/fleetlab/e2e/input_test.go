//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// says reports whether a text has all of some words, in any order.
func says(text string, words ...string) error {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return fmt.Errorf("it should say %q:\n%s", w, text)
		}
	}
	return nil
}

// TestBadInput gives a real cluster what people give by mistake. Each is
// refused with a sentence that says what to do, and nothing is lost by it.
func TestBadInput(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1, n2 := f.machines[0], f.machines[1]
	f.start(n1, sleepers("good.service", "same.service"))
	f.home("good.service")
	f.home("same.service")
	before := f.procs.snapshot()
	f.write(n1, map[string]string{
		"large.service":    sleeper("# " + strings.Repeat("x", 1<<20)),
		"binary.service":   "\x7fELF\x02\x01\x01\x00\x00\x00",
		"empty.service":    "",
		"conflict.service": sleeper("[X-Fleet]\nGlobal=true\nMachineOf=good.service"),
		"typo.service":     sleeper("[X-Fleet]\nMachinID=" + n1.MachineID),
		"nowhere.service":  sleeper("[X-Fleet]\nMachineID=0123456789abcdef0123456789abcdef"),
		"mount.mount":      "[Mount]\nWhat=/dev/null\nWhere=/mnt\n",
	})
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"strat", "good.service"}, 2, []string{"unknown verb", "start"}},
		{[]string{"start", "--relpace", "good.service"}, 2, []string{"--relpace"}},
		{[]string{"start"}, 2, []string{"name what to start"}},
		{[]string{"list-units", "--fields", "unit,colour"}, 2, []string{"colour", "active"}},
		{[]string{"start", "no/such.service"}, 1, []string{"there is no file no/such.service", "give a file or a name"}},
		{[]string{"submit", "/root/../root/no such.service"}, 1, []string{"no file"}},
		{[]string{"submit", "/root/large.service"}, 1, []string{"larger than 256 KiB"}},
		{[]string{"submit", "/root/binary.service"}, 1, []string{"/root/binary.service"}},
		{[]string{"submit", "/root/empty.service"}, 1, []string{"empty.service"}},
		{[]string{"submit", "/root/conflict.service"}, 1, []string{"MachineOf", "Global", "line"}},
		{[]string{"submit", "/root/typo.service"}, 1, []string{"MachinID", "did you mean MachineID"}},
		{[]string{"submit", "/root/mount.mount"}, 1, []string{"mount"}},
		{[]string{"start", "unknown.service"}, 1, []string{"unknown.service", "not found"}},
		{[]string{"stop", "x*.service"}, 1, []string{"no unit matches"}},
		{[]string{"cordon", "n7"}, 1, []string{"n7 not found", "list-machines"}},
	} {
		code, said := f.refusal(n1, c.args...)
		if code != c.code {
			t.Errorf("fleettop %s: exit code %d, want %d", strings.Join(c.args, " "), code, c.code)
		}
		if err := says(said, c.want...); err != nil {
			t.Errorf("fleettop %s: %v", strings.Join(c.args, " "), err)
		}
	}
	if out := f.verb(n1, "list-unit-files", "--no-legend"); strings.Count(out, "\n") != 1 {
		t.Errorf("something that was refused is known:\n%s", out)
	}

	// The same name with other content.
	f.write(n1, map[string]string{"same.service": sleeper("Environment=VERSION=2")})
	_, said := f.refusal(n1, "submit", "/root/same.service")
	f.must(says(said, "already submitted", "--replace"))
	f.procs.unchanged(t, before)
	f.verb(n1, "submit", "--replace", "/root/same.service")
	f.must(says(f.verb(n1, "cat", "same.service"), "VERSION=2"))

	// A machine that doesn't exist: known, on no machine, with the reason.
	f.verb(n1, "submit", "/root/nowhere.service")
	_, said = f.refusal(n1, "start", "nowhere.service")
	f.must(says(said, "not placed", "0123456789abcdef"))
	f.must(says(f.verb(n1, "list-unit-files", "--fields", "unit,dstate,state,reason", "nowhere.service"), "launched",
		"inactive", "0123456789abcdef"))
	f.must(says(f.verb(n1, "explain", "nowhere.service"), "n1", "n2", "n3"))

	// Names the host owns, by its own unit files and by systemd.
	f.must(n2.WriteFile("/etc/systemd/system/mine.service", []byte("[Service]\nExecStart=/bin/sleep infinity\n"), 0o644))
	on2 := "[X-Fleet]\nMachineID=" + n2.MachineID
	f.write(n1, map[string]string{"mine.service": sleeper(on2), "systemd-journald.service": sleeper(on2),
		"fleettop.service": sleeper(on2)})
	for _, name := range []string{"mine.service", "systemd-journald.service", "fleettop.service"} {
		_, said := f.refusal(n1, "start", "/root/"+name)
		if err := says(said, name, "the host already owns"); err != nil {
			t.Error(err)
		}
	}
	if text, err := n2.ReadFile("/etc/systemd/system/mine.service"); err != nil ||
		strings.Contains(string(text), "X-Fleet") {
		t.Errorf("the host's own unit was changed: %v\n%s", err, text)
	}
	f.verb(n1, "destroy", "mine.service", "systemd-journald.service", "fleettop.service", "nowhere.service")
	if state := f.show(n2, "systemd-journald.service", "ActiveState"); state != "active" {
		t.Errorf("the host's journald is %s", state)
	}

	// No daemon.
	f.must(n2.StopFleettop(f.ctx))
	_, said = f.refusal(n2, "list-units")
	f.must(says(said, "/run/fleettop/fleettop.sock", "systemctl"))
	f.must(n2.StartFleettop(f.ctx))
	f.settled(f.machines...)
	delete(before, place{f.home("same.service").Name, "same.service"})
	f.procs.unchanged(t, before)
}

// TestFullDisk fills the place for unit files on one machine: a unit for it is
// refused with the reason, others go on, and it starts when there is room.
func TestFullDisk(t *testing.T) {
	f := newFleet(t, 3, setup{})
	n1, n2 := f.machines[0], f.machines[1]
	f.must(n2.SmallDisk(f.ctx, "/run/fleettop/units", 1))
	f.on(n2, "sh", "-c", "head -c 2000000 /dev/zero >/run/fleettop/units/filler 2>/dev/null; true")
	files := map[string]string{"full.service": sleeper("[X-Fleet]\nMachineID=" + n2.MachineID)}
	for _, name := range []string{"a.service", "b.service", "c.service"} {
		files[name] = sleeper("[X-Fleet]\nConflicts=full.service")
	}
	_, said := f.refusal(n1, append([]string{"start"}, f.write(n1, files)...)...)
	t.Log(said)
	f.must(says(said, "full.service", "no space left", "make room", "tried again every 30 s"))
	for _, unit := range []string{"a.service", "b.service", "c.service"} {
		f.home(unit)
	}
	before := f.procs.snapshot()
	f.on(n2, "rm", "/run/fleettop/units/filler")
	f.eventually("full.service to run once there is room", time.Minute, func() error {
		if on := f.procs.running("full.service"); len(on) != 1 || on[0] != n2 {
			return fmt.Errorf("it runs on %d machines", len(on))
		}
		return nil
	})
	f.procs.unchanged(t, before)
	f.procs.neverTwice(t)
}

// TestStrangers brings machines to a cluster that must not be in it: one with
// the etcd of another cluster, and one with another machine's identity. Each
// is refused by name and stays out; the cluster doesn't notice.
func TestStrangers(t *testing.T) {
	f := newFleet(t, 3, setup{idle: true})
	n1, n2, n3 := f.machines[0], f.machines[1], f.machines[2]
	f.must(n1.StartFleettop(f.ctx))
	f.must(n2.StartFleettop(f.ctx))
	f.two()
	f.start(n1, sleepers("a.service", "b.service"))
	f.home("a.service")
	f.home("b.service")
	before := f.procs.snapshot()
	daemons := f.show(n1, lab.UnitName, "MainPID") + " " + f.show(n2, lab.UnitName, "MainPID")

	began := time.Now()
	f.daemonFlags(n3, "--address "+n3.IP.String()) // a cluster of its own
	f.must(n3.StartFleettop(f.ctx))
	f.eventually("n3 to found a cluster", soon, func() error {
		_, err := f.client(n3).Machines(f.ctx)
		return err
	})
	f.must(n3.StopFleettop(f.ctx))
	f.daemonFlags(n3, "--address "+n3.IP.String()+" --join "+n1.IP.String())
	f.startBarred(n3, "another cluster", "is in cluster", "move that directory away", "--join")
	f.on(n3, "rm", "-rf", "/var/lib/fleettop")
	f.two()

	f.daemonFlags(n3, "--address "+n3.IP.String()+" --join "+n1.IP.String()+" --machine-id "+n2.MachineID)
	f.startBarred(n3, "a second n2", n2.MachineID, n2.IP.String(), "--machine-id")
	f.on(n3, "rm", "-rf", "/var/lib/fleettop")
	f.two()

	f.procs.unchanged(t, before)
	f.still(n1, began)
	if now := f.show(n1, lab.UnitName, "MainPID") + " " + f.show(n2, lab.UnitName, "MainPID"); now != daemons {
		t.Errorf("the daemons of n1 and n2 were processes %s and are %s", daemons, now)
	}
	// As itself it is welcome.
	f.daemonFlags(n3, "--address "+n3.IP.String()+" --join "+n1.IP.String())
	f.must(n3.StartFleettop(f.ctx))
	f.settled(f.machines...)
	f.procs.unchanged(t, before)
}

// two waits until the first two machines are a cluster.
func (f *fleet) two() {
	f.t.Helper()
	f.eventually("two machines to be a cluster", soon, func() error {
		for _, m := range f.machines[:2] {
			list, err := f.client(m).Machines(f.ctx)
			if err != nil {
				return err
			}
			for _, info := range list.Machines {
				if info.Health.State != "up" {
					return fmt.Errorf("%s is %s", info.Name, info.Health.State)
				}
			}
			if len(list.Machines) != 2 {
				return fmt.Errorf("%d machines", len(list.Machines))
			}
		}
		return nil
	})
}

// daemonFlags sets a machine's daemon's flags for its next start.
func (f *fleet) daemonFlags(m *lab.Machine, flags string) {
	f.t.Helper()
	f.must(m.WriteFile(lab.EnvFilePath, []byte("FLEETTOP_OPTIONS=\""+flags+"\"\n"), 0o600))
}

// startBarred starts a daemon that has to end with a word about why, and not
// to have anything to do with the cluster. It leaves it stopped.
func (f *fleet) startBarred(m *lab.Machine, what string, words ...string) {
	f.t.Helper()
	since := time.Now().UTC().Format("2006-01-02 15:04:05.000000")
	_ = m.StartFleettop(f.ctx) // it may be up for a moment, or not at all
	f.eventually(what+" to be refused", soon, func() error {
		log := f.on(m, "journalctl", "--no-pager", "--output=cat", "--since="+since, "--unit="+lab.UnitName)
		if err := says(log, words...); err != nil {
			return err
		}
		if status := f.show(m, lab.UnitName, "ExecMainStatus"); status == "0" {
			return fmt.Errorf("it runs:\n%s", log)
		}
		f.t.Logf("%s: %s", what, log)
		return nil
	})
	f.must(m.StopFleettop(f.ctx))
}
