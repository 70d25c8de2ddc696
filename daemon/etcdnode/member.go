package etcdnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/units/retry"
)

const (
	joinLimit   = 30 * time.Second
	learnerLook = 50 * time.Millisecond
	retryLeast  = 50 * time.Millisecond
	retryMost   = 2 * time.Second
)

// runMember runs this machine's etcd member: the one it has, or the one that it
// was given a seat for.
func (n *Node) runMember(ctx context.Context, records Records) error {
	delay := retry.NewDelay(joinRetry, joinComplain)
	for ctx.Err() == nil {
		server := n.member()
		if server == nil {
			select {
			case <-ctx.Done():
			case <-n.seated:
				err := n.join(ctx, records)
				if err == nil {
					delay.Reset()
				} else if ctx.Err() == nil {
					n.log.Warn("this machine's etcd could not join yet; trying again", "error", err)
					delay.Wait(ctx)
					n.seat()
				}
			}
			continue
		}
		if err := n.watchMember(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

// join starts a member in the seat that this machine was given. It returns nil
// also where the seat was withdrawn since, or must be as the member's log is gone.
func (n *Node) join(ctx context.Context, records Records) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	if etcdserver.HasData(n.cfg.StateDir) { // the last try ran out of time, and what it began goes on
		return n.resume(ctx)
	}
	ticket, err := etcdserver.TicketFor(ctx, n.client, n.cluster(), n.cfg.Machine, n.PeerURL())
	lost := new(etcdserver.LostError)
	switch {
	case errors.As(err, &lost):
		_, err = n.claim(ctx, records, lost.Member, true)
		return err
	case errors.Is(err, etcdserver.ErrNoMember):
		return nil
	case err != nil:
		return err
	}
	if fresh, err := n.claim(ctx, records, ticket.Member, false); err != nil || !fresh {
		return err
	}
	accepted := n.acceptedKeys()
	server, err := etcdserver.Join(ctx, n.serverConfig(), ticket)
	if err == nil {
		n.log.Info("this machine's etcd has joined and is learning")
		n.setServer(server, accepted)
		return nil
	}
	if !etcdserver.HasData(n.cfg.StateDir) {
		err = errors.Join(err, etcdserver.Discard(n.cfg.StateDir))
	}
	return err
}

// claim notes in the machine's record that a member is about to start here, and
// reports whether it may. One that was started here before has lost its log, and
// must not run again: etcd would panic, as the others count on what it has. The
// leader removes it and gives this machine another.
// A machine that is leaving, and has no record any more, starts none.
func (n *Node) claim(ctx context.Context, records Records, member uint64, lost bool) (fresh bool, err error) {
	said := false
	err = records.UpdateMachine(ctx, n.cfg.Machine, cluster.OfKnown(func(m *cluster.Machine) error {
		fresh = !lost && (m.EtcdMember != member || n.claimed == member)
		said = m.EtcdLost == member
		switch {
		case fresh:
			m.EtcdMember = member
		case said:
			return errSaid
		default:
			m.EtcdLost = member
		}
		return nil
	}))
	switch {
	case errors.Is(err, cluster.ErrNotFound):
		return false, nil
	case err != nil && !errors.Is(err, errSaid):
		return false, err
	case fresh:
		n.claimed = member
	case !said:
		n.log.Warn("this machine's etcd has lost its data: its member is removed, and it joins anew",
			"member", fmt.Sprintf("%x", member))
	}
	return fresh, nil
}

// errSaid ends an update of a record that has it already.
var errSaid = errors.New("said already")

// discard gives up the data of a member that was removed.
func (n *Node) discard() error {
	n.claimed = 0
	return etcdserver.Discard(n.cfg.StateDir)
}

// watchMember notices when the member begins to vote and when it ends. A
// member that was removed gives up its data; any other end is the daemon's.
func (n *Node) watchMember(ctx context.Context, server *etcdserver.Server) error {
	select {
	case <-ctx.Done():
		return nil
	case <-server.Ready():
	case <-server.Done():
	case done := <-n.reloads:
		return n.restart(ctx, server, done)
	}
	look := time.NewTicker(learnerLook)
	defer look.Stop()
	for server.IsLearner() && server.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-server.Done():
		case done := <-n.reloads:
			return n.restart(ctx, server, done)
		}
	}
	look.Stop()
	if server.Err() == nil {
		n.mu.Lock()
		n.voter = true
		n.change.Notify()
		n.mu.Unlock()
		n.log.Info("this machine's etcd votes")
		select {
		case <-ctx.Done():
			return nil
		case <-server.Done():
		case done := <-n.reloads:
			return n.restart(ctx, server, done)
		}
	}
	err := server.Err()
	server.Close()
	n.setServer(nil, "")
	if !errors.Is(err, etcdserver.ErrRemoved) {
		return err
	}
	n.log.Warn("this machine's etcd was removed from the cluster; it may be asked back")
	return n.discard()
}

