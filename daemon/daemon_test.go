package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
)

const patience = 60 * time.Second

// machine is a daemon in this process, with real gossip, etcd and child processes.
type machine struct {
	t    *testing.T
	cfg  Config
	log  *lockedWriter
	stop context.CancelFunc
	done chan struct{}
	err  error // read after done is closed
}

type lockedWriter struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *lockedWriter) contains(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.buf.String(), text)
}

// newMachine prepares a machine that joins others; nothing runs before start.
func newMachine(t *testing.T, number int, join ...*machine) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleettop") // short, as a socket has its place in it
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, log: &lockedWriter{}}
	m.cfg = Config{
		MachineID: fmt.Sprintf("%032x", number), Name: "n" + strconv.Itoa(number), Manager: ManagerProcess,
		Address: "127.0.0.1", Port: freePorts(t), StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run"),
		KeyFile: filepath.Join(dir, "key"),
		Log:     slog.New(slog.NewTextHandler(m.log, nil)),
	}
	ring := keys.NewRing(keys.Generate())
	for _, j := range join {
		if ring, err = keys.Load(j.cfg.KeyFile); err != nil {
			t.Fatal(err)
		}
		m.cfg.Join = append(m.cfg.Join, j.cfg.gossipAddress())
	}
	if err := ring.Create(m.cfg.KeyFile); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.halt()
		m.killUnits()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", m.cfg.Name, m.log.text())
		}
		os.RemoveAll(dir)
	})
	return m
}

// given has the ports that tests of this process were given, which they may not have opened yet.
var given sync.Map

// freePorts finds consecutive ports that nobody uses, below those the kernel
// gives to outgoing connections. Each is given once.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 200 {
		port := 12000 + rand.IntN(4000)*ports
		_, taken := given.LoadOrStore(port, true)
		free := !taken
		for p := port; free && p < port+ports; p++ {
			address := "127.0.0.1:" + strconv.Itoa(p)
			l, err := net.Listen("tcp", address)
			if err == nil {
				l.Close()
				var u net.PacketConn
				if u, err = net.ListenPacket("udp", address); err == nil {
					u.Close()
				}
			}
			free = err == nil
		}
		if free {
			return port
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

func (m *machine) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.stop, m.done = cancel, make(chan struct{})
	go func() {
		defer close(m.done)
		m.err = Run(ctx, m.cfg)
	}()
}

// startThree starts the machine and two that join it, all of them voters.
func (m *machine) startThree() (m2, m3 *machine) {
	m.t.Helper()
	m2, m3 = newMachine(m.t, 2, m), newMachine(m.t, 3, m)
	m2.cfg.DaemonGrace, m3.cfg.DaemonGrace = m.cfg.DaemonGrace, m.cfg.DaemonGrace
	for _, each := range []*machine{m, m2, m3} {
		each.start()
	}
	m.untilVoting(3)
	return m2, m3
}

// halt stops the daemon as systemctl would, and waits for its end.
func (m *machine) halt() {
	if m.stop != nil {
		m.stop()
		<-m.done
		m.stop = nil
	}
}

// killUnits ends what the daemon left running, as it should have.
func (m *machine) killUnits() {
	for _, pid := range m.pids() {
		unix.Kill(-pid, unix.SIGKILL)
	}
}

