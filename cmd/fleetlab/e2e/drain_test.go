//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

// readyAfter is how long the units of TestDrainInterrupted take to be active.
const readyAfter = 2 * time.Second

// TestDrainInterrupted drains a machine whose units take their time to start:
// the old copies run until the new ones are active, one after the other, though the
// command is interrupted and the leader loses its power; what fails elsewhere runs on.
func TestDrainInterrupted(t *testing.T) {
	f := newFleet(t, 4, setup{})
	leader := f.leader()
	rest := f.others(leader)
	from, at := rest[0], rest[1] // the one that is drained, and from where
	names := []string{"a.service", "b.service", "c.service", "d.service"}
	files := map[string]string{}
	for _, name := range names {
		files[name] = slowToStart()
	}
	files["z.service"] = "[Service]\nType=exec\nExecStart=/root/only-here infinity\n" // what it needs is on one machine
	f.on(from, "cp", "/bin/sleep", "/root/only-here")
	f.verb(at, "cordon", leader.Name, at.Name, rest[2].Name)
	f.start(at, files)
	f.verb(at, "uncordon", at.Name, rest[2].Name)

	ctx, interrupt := context.WithCancel(f.ctx)
	defer interrupt()
	began := time.Now()
	var said strings.Builder
	drain := at.Command(ctx, "timeout", "--signal=INT", "2", "fleettop", "drain", from.Name)
	drain.Stdout, drain.Stderr = &said, &said
	_ = drain.Run() // as by Ctrl-C
	if want := fmt.Sprintf("The cluster goes on draining %s: `fleettop drain %s` shows how far it is", from.Name, from.Name); !strings.Contains(said.String(), want) {
		t.Errorf("interrupted, it said %q", said.String())
	}
	_, err := leader.Kill()
	f.must(err)
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	out, err := at.Exec(ctx, "fleettop", "drain", from.Name)
	failed, ok := errors.AsType[*lab.ExecError](err)
	if !ok || failed.Code != 1 || !strings.Contains(failed.Stderr, "z.service is still there: it ") || !strings.Contains(out, "1 is still there") {
		t.Fatalf("resumed, it said\n%s%v", out, err)
	}
	t.Logf("%d units left one after the other in %.1f s", len(names), time.Since(began).Seconds())

	f.eventually("the old copies to be gone", soon, func() error {
		for _, name := range names {
			if slices.Contains(f.procs.running(name), from) {
				return fmt.Errorf("%s is still on %s", name, from.Name)
			}
		}
		return nil
	})
	var starts []time.Time
	for _, name := range names {
		lives := f.neverAway(name, from)
		if len(lives) != 2 {
			t.Fatalf("%s didn't move", name)
		}
		starts = append(starts, lives[1].from)
	}
	slices.SortFunc(starts, time.Time.Compare)
	for k := range starts[1:] {
		if gap := starts[k+1].Sub(starts[k]); gap < readyAfter-2*sampleEvery {
			t.Errorf("two units moved at a time: %.2f s lie between their starts", gap.Seconds())
		}
	}
	if home := f.home("z.service"); home != from {
		t.Errorf("z.service runs on %s", home.Name)
	}
	timeline := f.verb(at, "events")
	for _, want := range []string{"a.service is active on ", ", and stops on " + from.Name, "z.service stays on " + from.Name + ": it "} {
		if !strings.Contains(timeline, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, timeline)
		}
	}
	// Asked for again it is tried again, with what it needs.
	for _, m := range rest[1:] {
		f.on(m, "cp", "/bin/sleep", "/root/only-here")
	}
	if out := f.verb(at, "drain", "--parallel", "3", from.Name); !strings.Contains(out, "is drained: 1 unit moved") {
		t.Errorf("drained once more: %s", out)
	}
	f.eventually("it to be empty", soon, func() error { return f.empty(from) })
}

// TestRebalance: units that a cordon kept on one machine are spread, start-first, though
// the command is interrupted and the leader's daemon restarts.
func TestRebalance(t *testing.T) {
	f := newFleet(t, 3, setup{})
	full, at := f.machines[1], f.machines[2]
	names := []string{"a.service", "b.service", "c.service", "d.service", "e.service", "f.service"}
	files := map[string]string{}
	for _, name := range names {
		files[name] = slowToStart()
	}
	f.verb(at, "cordon", f.machines[0].Name, at.Name)
	f.start(at, files)
	f.verb(at, "uncordon", f.machines[0].Name, at.Name)
	plan := f.verb(at, "rebalance", "--dry-run")
	if want := full.Name + " has 6 units, "; !strings.Contains(plan, want) || strings.Count(plan, " -> ") != 4 {
		t.Errorf("the plan lacks %q, or four moves:\n%s", want, plan)
	}
	var said strings.Builder
	interrupted := at.Command(f.ctx, "timeout", "--signal=INT", "5", "fleettop", "rebalance", "--yes")
	interrupted.Stdout, interrupted.Stderr = &said, &said
	_ = interrupted.Run()
	if !strings.Contains(said.String(), "Interrupted. The cluster goes on with it") {
		t.Errorf("interrupted, it said %q", said.String())
	}
	f.must(f.leader().RestartFleettop(f.ctx))
	f.eventually("the daemon on "+at.Name+" to answer", soon, func() error {
		_, err := f.client(at).Machines(f.ctx)
		return err
	})
	ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
	defer cancel()
	if out, err := at.Exec(ctx, "fleettop", "rebalance"); err != nil {
		t.Errorf("resumed: %v\n%s", err, out)
	}
	f.eventually("each machine to have two", soon, func() error {
		on := map[string]int{}
		for _, name := range names {
			for _, m := range f.procs.running(name) {
				on[m.Name]++
			}
		}
		for _, m := range f.machines {
			if on[m.Name] != 2 {
				return fmt.Errorf("%v", on)
			}
		}
		return nil
	})
	for _, name := range names {
		f.neverAway(name, full)
	}
	if out := f.verb(at, "rebalance", "--dry-run"); !strings.Contains(out, "Nothing to move") {
		t.Errorf("a second one plans\n%s", out)
	}
}

// slowToStart is a service that is active readyAfter after its process began.
func slowToStart() string {
	return fmt.Sprintf("[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep %.0f; systemd-notify --ready; exec sleep infinity'\n",
		readyAfter.Seconds())
}

// neverAway checks that a unit of slowToStart that left a machine ended there
// when it was active elsewhere, and returns its processes' lives.
func (f *fleet) neverAway(name string, from *lab.Machine) []life {
	f.t.Helper()
	lives := f.procs.of(name)
	if len(lives) == 0 || lives[0].machine != from.Name || len(lives) > 2 {
		f.t.Fatalf("%s ran as %+v", name, lives)
	}
	if len(lives) == 2 {
		if ready := lives[1].from.Add(readyAfter); lives[0].to.Before(ready) {
			f.t.Errorf("%s ended on %s %.2f s before it was active on %s", name, from.Name, ready.Sub(lives[0].to).Seconds(), lives[1].machine)
		}
	}
	return lives
}
