package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fleettop/cluster/membership"
	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/keys"
	"fleettop/daemon/sshd"
)

// doors are the ways into the API. Each gives its own role.
type doors struct {
	operators *socket      // the unix socket
	viewers   *socket      // the other unix socket
	machines  net.Listener // TCP, for the other machines
	people    *sshd.Server // over SSH, by the roles of their keys; nil for none
}

func (d *doors) close() {
	for _, s := range []*socket{d.operators, d.viewers} {
		if s != nil {
			s.close()
		}
	}
	if d.machines != nil {
		d.machines.Close()
	}
	if d.people != nil {
		d.people.Close()
	}
}

// viewSocket is where viewers find the API, beside the socket for operators.
func (c *Config) viewSocket() string { return api.ViewSocket(c.Socket) }

// serveAPI serves all doors until ctx ends or one fails.
func (n *node) serveAPI(ctx context.Context, d *doors, handler *server.Server) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return d.operators.serve(ctx, server.HTTPServer(ctx, server.AsRole(api.Operator, handler), n.log))
	})
	g.Go(func() error {
		return d.viewers.serve(ctx, server.HTTPServer(ctx, server.AsRole(api.Viewer, handler), n.log))
	})
	g.Go(func() error { return n.keepRunDir(ctx, d) })
	machines, door := d.machines, server.HTTPServer(ctx, n.forMachines(handler), n.log)
	if n.guard.identity != nil {
		machines = tls.NewListener(machines, n.guard.identity.ServerConfig())
		door.ErrorLog = log.New(&handshakes{refused: n.guard.RejectionLogger("API"), next: door.ErrorLog}, "", 0)
	}
	g.Go(func() error { return serve(ctx, machines, door) })
	if d.people != nil {
		g.Go(func() error { return d.people.Run(ctx, handler) })
	}
	return g.Wait()
}

func serve(ctx context.Context, l net.Listener, server *http.Server) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	shutDown(ctx, server)
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

// forMachines serves other machines, which have shown their certificate, and
// lets those who have none join.
func (n *node) forMachines(next http.Handler) http.Handler {
	next = server.AsRole(api.MachineRole, next)
	join := &joiners{n: n, now: time.Now}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.PeerCertificates) == 0 {
			join.ServeHTTP(w, r)
			return
		}
		if r.TLS == nil { // without a key, on loopback
			next.ServeHTTP(w, r)
			return
		}
		// A connection outlives the removal of the key it was made with, but
		// nothing is answered on it any more, and what is being answered ends.
		ctx, cancel := context.WithCancel(server.WithActor(r.Context(), keys.PeerName(r.TLS)))
		defer cancel()
		changed := n.guard.Changed()
		if err := n.guard.identity.Trusts(r.TLS); err != nil {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			for {
				select {
				case <-ctx.Done():
					return
				case <-changed:
				}
				changed = n.guard.Changed()
				if n.guard.identity.Trusts(r.TLS) != nil {
					cancel()
				}
			}
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
		cancel()
		<-watching
	})
}

// peerAddress finds a machine's API by gossip, which also knows it while the
// store is away: all daemons have their ports in the same order.
func (n *node) peerAddress(machineID string) (string, error) {
	for _, m := range n.members.Members() {
		if m.ID != machineID {
			continue
		}
		host, port, err := net.SplitHostPort(m.Address)
		if err != nil {
			return "", fmt.Errorf("machine %s: %w", machineID, err)
		}
		first, err := strconv.Atoi(port)
		if err != nil {
			return "", fmt.Errorf("machine %s: %w", machineID, err)
		}
		if m.State == membership.Failed || m.State == membership.Left {
			return "", fmt.Errorf("machine %s at %s is gone: see `fleettop list-machines --all`", cmp.Or(m.Tags[etcdnode.TagName], machineID), host)
		}
		return net.JoinHostPort(host, strconv.Itoa(first+apiPort)), nil
	}
	return "", fmt.Errorf("machine %s is not known here: see `fleettop list-machines --all`", machineID)
}

// handshakes is the error log of an HTTP server. It picks out the failed TLS
// handshakes, which are told in no other way.
type handshakes struct {
	refused func(source, why string)
	next    *log.Logger
}

const handshakePrefix = "http: TLS handshake error from "

// Write takes one line of the log.
func (h *handshakes) Write(line []byte) (int, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(string(line)), handshakePrefix)
	source, why, found := strings.Cut(rest, ": ")
	if !ok || !found {
		return len(line), h.next.Output(2, string(line))
	}
	h.refused(source, why)
	return len(line), nil
}
