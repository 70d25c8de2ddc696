package lab

import (
	"context"
	"fmt"
	"net"
)

// Dial connects to a machine's TCP or UDP port from the switch, for processes
// of the host: net.Dialer's DialContext, inside the lab. The host in address
// is an IP or a machine's name.
func (l *Lab) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %s in lab %s: %w", address, l.name, err)
	}
	for _, m := range l.Machines() {
		if m.Name == host {
			host = m.IP.String()
		}
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dial %s in lab %s: %q is neither an IP nor a machine", address, l.name, host)
	}
	var conn net.Conn
	err = l.InSwitch(func() error {
		// To a literal IP the dialer makes its socket on this very thread.
		var dialer net.Dialer
		var err error
		conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
		return err
	})
	return conn, err
}

// InSwitch runs f on a thread that is in the switch's network namespace, from
// where all machines are reached. Sockets that f itself opens are in the lab
// for as long as they live; goroutines f starts are not.
func (l *Lab) InSwitch(f func() error) error {
	return inNamespace(l.switchNamespace(), f)
}
