package health

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/units/broadcast"
)

// record is a view that never changes.
type record struct {
	snap    *cluster.Snapshot
	changed broadcast.Signal
}

func (r *record) LastKnown() (*cluster.Snapshot, bool, time.Time, <-chan struct{}) {
	return r.snap, true, time.Time{}, r.changed.Changed()
}

// pace is slower than usual: a look is over before gossip gives a machine up,
// however busy the machine is that the test runs on.
const pace = 400 * time.Millisecond

// seat is a machine with real gossip, real probes and a Tracker.
type seat struct {
	id      string
	gossip  *membership.Membership
	probes  net.Listener
	tracker *Tracker
	stop    context.CancelFunc
	running sync.WaitGroup
	once    sync.Once
}

// die ends the machine without a word.
func (s *seat) die(t *testing.T) {
	s.once.Do(func() {
		s.stop()
		if err := s.gossip.Close(); err != nil {
			t.Error(err)
		}
		s.running.Wait()
	})
}

// seats makes a cluster. What silent says is as dead to probes, which the kernel of one machine would answer.
func seats(t *testing.T, n int, silent func(from, to string) bool) []*seat {
	t.Helper()
	var all []*seat
	snap := cluster.NewSnapshot(1)
	for i := range n {
		s := &seat{id: fmt.Sprintf("%032d", i)}
		var err error
		if s.probes, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if s.gossip, err = membership.Open(membership.Config{ID: s.id, BindAddr: "127.0.0.1", ProbeInterval: pace,
			Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := s.gossip.Join(t.Context(), []string{all[0].gossip.Address()}); err != nil {
				t.Fatal(err)
			}
		}
		snap = snap.With(cluster.Change{Revision: int64(i + 2),
			Machines: map[string]*cluster.Machine{s.id: {ID: s.id, Name: fmt.Sprint("n", i), ProbeAddress: s.probes.Addr().String()}},
			Runs:     map[string]*cluster.Run{s.id: {Machine: s.id, ID: "run"}}})
		all = append(all, s)
	}
	for _, s := range all {
		probe := func(ctx context.Context, addr, id string, p membership.Patience, report func(membership.Verdict)) {
			if silent(s.id, id) {
				select {
				case <-time.After(p.Allowed):
					report(membership.Silent)
				case <-ctx.Done():
				}
				return
			}
			membership.Probe(ctx, addr, id, p, report)
		}
		s.tracker = New(Config{Self: s.id, Grace: time.Minute, Probe: probe, Interval: pace}, s.gossip, &record{snap: snap})
		var ctx context.Context
		ctx, s.stop = context.WithCancel(context.Background())
		s.running.Go(func() { s.tracker.Run(ctx) })
		s.running.Go(func() {
			if err := membership.ServeProbes(ctx, s.probes, s.id, s.tracker); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { s.die(t) })
	}
	for _, s := range all {
		for _, other := range all {
			s.until(t, other.id, cluster.Up)
		}
	}
	return all
}

func (s *seat) until(t *testing.T, id string, state cluster.HealthState) cluster.Health {
	t.Helper()
	for late := time.After(2 * deadline); ; {
		changed := s.tracker.Changed()
		h := s.tracker.Health()[id]
		if h.State == state {
			return h
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s has %s as %s: %s", s.id, id, h.State, h.Evidence)
		}
	}
}

// heard waits until a member has answered another one since a moment.
func (s *seat) heard(t *testing.T, id string) {
	t.Helper()
	began := time.Now()
	for end := began.Add(deadline); ; time.Sleep(10 * time.Millisecond) {
		if slices.ContainsFunc(s.gossip.Members(), func(m membership.Member) bool { return m.ID == id && m.LastAck.After(began) }) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has no answer of %s", s.id, id)
		}
	}
}

// Machines of a real cluster die one after the other, and the others look
// together. On a busy machine one verdict or the other is gossip's alone.
func TestRealMachinesLookTogether(t *testing.T) {
	dead := map[string]bool{}
	var mu sync.Mutex // guards dead
	all := seats(t, 6, func(_, to string) bool {
		mu.Lock()
		defer mu.Unlock()
		return dead[to]
	})
	together := false
	for i := len(all) - 1; i > 1 && !together; i-- {
		victim := all[i]
		all[0].heard(t, victim.id)
		mu.Lock()
		dead[victim.id] = true
		mu.Unlock()
		victim.die(t)
		h := all[0].until(t, victim.id, cluster.Failed)
		together = strings.Contains(h.Evidence, "probes by n0")
		t.Logf("%.3f s: %s", h.Since.Sub(h.SilentSince).Seconds(), h.Evidence)
		for _, s := range all[:i] {
			s.until(t, victim.id, cluster.Failed)
		}
	}
	if !together {
		t.Error("no machine was convicted by those who looked")
	}
}

// What one machine has no answer of, and the others have, doesn't die: only the
// way between the two is cut.
func TestRealLinkCut(t *testing.T) {
	all := seats(t, 4, func(from, to string) bool {
		return strings.HasSuffix(from, "0") && strings.HasSuffix(to, "1")
	})
	for range 3 {
		if saw := all[0].tracker.Look(t.Context(), all[1].id); saw != membership.Silent && saw != membership.Heard {
			t.Errorf("over the link that is cut: %s", saw)
		}
		for _, by := range all[2:] {
			saw := membership.Ask(t.Context(), by.probes.Addr().String(), by.id, all[1].id, deadline)
			if saw != membership.Answered && saw != membership.Reached {
				t.Errorf("%s sees %s", by.id, saw)
			}
		}
	}
	if h := all[0].tracker.Health()[all[1].id]; h.State != cluster.Up && h.State != cluster.Suspect {
		t.Errorf("%s: %s", h.State, h.Evidence)
	}
}
