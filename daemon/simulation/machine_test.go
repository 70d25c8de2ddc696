//go:build !race

package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/agent"
	"fleettop/daemon/engine"
	"fleettop/daemon/fencing"
	"fleettop/daemon/health"
	"fleettop/daemon/leadership"
	"fleettop/daemon/presence"
	"fleettop/daemon/view"
	"fleettop/units/broadcast"
)

// machine is one machine, whether it has power or not.
type machine struct {
	sim  *sim
	n    int
	id   string
	addr string

	power, frozen, daemonUp atomic.Bool
	tracker                 atomic.Pointer[health.Tracker] // of the newest daemon
	showing                 atomic.Pointer[showing]        // the same
	boots                   int
	manager                 atomic.Pointer[manager]
	daemon                  *daemon
	metadata                map[string]string

	// Guarded by auditor.mu:
	trouble time.Time // until when a verdict against it may be right
	gone    time.Time // since when its daemon is away or was
	back    time.Time // since when it is back
}

func (m *machine) name() string    { return fmt.Sprint("n", m.n) }
func (m *machine) powered() bool   { return m.power.Load() }
func (m *machine) hasDaemon() bool { return m.daemonUp.Load() }

// awake reports whether the machine sends and receives.
func (m *machine) awake() bool { return m.power.Load() && m.daemonUp.Load() && !m.frozen.Load() }

// boot gives the machine power and starts its daemon.
func (m *machine) boot() {
	m.boots++
	m.manager.Store(newManager(m))
	m.power.Store(true)
	m.startDaemon()
}

// cutPower ends everything on the machine at once.
func (m *machine) cutPower() {
	m.power.Store(false)
	m.frozen.Store(false)
	m.killDaemon()
}

func (m *machine) notes() string {
	return filepath.Join(m.sim.dir, fmt.Sprintf("%s.%d", m.name(), m.boots))
}

// daemon is a run of a machine's daemon: its parts as package daemon wires them.
type daemon struct {
	m        *machine
	store    *lateStore
	gossip   *members
	presence *presence.Registration
	fence    *fencing.Keeper
	cancel   context.CancelFunc
	parts    sync.WaitGroup
	etcd     *voter
}

// showing is what a daemon's API shows from.
type showing struct {
	began time.Time
	view  *view.View
	shown *health.Shown
}

// members has one join at a time: serf holds a mutex for as long as one takes, and
// virtual time stands still while a goroutine waits for a mutex.
type members struct {
	*membership.Membership
	turn chan struct{}
}

func (m *members) Join(ctx context.Context, seeds []string) error {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	return m.Membership.Join(ctx, seeds)
}

// voter is a machine's part in the store: the first machines vote.
type voter struct {
	votes   bool
	changed broadcast.Signal
}

func (v *voter) Embedded() bool                        { return true }
func (v *voter) Votes() bool                           { return v.votes }
func (v *voter) Changed() <-chan struct{}              { return v.changed.Changed() }
func (v *voter) EnterStore(context.Context) error      { return nil }
func (v *voter) Admitted() bool                        { return true }
func (v *voter) MarkUsable()                           {}
func (v *voter) Diagnose(context.Context, error) error { return nil }

