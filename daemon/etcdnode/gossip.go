package etcdnode

import (
	"context"
	"errors"
	"slices"
	"time"

	"fleettop/cluster/membership"
	"fleettop/units/diskfault"
	"fleettop/units/retry"
)

// TagName is the gossip tag with a machine's name.
const TagName = "name"

const (
	tagCluster = "cluster" // the ID of the cluster a machine is in
	tagEtcd    = "etcd"    // the URL of its etcd for clients; on voters only
	// tagSucceeds is the ID of the cluster that the one a machine is in was recovered from.
	tagSucceeds = "succeeds"
)

const (
	joinRetry    = 500 * time.Millisecond
	joinComplain = 10 * time.Second // between warnings about a cluster that can't be joined
	seedsQuiet   = time.Second      // the addresses for the next start are in no hurry
)

// joinGossip returns when this machine has found the cluster's gossip, or was
// found by it.
func (n *Node) joinGossip(ctx context.Context) error {
	seeds := slices.Concat(n.cfg.Join, n.seeds.list())
	complained := time.Time{}
	for len(seeds) > 0 && ctx.Err() == nil {
		err := n.gossip.Join(ctx, seeds)
		var conflict *membership.ConflictError
		if errors.As(err, &conflict) {
			return err
		}
		if err == nil && !n.inCluster() {
			// Machines that wait for the cluster may find each other first.
			err = errNoCluster
		}
		n.setApart(err)
		if err == nil || n.found() {
			n.setApart(nil)
			n.log.Info("joined the cluster's gossip", "members", len(n.gossip.Members()))
			break
		}
		if time.Since(complained) > joinComplain && ctx.Err() == nil {
			complained = time.Now()
			n.log.Warn("no machine of the cluster answers yet; trying again", "error", err)
		}
		retry.Pause(ctx, joinRetry)
	}
	return nil
}

var errNoCluster = errors.New("the machines that answer are in no cluster yet: start a daemon without --join on " +
	"the first machine")

// found reports whether gossip hears a machine that is in the cluster.
func (n *Node) found() bool {
	return slices.ContainsFunc(n.gossip.Members(), func(m membership.Member) bool {
		return m.ID != n.cfg.Machine && m.State == membership.Alive && m.Tags[tagCluster] != ""
	})
}

// keepSeeds keeps the seed file current until ctx ends, so that this machine
// finds the cluster again after all machines were down.
func (n *Node) keepSeeds(ctx context.Context) error {
	complained := false
	for ctx.Err() == nil {
		changed := n.gossip.Changed()
		var known []string
		for _, m := range n.gossip.Members() {
			if m.ID != n.cfg.Machine && m.State != membership.Left {
				known = append(known, m.Address)
			}
		}
		err := n.seeds.keep(known)
		if err != nil && !complained {
			n.log.Warn("the cluster's addresses were not kept for the next start: "+diskfault.Advice(err, ""),
				"error", err)
		}
		complained = err != nil
		select {
		case <-ctx.Done():
		case <-changed:
			retry.Pause(ctx, seedsQuiet)
		}
	}
	return nil
}
