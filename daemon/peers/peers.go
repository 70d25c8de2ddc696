// Package peers is how one daemon talks to the APIs of the others.
package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"fleettop/daemon/api/client"
	"fleettop/daemon/keys"
)

// dialTimeout is for connecting and TLS's handshake: machines are near, or gone.
const dialTimeout = 2 * time.Second

// ErrClosed is what a closed Peers returns.
var ErrClosed = errors.New("the daemon is stopping")

// Config says how to reach the others.
type Config struct {
	// Identity is what this machine proves itself with; nil is plain text.
	Identity *keys.Identity
	// Address finds the API of a machine, as host:port. Its errors say which
	// machine and why.
	Address func(machineID string) (string, error)
}

// Peers keeps a client for each machine that was asked for. Its methods are
// safe for concurrent use.
type Peers struct {
	cfg Config

	mu      sync.Mutex // guards clients; nil once closed
	clients map[string]peer
}

type peer struct {
	address string
	client  *client.Client
}

// New returns Peers; Close releases their connections.
func New(cfg Config) *Peers { return &Peers{cfg: cfg, clients: map[string]peer{}} }

// Client returns the client of a machine's daemon. It belongs to Peers: don't
// close it, and don't keep it for long, as machines change their addresses.
// Nothing is sent yet, so the machine may turn out to be unreachable.
func (p *Peers) Client(machineID string) (*client.Client, error) {
	address, err := p.cfg.Address(machineID)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients == nil {
		return nil, ErrClosed
	}
	if had, ok := p.clients[machineID]; ok {
		if had.address == address {
			return had.client, nil
		}
		had.client.Close()
	}
	c := client.DialWith("the machine "+machineID+" at "+address, func(ctx context.Context) (net.Conn, error) {
		return p.dial(ctx, machineID, address)
	})
	p.clients[machineID] = peer{address: address, client: c}
	return c, nil
}

// dial connects, and makes sure that it is the machine which answers.
func (p *Peers) dial(ctx context.Context, machineID, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second,
		Count: 3}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil || p.cfg.Identity == nil {
		return conn, err
	}
	cfg, err := p.cfg.Identity.ClientConfig(machineID, address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS with machine %s: %w: both must have the same cluster key and the right time", machineID,
			err)
	}
	return secure, nil
}

// Close releases all connections. Requests under way go on.
func (p *Peers) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		c.client.Close()
	}
	p.clients = nil
}
