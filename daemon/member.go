package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/units/retry"
)

// tendMember runs this machine's etcd member: the one it has, or the one it is
// invited to start.
func (l *etcdLink) tendMember(ctx context.Context) error {
	delay := retry.NewDelay(joinRetry, joinComplain)
	for ctx.Err() == nil {
		server := l.member()
		if server == nil {
			select {
			case <-ctx.Done():
			case <-l.invited:
				err := l.join(ctx)
				if err == nil {
					delay.Reset()
				} else if ctx.Err() == nil {
					l.log.Warn("this machine's etcd could not join yet; trying again", "error", err)
					delay.Wait(ctx)
					l.invite()
				}
			}
			continue
		}
		if err := l.watchMember(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

// join takes the seat this machine was given, and returns nil also where it
// was withdrawn meanwhile, or must be because its log is gone.
func (l *etcdLink) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	if etcdserver.HasData(l.cfg.StateDir) { // the last try ran out of time, and what it began goes on
		return l.resume(ctx)
	}
	ticket, err := etcdserver.TicketFor(ctx, l.client, l.cluster(), l.cfg.MachineID, l.peerURL())
	lost := new(etcdserver.LostError)
	switch {
	case errors.As(err, &lost):
		_, err = l.claim(ctx, lost.Member, true)
		return err
	case errors.Is(err, etcdserver.ErrNoMember):
		return nil
	case err != nil:
		return err
	}
	if fresh, err := l.claim(ctx, ticket.Member, false); err != nil || !fresh {
		return err
	}
	accepted := l.guard.accepted()
	server, err := etcdserver.Join(ctx, l.serverConfig(), ticket)
	if err == nil {
		l.log.Info("this machine's etcd has joined and is learning")
		l.took(server, accepted)
		return nil
	}
	if !etcdserver.HasData(l.cfg.StateDir) {
		err = errors.Join(err, etcdserver.Discard(l.cfg.StateDir))
	}
	return err
}

// claim notes in the machine's record that a member is about to start here, and
// reports whether it may. One that was started here before has lost its log,
// whoever says so, and must not run again: etcd would panic, as the others
// count on what it has. The leader removes it and gives this machine another.
// A machine that is leaving, and has no record any more, starts none.
func (l *etcdLink) claim(ctx context.Context, member uint64, lost bool) (fresh bool, err error) {
	said := false
	err = l.records.UpdateMachine(ctx, l.cfg.MachineID, cluster.OfKnown(func(m *cluster.Machine) error {
		fresh = !lost && (m.EtcdMember != member || l.claimed == member)
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
		l.claimed = member
	case !said:
		l.log.Warn("this machine's etcd has lost its data: its member is removed, and it joins anew",
			"member", fmt.Sprintf("%x", member))
	}
	return fresh, nil
}

// errSaid ends an update of a record that has it already.
var errSaid = errors.New("said already")

// discard gives up the data of a member that was removed.
func (l *etcdLink) discard() error {
	l.claimed = 0
	return etcdserver.Discard(l.cfg.StateDir)
}

// watchMember notices when the member begins to vote and when it ends. A
// member that was removed gives up its data; any other end is the daemon's.
func (l *etcdLink) watchMember(ctx context.Context, server *etcdserver.Server) error {
	select {
	case <-ctx.Done():
		return nil
	case <-server.Ready():
	case <-server.Done():
	case done := <-l.reloads:
		return l.restart(ctx, server, done)
	}
	look := time.NewTicker(learnerLook)
	defer look.Stop()
	for server.IsLearner() && server.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-server.Done():
		case done := <-l.reloads:
			return l.restart(ctx, server, done)
		}
	}
	look.Stop()
	if server.Err() == nil {
		l.mu.Lock()
		l.voter = true
		l.change.Notify()
		l.mu.Unlock()
		l.log.Info("this machine's etcd votes")
		select {
		case <-ctx.Done():
			return nil
		case <-server.Done():
		case done := <-l.reloads:
			return l.restart(ctx, server, done)
		}
	}
	err := server.Err()
	server.Close()
	l.took(nil, "")
	if !errors.Is(err, etcdserver.ErrRemoved) {
		return err
	}
	l.log.Warn("this machine's etcd was removed from the cluster; it may be asked back")
	return l.discard()
}

// outdated tells whether the member runs with other authorities than it should.
func (l *etcdLink) outdated() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server != nil && l.accepted != l.guard.accepted()
}

// reload has the member restarted, since etcd reads its authorities only then,
// and returns when it votes again, or has no need to.
func (l *etcdLink) reload(ctx context.Context) error {
	for l.outdated() {
		changed, done := l.changed(), make(chan struct{})
		select {
		case l.reloads <- done:
			<-done
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		changed := l.changed()
		if server := l.member(); server == nil || l.votes() || server.IsLearner() {
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
func (l *etcdLink) restart(ctx context.Context, server *etcdserver.Server, done chan struct{}) error {
	defer close(done)
	server.Close()
	l.took(nil, "")
	return l.resume(ctx)
}

// resume starts the member whose data this machine has.
func (l *etcdLink) resume(ctx context.Context) error {
	accepted := l.guard.accepted()
	server, err := etcdserver.Restart(ctx, l.serverConfig())
	if errors.Is(err, etcdserver.ErrRemoved) {
		return l.discard()
	}
	if err == nil {
		l.took(server, accepted)
	}
	return err
}

// invite makes tendMember take the seat that this machine was given.
func (l *etcdLink) invite() {
	select {
	case l.invited <- struct{}{}:
	default:
	}
}

// leave takes this machine's member out of the cluster and its data with it.
func (l *etcdLink) leave(ctx context.Context) error {
	if !l.cfg.embedsEtcd() {
		return nil
	}
	server := l.member()
	if server == nil {
		return nil
	}
	step := etcdserver.Step{Kind: etcdserver.Remove, Machine: l.cfg.MachineID, PeerURL: l.peerURL(), Member: server.MemberID()}
	// The leader removes the members of machines that left, too; whoever is
	// first, this machine's etcd ends, and requests to it fail.
	for l.member() == server {
		err := etcdserver.Do(ctx, l.client, step)
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
