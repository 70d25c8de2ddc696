package daemon

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

// stayAddressed returns an error when the address that this daemon chose at its
// start isn't the machine's any more and another one is, which takes a restart:
// everything listens there. It blocks until then, or until ctx ends.
func (n *node) stayAddressed(ctx context.Context) error {
	own := netip.MustParseAddr(n.cfg.Address)
	if !n.cfg.addressFound || own.IsLoopback() && n.guard.gossipKey() == nil { // or it would be refused there
		return nil
	}
	tick := time.NewTicker(addressLook)
	defer tick.Stop()
	for lost := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := netip.MustParseAddr(mainAddress())
		if has, err := addresses(); err != nil || !outdated(own, now, has) {
			lost = 0
			continue
		}
		if lost++; lost == addressLost {
			return fmt.Errorf("this machine's address is %s now and not %s: the daemon has to start again to be found there (--address would keep to one)", now, own)
		}
	}
}

// outdated tells whether a daemon that chose own would do better with now: own
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
