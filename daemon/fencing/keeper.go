package fencing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/broadcast"
	"fleettop/units/retry"
)

// Lease is how long a fence stands after the last renewal that the store has
// acknowledged.
const Lease = 2500 * time.Millisecond

const (
	renewEvery = Lease / 6 // a change of the store's leader costs several renewals
	mostUnder  = 6         // renewals under way at a time
	raiseLimit = 30 * time.Second
	raiseLeast = 100 * time.Millisecond
	raiseMost  = 5 * time.Second
)

// Need is whether this machine's units need the fence.
type Need int

// Needs.
const (
	Unknown Need = iota // what stands is kept up
	Needed
	NotNeeded
)

// Keeper keeps the fence of this machine. Its methods, other than Run and
// HoldFor, don't block.
type Keeper struct {
	fencer  units.Fencer // nil where there is none
	log     *slog.Logger
	changed broadcast.Signal // of ID
	wake    chan struct{}    // capacity 1: the inputs changed

	granted atomic.Int64 // the latest deadline that the store has acknowledged

	mu       sync.Mutex // guards what follows
	session  cluster.Session
	need     Need
	mayRaise bool
	id       string

	// What follows belongs to Run's goroutine, and to HoldFor after it.
	limited bool // the fence that stood when this daemon began is no longer than Lease
	under   int  // renewals under way
	raising bool
	results chan result
	raised  chan raise
	delay   *retry.Delay // after a fence could not be raised
	again   time.Time    // when it is tried again
	said    string       // why it could not be raised
}

// result is what became of a renewal.
type result struct {
	sent time.Duration
	err  error
}

type raise struct {
	id  string
	err error
}

// New returns a Keeper of a manager's fence. One without a fence never has any.
func New(manager units.Manager, log *slog.Logger) *Keeper {
	k := &Keeper{log: log, wake: make(chan struct{}, 1), results: make(chan result, mostUnder),
		raised: make(chan raise, 1), delay: retry.NewDelay(raiseLeast, raiseMost)}
	if f, ok := manager.(units.Fencer); ok && f.NoFence() == "" {
		k.fencer = f
	}
	return k
}

// SetSession gives the keeper the session that guards its renewals.
func (k *Keeper) SetSession(s cluster.Session) {
	k.mu.Lock()
	k.session = s
	k.mu.Unlock()
	k.poke()
}

// Want says whether the fence is needed, and whether a new one may be raised: no
// exclusive unit is being started.
func (k *Keeper) Want(need Need, mayRaise bool) {
	k.mu.Lock()
	same := k.need == need && k.mayRaise == mayRaise
	k.need, k.mayRaise = need, mayRaise
	k.mu.Unlock()
	if !same {
		k.poke()
	}
}

func (k *Keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// ID returns the ID of the fence that stands, or "" where none does. Exclusive
// units may be started while it does.
func (k *Keeper) ID() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.id == "" || k.fencer.FenceClock() >= time.Duration(k.granted.Load()) {
		return ""
	}
	return k.id
}

// Changed returns a channel that is closed when ID may have changed.
func (k *Keeper) Changed() <-chan struct{} { return k.changed.Changed() }

func (k *Keeper) setID(id string) {
	k.mu.Lock()
	was := k.id
	k.id = id
	k.mu.Unlock()
	if was != id {
		k.changed.Notify()
	}
}

// Run keeps the fence until ctx ends, and leaves it standing: it ends by its
// deadline, or the next daemon extends it.
func (k *Keeper) Run(ctx context.Context) {
	if k.fencer == nil {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		k.act(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
			k.renew(ctx)
		case <-k.wake:
			k.renew(ctx)
		case r := <-k.results:
			k.renewed(ctx, r)
		case r := <-k.raised:
			k.stands(r)
		}
	}
	if k.raising {
		k.stands(<-k.raised)
	}
}