// acceptedKeys names the accepted keys, in a fixed order.
func (n *Node) acceptedKeys() string {
	return strings.Join(slices.Sorted(slices.Values(n.cfg.Credentials.KeyIDs())), " ")
}

// Outdated reports whether the member runs with other authorities than it should.
func (n *Node) Outdated() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server != nil && n.accepted != n.acceptedKeys()
}

// Reload has the member restarted, since etcd reads its authorities only then.
// It returns when the member votes again or has no need to, or ctx's error.
func (n *Node) Reload(ctx context.Context) error {
	for n.Outdated() {
		changed, done := n.Changed(), make(chan struct{})
		select {
		case n.reloads <- done:
			<-done
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		changed := n.Changed()
		if server := n.member(); server == nil || n.Votes() || server.IsLearner() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// restart ends the member and starts it again with its data.
func (n *Node) restart(ctx context.Context, server *etcdserver.Server, done chan struct{}) error {
	defer close(done)
	server.Close()
	n.setServer(nil, "")
	return n.resume(ctx)
}

// resume starts the member whose data this machine has.
func (n *Node) resume(ctx context.Context) error {
	accepted := n.acceptedKeys()
	server, err := etcdserver.Restart(ctx, n.serverConfig())
	if errors.Is(err, etcdserver.ErrRemoved) {
		return n.discard()
	}
	if err == nil {
		n.setServer(server, accepted)
	}
	return err
}

// FollowSeat waits, until ctx ends, for the leader to give this machine a seat
// in etcd, which the machine's record says.
func (n *Node) FollowSeat(ctx context.Context, store Watcher) {
	delay := retry.NewDelay(retryLeast, retryMost)
	for ctx.Err() == nil && n.cfg.embeds() {
		snap, changes, err := store.Watch(ctx, cluster.Scope{Machine: n.cfg.Machine})
		if err == nil {
			delay.Reset()
			for open := true; open; {
				if snap.Machines[n.cfg.Machine].Seat != cluster.NoSeat {
					n.seat()
				}
				var c cluster.Change
				if c, open = <-changes; open {
					snap = snap.With(c)
				}
			}
		}
		delay.Wait(ctx)
	}
}

// seat makes runMember take the seat that this machine was given.
func (n *Node) seat() {
	select {
	case n.seated <- struct{}{}:
	default:
	}
}

// Leave takes this machine's member out of the cluster and its data with it. It
// blocks until that is done, or ctx ends and it returns why it isn't.
func (n *Node) Leave(ctx context.Context) error {
	if !n.cfg.embeds() {
		return nil
	}
	server := n.member()
	if server == nil {
		return nil
	}
	step := etcdserver.Step{Kind: etcdserver.Remove, Machine: n.cfg.Machine, PeerURL: n.PeerURL(),
		Member: server.MemberID()}
	// The leader removes the members of machines that left, too: whichever
	// is first, this machine's etcd ends, and requests to it fail.
	for n.member() == server {
		err := etcdserver.Do(ctx, n.client, step)
		if err == nil || errors.Is(err, etcdserver.ErrNoMember) {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		retry.Pause(ctx, joinRetry)
	}
	return nil
}
