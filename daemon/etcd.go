package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/units/broadcast"
	"fleettop/units/diskfault"
	"fleettop/units/retry"
)

// Gossip tags.
const (
	tagName    = "name"    // the machine's name
	tagCluster = "cluster" // the ID of the cluster it is in
	tagEtcd    = "etcd"    // the URL of its etcd for clients; on voters only
)

const (
	joinRetry    = 500 * time.Millisecond
	joinComplain = 10 * time.Second // between words about a cluster that can't be joined
	joinLimit    = 30 * time.Second
	learnerLook  = 50 * time.Millisecond
	pointedQuiet = 10 * time.Millisecond // suspicions come in crowds
	peersQuiet   = time.Second           // the addresses for the next start are in no hurry
)

// etcdLink is this daemon's way to etcd: an embedded member once it has one,
// and a client that always points at members that live.
type etcdLink struct {
	cfg     *Config
	log     *slog.Logger
	guard   *guard
	members *membership.Membership
	client  *clientv3.Client
	lines   etcdserver.Lines   // the client's
	invited chan struct{}      // the leader gave this machine a seat in etcd; capacity 1
	reloads chan chan struct{} // the member is to read its authorities again; what is sent is closed when it has
	peers   *peerBook
	records records // set before run
	founded bool    // by this run of the daemon: the cluster is new
	claimed uint64  // the member that this run of the daemon claimed; only for the goroutine of tendMember

	mu        sync.Mutex // guards what follows
	server    *etcdserver.Server
	accepted  string // the keys whose authorities server has read
	voter     bool   // server is up and votes
	clusterID string // once known
	admitted  bool   // the store is this cluster's
	why       error  // the store can't be used; nil if it can, or that isn't known
	apart     error  // no other machine of the cluster was found yet; nil if one was, or there is none
	change    broadcast.Signal
}

// records is the part of a store with the machines' records.
type records interface {
	UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error
}

// openEtcd prepares the way to etcd; run walks it. An embedded member with
// data is started at once, and a new cluster is founded where there is
// neither data nor anybody to join.
func openEtcd(ctx context.Context, cfg *Config, g *guard, members *membership.Membership) (*etcdLink, error) {
	l := &etcdLink{cfg: cfg, log: cfg.Log, guard: g, members: members,
		invited: make(chan struct{}, 1), reloads: make(chan chan struct{})}
	l.admitted = cfg.embedsEtcd()
	l.peers = openPeerBook(filepath.Join(cfg.StateDir, peersFile), l.log)
	if cfg.embedsEtcd() {
		if err := l.begin(ctx); err != nil {
			return nil, err
		}
	}
	var err error
	client := etcdserver.ClientConfig{Endpoints: cfg.EtcdEndpoints, TLS: cfg.EtcdTLS, Lines: &l.lines, Logger: l.log}
	if cfg.embedsEtcd() {
		// Nobody listens there until this machine votes or others are found.
		client.Endpoints = []string{l.clientURL()}
		if client.TLSConfig, err = g.etcdClient(); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	l.client, err = etcdserver.NewClient(client)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// begin starts the member this machine has, or founds a cluster.
func (l *etcdLink) begin(ctx context.Context) error {
	c := l.serverConfig()
	if etcdserver.HasData(c.Dir) {
		return l.resume(ctx)
	}
	if len(l.cfg.Join) > 0 || l.peers.existed {
		return nil
	}
	accepted := l.guard.accepted()
	c.ClusterID = newRunID()
	server, err := etcdserver.Bootstrap(ctx, c)
	if err != nil {
		return err
	}
	l.founded = true
	l.log.Info("founded a new cluster", "cluster", c.ClusterID)
	l.took(server, accepted)
	return nil
}

func (l *etcdLink) serverConfig() etcdserver.Config {
	return etcdserver.Config{Dir: l.cfg.StateDir, Machine: l.cfg.MachineID,
		PeerAddr: l.cfg.etcdPeer(), ClientAddr: l.cfg.etcdClient(), TLS: l.guard.etcdServer(), Refused: l.guard.refuser("etcd"), Logger: l.log}
}

func (l *etcdLink) peerURL() string   { return l.serverConfig().PeerURL() }
func (l *etcdLink) clientURL() string { return l.serverConfig().ClientURL() }

// took notes a running member, which was started when these keys were
// accepted; nil for one that ended.
func (l *etcdLink) took(server *etcdserver.Server, accepted string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server, l.voter, l.accepted = server, false, accepted
	if server != nil {
		l.clusterID = server.ClusterID()
	}
	l.change.Notify()
}

// changed returns a channel closed at the next change of votes.
func (l *etcdLink) changed() <-chan struct{} { return l.change.Changed() }

// votes tells whether this machine's member is up and votes.
func (l *etcdLink) votes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.voter
}

func (l *etcdLink) member() *etcdserver.Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.server
}

