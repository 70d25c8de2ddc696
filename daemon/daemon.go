package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/etcdstore"
	"fleettop/cluster/membership"
	"fleettop/daemon/drill"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/trust"
)

// ErrLeft is what Run returns when the machine has left the cluster for good.
var ErrLeft = errors.New("this machine left the cluster")

// Run is a daemon's life: it blocks until ctx ends, and then leaves in good
// order without touching a unit, or until something it can't live without
// fails. It returns ErrLeft when an operator made the machine leave, and a
// *cluster.DuplicateError when another machine has the same machine-id.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Complete(); err != nil {
		return err
	}
	unlock, err := lockDir(cfg.StateDir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := refuseDeparted(&cfg); err != nil {
		return err
	}
	if err := makeRunDir(cfg.RunDir); err != nil {
		return err
	}
	if err := tidy(&cfg); err != nil {
		cfg.Log.Warn("files that a killed daemon left could not be removed", "error", err)
	}
	if err := drill.Wait(ctx, cfg.drillWait()); err != nil || ctx.Err() != nil {
		return err
	}
	for {
		err = run(ctx, cfg)
		if to, behind, asideErr := etcdnode.PutAside(cfg.StateDir, err); asideErr != nil {
			return errors.Join(err, asideErr)
		} else if behind {
			// What is left of etcd in this process keeps its ports: the next one joins.
			return fmt.Errorf("%w; its data was moved to %s: start the daemon again", err, to)
		}
		if !errors.Is(err, etcdnode.ErrKnownElsewhere) {
			return err
		}
		if err := etcdnode.Discard(cfg.StateDir); err != nil {
			return err
		}
	}
}

// run is a daemon's life in one cluster: it opens what needs closing, wires it
// together, and runs it.
func run(ctx context.Context, cfg Config) (err error) {
	n := &node{cfg: cfg, log: cfg.Log}
	n.run = cluster.Run{Machine: cfg.MachineID, ID: randomID(), Address: cfg.gossipAddress(),
		Boot: drill.BootAfter(bootID(), cfg.RunDir), Since: time.Now()}
	if n.credentials, err = trust.Open(cfg.trust()); err != nil {
		return err
	}
	listeners, err := openListeners(ctx, &cfg, n.credentials)
	if err != nil {
		return err
	}
	defer listeners.Close()
	probes, err := net.Listen("tcp", cfg.probeAddress())
	if err != nil {
		return fmt.Errorf("listen for probes: %w: choose another --address or --port", err)
	}
	defer probes.Close()
	manager, err := openManager(ctx, &cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, manager.Close()) }()
	source, keepLog, err := openLog(&cfg)
	if err != nil {
		return err
	}
	conflicts := make(chan error, 1)
	if n.gossip, err = openGossip(&cfg, n.credentials, conflicts); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.gossip.Close()) }()
	if n.etcd, err = etcdnode.Open(ctx, cfg.etcdnode(n.credentials, n.gossip)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.etcd.Close()) }()
	n.store = etcdstore.New(n.etcd.Client(), etcdstore.Options{Prefix: cfg.EtcdPrefix + "/v1/", Logger: n.log,
		Gate: n.etcd.Gate, Trouble: n.etcd.Trouble})
	defer func() { err = errors.Join(err, n.store.Close()) }()
	peers := openPeers(n.credentials, n.gossip)
	defer peers.Close()

	n.log.Info("starting", "machine", cfg.Name, "id", cfg.MachineID, "address", cfg.Address, "manager", cfg.Manager,
		"socket", cfg.Socket, "keys", n.credentials.String())
	n.wire(listeners, peers, manager, source)
	n.add(func(ctx context.Context) error { return membership.ServeProbes(ctx, probes, cfg.MachineID, n.witness) })
	n.add(func(ctx context.Context) error { return n.presence.WatchConflicts(ctx, conflicts) })
	if keepLog != nil {
		n.add(keepLog)
	}
	return n.work(ctx)
}

// randomID is a new ID of a run of the daemon, or of a cluster.
func randomID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
