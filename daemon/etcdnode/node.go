package etcdnode

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"fleettop/cluster"
	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/daemon/keys"
	"fleettop/daemon/view"
	"fleettop/units/broadcast"
)

// Gossip is the part of membership.Membership that a Node uses.
type Gossip interface {
	Members() []membership.Member
	Changed() <-chan struct{}
	Join(ctx context.Context, addresses []string) error
	SetTags(tags map[string]string) error
}

// Credentials are what a Node proves itself with.
type Credentials interface {
	KeyIDs() []string                 // of the accepted keys, the one in use first; nil without a key
	Changed() <-chan struct{}         // closed at the next change of the keys
	EtcdServer() keys.Files           // of an embedded member; none without a key
	EtcdClient() (*tls.Config, error) // nil is plain text
	RejectionLogger(listener string) func(source, why string)
}

// Records is the part of a store with the machines' records.
type Records interface {
	UpdateMachine(ctx context.Context, id string, f func(*cluster.Machine) error) error
}

// Watcher is the part of a store that is followed.
type Watcher interface {
	Watch(ctx context.Context, scope cluster.Scope) (*cluster.Snapshot, <-chan cluster.Change, error)
}

// Timeline records what happened. Record tries until the events are written, and
// returns the last error where ctx ends before.
type Timeline interface {
	Record(ctx context.Context, e ...cluster.Event) error
}

// View is the cluster's state, for who holds it.
type View interface{ Hold() *view.Lease }

// Config says whose node it is, and which etcd it uses.
type Config struct {
	Machine  string // its ID
	Name     string // for people
	StateDir string
	// NewCluster is the ID of the cluster that this node founds, if it founds one.
	NewCluster string
	// Join are gossip addresses of machines whose cluster this one is to join;
	// none for a new cluster, or the one in StateDir.
	Join []string

	// PeerAddr and ClientAddr are the embedded member's, host:port.
	PeerAddr, ClientAddr string

	// Endpoints uses an existing etcd, with TLS, and what is below Prefix there.
	// None embeds one.
	Endpoints []string
	TLS       keys.Files
	Prefix    string

	Credentials Credentials
	Gossip      Gossip
	Log         *slog.Logger
}

func (c *Config) embeds() bool { return len(c.Endpoints) == 0 }

// Node is this machine's way to etcd. Its methods may be called from several
// goroutines.
type Node struct {
	cfg     Config
	log     *slog.Logger
	gossip  Gossip
	client  *clientv3.Client
	conns   etcdserver.ConnTracker // the client's
	seated  chan struct{}          // the leader gave this machine a seat in etcd; capacity 1
	reloads chan chan struct{}     // the member is to read its authorities again; what is sent is closed when it has
	seeds   *seedFile
	founded bool   // by this run of the daemon: the cluster is new
	claimed uint64 // the member that this run of the daemon claimed; only for the goroutine of runMember
	company bool   // this run of the daemon heard of another machine of its cluster; only for that of syncEndpoints

	mu        sync.Mutex // guards what follows
	server    *etcdserver.Server
	accepted  string // the keys whose authorities server has read
	voter     bool   // server is up and votes
	clusterID string // once known
	succeeds  string // the cluster that this one was recovered from; empty for none
	admitted  bool   // the store is this cluster's
	why       error  // the store can't be used; nil if it can, or that isn't known
	apart     error  // no other machine of the cluster was found yet; nil if one was, or there is none
	change    broadcast.Signal
}