// cluster returns the ID of this machine's cluster, empty while that isn't known.
func (l *etcdLink) cluster() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clusterID
}

// run keeps gossip joined, the client pointed and the member running, until
// ctx ends. It returns an error the daemon can't go on with.
func (l *etcdLink) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	wg.Go(func() {
		if err := l.joinGossip(ctx); err != nil {
			cancel(err)
		}
	})
	wg.Go(func() { l.rememberPeers(ctx) })
	wg.Go(func() {
		if err := l.stayPointed(ctx); err != nil {
			cancel(err)
		}
	})
	if l.cfg.embedsEtcd() {
		wg.Go(func() {
			if err := l.tendMember(ctx); err != nil {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// joinGossip returns when this machine has found the cluster's gossip, or was
// found by it.
func (l *etcdLink) joinGossip(ctx context.Context) error {
	seeds := slices.Concat(l.cfg.Join, l.peers.list())
	complained := time.Time{}
	for len(seeds) > 0 && ctx.Err() == nil {
		err := l.members.Join(ctx, seeds)
		var conflict *membership.ConflictError
		if errors.As(err, &conflict) {
			return err
		}
		if err == nil && !l.inCluster() {
			// Machines that wait for the cluster may find each other first.
			err = errNoCluster
		}
		l.setApart(err)
		if err == nil || l.found() {
			l.setApart(nil)
			l.log.Info("joined the cluster's gossip", "members", len(l.members.Members()))
			break
		}
		if time.Since(complained) > joinComplain && ctx.Err() == nil {
			complained = time.Now()
			l.log.Warn("no machine of the cluster answers yet; trying again", "error", err)
		}
		retry.Pause(ctx, joinRetry)
	}
	return nil
}

var errNoCluster = errors.New("the machines that answer are in no cluster yet: start a daemon without --join on the first machine")

// found tells whether gossip hears a machine that is in the cluster.
func (l *etcdLink) found() bool {
	return slices.ContainsFunc(l.members.Members(), func(m membership.Member) bool {
		return m.ID != l.cfg.MachineID && m.State == membership.Alive && m.Tags[tagCluster] != ""
	})
}

// rememberPeers keeps the peer book current until ctx ends, so that this machine
// finds back after everybody was down.
func (l *etcdLink) rememberPeers(ctx context.Context) {
	complained := false
	for ctx.Err() == nil {
		changed := l.members.Changed()
		var known []string
		for _, m := range l.members.Members() {
			if m.ID != l.cfg.MachineID && m.State != membership.Left {
				known = append(known, m.Address)
			}
		}
		err := l.peers.keep(known)
		if err != nil && !complained {
			l.log.Warn("the cluster's addresses were not kept for the next start: "+diskfault.Advice(err, ""),
				"error", err)
		}
		complained = err != nil
		select {
		case <-ctx.Done():
		case <-changed:
			retry.Pause(ctx, peersQuiet)
		}
	}
}

// close ends client and member. A member that left gives up its data.
func (l *etcdLink) close() error {
	var err error
	if l.client != nil {
		err = l.client.Close()
	}
	if server := l.member(); server != nil {
		server.Close()
		if errors.Is(server.Err(), etcdserver.ErrRemoved) {
			err = errors.Join(err, etcdserver.Discard(l.cfg.StateDir))
		}
	}
	return err
}

// watchOwnRecord waits for the leader to give this machine a seat in etcd.
func (n *node) watchOwnRecord(ctx context.Context) {
	delay := retry.NewDelay(retryLeast, retryMost)
	for ctx.Err() == nil && n.cfg.embedsEtcd() {
		snap, changes, err := n.store.Watch(ctx, cluster.Scope{Machine: n.cfg.MachineID})
		if err == nil {
			delay.Reset()
			for open := true; open; {
				if snap.Machines[n.cfg.MachineID].Seat != cluster.NoSeat {
					n.etcd.invite()
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