// startDaemon starts the daemon where there is none.
func (m *machine) startDaemon() {
	if m.daemon != nil || !m.powered() {
		return
	}
	s := m.sim
	s.runs++
	log := slog.New(s.story.handler(m.name()))
	d := &daemon{m: m, store: &lateStore{s.truth.Open(), m}, etcd: &voter{votes: m.n <= s.voters}}
	m.daemon = d
	m.daemonUp.Store(true)
	s.plugStore(m, d.store.Store)
	gossiping, err := membership.Open(membership.Config{ID: m.id, BindAddr: m.addr, BindPort: 7370, AdvertiseAddr: m.addr,
		Transport: s.net.plug(m), Logger: log})
	if err != nil {
		s.t.Fatal(err)
	}
	d.gossip = &members{gossiping, make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	v := view.New(d.store, log, 30*time.Second)
	tracker := health.New(health.Config{Self: m.id, Probe: m.probe, Ask: m.ask, Tell: m.tell,
		Decides: d.etcd.Votes, Log: log},
		d.gossip, v)
	m.tracker.Store(tracker)
	m.showing.Store(&showing{time.Now(), v, health.NewShown(m.id, tracker, v)})
	e := engine.New(engine.Config{Self: m.id, Store: d.store, View: v, Health: tracker, Log: log})
	d.fence = fencing.New(m.manager.Load(), log)
	a := agent.New(agent.Config{Fence: d.fence, Machine: m.id, Lease: presence.SessionTTL, Name: m.name(), Store: d.store,
		Manager: m.manager.Load(), NotesPath: m.notes(), Log: log})
	d.presence = presence.New(presence.Config{
		Run: cluster.Run{Machine: m.id, ID: fmt.Sprint("run", s.runs), Address: m.addr + gossip,
			Boot: fmt.Sprint("boot", m.boots), Since: time.Now()},
		Machine: cluster.Machine{Name: m.name(), Address: m.addr, GossipAddress: m.addr + gossip,
			ProbeAddress: m.addr + probes, APIAddress: m.addr + ":7372", Metadata: m.metadata, Manager: "systemd", Fences: true},
		Keys: func() []string { return nil }, Store: d.store, Etcd: d.etcd, Agent: a, Log: log})
	run := func(part func(context.Context) error) {
		d.parts.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				s.fail("a part of %s's daemon ended: %v", m.name(), err)
			}
		})
	}
	run(func(ctx context.Context) error { v.Run(ctx); return nil })
	run(func(ctx context.Context) error { tracker.Run(ctx); return nil })
	run(func(ctx context.Context) error { d.join(ctx); return nil })
	run(func(ctx context.Context) error { d.fence.Run(ctx); return nil })
	run(a.Run)
	run(d.presence.Run)
	run(func(ctx context.Context) error {
		return leadership.Run(ctx, leadership.Config{Self: m.id, Store: d.store, Sessions: d.presence, Gossip: d.gossip,
			Etcd: d.etcd, View: v, Engine: e, Log: log})
	})
}

// join makes contact with any other machine.
func (d *daemon) join(ctx context.Context) {
	for ctx.Err() == nil {
		for _, o := range d.m.sim.machines {
			if o != d.m && d.gossip.Join(ctx, []string{o.addr + gossip}) == nil {
				return
			}
		}
		_ = pause(ctx, time.Second)
	}
}

// killDaemon ends the daemon without a word.
func (m *machine) killDaemon() {
	d := m.daemon
	if d == nil {
		return
	}
	m.daemon = nil
	m.daemonUp.Store(false)
	d.end()
}

// end ends what still runs of the daemon; nobody hears of it.
func (d *daemon) end() {
	_ = d.store.Close()
	d.m.sim.plugStore(d.m, nil)
	d.cancel()
	_ = d.gossip.Close()
	d.parts.Wait()
}

// stopDaemon ends the daemon as its unit's stop does: it says goodbye.
func (m *machine) stopDaemon(how cluster.Departure) {
	d := m.daemon
	if d == nil {
		return
	}
	ctx := context.Background()
	d.presence.Announce(ctx, how)
	d.cancel()
	d.parts.Wait()
	if how == cluster.Restarting {
		held, cancel := context.WithTimeout(ctx, time.Second)
		d.fence.HoldFor(held, health.DefaultGrace)
		cancel()
	}
	d.presence.Close(ctx, how)
	if how == cluster.ShutDown {
		leave, cancel := context.WithTimeout(ctx, time.Second)
		_ = d.gossip.Leave(leave)
		cancel()
	}
	m.daemon = nil
	m.daemonUp.Store(false)
	d.end()
}
