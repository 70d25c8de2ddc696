package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster"
	"fleettop/cluster/etcdstore"
	"fleettop/cluster/membership"
	"fleettop/cluster/schedule"
	"fleettop/daemon/agent"
	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/engine"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/health"
	"fleettop/daemon/listen"
	"fleettop/daemon/peers"
	"fleettop/daemon/sshd"
	"fleettop/daemon/trust"
	"fleettop/daemon/view"
	"fleettop/units"
	"fleettop/units/process"
	"fleettop/units/systemd"
)

// ErrLeft is what Run returns when the machine has left the cluster for good.
var ErrLeft = errors.New("this machine left the cluster")

const (
	sessionTTL    = 3 * time.Second
	viewLinger    = 30 * time.Second // how long a view that no lease holds is kept current
	farewellLimit = 1500 * time.Millisecond
	leaveLimit    = 20 * time.Second // etcd refuses to lose a member for some seconds after the last change
)

// node is a daemon at work.
type node struct {
	cfg         Config
	log         *slog.Logger
	credentials *trust.Credentials
	keys        *trust.Service
	run         cluster.Run
	members     *membership.Membership
	etcd        *etcdnode.Node
	peers       *peers.Peers // the other machines' APIs
	store       *etcdstore.Store
	view        *view.View
	health      *health.Tracker
	engine      *engine.Engine
	agent       *agent.Agent
	keepLog     func(context.Context) error // nil where nothing has to run for it

	sessions chan cluster.Session // the newest, for the election
	leave    chan struct{}        // closed when this machine shall leave for good
	leaveOne sync.Once

	mu      sync.Mutex // guards session
	session cluster.Session
}

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
	for {
		if err = run(ctx, cfg); !errors.Is(err, etcdnode.ErrKnownElsewhere) {
			return err
		}
		if err := etcdnode.Discard(cfg.StateDir); err != nil {
			return err
		}
	}
}

