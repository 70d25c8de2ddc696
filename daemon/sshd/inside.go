package sshd

import (
	"context"
	"net"
	"net/http"
	"sync"

	"fleettop/daemon/api"
	"fleettop/daemon/api/server"
)

// inside is a listener for connections from this process: they reach the API
// without a network, each in the role of whoever it is for.
type inside struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// insideConn is the server's end of such a connection.
type insideConn struct {
	net.Conn
	role api.Role
	who  string
}

func newInside() *inside {
	return &inside{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *inside) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *inside) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *inside) Addr() net.Addr { return insideAddr{} }

type insideAddr struct{}

func (insideAddr) Network() string { return "inside" }
func (insideAddr) String() string  { return "inside" }

// dial connects somebody in a role.
func (l *inside) dial(ctx context.Context, role api.Role, who string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- &insideConn{far, role, who}:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// connContext gives requests the role and the name of their connection.
func connContext(ctx context.Context, c net.Conn) context.Context {
	in, ok := c.(*insideConn)
	if !ok {
		return ctx // without a role, which may do nothing
	}
	return server.WithRole(server.WithActor(ctx, in.who), in.role)
}

// insideServer serves the API to such connections.
func (s *Server) insideServer(ctx context.Context, handler http.Handler) *http.Server {
	server := server.HTTPServer(ctx, handler, s.cfg.Log)
	server.ConnContext = connContext
	return server
}
