package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/view"
)

const viewPatience = 5 * time.Second // how long a request waits for a view to be current

// leaving makes this machine leave its cluster for good.
type leaving struct {
	machine, name string
	store         cluster.Store
	view          *view.View
	log           *slog.Logger

	ready chan struct{} // closed when the units have moved
	once  sync.Once     // closes it
}

// leaveForGood moves this machine's units away, reporting how far that is, and
// makes Run end. Where ctx ends before, the machine stays drained, and another
// call goes on.
func (l *leaving) leaveForGood(ctx context.Context, by string, req api.LeaveRequest,
	report func(api.Progress)) (*api.Moved, error) {
	lease := l.view.Hold()
	defer lease.Release()
	waiting, cancel := context.WithTimeout(ctx, viewPatience)
	snap, err := lease.Snapshot(waiting, 0)
	cancel()
	if err != nil {
		return nil, err
	}
	if l.alone(snap) {
		return nil, errAlone()
	}
	exit := server.NewExit(snap, l.machine)
	drained := cluster.Drained == snap.Machines[l.machine].Schedule
	if err := l.store.UpdateMachine(ctx, l.machine, cluster.OfKnown(func(m *cluster.Machine) error {
		m.SetDrained(req.Parallel, true, time.Now())
		return nil
	})); err != nil {
		return nil, err
	}
	if !drained {
		ev := cluster.Event{Kind: cluster.EventMachine, Machine: l.machine, Time: time.Now(), By: by,
			Text: l.name + " was drained, to leave the cluster for good", Record: cluster.Record{Verb: "drain"}}
		if err := l.store.Record(ctx, ev); err != nil {
			l.log.Warn("the leave is not in the timeline", "error", err)
		}
	}
	moved, err := exit.Await(ctx, lease, report)
	if err != nil {
		return nil, err
	}
	if snap, _, _, _ := lease.Latest(); snap != nil && l.alone(snap) { // the others left meanwhile
		return nil, errAlone()
	}
	l.once.Do(func() { close(l.ready) })
	return moved[l.machine], nil
}

// alone reports whether every other machine is gone or leaves: one that left may have its run for a moment still.
func (l *leaving) alone(snap *cluster.Snapshot) bool {
	for id := range snap.Runs {
		if m, known := snap.Machines[id]; id != l.machine && known && m.Departure == cluster.NotDeparted {
			return false
		}
	}
	return true
}

func errAlone() error {
	return api.Refuse(api.CodeConflict, "to end the cluster, stop the daemon and remove its state directory",
		"this is the only machine of the cluster")
}
