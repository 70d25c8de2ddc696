package etcdserver

import (
	"context"
	"net"
	"net/url"
	"slices"
	"sync"
)

// ConnTracker knows a client's open connections. A client that is given other endpoints
// leaves requests and watches where they are, and on a dead machine they would
// hang until the kernel gives up. The zero value is ready; it is for one client.
type ConnTracker struct {
	mu   sync.Mutex // guards open
	open map[*trackedConn]struct{}
}

// trackedConn is a connection to a host:port.
type trackedConn struct {
	net.Conn
	to      string
	tracker *ConnTracker
}

// Keep closes the connections to all but these endpoints. What was under way
// on them fails at once, and the client goes on elsewhere.
func (t *ConnTracker) Keep(endpoints []string) {
	var hosts []string
	for _, e := range endpoints {
		if u, err := url.Parse(e); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	t.mu.Lock()
	var others []*trackedConn
	for c := range t.open {
		if !slices.Contains(hosts, c.to) {
			others = append(others, c)
		}
	}
	t.mu.Unlock()
	for _, c := range others {
		_ = c.Close() // its peer is taken for dead
	}
}

// dial connects and keeps the connection; a nil tracker only connects.
func (t *ConnTracker) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := dial(ctx, addr)
	if err != nil || t == nil {
		return conn, err
	}
	c := &trackedConn{Conn: conn, to: addr, tracker: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[*trackedConn]struct{}{}
	}
	t.open[c] = struct{}{}
	return c, nil
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.tracker.mu.Lock()
	delete(c.tracker.open, c)
	c.tracker.mu.Unlock()
	return c.Conn.Close()
}