// Open prepares the way to etcd; Run walks it. A member with data is started
// at once, and a new cluster is founded where there is neither data nor a
// machine to join. Its errors are those of etcdserver.Restart and
// etcdserver.Bootstrap, of which *etcdserver.ForeignDataError matters to a caller.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, log: cfg.Log, gossip: cfg.Gossip, admitted: cfg.embeds(),
		seated: make(chan struct{}, 1), reloads: make(chan chan struct{})}
	n.seeds = openSeeds(cfg.StateDir, n.log)
	n.succeeds = etcdserver.Succeeds(cfg.StateDir)
	if cfg.embeds() {
		if err := n.begin(ctx); err != nil {
			return nil, err
		}
	}
	var err error
	client := etcdserver.ClientConfig{Endpoints: cfg.Endpoints, TLS: etcdserver.TLS(cfg.TLS), Conns: &n.conns,
		Logger: n.log}
	if cfg.embeds() {
		// Nothing listens there until this machine votes or others are found.
		client.Endpoints = []string{n.ClientURL()}
		if client.TLSConfig, err = cfg.Credentials.EtcdClient(); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	n.client, err = etcdserver.NewClient(client)
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// begin starts the member this machine has, or founds a cluster.
func (n *Node) begin(ctx context.Context) error {
	c := n.serverConfig()
	if etcdserver.HasData(c.Dir) {
		return n.resume(ctx)
	}
	if len(n.cfg.Join) > 0 || n.seeds.existed {
		return nil
	}
	accepted := n.acceptedKeys()
	c.ClusterID = n.cfg.NewCluster
	server, err := etcdserver.Bootstrap(ctx, c)
	if err != nil {
		return err
	}
	n.founded = true
	n.log.Info("founded a new cluster", "cluster", c.ClusterID)
	n.setServer(server, accepted)
	return nil
}

func (n *Node) serverConfig() etcdserver.Config {
	return etcdserver.Config{Dir: n.cfg.StateDir, Machine: n.cfg.Machine,
		PeerAddr: n.cfg.PeerAddr, ClientAddr: n.cfg.ClientAddr, TLS: etcdserver.TLS(n.cfg.Credentials.EtcdServer()),
		Refused: n.cfg.Credentials.RejectionLogger("etcd"), Logger: n.log}
}

// Embedded reports whether the node runs a member of its own cluster's etcd.
func (n *Node) Embedded() bool { return n.cfg.embeds() }

// PeerURL is where the other members find the embedded one.
func (n *Node) PeerURL() string { return n.serverConfig().PeerURL() }

// ClientURL is where clients find the embedded member.
func (n *Node) ClientURL() string { return n.serverConfig().ClientURL() }

// Client is the client that follows the members that live. It is the node's: don't close it.
func (n *Node) Client() *clientv3.Client { return n.client }

// setServer notes a running member, which was started when these keys were
// accepted; nil for one that ended.
func (n *Node) setServer(server *etcdserver.Server, accepted string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server, n.voter, n.accepted = server, false, accepted
	if server != nil {
		n.clusterID = server.ClusterID()
	}
	n.change.Notify()
}

// Changed returns a channel closed at the next change of Votes or of the admission.
func (n *Node) Changed() <-chan struct{} { return n.change.Changed() }

// Votes reports whether this machine's member is up and votes.
func (n *Node) Votes() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.voter
}

func (n *Node) member() *etcdserver.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// cluster returns the ID of this machine's cluster, empty while that isn't known.
func (n *Node) cluster() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clusterID
}

// Run keeps gossip joined, the client pointed and the member running, until
// ctx ends. It returns an error the daemon can't go on with: a
// *membership.ConflictError, an *OtherClusterError, or why the member ended.
func (n *Node) Run(ctx context.Context, records Records) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				cancel(err)
			}
		})
	}
	start(n.joinGossip)
	start(n.keepSeeds)
	start(n.syncEndpoints)
	if n.cfg.embeds() {
		start(func(ctx context.Context) error { return n.runMember(ctx, records) })
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Discard gives up the data of the embedded member below a state directory. Its
// error says which file is left.
func Discard(stateDir string) error { return etcdserver.Discard(stateDir) }

// PutAside moves the data of an embedded member away that can't go on with it,
// as the error of a Node says (etcdserver.ErrBehind), so that the machine joins
// anew. It returns where the data is, or false if that isn't why the node ended.
func PutAside(stateDir string, why error) (to string, behind bool, err error) {
	if !errors.Is(why, etcdserver.ErrBehind) {
		return "", false, nil
	}
	to, err = etcdserver.PutAside(stateDir)
	return to, true, err
}

// Close ends client and member. A member that left gives up its data. Its
// error says what could not be closed or removed.
func (n *Node) Close() error {
	var err error
	if n.client != nil {
		err = n.client.Close()
	}
	if server := n.member(); server != nil {
		server.Close()
		if errors.Is(server.Err(), etcdserver.ErrRemoved) {
			err = errors.Join(err, etcdserver.Discard(n.cfg.StateDir))
		}
	}
	return err
}