// pids finds this machine's units by the file each of the tests' units writes its PID to.
func (m *machine) pids() []int {
	var pids []int
	paths, _ := filepath.Glob(filepath.Join(m.cfg.StateDir, "*.pid"))
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil && unix.Kill(pid, 0) == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// unit is a service that writes its PID where pids finds it.
func (m *machine) unit() string {
	return fmt.Sprintf("[Service]\nExecStart=/bin/sh -c 'echo $$$$ > %s/%%p.pid; exec sleep "+
		"1000'\n\n[X-Fleet]\nMachineID=%s\n", m.cfg.StateDir, m.cfg.MachineID)
}

func (m *machine) client() *client.Client {
	m.t.Helper()
	c, err := client.Dial("unix://" + m.cfg.RunDir + "/fleettop.sock")
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(c.Close)
	return c
}

// until polls the machine's API, which may not be there yet.
func (m *machine) until(what string, done func(context.Context, *client.Client) (bool, error)) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := m.client()
	for {
		ok, err := done(ctx, c)
		if ok && err == nil {
			return
		}
		select {
		case <-m.done:
			m.t.Fatalf("%s ended while waiting for %s: %v", m.cfg.Name, what, m.err)
		case <-ctx.Done():
			m.t.Fatalf("%s: no %s within %s: %v", m.cfg.Name, what, patience, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (m *machine) untilVoting(n int) {
	m.t.Helper()
	m.until(fmt.Sprintf("%d voters", n), func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		if err != nil {
			return false, err
		}
		up := 0
		for _, x := range list.Machines {
			if x.Health.State == cluster.Up && x.Seat == cluster.Voter {
				up++
			}
		}
		return up == n, nil
	})
}

func (m *machine) untilActive(unit string) {
	m.t.Helper()
	m.until(unit+" active", func(ctx context.Context, c *client.Client) (bool, error) {
		u, err := c.Unit(ctx, unit)
		return err == nil && len(u.Placements) == 1 && u.Placements[0].Status != nil &&
			u.Placements[0].Status.Active == "active", err
	})
}

func (m *machine) act(verb api.Verb, req api.ActionRequest) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req.Verb = verb
	reply, err := m.client().Act(ctx, req)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, r := range reply.Results {
		if r.Error != nil {
			m.t.Fatalf("%s %s: %v", verb, r.Name, r.Error)
		}
	}
}

func TestRestartedDaemonAdoptsItsUnits(t *testing.T) {
	t.Parallel()
	m := newMachine(t, 1)
	m.start()
	m.untilVoting(1)
	m.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "a.service", Content: m.unit()}}})
	m.untilActive("a.service")
	before := m.pids()
	if len(before) != 1 {
		t.Fatalf("%d processes, want 1", len(before))
	}
	for range 2 {
		m.halt()
		if m.err != nil {
			t.Fatalf("the daemon ended with %v", m.err)
		}
		if now := m.pids(); len(now) != 1 || now[0] != before[0] {
			t.Fatalf("without a daemon: processes %v, want %v", now, before)
		}
		m.start()
		m.untilVoting(1)
		m.untilActive("a.service")
	}
	if now := m.pids(); len(now) != 1 || now[0] != before[0] {
		t.Errorf("after two restarts: processes %v, want %v", now, before)
	}
	m.act(api.Restart, api.ActionRequest{Units: []string{"a.service"}})
	m.until("another process", func(context.Context, *client.Client) (bool, error) {
		now := m.pids()
		return len(now) == 1 && now[0] != before[0], nil
	})
	m.act(api.Destroy, api.ActionRequest{Units: []string{"a.service"}})
	m.until("its end", func(context.Context, *client.Client) (bool, error) { return len(m.pids()) == 0, nil })
}

func TestGrowShrinkAndLeave(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	m3.act(api.Start, api.ActionRequest{Files: []api.File{{Name: "a.service",
		Content: "[Service]\nExecStart=/bin/sleep 1000\n"}}})
	m3.untilActive("a.service")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := m2.client().Leave(ctx, api.LeaveRequest{}); err != nil {
		t.Fatal(err)
	}
	<-m2.done
	if !errors.Is(m2.err, ErrLeft) {
		t.Fatalf("the daemon ended with %v, want ErrLeft", m2.err)
	}
	m2.stop = nil
	m2.staysOut(m1)
	m1.until("two machines, one voter", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		if err != nil {
			return false, err
		}
		voters := 0
		for _, x := range list.Machines {
			if x.Seat == cluster.Voter {
				voters++
			}
		}
		return len(list.Machines) == 2 && voters == 1, nil
	})
	m1.untilActive("a.service")
	m1.act(api.Destroy, api.ActionRequest{Units: []string{"a.service"}})
	m1.until("its end", func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		if err != nil {
			return false, err
		}
		n := 0
		for _, x := range list.Machines {
			n += x.Units
		}
		return n == 0, nil
	})
}

