package daemon

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/agent"
	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/backup"
	"fleettop/daemon/connectivity"
	"fleettop/daemon/drill"
	"fleettop/daemon/engine"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/fencing"
	"fleettop/daemon/health"
	"fleettop/daemon/hosts"
	"fleettop/daemon/leadership"
	"fleettop/daemon/listen"
	"fleettop/daemon/logs"
	"fleettop/daemon/notify"
	"fleettop/daemon/peers"
	"fleettop/daemon/presence"
	"fleettop/daemon/sshd"
	"fleettop/daemon/stats"
	"fleettop/daemon/trust"
	"fleettop/daemon/view"
	"fleettop/journal"
	"fleettop/units"
	"fleettop/units/process"
	"fleettop/units/systemd"
)

const viewLinger = 30 * time.Second // how long a view that no lease holds is kept current

// wire makes the parts of the daemon and adds them to the node.
func (n *node) wire(listeners *listen.Listeners, peers *peers.Peers, manager units.Manager, source journal.Source) {
	cfg := &n.cfg
	view := view.New(n.store, n.log, viewLinger)
	tracker := health.New(health.Config{Self: cfg.MachineID, Grace: cfg.DaemonGrace, Interval: cfg.ProbeInterval,
		Decides: func() bool { return !n.etcd.Embedded() || n.etcd.Votes() }, Log: n.log},
		etcdnode.ClusterMembers{Node: n.etcd}, view)
	n.witness = tracker
	shown := health.NewShown(cfg.MachineID, tracker, view)
	engine := engine.New(engine.Config{Self: cfg.MachineID, Store: n.store, View: view, Health: tracker, Log: n.log})
	n.fence = fencing.New(manager, n.log)
	agent := agent.New(agent.Config{Fence: n.fence, Machine: cfg.MachineID, Lease: presence.SessionTTL, Name: cfg.Name,
		Store: n.store, Manager: manager, NotesPath: cfg.notesPath(), Log: n.log,
		Show: func(own map[string]units.Status) { view.ShowOwn(cfg.MachineID, own) }})
	acting := drill.NewPart(agent.Run)
	timeline := timeline{n.store}
	keys := trust.NewService(trust.ServiceConfig{Machine: cfg.MachineID, GossipAddress: cfg.gossipAddress(),
		APIAddress: cfg.apiAddress(), KeyFile: cfg.KeyFile, User: cfg.Manager == ManagerSystemdUser || os.Geteuid() != 0,
		Credentials: n.credentials, Keystore: trust.Keystore{Client: n.etcd.Client(), Prefix: cfg.EtcdPrefix},
		Store: n.store, Timeline: timeline, View: view, Health: tracker, Gossip: n.gossip, Etcd: n.etcd, Log: n.log})
	n.presence = presence.New(presence.Config{Run: n.run, Machine: n.record(manager), Keys: n.credentials.InUse,
		Store: n.store, Etcd: n.etcd, Agent: agent, Log: n.log})
	n.leaving = &leaving{machine: cfg.MachineID, name: cfg.Name, store: n.store, view: view, log: n.log,
		ready: make(chan struct{})}
	voters := &etcdnode.Voters{Client: n.etcd.Client(), Records: n.store, Timeline: timeline, View: view,
		Health: tracker, Log: n.log}
	disk := &etcdnode.Disk{Dir: cfg.StateDir, Machine: cfg.MachineID, Name: cfg.Name, Timeline: timeline, Log: n.log}
	notifier := notify.New(notify.Config{Self: cfg.MachineID, Receivers: cfg.Notify, Store: n.store, View: view, Log: n.log})
	tasks := []func(context.Context) error{keys.Lead, n.etcd.KeepIdentity, notifier.Lead}
	if n.etcd.Embedded() {
		tasks = append(tasks, voters.Run)
	}
	campaign := leadership.Config{Self: cfg.MachineID, Store: n.store, Sessions: n.presence, Gossip: n.gossip,
		Etcd: n.etcd, View: view, Engine: engine, Tasks: tasks, Log: n.log}
	figures := stats.New(stats.Config{Self: cfg.MachineID, User: cfg.Manager == ManagerSystemdUser, View: view,
		Health: shown, Peers: peers, Log: n.log})
	api := server.Config{Store: n.store, View: view, Health: shown,
		Self: cfg.MachineID, Version: cfg.Version, Leave: n.leaving.leaveForGood,
		Logs: logs.New(logs.Config{Self: cfg.MachineID, Source: source, View: view, Health: shown, Peers: peers,
			Timeline: n.store, Log: n.log}),
		Stats: figures,
		Connectivity: connectivity.New(connectivity.Config{Self: cfg.MachineID, View: view,
			Members: etcdnode.ClusterMembers{Node: n.etcd}, Store: n.store, Peers: peers}),
		Hosts: hosts.New(cfg.MachineID, manager, peers),
		Log:   n.log}
	if len(cfg.Notify) > 0 {
		api.SendTest = notifier.SendTest
	}
	if n.credentials.Identity() != nil {
		api.Keys = keys
	}
	handler := server.New(api)

	n.background(view.Run)
	n.background(tracker.Run)
	n.background(shown.Run)
	n.background(figures.Run)
	n.background(func(ctx context.Context) { n.etcd.ReplaceDeadLeader(ctx, tracker) })
	n.background(func(ctx context.Context) { notifySystemd(ctx, agent.Ping) })
	n.background(func(ctx context.Context) { n.etcd.FollowSeat(ctx, n.store) })
	n.add(func(ctx context.Context) error { return listeners.Run(ctx, handler, keys.JoinServer()) })
	n.add(func(ctx context.Context) error { return n.keepRunDir(ctx, listeners) })
	n.add(keys.Run)
	n.background(n.fence.Run)
	n.add(acting.Run)
	n.add(n.presence.Run)
	n.add(drill.New(drill.Config{Self: cfg.MachineID, Name: cfg.Name, StateDir: cfg.StateDir, Boot: bootID(),
		NotesPath: cfg.notesPath(), Store: n.store, View: view, Health: shown, Manager: manager, Agent: acting, Sessions: n.presence, Log: n.log}).Run)
	n.add(func(ctx context.Context) error { return leadership.Run(ctx, campaign) })
	n.add(func(ctx context.Context) error { return n.etcd.FindHome(ctx, peers, view) })
	n.add(disk.Run)
	if cfg.BackupDir != "" {
		backups := &backup.Schedule{Dir: cfg.BackupDir, Every: cfg.BackupEvery, Keep: cfg.BackupKeep, Machine: cfg.MachineID,
			Name: cfg.Name, Software: cfg.Version, Store: n.store, Timeline: timeline, Log: n.log}
		n.add(backups.Run)
	}
	if cfg.watchesAddress(n.credentials) {
		n.add(func(ctx context.Context) error { return presence.WatchAddress(ctx, cfg.Address) })
	}
}