// run is a daemon's life in one cluster.
func run(ctx context.Context, cfg Config) (err error) {
	credentials, err := trust.Open(cfg.trust())
	if err != nil {
		return err
	}
	n := &node{cfg: cfg, log: cfg.Log, credentials: credentials, sessions: make(chan cluster.Session, 1), leave: make(chan struct{})}
	n.run = cluster.Run{Machine: cfg.MachineID, ID: newRunID(), Address: cfg.gossipAddress(), Boot: bootID(), Since: time.Now()}

	listeners, err := openListeners(ctx, &cfg, credentials)
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
	log, keepLog, err := openLog(&cfg)
	if err != nil {
		return err
	}
	n.keepLog = keepLog

	conflicts := make(chan error, 1)
	primary, others := credentials.GossipKeys()
	n.members, err = membership.Open(membership.Config{
		ID: cfg.MachineID, BindAddr: cfg.Address, BindPort: cfg.Port, AdvertiseAddr: cfg.Address,
		Tags: map[string]string{etcdnode.TagName: cfg.Name}, ProbeInterval: cfg.ProbeInterval, Logger: n.log,
		SecretKey: primary, OtherKeys: others, Refused: credentials.RejectionLogger("gossip"),
		OnConflict: func(c *membership.ConflictError) {
			select {
			case conflicts <- c:
			default:
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.members.Close()) }()
	n.etcd, err = etcdnode.Open(ctx, etcdnode.Config{Machine: cfg.MachineID, Name: cfg.Name, StateDir: cfg.StateDir,
		NewCluster: newRunID(), Join: cfg.Join, PeerAddr: cfg.etcdPeer(), ClientAddr: cfg.etcdClient(),
		Endpoints: cfg.EtcdEndpoints, TLS: cfg.EtcdTLS, Prefix: cfg.EtcdPrefix,
		Credentials: credentials, Gossip: n.members, Log: n.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.etcd.Close()) }()
	n.store = etcdstore.New(n.etcd.Client(), etcdstore.Options{Prefix: n.cfg.EtcdPrefix + "/v1/", Logger: n.log, Gate: n.etcd.Gate, Trouble: n.etcd.Trouble})
	defer func() { err = errors.Join(err, n.store.Close()) }()

	n.peers = peers.New(peers.Config{Identity: credentials.Identity(), Address: func(id string) (string, error) { return peerAddress(n.members, id) }})
	defer n.peers.Close()
	n.view = view.New(n.store, n.log, viewLinger)
	n.health = health.New(health.Config{Self: cfg.MachineID, Grace: cfg.DaemonGrace, Log: n.log},
		etcdnode.ClusterMembers{Node: n.etcd}, n.view)
	n.engine = engine.New(engine.Config{Self: cfg.MachineID, Store: n.store, View: n.view, Health: n.health, Log: n.log})
	n.agent = agent.New(agent.Config{Machine: cfg.MachineID, Lease: sessionTTL, Name: cfg.Name, Store: n.store, Manager: manager,
		NotesPath: cfg.notesPath(), Log: n.log})
	n.keys = trust.NewService(trust.ServiceConfig{Machine: cfg.MachineID, GossipAddress: cfg.gossipAddress(), APIAddress: cfg.apiAddress(),
		KeyFile: cfg.KeyFile, UserManager: cfg.Manager == ManagerSystemdUser, Credentials: credentials,
		Keystore: trust.Keystore{Client: n.etcd.Client(), Prefix: cfg.EtcdPrefix}, Store: n.store, Timeline: timeline{n.store},
		View: n.view, Health: n.health, Gossip: n.members, Etcd: n.etcd, Log: n.log})
	handler := server.New(server.Config{Store: n.store, View: n.view, Health: n.health, Planner: schedule.New(),
		Self: cfg.MachineID, Version: cfg.Version, Leave: n.leaveForGood, Keys: n.keyService(), Logs: n.logs(log), Stats: n.stats(), Log: n.log})

	n.log.Info("starting", "machine", cfg.Name, "id", cfg.MachineID, "address", cfg.Address, "manager", cfg.Manager, "socket", cfg.Socket, "keys", credentials.String())
	return n.work(ctx, listeners, probes, handler, conflicts)
}

// work runs the parts until ctx ends, the machine leaves or a part fails, and takes them apart.
func (n *node) work(ctx context.Context, listeners *listen.Listeners, probes net.Listener, handler *server.Server, conflicts <-chan error) error {
	linkCtx, unlink := context.WithCancel(context.WithoutCancel(ctx))
	defer unlink()
	link, linkCtx := errgroup.WithContext(linkCtx)
	link.Go(func() error { return n.etcd.Run(linkCtx, n.store) })

	partsCtx, stop := context.WithCancel(linkCtx)
	defer stop()
	parts, partsCtx := errgroup.WithContext(partsCtx)
	background := func(f func(context.Context)) { parts.Go(func() error { f(partsCtx); return nil }) }
	background(n.view.Run)
	background(n.health.Run)
	background(func(ctx context.Context) { notifySystemd(ctx, n.agent.Ping) })
	background(func(ctx context.Context) { n.etcd.FollowSeat(ctx, n.store) })
	parts.Go(func() error { return membership.ServeProbes(partsCtx, probes, n.cfg.MachineID) })
	parts.Go(func() error { return listeners.Run(partsCtx, handler, n.keys.JoinServer()) })
	parts.Go(func() error { return n.keepRunDir(partsCtx, listeners) })
	parts.Go(func() error { return n.keys.Run(partsCtx) })
	if n.keepLog != nil {
		parts.Go(func() error { return n.keepLog(partsCtx) })
	}
	parts.Go(func() error { return n.agent.Run(partsCtx) })
	parts.Go(func() error { return n.stayRegistered(partsCtx) })
	parts.Go(func() error { return n.stand(partsCtx) })
	parts.Go(func() error { return n.judgeConflicts(partsCtx, conflicts) })
	parts.Go(func() error { return n.stayAddressed(partsCtx) })
	parts.Go(func() error { return n.etcd.FindHome(partsCtx, n.peers, n.view) })
	disk := &etcdnode.Disk{Dir: n.cfg.StateDir, Machine: n.cfg.MachineID, Name: n.cfg.Name, Timeline: timeline{n.store}, Log: n.log}
	parts.Go(func() error { return disk.Run(partsCtx) })

	departure := cluster.Restarting
	select {
	case <-ctx.Done():
		departure = farewell(context.WithoutCancel(ctx), n.cfg.Manager)
	case <-n.leave:
		departure = cluster.Left
	case <-partsCtx.Done():
	}
	n.log.Info("stopping", "departure", departure)
	n.sayGoodbye(linkCtx, departure)
	stop()
	err := parts.Wait()
	if departure == cluster.Left && err == nil {
		err = n.vanish(linkCtx)
	}
	n.closeSession(linkCtx, departure)
	if departure == cluster.ShutDown || departure == cluster.Left {
		leaveCtx, cancel := context.WithTimeout(linkCtx, time.Second)
		if leaveErr := n.members.Leave(leaveCtx); leaveErr != nil {
			n.log.Debug("no goodbye by gossip", "error", leaveErr)
		}
		cancel()
	}
	unlink()
	err = errors.Join(err, link.Wait())
	if departure == cluster.Left && err == nil {
		n.part(ctx)
		err = ErrLeft
	}
	return err
}

// openListeners opens the ways into the API.
func openListeners(ctx context.Context, cfg *Config, credentials *trust.Credentials) (*listen.Listeners, error) {
	c := listen.Config{Address: cfg.apiAddress(), Credentials: credentials, Log: cfg.Log, Sockets: []listen.Socket{
		{Path: cfg.Socket, Group: api.Group, Role: api.Operator},
		{Path: cfg.viewSocket(), Group: api.ViewGroup, Role: api.Viewer},
	}}
	if cfg.SSH.Listen != "" {
		c.OpenSSH = func() (listen.SSH, error) {
			return sshd.Open(sshd.Config{Listen: cfg.SSH.Listen, AuthorizedKeys: cfg.SSH.AuthorizedKeys, StateDir: cfg.StateDir,
				Run: cfg.SSH.Run, Refused: credentials.RejectionLogger("SSH"), Log: cfg.Log})
		}
	}
	return listen.Open(ctx, c)
}

// keyService is nil without a key.
func (n *node) keyService() server.KeyKeeper {
	if n.credentials.Identity() == nil {
		return nil
	}
	return n.keys
}

func openManager(ctx context.Context, cfg *Config) (units.Manager, error) {
	switch cfg.Manager {
	case ManagerSystemd:
		return systemd.Open(ctx, systemd.Options{Dir: cfg.unitsDir(), Known: agent.Noted(cfg.notesPath()), Logger: cfg.Log})
	case ManagerSystemdUser:
		return systemd.Open(ctx, systemd.Options{Dir: cfg.unitsDir(), Known: agent.Noted(cfg.notesPath()), User: true, Logger: cfg.Log})
	default:
		return process.New(process.Options{Dir: filepath.Join(cfg.RunDir, "process"), LogDir: cfg.logDir(), Logger: cfg.Log})
	}
}

func newRunID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
