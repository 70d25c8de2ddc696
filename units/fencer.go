package units

import (
	"context"
	"time"
)

// Fencer is a Manager that binds exclusive units to a fence: a process that the
// init system holds, and that ends at its deadline whatever became of the daemon.
// With it the units end, within FenceStop. Times are of FenceClock.
type Fencer interface {
	// FenceClock is the time that the fence goes by: since the machine booted, sleep included.
	FenceClock() time.Duration
	// RaiseFence stops the exclusive units that are held, which without a fence
	// shouldn't run, and raises a new fence with the deadline that until returns
	// then. It returns the fence's ID. It must not be called while an exclusive
	// unit is being started.
	RaiseFence(ctx context.Context, until func() time.Duration) (id string, err error)
	// ExtendFence moves the deadline on, and LimitFence brings it forward. Both
	// return the ID of the fence that stands; the error wraps fence.ErrDown if none does.
	ExtendFence(ctx context.Context, until time.Duration) (id string, err error)
	LimitFence(ctx context.Context, until time.Duration) (id string, err error)
	// LowerFence ends the fence. Units bound to it end too.
	LowerFence(ctx context.Context) error
	// NoFence says why the manager has no fence; empty if it has.
	NoFence() string
}

// FenceGrace is how long units have to end by themselves when their fence ends;
// what is left of them is then killed. FenceStop is when that is done.
const (
	FenceGrace = time.Second
	FenceStop  = FenceGrace + 300*time.Millisecond
)

// Exclusive reports whether a unit with this file must never run twice at once.
func (f *File) Exclusive() bool {
	exclusive := false
	for _, o := range f.options {
		if o.Section == fleetSection && o.Name == optExclusive {
			if yes, ok := parseBool(o.Value); ok {
				exclusive = yes
			}
		}
	}
	return exclusive
}