// record is what this machine says of itself in the store.
func (n *node) record(manager units.Manager) cluster.Machine {
	c := &n.cfg
	m := cluster.Machine{Name: c.Name, Address: c.Address, Version: c.Version, Metadata: c.Metadata,
		Manager: string(c.Manager), GossipAddress: c.gossipAddress(), ProbeAddress: c.probeAddress(),
		APIAddress: c.apiAddress(), NoFence: "it runs units without systemd"}
	if f, ok := manager.(units.Fencer); ok {
		m.NoFence = f.NoFence()
		m.Fences = m.NoFence == ""
	}
	if n.etcd.Embedded() {
		m.EtcdPeerURL, m.EtcdClientURL = n.etcd.PeerURL(), n.etcd.ClientURL()
	}
	return m
}

// openListeners opens the ways into the API.
func openListeners(ctx context.Context, cfg *Config, credentials *trust.Credentials) (*listen.Listeners, error) {
	c := listen.Config{Address: cfg.apiAddress(), Credentials: credentials, Log: cfg.Log, Sockets: []listen.Socket{
		{Path: cfg.Socket, Option: "--socket", Group: api.Group, Role: api.Operator},
		{Path: cfg.viewSocket(), Option: "--socket", Group: api.ViewGroup, Role: api.Viewer},
	}}
	if cfg.FleetSocket != "" {
		c.Sockets = append(c.Sockets,
			listen.Socket{Path: cfg.FleetSocket, Option: "--fleet-socket", Group: api.Group, Role: api.Operator})
	}
	if cfg.SSH.Listen != "" {
		c.OpenSSH = func() (listen.SSH, error) {
			return sshd.Open(sshd.Config{Listen: cfg.SSH.Listen, AuthorizedKeys: cfg.SSH.AuthorizedKeys, StateDir: cfg.StateDir,
				Run: cfg.SSH.Run, Refused: credentials.RejectionLogger("SSH"), Log: cfg.Log})
		}
	}
	return listen.Open(ctx, c)
}

// openGossip opens gossip, which reports the first machine with this one's ID.
func openGossip(cfg *Config, credentials *trust.Credentials, conflicts chan<- error) (*membership.Membership, error) {
	primary, others := credentials.GossipKeys()
	return membership.Open(membership.Config{
		ID: cfg.MachineID, BindAddr: cfg.Address, BindPort: cfg.Port, AdvertiseAddr: cfg.Address,
		Tags: map[string]string{etcdnode.TagName: cfg.Name}, ProbeInterval: cfg.ProbeInterval, Logger: cfg.Log,
		SecretKey: primary, OtherKeys: others, Refused: credentials.RejectionLogger("gossip"),
		OnConflict: func(c *membership.ConflictError) {
			select {
			case conflicts <- c:
			default:
			}
		},
	})
}

// openPeers reaches the other machines' APIs where gossip finds them.
func openPeers(credentials *trust.Credentials, gossip *membership.Membership) *peers.Peers {
	return peers.New(peers.Config{Identity: credentials.Identity(),
		Address: func(id string) (string, error) { return peerAddress(gossip, id) }})
}

// openManager opens the manager that runs this machine's units.
func openManager(ctx context.Context, cfg *Config) (units.Manager, error) {
	switch cfg.Manager {
	case ManagerSystemd, ManagerSystemdUser:
		return systemd.Open(ctx, systemd.Options{Dir: cfg.unitsDir(), Known: agent.Noted(cfg.notesPath()),
			Fence: cfg.fence(), User: cfg.Manager == ManagerSystemdUser, Logger: cfg.Log})
	default:
		return process.New(process.Options{Dir: filepath.Join(cfg.RunDir, "process"), LogDir: cfg.logDir(), Logger: cfg.Log})
	}
}
