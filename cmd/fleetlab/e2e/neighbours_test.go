//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// neighbour is a fault of what a daemon lives beside, on its own machine.
type neighbour struct {
	name        string
	victim      func() *lab.Machine
	cause, undo func(m *lab.Machine)
	lasts       time.Duration
	// deaf means that the machine's API may have no answer meanwhile, and a verb says so.
	deaf bool
}

const (
	ticks   = "ticks.service" // a global unit that logs the time since the host's boot, without a child
	onState = 300             // MiB of the disk that is filled
)

func tickers() string {
	return "[Service]\nExecStart=/bin/bash -c 'exec 3<> <(:); while :; do read up rest < /proc/uptime; echo $$up; read -t 0.2 -u 3; done'\n" +
		"[X-Fleet]\nGlobal=true\n"
}

// TestBadNeighbours: while a machine's disk or /run is full, its CPU busy, its daemon without
// descriptors, its journald, D-Bus or systemd begun anew or stalled, its units keep their
// processes, nothing moves, and a verb answers or says why it doesn't. Afterwards all works, and
// the daemon has no more goroutines and descriptors than before.
func TestBadNeighbours(t *testing.T) {
	f := newFleet(t, 3, setup{idle: true, limit: 2 * testLimit})
	small := f.machines[0]
	f.must(small.SmallDisk(f.ctx, stateDir, onState))
	f.all(func(m *lab.Machine) error { return m.StartFleettop(f.ctx) })
	f.settled(f.machines...)
	units := named("a%d.service", 6)
	f.start(f.machines[0], sleepers(units...))
	f.start(f.machines[0], map[string]string{ticks: tickers()})
	f.allHome(units)
	f.runsOn(ticks, f.machines...)

	do := func(args ...string) func(*lab.Machine) {
		return func(m *lab.Machine) { f.on(m, args...) }
	}
	shell := func(command string) func(*lab.Machine) { return do("sh", "-c", command) }
	nothing := func(*lab.Machine) {}
	other := func() *lab.Machine { return f.others(f.leader())[0] }
	for _, c := range []neighbour{
		// Its etcd ends when it can't write, and the daemon with it: that is over before the grace is.
		{name: "full state disk", victim: func() *lab.Machine { return small }, lasts: 4 * time.Second, deaf: true,
			cause: func(m *lab.Machine) { f.must(m.FillDisk(f.ctx, stateDir)) },
			undo:  func(m *lab.Machine) { f.must(m.FreeDisk(f.ctx, stateDir, onState)) }},
		{name: "full /run", victim: f.leader, lasts: 4 * time.Second,
			cause: func(m *lab.Machine) { f.must(m.FillDisk(f.ctx, "/run")) },
			undo:  func(m *lab.Machine) { f.must(m.FreeDisk(f.ctx, "/run", 64)) }},
		{name: "busy CPUs", victim: f.leader, lasts: 5 * time.Second,
			cause: func(*lab.Machine) {
				for _, m := range f.machines {
					for i := range 2 * runtime.NumCPU() {
						f.on(m, "systemd-run", "--quiet", "--unit=systemd-busy"+strconv.Itoa(i), "sh", "-c", "while :; do :; done")
					}
				}
			},
			undo: func(*lab.Machine) {
				for _, m := range f.machines {
					f.on(m, "systemctl", "stop", "systemd-busy*")
				}
			}},
		{name: "no descriptors", victim: f.leader, lasts: 5 * time.Second, deaf: true,
			cause: func(m *lab.Machine) { f.must(m.LimitFiles(f.ctx, lab.UnitName, 0)) },
			undo:  func(m *lab.Machine) { f.must(m.UnlimitFiles(f.ctx, lab.UnitName)) }},
		{name: "no descriptors, not the leader", victim: other, lasts: 5 * time.Second, deaf: true,
			cause: func(m *lab.Machine) { f.must(m.LimitFiles(f.ctx, lab.UnitName, 0)) },
			undo:  func(m *lab.Machine) { f.must(m.UnlimitFiles(f.ctx, lab.UnitName)) }},
		{name: "journald restarted", victim: other, lasts: time.Second,
			cause: do("systemctl", "restart", "systemd-journald"), undo: nothing},
		{name: "journald killed", victim: other, lasts: time.Second,
			cause: do("systemctl", "kill", "--signal=KILL", "systemd-journald"), undo: nothing},
		{name: "D-Bus restarted", victim: other, lasts: 3 * time.Second,
			cause: do("systemctl", "restart", "dbus"), undo: nothing},
		{name: "D-Bus killed", victim: f.leader, lasts: 3 * time.Second,
			cause: do("systemctl", "kill", "--signal=KILL", "dbus"), undo: nothing},
		{name: "daemon-reexec", victim: other, lasts: time.Second,
			cause: shell("for i in 1 2 3; do systemctl daemon-reexec; done"), undo: nothing},
		{name: "a storm of daemon-reload", victim: f.leader, lasts: 0,
			cause: shell("for i in $(seq 30); do systemctl daemon-reload & done; wait"), undo: nothing},
		{name: "a systemd that is slow", victim: other, lasts: 5 * time.Second,
			cause: func(m *lab.Machine) { f.must(m.StallSystemd()) },
			undo:  func(m *lab.Machine) { f.must(m.ResumeSystemd()) }},
	} {
		f.neighbour(c)
		if t.Failed() {
			t.FailNow()
		}
	}
	f.procs.neverTwice(t, ticks)
}

