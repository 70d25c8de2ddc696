package etcdserver

import (
	"context"
	"net"
	"net/url"
	"slices"
	"sync"
)

// Lines are a client's connections. A client that is given other endpoints
// leaves requests and watches where they are, and on a dead machine they would
// hang until the kernel gives up. The zero value is ready; it is for one client.
type Lines struct {
	mu   sync.Mutex // guards open
	open map[*line]struct{}
}

// line is a connection to a host:port.
type line struct {
	net.Conn
	to    string
	lines *Lines
}

// Keep closes the connections to all but these endpoints. What was under way
// on them fails at once, and the client goes on elsewhere.
func (l *Lines) Keep(endpoints []string) {
	var hosts []string
	for _, e := range endpoints {
		if u, err := url.Parse(e); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	l.mu.Lock()
	var others []*line
	for c := range l.open {
		if !slices.Contains(hosts, c.to) {
			others = append(others, c)
		}
	}
	l.mu.Unlock()
	for _, c := range others {
		_ = c.Close() // its peer is taken for dead
	}
}

// dial connects and keeps the connection; a nil l only connects.
func (l *Lines) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := dial(ctx, addr)
	if err != nil || l == nil {
		return conn, err
	}
	c := &line{Conn: conn, to: addr, lines: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[*line]struct{}{}
	}
	l.open[c] = struct{}{}
	return c, nil
}

// Close implements net.Conn.
func (c *line) Close() error {
	c.lines.mu.Lock()
	delete(c.lines.open, c)
	c.lines.mu.Unlock()
	return c.Conn.Close()
}
