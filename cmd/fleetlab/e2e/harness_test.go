//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
	"fleettop/daemon/api/client"
)

const (
	testLimit = 4 * time.Minute  // of one test, its lab included
	soon      = 20 * time.Second // for what takes a second or two on an idle host
)

// fleet is a lab with fleettop on each machine, under test. It is for one test.
type fleet struct {
	t        testing.TB
	ctx      context.Context // ends with testLimit
	lab      *lab.Lab
	machines []*lab.Machine
	procs    *sampler // sees the units' processes on all machines, all the time
	// ownSignals ends it that SIGINT and its like take the lab down at once.
	ownSignals func()
}

// setup says what fleet to make. The zero value is a plain one.
type setup struct {
	options func(m *lab.Machine) string // more flags of a machine's daemon
	limit   time.Duration               // testLimit if zero
	idle    bool                        // install only, start no daemon
	bare    bool                        // install nothing
	// unwatched leaves the units' processes alone: to look at hundreds of
	// them all the time would take from what is measured.
	unwatched bool
	layers    []string // over the machines' /usr
	disk      bool     // the daemons' state is on a disk that can be stalled
}

// newFleet boots a lab of n machines, which is a cluster when it returns:
// every daemon is up in the eyes of every other, and etcd has its voters.
func newFleet(t testing.TB, n int, s setup) *fleet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the end-to-end tests boot machines: run them as root")
	}
	path := ""
	if !s.bare {
		path = binary(t) // before the clock runs
	}
	if s.limit == 0 {
		s.limit = testLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	t.Cleanup(cancel)
	options := lab.Options{Name: labName(t), Dir: filepath.Join(t.TempDir(), "lab"), Layers: s.layers}
	if s.disk {
		options.Disks = map[string]int{stateDir: 512}
	}
	l, err := lab.New(options)
	if err != nil {
		t.Fatal(err)
	}
	ownSignals := l.DownOnSignal()
	t.Cleanup(ownSignals)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := l.Up(ctx, n); err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, ctx: ctx, lab: l, machines: l.Machines(), ownSignals: ownSignals}
	watched := f.machines
	if s.unwatched {
		watched = nil
	}
	f.procs = startSampler(watched)
	t.Cleanup(f.procs.stop)
	t.Cleanup(f.dump)
	if s.bare {
		return f
	}
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.CommandContext(ctx, path, "key", "generate", "--key-file", key).CombinedOutput(); err != nil {
		t.Fatalf("make a cluster key: %v\n%s", err, out)
	}
	for _, m := range f.machines {
		f.must(m.CopyIn(key, "/etc/fleettop/key", 0o600))
	}
	f.must(l.Install(ctx, lab.InstallOptions{Binary: path, ServiceFile: serviceFile(t),
		Env: func(m *lab.Machine) map[string]string {
			opts := "--address " + m.IP.String()
			if m != f.machines[0] {
				opts += " --join " + f.machines[0].IP.String()
			}
			if s.options != nil {
				opts += " " + s.options(m)
			}
			return map[string]string{"FLEETTOP_OPTIONS": opts}
		}}))
	if s.idle {
		return f
	}
	f.must(f.machines[0].StartFleettop(ctx))
	group, groupCtx := errgroup.WithContext(ctx)
	for _, m := range f.machines[1:] {
		group.Go(func() error { return m.StartFleettop(groupCtx) })
	}
	f.must(group.Wait())
	f.settled(f.machines...)
	return f
}

// settled waits until these machines all see each other up, a leader, and as
// many voters as there are to be; and all other machines not up.
func (f *fleet) settled(machines ...*lab.Machine) {
	f.t.Helper()
	f.settledWithin(30*time.Second, machines...)
}

func (f *fleet) settledWithin(limit time.Duration, machines ...*lab.Machine) {
	f.t.Helper()
	f.eventually("the cluster to settle", limit, func() error { return f.unsettled(machines...) })
}

// unsettled returns an error unless the cluster is as settled waits for it to be.
func (f *fleet) unsettled(machines ...*lab.Machine) error {
	f.t.Helper()
	voters := min(3, len(f.machines)-1|1)
	if len(f.machines) >= 7 {
		voters = 5
	}
	for _, m := range machines {
		list, err := f.client(m).Machines(f.ctx)
		if err != nil {
			return err
		}
		if !list.Store.Connected {
			return fmt.Errorf("%s is not connected to the store", m.Name)
		}
		up, votes, leaders := 0, 0, 0
		for _, info := range list.Machines {
			expected := slices.ContainsFunc(machines, func(m *lab.Machine) bool { return m.MachineID == info.ID })
			if (info.Health.State == cluster.Up) != expected {
				return fmt.Errorf("%s sees %s %s: %s", m.Name, info.Name, info.Health.State, info.Health.Evidence)
			}
			if expected {
				up++
			}
			if info.Seat == cluster.Voter {
				votes++
			}
			if info.Leader {
				leaders++
			}
		}
		if up != len(machines) || votes != voters || leaders != 1 {
			return fmt.Errorf("%s sees %d of %d machines up, %d of %d voters, %d leaders", m.Name, up, len(machines), votes,
				voters, leaders)
		}
	}
	return nil
}

