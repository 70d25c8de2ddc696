package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/keys"
	"fleettop/units/retry"
)

const (
	joinTime        = 5 * time.Second  // for the body of a machine without a certificate, and for the answer
	stopLimit       = 3 * time.Second  // for requests under way when a listener ends
	addressPatience = 15 * time.Second // how long a start waits for this machine's address
	addressTry      = 200 * time.Millisecond
)

// Credentials are what this machine proves itself with to the others.
type Credentials interface {
	Identity() *keys.Identity // nil without a key: plain text, on loopback
	Changed() <-chan struct{} // closed at the next change of the accepted keys
	RejectionLogger(listener string) func(source, why string)
}

// SSH is the part of sshd.Server that is run.
type SSH interface {
	Run(ctx context.Context, handler http.Handler) error
	Reload()
	Close() error
}

// Socket is a unix socket, and the role of those who come by it.
type Socket struct {
	Path   string
	Option string // of the command line, by which an operator chooses Path
	Group  string // that may use it beside root, where the host has it
	Role   api.Role
}

// Config says where to listen.
type Config struct {
	Sockets []Socket
	Address string // host:port for the other machines
	// OpenSSH opens the SSH server, which Close closes; nil for none. It is
	// called when this machine has its address.
	OpenSSH     func() (SSH, error)
	Credentials Credentials
	Log         *slog.Logger
}

// Listeners are the open listeners of an API.
type Listeners struct {
	cfg      Config
	sockets  []*unixSocket
	machines net.Listener
	ssh      SSH // nil for none
	joinTime time.Duration
}

// Open opens all listeners. It waits a while for this machine's address, which
// may come up after the daemon. Its errors say which option to change.
func Open(ctx context.Context, cfg Config) (*Listeners, error) {
	l := &Listeners{cfg: cfg, joinTime: joinTime}
	if err := l.open(ctx); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Listeners) open(ctx context.Context) (err error) {
	if l.machines, err = listenPatiently(ctx, l.cfg.Address, l.cfg.Log); err != nil {
		return fmt.Errorf("listen for the other machines: %w: choose another --address or --port", err)
	}
	for _, s := range l.cfg.Sockets {
		socket, err := openUnixSocket(s, l.cfg.Log)
		if err != nil {
			return err
		}
		l.sockets = append(l.sockets, socket)
	}
	if l.cfg.OpenSSH == nil {
		return nil
	}
	ssh, err := l.cfg.OpenSSH()
	if err != nil {
		return err
	}
	l.ssh = ssh
	return nil
}

// Close ends the listeners and removes the sockets. It may be called after Run.
func (l *Listeners) Close() {
	for _, s := range l.sockets {
		s.close()
	}
	if l.machines != nil {
		_ = l.machines.Close() // or Run has
	}
	if l.ssh != nil {
		_ = l.ssh.Close()
	}
}

// Restore makes the sockets again whose files are gone.
func (l *Listeners) Restore() {
	for _, s := range l.sockets {
		s.restore()
	}
}

// Reload reads again what the listeners read from files: the keys of people.
func (l *Listeners) Reload() {
	if l.ssh != nil {
		l.ssh.Reload()
	}
}

// Run serves handler on all listeners until ctx ends, or one of them fails,
// and join to machines that show no certificate.
func (l *Listeners) Run(ctx context.Context, handler, join http.Handler) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range l.sockets {
		asRole := server.AsRole(l.cfg.Sockets[i].Role, handler)
		g.Go(func() error { return s.serve(ctx, server.HTTPServer(ctx, asRole, l.cfg.Log)) })
	}
	g.Go(func() error { return l.serveMachines(ctx, handler, join) })
	if l.ssh != nil {
		g.Go(func() error { return l.ssh.Run(ctx, handler) })
	}
	return g.Wait()
}

// serveMachines serves the other machines until ctx ends or that fails.
func (l *Listeners) serveMachines(ctx context.Context, handler, join http.Handler) error {
	auth := &peerAuth{credentials: l.cfg.Credentials, next: server.AsRole(api.MachineRole, handler),
		join: join, joinTime: l.joinTime}
	machines, httpServer := l.machines, server.HTTPServer(ctx, auth, l.cfg.Log)
	if id := l.cfg.Credentials.Identity(); id != nil {
		machines = tls.NewListener(machines, id.ServerConfig())
		failed := &handshakeLog{refused: l.cfg.Credentials.RejectionLogger("API"), next: httpServer.ErrorLog}
		httpServer.ErrorLog = log.New(failed, "", 0)
	}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(machines) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	shutDown(ctx, httpServer)
	<-served
	return nil
}

// shutDown ends a server whose context has ended.
func shutDown(ctx context.Context, server *http.Server) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if server.Shutdown(limit) != nil {
		server.Close()
	}
}

// listenPatiently listens on this machine's address, which may come up after
// the daemon: it waits a while for one that isn't the machine's yet.
func listenPatiently(ctx context.Context, address string, log *slog.Logger) (net.Listener, error) {
	var listen net.ListenConfig
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	began, warned := time.Now(), false
	for {
		l, err := listen.Listen(ctx, "tcp", address)
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return l, err
		}
		if time.Since(began) > addressPatience {
			return nil, fmt.Errorf("%w: %s is not an address of this machine: give one that is with --address; "+
				"`ip -brief address` lists them", err, host)
		}
		if !warned {
			warned = true
			log.Warn("this machine doesn't have its address yet; waiting for it", "address", host, "for", addressPatience)
		}
		if !retry.Pause(ctx, addressTry) {
			return nil, context.Cause(ctx)
		}
	}
}
