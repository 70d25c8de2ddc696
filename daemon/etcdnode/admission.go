package etcdnode

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/units/retry"
)

const entryLimit = 2 * time.Second // for reading the store's identity once

// EnterStore returns when the store is known to be this cluster's, and founds
// the cluster in an empty one. It returns a *StoreTakenError if the store is
// another cluster's. An embedded etcd is reached with the cluster's key alone.
func (n *Node) EnterStore(ctx context.Context) error {
	delay := retry.NewDelay(retryLeast, retryMost)
	for silent := 1; ctx.Err() == nil && !n.Admitted(); silent++ {
		limited, cancel := context.WithTimeout(ctx, entryLimit)
		id, err := n.identify(limited)
		cancel()
		taken := new(StoreTakenError)
		switch {
		case err == nil:
			n.admit(id.Cluster)
		case errors.As(err, &taken):
			return err
		default:
			if n.Diagnose(ctx, err) == nil && silent == 2 && ctx.Err() == nil {
				n.log.Warn("the cluster's store takes connections and doesn't answer: has it lost its quorum? trying again",
					"error", err)
			}
			delay.Wait(ctx)
		}
	}
	return nil
}

// errUnknownStore is what the store answers until it is known to be this cluster's.
var errUnknownStore = fmt.Errorf("%w: it is not known yet to be this cluster's", cluster.ErrUnavailable)

// Gate is the store's: nothing is read or written before it is known whose it
// is. It returns why not, an error wrapping cluster.ErrUnavailable, or nil.
func (n *Node) Gate() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.admitted:
		return nil
	case n.why != nil:
		return n.why
	}
	return errUnknownStore
}

// Trouble returns why the store can't be used, a *cluster.UnusableError; nil where
// that isn't known.
func (n *Node) Trouble() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.why == nil {
		return n.apart
	}
	return n.why
}

// setApart notes why this machine has found no other one of its cluster.
func (n *Node) setApart(err error) {
	var apart error
	if none := (*membership.NoSeedError)(nil); errors.As(err, &none) {
		advice := "see that a daemon runs there, and that its ports are open"
		if none.OtherKey {
			advice = membership.OtherKeyAdvice
		}
		apart = &cluster.UnusableError{Cause: "no machine of the cluster takes this one: " + strings.Join(none.Failures,
			"; "), Advice: advice}
	}
	if errors.Is(err, errNoCluster) {
		apart = &cluster.UnusableError{Cause: "the machines that answer are in no cluster yet",
			Advice: "start a daemon without --join on the first machine"}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.apart = apart
}

func (n *Node) Admitted() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.admitted
}

func (n *Node) admit(clusterID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.admitted, n.why, n.clusterID = true, nil, clusterID
	n.change.Notify()
}

// AwaitAdmission returns when the store is this cluster's, or ctx ends.
func (n *Node) AwaitAdmission(ctx context.Context) {
	for !n.Admitted() {
		changed := n.Changed()
		if n.Admitted() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// MarkUsable notes that the store answered.
func (n *Node) MarkUsable() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.why != nil {
		n.log.Info("the cluster's store can be used again")
	}
	n.why = nil
}

// Diagnose finds out why an etcd that is not embedded can't be used, after a
// request to it failed, and says so once for each reason. It returns nil where
// it can, as far as can be seen from outside: etcd may have lost its quorum.
func (n *Node) Diagnose(ctx context.Context, failed error) error {
	if n.cfg.embeds() || ctx.Err() != nil {
		return nil
	}
	unusable := new(cluster.UnusableError)
	if !errors.As(failed, &unusable) || errors.Is(failed, n.Trouble()) {
		unusable = nil
		client := etcdserver.ClientConfig{Endpoints: n.cfg.Endpoints, TLS: etcdserver.TLS(n.cfg.TLS)}
		if cause, advice := etcdserver.Diagnose(ctx, client); cause != "" {
			unusable = &cluster.UnusableError{Cause: cause, Advice: advice}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if unusable == nil {
		n.why = nil
		return nil
	}
	if n.why == nil || n.why.Error() != unusable.Error() {
		n.log.Warn(unusable.Error(), "advice", unusable.Advice)
	}
	n.why = unusable
	return unusable
}