// staysOut starts the daemon of a machine that left: it is no member again
// unasked, neither with what it finds nor with its old key.
func (m *machine) staysOut(rest *machine) {
	m.t.Helper()
	aside, err := filepath.Glob(m.cfg.KeyFile + ".*")
	if err != nil || len(aside) != 1 {
		m.t.Fatalf("the key was put aside as %v (%v), expected one file", aside, err)
	}
	if _, err := os.Lstat(m.cfg.KeyFile); !errors.Is(err, os.ErrNotExist) {
		m.t.Errorf("the key is still there: %v", err)
	}
	again := func(what string) {
		m.t.Helper()
		m.start()
		<-m.done
		m.stop = nil
		if !errors.Is(m.err, ErrLeft) || !strings.Contains(m.err.Error(), "join-command") ||
			!strings.Contains(m.err.Error(), aside[0]) {
			m.t.Errorf("%s it ends with %v, expected what to do, and where the key is", what, m.err)
		}
	}
	again("started again")
	key := keys.NewRing(keys.Generate())
	for what, ring := range map[string]keys.Ring{"with the cluster's key": rest.ring(),
		"with another key too": keys.NewRing(key.Primary(), rest.ring().Primary())} {
		if err := ring.Save(m.cfg.KeyFile); err != nil {
			m.t.Fatal(err)
		}
		again(what)
	}
	// Another key is another cluster.
	if err := key.Save(m.cfg.KeyFile); err != nil {
		m.t.Fatal(err)
	}
	m.cfg.Join = nil
	m.start()
	m.untilVoting(1)
	m.halt()
}

// Machines that were told of each other and find the founder last.
func TestJoinersMeetBeforeTheCluster(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2 := newMachine(t, 2, m1)
	m3 := newMachine(t, 3, m2, m1)
	m2.cfg.Join = append(m2.cfg.Join, m3.cfg.gossipAddress())
	m2.start()
	m3.start()
	for _, m := range []*machine{m2, m3} {
		deadline := time.Now().Add(patience)
		for !m.log.contains("are in no cluster yet") {
			if time.Now().After(deadline) {
				t.Fatalf("%s did not meet the other", m.cfg.Name)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	m1.start()
	m1.untilVoting(3)
}

func TestSecondDaemonWithTheSameMachineID(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m1.start()
	m1.untilVoting(1)
	clone := newMachine(t, 1, m1)
	clone.cfg.Name = "clone"
	clone.start()
	select {
	case <-clone.done:
	case <-time.After(patience):
		t.Fatal("the clone still runs")
	}
	if clone.err == nil || !strings.Contains(clone.err.Error(), m1.cfg.MachineID+" is already in use") {
		t.Errorf("the clone ended with %v", clone.err)
	}
	clone.stop = nil
	m1.untilVoting(1)
}

func TestStateOfAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	m1, m2 := newMachine(t, 1), newMachine(t, 2)
	for _, m := range []*machine{m1, m2} {
		m.start()
		m.untilVoting(1)
	}
	m2.halt()
	if ring, err := keys.Load(m1.cfg.KeyFile); err != nil || ring.Save(m2.cfg.KeyFile) != nil {
		t.Fatal(err)
	}
	m2.cfg.Join = []string{m1.cfg.gossipAddress()}
	m2.start()
	select {
	case <-m2.done:
	case <-time.After(patience):
		t.Fatal("the stranger still runs")
	}
	if m2.err == nil || !strings.Contains(m2.err.Error(), "start with --join") {
		t.Errorf("the stranger ended with %v", m2.err)
	}
	m2.stop = nil
	m1.untilVoting(1)
}
