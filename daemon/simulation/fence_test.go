//go:build !race

package simulation

import (
	"context"
	"fmt"
	"time"

	"fleettop/units"
	"fleettop/units/fence"
)

// standing is a fence: at its deadline the exclusive units of its machine end,
// whatever became of the daemon.
type standing struct {
	id    string
	until time.Duration
	timer *time.Timer
}

var _ units.Fencer = (*manager)(nil)

// FenceClock implements units.Fencer.
func (g *manager) FenceClock() time.Duration { return time.Since(g.m.sim.story.began) }

// NoFence implements units.Fencer.
func (g *manager) NoFence() string { return "" }

// RaiseFence implements units.Fencer.
func (g *manager) RaiseFence(ctx context.Context, until func() time.Duration) (string, error) {
	g.mu.Lock()
	var stop []string
	for name, h := range g.held {
		if h.exclusive {
			stop = append(stop, name)
		}
	}
	g.mu.Unlock()
	for _, name := range stop {
		if err := g.halt(ctx, name); err != nil {
			return "", err
		}
	}
	if err := pause(ctx, g.m.sim.within(5*time.Millisecond, 100*time.Millisecond)); err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if until() <= g.FenceClock() {
		return "", fmt.Errorf("the deadline has passed")
	}
	g.fences++
	f := &standing{id: fmt.Sprint(g.m.name(), "-", g.m.boots, "-", g.fences), until: until()}
	f.timer = time.AfterFunc(f.until-g.FenceClock(), func() { g.endFence(f) })
	g.fence = f
	return f.id, nil
}

// endFence ends a fence at its deadline, and with it the units that it binds.
func (g *manager) endFence(f *standing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fence != f || g.gone() {
		return
	}
	if left := f.until - g.FenceClock(); left > 0 {
		f.timer.Reset(left)
		return
	}
	g.fence = nil
	for _, h := range g.held {
		if h.exclusive && h.PID != 0 {
			g.change(h, "deactivating", "stop-sigterm")
			// It may ignore SIGTERM: what is left is killed when its time is over.
			pid := h.PID
			time.AfterFunc(g.m.sim.within(time.Millisecond, units.FenceStop), func() {
				g.mu.Lock()
				defer g.mu.Unlock()
				if h.PID == pid {
					h.PID, h.Result = 0, "signal"
					g.change(h, "inactive", "dead")
				}
			})
		}
	}
}

func (g *manager) setDeadline(until time.Duration, sooner bool) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fence == nil || g.fence.until <= g.FenceClock() {
		return "", fence.ErrDown
	}
	if sooner == (until < g.fence.until) {
		g.fence.until = until
		g.fence.timer.Reset(until - g.FenceClock())
	}
	return g.fence.id, nil
}

// ExtendFence implements units.Fencer.
func (g *manager) ExtendFence(_ context.Context, until time.Duration) (string, error) {
	return g.setDeadline(until, false)
}

// LimitFence implements units.Fencer.
func (g *manager) LimitFence(_ context.Context, until time.Duration) (string, error) {
	return g.setDeadline(until, true)
}

// LowerFence implements units.Fencer.
func (g *manager) LowerFence(context.Context) error {
	g.mu.Lock()
	f := g.fence
	if f != nil {
		f.until = 0
	}
	g.mu.Unlock()
	if f != nil {
		g.endFence(f)
	}
	return nil
}