// act lowers a fence that isn't needed, raises one that is, and notes the end of one.
func (k *Keeper) act(ctx context.Context) {
	k.mu.Lock()
	need, mayRaise, id := k.need, k.mayRaise, k.id
	k.mu.Unlock()
	left := time.Duration(k.granted.Load()) - k.fencer.FenceClock()
	switch {
	case id != "" && left <= 0:
		k.log.Warn("the fence ended, as it could not be renewed: exclusive units are stopped on this machine")
		k.setID("")
	case id != "" && need == NotNeeded:
		if err := k.fencer.LowerFence(ctx); err != nil {
			k.log.Debug("could not lower the fence; it ends by itself", "error", err)
		}
		k.setID("")
	case id == "" && need == Needed && mayRaise && !k.raising && left > 0 && !time.Now().Before(k.again):
		k.raising = true
		go func() {
			limited, cancel := context.WithTimeout(ctx, raiseLimit)
			defer cancel()
			id, err := k.fencer.RaiseFence(limited, func() time.Duration { return time.Duration(k.granted.Load()) })
			k.raised <- raise{id, err}
		}()
	}
}

// stands takes note of a fence that was raised, or could not be.
func (k *Keeper) stands(r raise) {
	k.raising = false
	if r.err != nil {
		k.again = time.Now().Add(k.delay.Next())
		if text := r.err.Error(); text != k.said {
			k.said = text
			k.log.Warn("exclusive units can't be started on this machine; trying again", "error", r.err)
		}
		return
	}
	k.delay.Reset()
	k.said, k.again = "", time.Time{}
	k.setID(r.id)
}

// renew sends a renewal, where the fence stands or is needed.
func (k *Keeper) renew(ctx context.Context) {
	k.mu.Lock()
	s, need := k.session, k.need
	k.mu.Unlock()
	if s == nil || need == NotNeeded || k.under >= mostUnder {
		return
	}
	select {
	case <-s.Done():
		return
	default:
	}
	if !k.limited {
		// The daemon before may have asked for longer, and the store is about to hear of less.
		limit := k.fencer.FenceClock() + Lease
		id, err := k.fencer.LimitFence(ctx, limit)
		switch {
		case err != nil && need != Needed:
			return // no fence stands, and none is needed as far as is known
		case err == nil:
			k.granted.Store(int64(limit)) // or sooner: the fence knows
			k.setID(id)
		}
		k.limited = true
	}
	k.under++
	go func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), Lease)
		defer cancel()
		sent := k.fencer.FenceClock()
		k.results <- result{sent, s.RenewFence(limited, Lease)}
	}()
}

// renewed extends the fence by a renewal that the store has acknowledged.
func (k *Keeper) renewed(ctx context.Context, r result) {
	k.under--
	if r.err != nil {
		k.log.Debug("could not renew the fence; trying again", "error", r.err)
		return
	}
	k.extend(ctx, r.sent+Lease)
}

func (k *Keeper) extend(ctx context.Context, until time.Duration) {
	if int64(until) <= k.granted.Load() || until <= k.fencer.FenceClock() {
		return
	}
	k.mu.Lock()
	id := k.id
	k.mu.Unlock()
	if id != "" && !k.raising {
		stands, err := k.fencer.ExtendFence(ctx, until)
		if err != nil || stands != id {
			if errors.Is(err, context.Canceled) {
				return
			}
			k.log.Warn("the fence ended: exclusive units are stopped on this machine, and started again behind a new one")
			k.setID("")
		}
	}
	k.granted.Store(int64(until))
}

// HoldFor has the fence stand for longer than Lease, for a daemon that is about
// to be started again. It is called after Run has returned. Where the store
// doesn't answer, the fence ends as it would.
func (k *Keeper) HoldFor(ctx context.Context, lease time.Duration) {
	id := k.ID()
	if id == "" {
		return
	}
	for ; k.under > 0; k.under-- { // one that comes to the store later would say less than the fence does
		select {
		case <-k.results:
		case <-ctx.Done():
			return
		}
	}
	k.mu.Lock()
	s := k.session
	k.mu.Unlock()
	sent := k.fencer.FenceClock()
	if err := s.RenewFence(ctx, lease); err != nil {
		k.log.Warn("exclusive units may be stopped while the daemon is away: the fence could not be renewed for that",
			"error", err)
		return
	}
	if _, err := k.fencer.ExtendFence(ctx, sent+lease); err != nil {
		k.log.Warn("the fence could not be extended; exclusive units are stopped while the daemon is away", "error", err)
	}
}
