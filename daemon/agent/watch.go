package agent

import (
	"context"
	"maps"
	"time"

	"fleettop/cluster"
	"fleettop/units"
	"fleettop/units/retry"
)

// watchAssignments sends what this machine is assigned at every change, and nil when that is no longer known.
func (a *Agent) watchAssignments(ctx context.Context, out chan<- map[string]cluster.Assignment) {
	delay := retry.NewDelay(rewatchLeast, rewatchMost)
	for ctx.Err() == nil {
		began := time.Now()
		snap, changes, err := a.cfg.Store.Watch(ctx, cluster.Scope{Machine: a.cfg.Machine})
		if err == nil {
			for open := true; open; {
				if !send(ctx, out, assignmentsOf(snap, a.cfg.Machine)) {
					return
				}
				var c cluster.Change
				if c, open = <-changes; open {
					snap = snap.With(c)
				}
			}
			if !send(ctx, out, nil) {
				return
			}
			if time.Since(began) > rewatchMost {
				delay.Reset()
			}
		}
		delay.Wait(ctx)
	}
}

func assignmentsOf(snap *cluster.Snapshot, machine string) map[string]cluster.Assignment {
	m := make(map[string]cluster.Assignment, len(snap.Assignments))
	for k, v := range snap.Assignments {
		if k.Machine == machine {
			m[k.Unit] = v
		}
	}
	return m
}

// watchManager sends the statuses of all units held at every change, and nil when they are no longer known.
func (a *Agent) watchManager(ctx context.Context, out chan<- map[string]units.Status) {
	delay := retry.NewDelay(rewatchLeast, rewatchMost)
	said := ""
	for ctx.Err() == nil {
		began := time.Now()
		list, changes, err := a.cfg.Manager.Watch(ctx)
		if err != nil {
			if err.Error() != said && ctx.Err() == nil {
				said = err.Error()
				a.log.Warn("the manager of units doesn't answer; trying again until it does", "error", err)
			}
			delay.Wait(ctx)
			continue
		}
		said = ""
		held := map[string]units.Status{}
		for open := true; open; {
			held = maps.Clone(held)
			for _, s := range list {
				if s.Load == "not-found" {
					delete(held, s.Name)
				} else {
					held[s.Name] = s
				}
			}
			if !send(ctx, out, held) {
				return
			}
			list, open = <-changes
		}
		if !send(ctx, out, nil) {
			return
		}
		if time.Since(began) > rewatchMost {
			delay.Reset()
		}
		delay.Wait(ctx)
	}
}

func send[T any](ctx context.Context, out chan<- T, v T) bool {
	select {
	case out <- v:
		return true
	case <-ctx.Done():
		return false
	}
}
