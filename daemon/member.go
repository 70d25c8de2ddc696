package daemon

import (
	"context"
	"errors"
	"time"

	"fleettop/cluster/etcdserver"
)

// tendMember runs this machine's etcd member: the one it has, or the one it is
// invited to start.
func (l *etcdLink) tendMember(ctx context.Context) error {
	for ctx.Err() == nil {
		server := l.member()
		if server == nil {
			select {
			case <-ctx.Done():
			case <-l.invited:
				if err := l.join(ctx); err != nil && ctx.Err() == nil {
					l.log.Warn("this machine's etcd could not join yet; trying again", "error", err)
					pause(ctx, joinRetry)
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
// was withdrawn meanwhile.
func (l *etcdLink) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinLimit)
	defer cancel()
	l.mu.Lock()
	clusterID := l.clusterID
	l.mu.Unlock()
	ticket, err := etcdserver.TicketFor(ctx, l.client, clusterID, l.cfg.MachineID, l.peerURL())
	if errors.Is(err, etcdserver.ErrNoMember) {
		return nil
	}
	if err != nil {
		return err
	}
	accepted := l.guard.accepted()
	server, err := etcdserver.Join(ctx, l.serverConfig(), ticket)
	if err != nil {
		return errors.Join(err, etcdserver.Discard(l.cfg.StateDir))
	}
	l.log.Info("this machine's etcd has joined and is learning")
	l.took(server, accepted)
	return nil
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
		l.signal()
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
	return etcdserver.Discard(l.cfg.StateDir)
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
	accepted := l.guard.accepted()
	server, err := etcdserver.Restart(ctx, l.serverConfig())
	if errors.Is(err, etcdserver.ErrRemoved) {
		return etcdserver.Discard(l.cfg.StateDir)
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
		pause(ctx, joinRetry)
	}
	return nil
}
