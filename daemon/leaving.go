package daemon

import (
	"context"
	"errors"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
)

const viewPatience = 5 * time.Second // how long a request waits for a view to be current

// leaveForGood moves this machine's units away, reporting how far that is, and
// makes Run end. Where ctx ends before, the machine stays drained, and another
// call goes on.
func (n *node) leaveForGood(ctx context.Context, by string, report func(api.Progress)) (*api.Moved, error) {
	lease := n.view.Hold()
	defer lease.Release()
	waiting, cancel := context.WithTimeout(ctx, viewPatience)
	snap, err := lease.Snapshot(waiting, 0)
	cancel()
	if err != nil {
		return nil, err
	}
	if len(snap.Runs) < 2 {
		return nil, api.Refuse(api.CodeConflict, "to end the cluster, stop the daemon and remove its state directory", "this is the only machine of the cluster")
	}
	exit := server.NewExit(snap, n.cfg.MachineID)
	drained := cluster.Drained == snap.Machines[n.cfg.MachineID].Schedule
	if err := n.store.UpdateMachine(ctx, n.cfg.MachineID, cluster.OfKnown(func(m *cluster.Machine) error {
		m.SetSchedule(cluster.Drained, time.Now())
		return nil
	})); err != nil {
		return nil, err
	}
	if !drained {
		ev := cluster.Event{Kind: cluster.EventMachine, Machine: n.cfg.MachineID, Time: time.Now(), By: by,
			Text: n.cfg.Name + " was drained, to leave the cluster for good"}
		if err := n.store.Record(ctx, ev); err != nil {
			n.log.Warn("the leave is not in the timeline", "error", err)
		}
	}
	moved, err := exit.Await(ctx, lease, report)
	if err != nil {
		return nil, err
	}
	n.leaveOne.Do(func() { close(n.leave) })
	return moved[n.cfg.MachineID], nil
}

// vanish removes what the cluster knows of this machine.
func (n *node) vanish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	if err := n.store.DeleteMachine(ctx, n.cfg.MachineID); err != nil && !errors.Is(err, cluster.ErrNotFound) {
		return err
	}
	return n.etcd.Leave(ctx)
}
