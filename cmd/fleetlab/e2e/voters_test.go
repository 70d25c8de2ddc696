//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"fleettop/cmd/fleetlab/lab"
)

var goneFor = flag.Bool("gone", false, "TestVoterIsReplaced waits until a dead voter is replaced by itself, for minutes")

// TestVoterIsReplaced takes voters away for good, in a cluster of five: one comes
// back with an empty disk, one never, and an operator says so. Another machine
// votes in its place. All the time most of the voters are healthy, and etcd takes writes.
func TestVoterIsReplaced(t *testing.T) {
	limit := testLimit
	if *goneFor {
		limit = 12 * time.Minute
	}
	f := newFleet(t, 5, setup{limit: limit})
	units := named("a%d.service", 10)
	f.start(f.machines[0], sleepers(units...))
	f.allHome(units)

	victim := f.voters(1)[0]
	before := f.procs.snapshot()
	watch := f.watchVoters(f.leader())
	f.kill(victim)
	watch.lost(victim, false)
	f.must(os.RemoveAll(f.stateOnDisk(victim)))
	f.must(victim.Boot(f.ctx))
	f.must(victim.WaitBooted(f.ctx))
	f.settledWithin(time.Minute, f.machines...)
	f.allHome(units)
	f.eventually("three machines to vote again", time.Minute, func() error { return watch.voters(3) })
	f.settledWithin(time.Minute, f.machines...)
	watch.end("a disk that is gone")
	f.procs.unchanged(t, before, victim)

	victim = f.voters(1)[0]
	witness := f.leader()
	before = f.procs.snapshot()
	watch = f.watchVoters(witness)
	died := time.Now()
	f.kill(victim)
	watch.lost(victim, true)
	f.allHome(units, victim)
	if !*goneFor {
		f.verb(witness, "forget", victim.Name)
	}
	f.eventually("another machine to vote", 7*time.Minute, func() error { return watch.voters(3) })
	t.Logf("another machine votes %.1f s after %s died", time.Since(died).Seconds(), victim.Name)
	watch.end("a machine that is gone")
	f.procs.unchanged(t, before, victim)
	f.start(witness, sleepers("after.service"))
	f.home("after.service")
}

// voterWatch looks at etcd's members and writes to it, all the time.
type voterWatch struct {
	f    *fleet
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex      // guards what follows
	dead    map[string]bool // by the IDs of machines and, for those that come back, of their members
	members map[string]uint64
	now     int           // voters that live, at the last look
	fewest  int           // healthy voters
	longest time.Duration // without a write
	below   []string      // looks that found too few
	writes  int
}

// watchVoters watches by the etcd of a machine that votes and stays.
func (f *fleet) watchVoters(m *lab.Machine) *voterWatch {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.ctx)
	w := &voterWatch{f: f, stop: stop, dead: map[string]bool{}, members: map[string]uint64{}, fewest: len(f.machines)}
	c := f.etcd(m)
	list, err := c.MemberList(ctx)
	f.must(err)
	for _, member := range list.Members {
		w.members[member.Name] = member.ID
	}
	w.done.Go(func() {
		last := time.Now()
		for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			limited, cancel := context.WithTimeout(ctx, 2*time.Second)
			list, err := c.MemberList(limited)
			if err == nil {
				_, err = c.Put(limited, "/e2e/voters", "here")
			}
			cancel()
			if err != nil {
				continue
			}
			w.mu.Lock()
			voters, healthy := 0, 0
			for _, member := range list.Members {
				if member.IsLearner {
					continue
				}
				voters++
				if !w.dead[member.Name] && !w.dead[strconv.FormatUint(member.ID, 16)] {
					healthy++
				}
			}
			w.now = healthy
			w.fewest, w.longest, w.writes = min(w.fewest, healthy), max(w.longest, time.Since(last)), w.writes+1
			if healthy < voters/2+1 {
				w.below = append(w.below, fmt.Sprintf("%d of %d voters were healthy", healthy, voters))
			}
			w.mu.Unlock()
			last = time.Now()
		}
	})
	return w
}

// lost counts a machine's member as dead from here on, and with all also one that it may get later.
func (w *voterWatch) lost(m *lab.Machine, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[strconv.FormatUint(w.members[m.MachineID], 16)] = true
	w.dead[m.MachineID] = all
	w.now = 0 // until the next look
}

// voters returns an error unless so many voters live.
func (w *voterWatch) voters(n int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now != n {
		return fmt.Errorf("%d voters live", w.now)
	}
	return nil
}

// end ends the watch and says what it saw.
func (w *voterWatch) end(what string) {
	w.f.t.Helper()
	w.stop()
	w.done.Wait()
	w.f.t.Logf("%s: %d writes, the longest pause %.2f s, %d healthy voters at the fewest", what, w.writes,
		w.longest.Seconds(), w.fewest)
	for _, text := range w.below {
		w.f.t.Errorf("%s: %s", what, text)
	}
	if w.fewest < 2 || w.writes == 0 || w.longest > soon {
		w.f.t.Errorf("%s: the store was away", what)
	}
}
