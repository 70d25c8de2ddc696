package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/units"
)

var (
	crashPoints = flag.Int("crash.points", 2, "before how many of its writes TestKillPoints kills a daemon; 0 is all of them")
	crashAt     = flag.Int("crash.at", 0, "the one write before which TestKillPoints kills a daemon; 0 is by -crash.points")
)

// crashed is a machine whose daemon is killed.
type crashed struct {
	*machine
	firstKey string
	killed   string // before which write
}

// unit is a service that writes down the PID of each of its processes.
func (m *crashed) unit() string {
	return fmt.Sprintf("[Service]\nExecStart=/bin/sh -c 'echo $$$$ >> %s/%%p.pid; exec sleep 1000'\n", m.cfg.StateDir)
}

// running returns the processes of a unit that live.
func (m *crashed) running(unit string) (pids []int) {
	raw, _ := os.ReadFile(filepath.Join(m.cfg.StateDir, strings.TrimSuffix(unit, ".service")+".pid")) // before its first start there is none
	for _, field := range strings.Fields(string(raw)) {
		if pid, err := strconv.Atoi(field); err == nil && lives(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// lives reports whether a process runs; one that waits to be reaped doesn't.
func lives(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, state, _ := strings.Cut(string(stat), ") ") // sh and sleep have no parentheses
	return err == nil && !strings.HasPrefix(state, "Z")
}

func (m *crashed) endUnits() {
	for _, unit := range crashedUnits {
		for _, pid := range m.running(unit) {
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
	}
}

var (
	crashedUnits = []string{"a.service", "b.service", "c.service"}
	digits       = regexp.MustCompile(`[0-9]+`)
)

// step is one thing that is asked of a daemon in its life. It is asked again where the daemon was
// killed meanwhile, so that it must bear that.
type step struct {
	name    string
	touches string // the unit whose process may be another one afterwards
	do      func(ctx context.Context, c *client.Client) error
}

// life is what a daemon goes through in TestKillPoints.
func (m *crashed) life() []step {
	file := func(name, more string) api.File { return api.File{Name: name, Content: more + m.unit()} }
	act := func(verb api.Verb, req api.ActionRequest) func(context.Context, *client.Client) error {
		return func(ctx context.Context, c *client.Client) error { return acted(ctx, c, verb, req) }
	}
	is := func(unit, state, touches string) step {
		return step{unit + " is " + state, touches, func(ctx context.Context, c *client.Client) error {
			return stateIs(ctx, c, unit, state)
		}}
	}
	schedule := func(verb string) func(context.Context, *client.Client) error {
		return func(ctx context.Context, c *client.Client) error {
			_, err := c.Schedule(ctx, m.cfg.MachineID, verb)
			return err
		}
	}
	named := func(unit string) api.ActionRequest { return api.ActionRequest{Units: []string{unit}} }
	return []step{
		{"start a and b", "", act(api.Start, api.ActionRequest{Files: []api.File{file("a.service", ""), file("b.service", "")}})},
		is("a.service", "active", ""), is("b.service", "active", ""),
		{"load c", "", act(api.Load, api.ActionRequest{Files: []api.File{file("c.service", "")}})},
		{"restart a", "a.service", act(api.Restart, named("a.service"))},
		is("a.service", "active", "a.service"),
		{"stop b", "b.service", act(api.Stop, named("b.service"))},
		is("b.service", "inactive", "b.service"),
		{"change c and start it", "", act(api.Start, api.ActionRequest{Replace: true,
			Files: []api.File{file("c.service", "[Unit]\nDescription=Another\n")}})},
		is("c.service", "active", ""),
		{"cordon", "", schedule("cordon")},
		{"uncordon", "", schedule("uncordon")},
		{"rotate the key", "", func(ctx context.Context, c *client.Client) error {
			list, err := c.Keys(ctx)
			if err == nil && list.Phase == "" && list.Keys[0].ID == m.firstKey {
				_, err = c.RotateKey(ctx)
				list.Phase = "begun"
			}
			if err == nil && list.Phase != "" {
				err = errors.New("the rotation is in phase " + list.Phase)
			}
			return err
		}},
		{"destroy c", "c.service", act(api.Destroy, named("c.service"))},
		{"c is gone", "c.service", func(ctx context.Context, c *client.Client) error {
			list, err := c.Units(ctx, true)
			if err == nil && len(list.Units) != 2 {
				err = fmt.Errorf("there are %d units", len(list.Units))
			}
			return err
		}},
	}
}

func acted(ctx context.Context, c *client.Client, verb api.Verb, req api.ActionRequest) error {
	req.Verb = verb
	reply, err := c.Act(ctx, req)
	if err != nil {
		return err
	}
	for _, r := range reply.Results {
		if r.Error != nil && !(verb == api.Destroy && r.Error.Code == api.CodeNotFound) { // it was done before the kill
			return r.Error
		}
	}
	return nil
}

func stateIs(ctx context.Context, c *client.Client, unit, state string) error {
	u, err := c.Unit(ctx, unit)
	if err != nil {
		return err
	}
	if len(u.Placements) != 1 || u.Placements[0].Status == nil || u.Placements[0].Status.Active != state ||
		u.Placements[0].Status.Generation < u.Generation {
		text, _ := json.Marshal(u) // for the message
		return fmt.Errorf("%s is not %s on one machine: %s", unit, state, text)
	}
	return nil
}

// TestKillPoints kills a daemon just before a write, at each of them if asked: a file that is
// made, renamed, removed or made durable, its own or of its etcd, which is also just after the
// write before. The daemon that is started then finds its state whole and its units running, what
// was asked for is done, and all ends as in a life without a kill.
func TestKillPoints(t *testing.T) {
	t.Parallel()
	want, writes, _ := live(t, 0)
	t.Logf("%d writes; at the end: %s", writes, want)
	var points []int
	switch {
	case *crashAt > 0:
		points = []int{*crashAt}
	case *crashPoints == 0:
		for k := 1; k <= writes; k++ {
			points = append(points, k)
		}
	default:
		for i := range *crashPoints { // spread over its life
			points = append(points, 1+(2*i+1)*writes/(2*(*crashPoints)))
		}
	}
	for _, k := range points {
		got, _, last := live(t, k)
		t.Logf("killed before write %d, %s", k, last)
		if got != want {
			t.Errorf("killed before write %d (%s), the life ends with\n%s\nexpected\n%s", k, last, got, want)
		}
		if t.Failed() {
			t.Fatalf("again: go test ./daemon -run '^TestKillPoints$' -crash.at %d", k)
		}
	}
}

// live is one life of a daemon that is killed once. It returns what is there at its end.
func live(t *testing.T, killAt int) (outcome string, writes int, last string) {
	t.Helper()
	m := &crashed{machine: newMachine(t, 1)}
	m.firstKey = m.ring().Primary().ID()
	t.Cleanup(m.endUnits)
	first := startWatched(t, m.cfg, killAt)
	w := first
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	alive := func() bool {
		select {
		case <-w.ended:
			return false
		default:
			return true
		}
	}
	explain := func(what string, err error) {
		t.Helper()
		_, last := first.written()
		t.Fatalf("killed before write %d (%s): %s: %v\nthe daemon's log:\n%s\nand of the next:\n%s", killAt, last, what, err,
			first.log.String(), w.log.String())
	}
	revive := func() {
		t.Helper()
		if w != first {
			explain("the second daemon ended", w.err)
		}
		if _, last := first.written(); last == "" {
			explain("the daemon ended", w.err)
		}
		_, last := first.written()
		m.killed = fmt.Sprintf("before write %d, %s", killAt, last)
		w = startWatched(t, m.cfg, 0)
	}
	for _, s := range m.life() {
		before := m.processes()
		var why error // the daemon last said that it isn't done
		for {
			stepCtx, cancelStep := context.WithTimeout(ctx, 5*time.Second)
			c := m.client()
			err := s.do(stepCtx, c)
			cancelStep()
			if err == nil {
				break
			}
			if !alive() {
				revive()
			}
			if ctx.Err() == nil {
				why = err
			} else {
				explain(s.name, why)
			}
			time.Sleep(20 * time.Millisecond)
		}
		now := m.processes()
		for unit, pid := range before {
			if unit != s.touches && now[unit] != pid {
				explain(s.name, fmt.Errorf("%s was process %d and is %d", unit, pid, now[unit]))
			}
		}
	}
	// Its last write may be of its farewell.
	before := m.processes()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	<-w.ended
	if w != first || killAt == 0 {
		if w.err != nil {
			explain("the daemon was stopped", w.err)
		}
	}
	writes, last = first.written()
	w = startWatched(t, m.cfg, 0)
	for {
		stepCtx, cancelStep := context.WithTimeout(ctx, 5*time.Second)
		c := m.client()
		outcome, err := m.outcome(stepCtx, c)
		cancelStep()
		if err == nil {
			if now := m.processes(); !maps.Equal(now, before) {
				explain("at the end", fmt.Errorf("the processes were %v and are %v", before, now))
			}
			_ = acted(ctx, c, api.Destroy, api.ActionRequest{Units: []string{"a.service", "b.service"}})
			_ = w.cmd.Process.Signal(syscall.SIGTERM)
			<-w.ended
			return outcome, writes, last
		}
		if !alive() || ctx.Err() != nil {
			explain("the last start", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// processes are the units' processes that run, by unit. Two of one unit fail the test.
func (m *crashed) processes() map[string]int {
	m.t.Helper()
	list := map[string]int{}
	for _, unit := range crashedUnits {
		running := m.running(unit)
		if len(running) > 1 {
			m.t.Fatalf("%s has the processes %v, when the daemon was killed %s", unit, running, m.killed)
		}
		if len(running) == 1 {
			list[unit] = running[0]
		}
	}
	return list
}

// outcome is what a life led to, as text: units, how they are, keys, and which files there are.
func (m *crashed) outcome(ctx context.Context, c *client.Client) (string, error) {
	list, err := c.Units(ctx, false)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, u := range list.Units {
		d, err := c.Unit(ctx, u.Name)
		if err != nil {
			return "", err
		}
		if len(d.Placements) != 1 || d.Placements[0].Status == nil {
			return "", fmt.Errorf("%s has no state yet", u.Name)
		}
		active := d.Placements[0].Status.Active
		if (active == "active") != (u.Desired == units.Launched) {
			return "", fmt.Errorf("%s is %s", u.Name, active)
		}
		fmt.Fprintf(&b, "%s %s %s %d process; ", u.Name, u.Desired, active, len(m.running(u.Name)))
	}
	machines, err := c.Machines(ctx)
	if err != nil {
		return "", err
	}
	for _, x := range machines.Machines {
		if x.Health.State != cluster.Up || x.Seat != cluster.Voter {
			return "", fmt.Errorf("%s is %s", x.Name, x.Health.State)
		}
		fmt.Fprintf(&b, "%s %s; ", x.Name, x.Schedule)
	}
	keyList, err := c.Keys(ctx)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "%d key, another one: %v; files:", len(keyList.Keys), keyList.Keys[0].ID != m.firstKey)
	for _, f := range m.files() {
		b.WriteString(" " + f)
	}
	return b.String(), nil
}

// files are the names of the daemon's files, with # for numbers; those of etcd are its own matter.
func (m *crashed) files() []string {
	home := filepath.Dir(m.cfg.StateDir)
	names := map[string]bool{}
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(home, path)
		if name == "state/etcd" {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() { // what is gone meanwhile was not to stay
			names[digits.ReplaceAllString(name, "#")] = true
		}
		return nil
	})
	return slices.Sorted(maps.Keys(names))
}
