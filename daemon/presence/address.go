package presence

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	addressLook = 10 * time.Second // between looks at the machine's addresses
	addressLost = 2                // looks in a row, as a lease may be renewed by taking it away first
)

// WatchAddress returns an error when the address that a daemon chose at its start
// isn't the machine's any more and another one is, which takes a restart:
// everything listens there. It blocks until then, or returns nil when ctx ends.
func WatchAddress(ctx context.Context, address string) error {
	own, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	tick := time.NewTicker(addressLook)
	defer tick.Stop()
	for lost := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := netip.MustParseAddr(MainAddress())
		if has, err := addresses(); err != nil || !outdated(own, now, has) {
			lost = 0
			continue
		}
		if lost++; lost == addressLost {
			return fmt.Errorf("this machine's address is %s now and not %s: the daemon has to start again to be found there "+
				"(--address would keep to one)", now, own)
		}
	}
}

// outdated reports whether a daemon that chose own would do better with now: own
// is gone, or was loopback as the network wasn't up yet.
func outdated(own, now netip.Addr, has []netip.Addr) bool {
	return now != own && !now.IsLoopback() && (own.IsLoopback() || !slices.Contains(has, own))
}

// addresses are this machine's own.
func addresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out, nil
}

// MainAddress is the address this machine would use to reach the outside, or
// its first one that isn't loopback, or loopback. No packet is sent.
func MainAddress() string {
	for _, target := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		if conn, err := net.Dial("udp", target); err == nil {
			ip := conn.LocalAddr().(*net.UDPAddr).IP
			conn.Close()
			if !ip.IsLoopback() {
				return ip.String()
			}
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}