// must ends the test on an error.
func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// eventually polls until check returns nil, and ends the test with its last
// error when that takes too long.
func (f *fleet) eventually(what string, limit time.Duration, check func() error) {
	f.t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > limit || f.ctx.Err() != nil {
			f.t.Fatalf("waited %.1f s for %s: %v", time.Since(began).Seconds(), what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// throughout polls for a while and ends the test when check fails.
func (f *fleet) throughout(what string, d time.Duration, check func() error) {
	f.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := check(); err != nil {
			f.t.Fatalf("%s: %v", what, err)
		}
	}
}

// on runs a command on a machine and returns what it wrote, without the last newline.
func (f *fleet) on(m *lab.Machine, args ...string) string {
	f.t.Helper()
	out, err := m.Exec(f.ctx, args...)
	f.must(err)
	return strings.TrimRight(out, "\n")
}

// verb runs a verb of fleettop on a machine; it must succeed.
func (f *fleet) verb(m *lab.Machine, args ...string) string {
	f.t.Helper()
	return f.on(m, append([]string{"fleettop"}, args...)...)
}

// refusal runs a verb that must fail, and returns its exit code and all it said.
func (f *fleet) refusal(m *lab.Machine, args ...string) (code int, said string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, soon)
	defer cancel()
	out, err := m.Exec(ctx, append([]string{"fleettop"}, args...)...)
	failed, ok := errors.AsType[*lab.ExecError](err)
	if !ok {
		f.t.Fatalf("fleettop %s on %s: it should have failed: %v\n%s", strings.Join(args, " "), m.Name, err, out)
	}
	return failed.Code, out + failed.Stderr
}

// try runs a verb and returns what it wrote to its output and to its error output.
func (f *fleet) try(m *lab.Machine, args ...string) (out, said string, err error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.ctx, soon)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := m.Command(ctx, append([]string{"fleettop"}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// client returns a client of a machine's daemon, for this boot of the machine.
func (f *fleet) client(m *lab.Machine) *client.Client {
	f.t.Helper()
	path, err := m.HostPath("/run/fleettop/fleettop.sock")
	f.must(err)
	c, err := client.Dial("unix://" + path)
	f.must(err)
	f.t.Cleanup(c.Close)
	return c
}

// write puts unit files into a machine's /root and returns their paths.
func (f *fleet) write(m *lab.Machine, files map[string]string) []string {
	f.t.Helper()
	var paths []string
	for name, content := range files {
		path := "/root/" + name
		f.must(m.WriteFile(path, []byte(content), 0o644))
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// start writes unit files to a machine and starts them from there, by the
// command line, which waits until they run.
func (f *fleet) start(m *lab.Machine, files map[string]string) {
	f.t.Helper()
	f.verb(m, append([]string{"start"}, f.write(m, files)...)...)
}

// sleeper is a service that runs until it is stopped; more lines follow in
// whatever sections they open, beginning in [Service].
func sleeper(more ...string) string {
	return "[Unit]\nDescription=Sleeps\n[Service]\nExecStart=/bin/sleep infinity\n" + strings.Join(more, "\n") + "\n"
}

// sleepers are services of these names that do nothing but run.
func sleepers(names ...string) map[string]string {
	files := map[string]string{}
	for _, name := range names {
		files[name] = sleeper()
	}
	return files
}

// show returns a property of a unit on a machine, as systemd has it.
func (f *fleet) show(m *lab.Machine, unit, property string) string {
	f.t.Helper()
	return f.on(m, "systemctl", "show", "--property="+property, "--value", unit)
}

// dump says what there is to say about a test that failed.
func (f *fleet) dump() {
	if !f.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	told := false
	for _, m := range f.machines {
		if !m.Running() {
			f.t.Logf("%s is off", m.Name)
			continue
		}
		for _, args := range [][]string{{"list-machines", "--all"},
			{"list-units", "--fields", "unit,machine,load,active,sub,error"},
			{"list-unit-files", "--fields", "unit,dstate,state,target,reason"}, {"events"}} {
			if told && args[0] == "events" {
				continue
			}
			callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
			out, err := m.Exec(callCtx, append([]string{"fleettop", "--request-timeout=3s"}, args...)...)
			cancel()
			f.t.Logf("%s: fleettop %s: %v\n%s", m.Name, strings.Join(args, " "), err, out)
			told = told || args[0] == "events" && err == nil
		}
	}
	for _, m := range f.machines {
		// From the disk, as the machine may be off or frozen.
		dir := filepath.Join(f.lab.Dir(), m.Name, "root/var/log/journal")
		out, err := exec.CommandContext(ctx, "journalctl", "--no-pager", "--output=short-precise", "--directory="+dir,
			"--lines=220",
			"_SYSTEMD_UNIT="+lab.UnitName, "+", "UNIT="+lab.UnitName, "+", "_SYSTEMD_USER_UNIT="+lab.UnitName, "+",
			"USER_UNIT="+lab.UnitName).CombinedOutput()
		f.t.Logf("%s: the daemon's journal: %v\n%s", m.Name, err, out)
	}
	f.t.Logf("the units' processes:\n%s", f.procs)
}