// neighbour causes a fault, undoes it, and checks all that must be true meanwhile and afterwards.
func (f *fleet) neighbour(c neighbour) {
	f.t.Helper()
	victim := c.victim()
	witness := f.others(victim)[0]
	before, began, usage := f.procs.snapshot(), time.Now(), f.usage(victim)
	same := func() error { return f.asBefore(before, f.machines...) }
	f.t.Logf("%s on %s", c.name, victim.Name)
	c.cause(victim)
	for end := time.Now().Add(c.lasts); ; {
		f.must(same())
		f.answers(victim, c.deaf)
		f.answers(witness, false)
		if time.Now().After(end) {
			break
		}
	}
	c.undo(victim)
	undone := f.uptime()
	f.settledWithin(time.Minute, f.machines...)
	f.must(same())
	f.still(witness, began)
	f.eventually(c.name+": the log to go on", 2*soon, func() error {
		out, said, err := f.try(victim, "journal", "--lines=1", "--output=cat", ticks+"@"+victim.Name)
		at, parseErr := strconv.ParseFloat(strings.TrimSpace(out), 64)
		if err == nil && parseErr == nil && at > undone {
			return nil
		}
		return fmt.Errorf("the newest line is %q, and it was undone at %.2f (%v, %s)", out, undone, err, said)
	})
	f.insist(witness, append([]string{"start"}, f.write(witness, map[string]string{
		"after.service": sleeper("[X-Fleet]", "MachineID="+victim.MachineID)})...)...)
	f.insist(victim, "destroy", "after.service")
	f.eventually("after.service to be gone", soon, same)
	f.eventually(c.name+": the daemon to need no more than before", 2*soon, func() error {
		now := f.usage(victim)
		if now.files > usage.files+10 || now.goroutines > usage.goroutines+20 {
			return fmt.Errorf("it had %+v and has %+v", usage, now)
		}
		return nil
	})
	f.t.Logf("%s on %s: before %+v, afterwards %+v", c.name, victim.Name, usage, f.usage(victim))
}

// insist runs a verb until it succeeds: on a busy host the store may not answer in time.
func (f *fleet) insist(m *lab.Machine, args ...string) {
	f.t.Helper()
	f.eventually(strings.Join(args, " ")+" on "+m.Name, 2*soon, func() error {
		out, said, err := f.try(m, args...)
		if err != nil {
			err = fmt.Errorf("%w: %s%s", err, out, said)
		}
		return err
	})
}

// answers checks that a verb on a machine answers, or where it may fail, that it says so in a sentence.
func (f *fleet) answers(m *lab.Machine, mayFail bool) {
	f.t.Helper()
	out, said, err := f.try(m, "--request-timeout=5s", "list-units", "--no-legend")
	switch failed, _ := errors.AsType[interface {
		error
		ExitCode() int
	}](err); {
	case err == nil && strings.Contains(out, ticks):
	case mayFail && failed != nil && failed.ExitCode() == 1 && strings.Count(strings.TrimSpace(said), "\n") <= 1 &&
		!strings.Contains(said, "goroutine "):
		f.t.Logf("list-units on %s: %s", m.Name, strings.TrimSpace(said))
	default:
		f.t.Fatalf("list-units on %s: %v\n%s%s", m.Name, err, out, said)
	}
}

// uptime is how long the host runs, in seconds.
func (f *fleet) uptime() float64 {
	f.t.Helper()
	var up float64
	_, err := fmt.Sscan(f.on(f.machines[0], "cat", "/proc/uptime"), &up)
	f.must(err)
	return up
}

// usage is what a daemon has open.
type usage struct{ goroutines, files int }

// usage asks a machine's daemon what it needs, by its metrics.
func (f *fleet) usage(m *lab.Machine) (u usage) {
	f.t.Helper()
	path, err := m.HostPath("/run/fleettop/fleettop.sock")
	f.must(err)
	c := http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
	resp, err := c.Get("http://fleettop/metrics")
	f.must(err)
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64) // comments aren't asked for
		switch name {
		case "go_goroutines":
			u.goroutines = int(n)
		case "process_open_fds":
			u.files = int(n)
		}
	}
	if u.goroutines == 0 || u.files == 0 {
		f.t.Fatalf("the metrics of %s have no goroutines or descriptors: %+v", m.Name, u)
	}
	return u
}
