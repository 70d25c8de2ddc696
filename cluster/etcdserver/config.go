package etcdserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/tlsutil"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

const (
	// heartbeat and election are what raft runs at: a leader that is silent is noticed
	// after election to twice election. One whose machine is known to be dead isn't waited for,
	// see Succeed, so election is rather for slow networks: an election takes two round trips,
	// and where two members stand within half a round trip of each other, neither wins.
	// Heartbeats are most of what an idle cluster does, so there are few.
	heartbeat = 100 * time.Millisecond
	election  = 8 * heartbeat

	// MaxTxnOps is how many operations a transaction may have.
	MaxTxnOps = 1024
	// MaxRequestBytes is how large a request may be.
	MaxRequestBytes = 4 << 20

	maxLearners = 4
	quota       = 1 << 30 // bytes of database; also what it maps of address space
)

// TLS names the files of a certificate, its key and the authority that signs all. All
// or none are set; with them, members and clients must show a certificate.
// Certificate and key are read again for each connection, the authorities only
// when a server or client is made.
type TLS struct {
	CertFile, KeyFile, CAFile string
}

func (t TLS) enabled() bool { return t != TLS{} }

func (t TLS) scheme() string {
	if t.enabled() {
		return "https"
	}
	return "http"
}

func (t TLS) info() transport.TLSInfo {
	if !t.enabled() {
		return transport.TLSInfo{}
	}
	// A machine with several addresses may call from another one than the
	// certificate has; that it is signed is what counts.
	return transport.TLSInfo{CertFile: t.CertFile, KeyFile: t.KeyFile, TrustedCAFile: t.CAFile, ClientCertAuth: true,
		SkipClientSANVerify: true}
}

// Config says who this member is and where it keeps its data and listens.
type Config struct {
	Dir     string // the data directory; made if missing, mode 0700
	Machine string // the machine-id; the member's name
	// ClusterID names the cluster whose data Dir holds. Bootstrap gives it to
	// the new cluster; Join takes it from the ticket; Restart checks it if set.
	ClusterID string
	// PeerAddr and ClientAddr are host:port, where the others reach this
	// member, and where it listens unless the listen addresses say otherwise.
	PeerAddr, ClientAddr             string
	ListenPeerAddr, ListenClientAddr string
	TLS                              TLS
	// Refused is called for connections whose TLS handshake failed: from which
	// address and why. It must not block. Nil logs them.
	Refused func(source, why string)
	Logger  *slog.Logger // nil for slog.Default

	alone bool // the member forgets the others
}

// PeerURL is PeerAddr as etcd's members know it.
func (c Config) PeerURL() string { return c.TLS.scheme() + "://" + c.PeerAddr }

// ClientURL is ClientAddr as clients dial it.
func (c Config) ClientURL() string { return c.TLS.scheme() + "://" + c.ClientAddr }

func (c *Config) complete() error {
	if c.Dir == "" || c.Machine == "" {
		return errors.New("etcd needs a data directory and a machine-id: set --state-dir and the machine-id")
	}
	if t := c.TLS; t.enabled() && (t.CertFile == "" || t.KeyFile == "" || t.CAFile == "") {
		return errors.New("etcd needs a certificate, its key and a CA: give all three or none")
	}
	if c.ListenPeerAddr == "" {
		c.ListenPeerAddr = c.PeerAddr
	}
	if c.ListenClientAddr == "" {
		c.ListenClientAddr = c.ClientAddr
	}
	for _, a := range []string{c.PeerAddr, c.ClientAddr, c.ListenPeerAddr, c.ListenClientAddr} {
		if _, port, err := net.SplitHostPort(a); err != nil || port == "" || port == "0" {
			return fmt.Errorf("%q is not an address etcd can listen on: give host:port", a)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// etcdConfig is etcd's configuration for a member of initial, a list of
// name=URL, in a cluster that is new or exists, for a server that knows of
// its gRPC server and of why etcd ends by itself or crashes.
func (c *Config) etcdConfig(initial string, isNew bool, s *Server) (*embed.Config, error) {
	e := embed.NewConfig()
	e.Name, e.Dir = c.Machine, filepath.Join(c.Dir, dataDir)
	e.InitialCluster, e.InitialClusterToken = initial, c.ClusterID
	e.ClusterState = embed.ClusterStateFlagExisting
	if isNew {
		e.ClusterState = embed.ClusterStateFlagNew
	}
	for _, u := range []struct {
		to   *[]url.URL
		addr string
	}{
		{&e.ListenPeerUrls, c.ListenPeerAddr}, {&e.AdvertisePeerUrls, c.PeerAddr},
		{&e.ListenClientUrls, c.ListenClientAddr}, {&e.AdvertiseClientUrls, c.ClientAddr},
	} {
		*u.to = []url.URL{{Scheme: c.TLS.scheme(), Host: u.addr}}
	}
	e.PeerTLSInfo, e.ClientTLSInfo = c.TLS.info(), c.TLS.info()
	e.TlsMinVersion = string(tlsutil.TLSVersion13)

	e.ForceNewCluster = c.alone
	e.TickMs, e.ElectionMs = uint(heartbeat.Milliseconds()), uint(election.Milliseconds())
	e.PreVote, e.InitialElectionTickAdvance = true, true
	e.MaxLearners = maxLearners
	e.MaxTxnOps, e.MaxRequestBytes = MaxTxnOps, MaxRequestBytes
	// raft keeps this many entries in memory, and our entries can be large.
	e.SnapshotCount, e.SnapshotCatchUpEntries = 2500, 500
	e.MaxSnapFiles, e.MaxWalFiles = 2, 2
	e.QuotaBackendBytes = quota
	// What isn't in the database's file yet is in the log, which is synced.
	e.BackendBatchInterval = 500 * time.Millisecond
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, "10m"
	// Old free pages are given back at a start that would free this much.
	e.BootstrapDefragThresholdMegabytes = 64
	e.GRPCKeepAliveMinTime = 500 * time.Millisecond
	e.GRPCKeepAliveInterval, e.GRPCKeepAliveTimeout = 10*time.Second, 5*time.Second
	e.DowngradeCheckTime = time.Minute
	// etcd warns of every slow disk write; on a busy machine that is noise.
	e.WarningApplyDuration, e.WarningUnaryRequestDuration = time.Second, 3*time.Second
	e.EnableGRPCGateway = false
	e.SocketOpts.ReuseAddress = true
	e.ServiceRegister, e.GRPCAdditionalServerOptions = s.register, s.admission()
	e.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newServerZap(c.Logger, s.ended, c.Refused, s.crash))
	return e, e.Validate()
}
