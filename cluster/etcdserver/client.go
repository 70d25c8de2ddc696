package etcdserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// ClientConfig says which etcd to talk to.
type ClientConfig struct {
	Endpoints []string // URLs
	TLS       TLS
	TLSConfig *tls.Config  // instead of TLS
	Conns     *ConnTracker // where not nil, knows the client's connections
	Logger    *slog.Logger // nil for slog.Default
}

const (
	dialTimeout = 2 * time.Second
	// peerPatience is how long a connection survives without the other
	// machine's kernel acknowledging anything. gRPC's own keepalive can't be
	// set below ten seconds, so the kernel does it.
	peerPatience = 1500 * time.Millisecond
	// etcdPatience is how long one survives without etcd answering a ping: a
	// kernel that lives and an etcd that doesn't. One that is only overloaded
	// must not lose its connections, as each costs it a handshake to come back.
	etcdPatience = 6 * time.Second
)

// NewClient returns a client that notices a dead endpoint within about two
// seconds and goes on with another. It doesn't wait for a connection, and
// requests have no time limit but their context's. Watches should use
// clientv3.WithRequireLeader. The caller closes it. An error means that the
// endpoints or the TLS files are unusable.
func NewClient(cfg ClientConfig) (*clientv3.Client, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint: give at least one (--etcd-endpoints)")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Conns == nil {
		cfg.Conns = &ConnTracker{}
	}
	c := clientv3.Config{
		Endpoints:         cfg.Endpoints,
		DialTimeout:       dialTimeout,
		DialKeepAliveTime: 10 * time.Second,
		// Not the socket's TCP_USER_TIMEOUT: a tracked connection is no TCP connection to gRPC.
		// No pings without a request under way: etcd counts them, and closes a connection that had
		// three. One that is idle is pinged with its next request.
		DialKeepAliveTimeout: etcdPatience,
		MaxCallSendMsgSize:   MaxRequestBytes + 512<<10,
		BackoffWaitBetween:   50 * time.Millisecond,
		Logger:               newZap(cfg.Logger, nil),
		DialOptions:          []grpc.DialOption{grpc.WithContextDialer(cfg.Conns.dial)},
	}
	c.TLS = cfg.TLSConfig
	if c.TLS == nil && cfg.TLS.enabled() {
		var err error
		if c.TLS, err = cfg.TLS.info().ClientConfig(); err != nil {
			return nil, fmt.Errorf("read the certificate for etcd: %w: give a readable certificate, key and CA", err)
		}
	}
	client, err := clientv3.New(c)
	if err != nil {
		return nil, fmt.Errorf("connect to etcd: %w: check the endpoints %v", err, cfg.Endpoints)
	}
	// Otherwise the first request would, while SetEndpoints may run: a race
	// within etcd's resolver. It is set up when this returns.
	client.ActiveConnection().Connect()
	return client, nil
}

// dial connects with a socket that gives up on a dead machine quickly, idle or not.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 2},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			cerr := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(peerPatience.Milliseconds()))
			})
			return errors.Join(cerr, err)
		},
	}
	return d.DialContext(ctx, "tcp", addr)
}
