//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cmd/fleetlab/lab"
)

const (
	slowStoreFor = 10 * time.Second // how long the store is slow, each time
	flapping     = 8                // lines about a machine in that time
)

// TestSlowStore slows the store down: half a second from voter to voter, and
// voters' disks that stall for one and two seconds, one after the other and all
// at once. No machine is taken for dead, no unit is touched, verbs end, and
// what only reads has its answer at once, from what is known.
func TestSlowStore(t *testing.T) {
	f := newFleet(t, 3, setup{disk: true})
	units := named("a%d.service", 6)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)
	reading := func(m *lab.Machine) (time.Duration, error) {
		began := time.Now()
		list, err := f.client(m).Units(f.ctx, true)
		if err == nil && len(list.Units) < len(units) {
			err = fmt.Errorf("%s lists %d units, and there are %d", m.Name, len(list.Units), len(units))
		}
		return time.Since(began), err
	}
	for i, c := range []struct {
		what string
		slow func(end <-chan struct{})
	}{
		{"half a second between voters", func(end <-chan struct{}) {
			f.all(func(m *lab.Machine) error { return m.Slow(250*time.Millisecond, 0) })
			<-end
			f.all((*lab.Machine).Perfect)
		}},
		{"disks that stall in turn", func(end <-chan struct{}) {
			for turn := 0; !over(end); turn++ {
				f.stall(time.Duration(1+turn%2)*time.Second, f.machines[turn%len(f.machines)])
			}
		}},
		{"disks that stall together", func(end <-chan struct{}) {
			for !over(end) {
				f.stall(2*time.Second, f.machines...)
				f.throughout("a moment without a stall", 500*time.Millisecond, func() error { return f.ctx.Err() })
			}
		}},
	} {
		before, began := f.procs.snapshot(), time.Now()
		end := make(chan struct{})
		var slowly, asking sync.WaitGroup
		slowly.Go(func() { c.slow(end) })
		ended := sync.OnceFunc(func() { close(end); slowly.Wait() })
		t.Cleanup(ended) // also where the test fails: no disk may be stalled while the lab removes it
		late := fmt.Sprintf("late%d.service", i)
		path := f.write(f.machines[i], sleepers(late))[0]
		var out, said string
		var err error
		var took time.Duration
		asking.Go(func() {
			asked := time.Now()
			out, said, err = f.try(f.machines[i], "start", path)
			took = time.Since(asked)
		})
		var answers []time.Duration
		f.throughout(c.what, slowStoreFor, func() error {
			for _, m := range f.machines {
				took, err := reading(m)
				if err != nil {
					return err
				}
				answers = append(answers, took)
			}
			return f.keeps(before)
		})
		ended()
		asking.Wait()
		t.Logf("%s: `start` ended after %.1f s: %v %s%s", c.what, took.Seconds(), err, out, said)
		if err != nil && strings.TrimSpace(said) == "" {
			t.Errorf("%s: start failed without a word", c.what)
		}
		f.settledWithin(time.Minute, f.machines...)
		f.procs.unchanged(t, before)
		o := outcome{}
		f.judge(&o, began, nil)
		for _, line := range o.evidence {
			t.Errorf("%s: %s", c.what, line)
		}
		lines := map[string]int{}
		for _, e := range f.events(f.machines[0], began) {
			if lines[e.Machine]++; e.Kind == cluster.EventMachine && lines[e.Machine] == flapping {
				t.Errorf("%s: the timeline has %d lines about %s", c.what, flapping, f.machine(e.Machine).Name)
			}
		}
		slices.Sort(answers)
		median, longest := answers[len(answers)/2], answers[len(answers)-1]
		t.Logf("%s: %d answers to readers took %.3f s in the median, %.3f at most; the timeline:%s", c.what, len(answers),
			median.Seconds(), longest.Seconds(), f.timeline(f.machines[0], began))
		if median > readerLimit {
			t.Errorf("%s: readers waited for %.3f s in the median", c.what, median.Seconds())
		}
		f.verb(f.machines[i], "start", path) // what was asked for in vain is done now
		f.home(late)
	}
	f.procs.neverTwice(t)
}

// keeps returns an error where a unit has another process than before.
func (f *fleet) keeps(before map[place]int) error {
	now := f.procs.snapshot()
	for p, pid := range before {
		if now[p] != pid {
			return fmt.Errorf("%s on %s was process %d and is %d now", p.unit, p.machine, pid, now[p])
		}
	}
	return nil
}

// readerLimit is for an answer that waits for no store. It takes milliseconds;
// one that waited for the store would take seconds.
const readerLimit = time.Second

// stall has the disks under the state of machines stall for a while.
func (f *fleet) stall(d time.Duration, machines ...*lab.Machine) {
	var group sync.WaitGroup
	for _, m := range machines {
		group.Go(func() {
			if err := m.StallDisk(stateDir); err != nil {
				f.t.Error(err)
			}
		})
	}
	group.Wait()
	select {
	case <-f.ctx.Done():
	case <-time.After(d):
	}
	for _, m := range machines {
		if err := m.ResumeDisk(stateDir); err != nil {
			f.t.Error(err)
		}
	}
}

func over(end <-chan struct{}) bool {
	select {
	case <-end:
		return true
	default:
		return false
	}
}
