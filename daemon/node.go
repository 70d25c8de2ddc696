package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cluster/etcdstore"
	"fleettop/cluster/membership"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/fencing"
	"fleettop/daemon/presence"
	"fleettop/daemon/trust"
)

// leaveLimit is for leaving for good: etcd refuses to lose a member for some
// seconds after the last change.
const leaveLimit = 20 * time.Second

// holdLimit is for the fence to be renewed for as long as the daemon may be away.
const holdLimit = 2 * time.Second

// node is a daemon at work: what it takes leave of, and the parts that run.
type node struct {
	cfg         Config
	log         *slog.Logger
	run         cluster.Run
	credentials *trust.Credentials
	gossip      *membership.Membership
	etcd        *etcdnode.Node
	store       *etcdstore.Store
	presence    *presence.Registration
	witness     membership.Witness // what this machine sees of another one
	fence       *fencing.Keeper
	leaving     *leaving

	parts []func(context.Context) error // each runs until its context ends
}

// add adds a part.
func (n *node) add(part func(context.Context) error) { n.parts = append(n.parts, part) }

// background adds a part that can't fail.
func (n *node) background(part func(context.Context)) {
	n.add(func(ctx context.Context) error { part(ctx); return nil })
}

// work runs the parts until ctx ends, the machine leaves or a part fails, and takes them apart.
func (n *node) work(ctx context.Context) error {
	etcdCtx, stopEtcd := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEtcd()
	etcd, etcdCtx := errgroup.WithContext(etcdCtx)
	etcd.Go(func() error { return n.etcd.Run(etcdCtx, n.store) })

	partsCtx, stop := context.WithCancel(etcdCtx)
	defer stop()
	parts, partsCtx := errgroup.WithContext(partsCtx)
	for _, part := range n.parts {
		parts.Go(func() error { return part(partsCtx) })
	}

	departure := cluster.Restarting
	select {
	case <-ctx.Done():
		departure = departureOf(context.WithoutCancel(ctx), n.cfg.Manager)
	case <-n.leaving.ready:
		departure = cluster.Left
	case <-partsCtx.Done():
	}
	n.log.Info("stopping", "departure", departure)
	n.presence.Announce(etcdCtx, departure)
	stop()
	err := parts.Wait()
	if departure == cluster.Restarting {
		held, cancel := context.WithTimeout(etcdCtx, holdLimit)
		n.fence.HoldFor(held, n.cfg.DaemonGrace)
		cancel()
	}
	if departure == cluster.Left && err == nil {
		err = n.removeSelf(etcdCtx)
	}
	n.presence.Close(etcdCtx, departure)
	if departure == cluster.ShutDown || departure == cluster.Left {
		leaveCtx, cancel := context.WithTimeout(etcdCtx, time.Second)
		if leaveErr := n.gossip.Leave(leaveCtx); leaveErr != nil {
			n.log.Debug("no goodbye by gossip", "error", leaveErr)
		}
		cancel()
	}
	stopEtcd()
	err = errors.Join(err, etcd.Wait())
	if departure == cluster.Left && err == nil {
		n.stayOut(ctx)
		err = ErrLeft
	}
	return err
}

// removeSelf removes what the cluster knows of this machine.
func (n *node) removeSelf(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	if err := n.presence.Remove(ctx); err != nil {
		return err
	}
	return n.etcd.Leave(ctx)
}
