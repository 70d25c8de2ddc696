package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
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
	if !n.cfg.addressFound || own.IsLoopback() && n.credentials.Identity() == nil { // or it would be refused there
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

// reachable checks an address that other machines are to reach, and returns it
// in its usual form. The error goes on after the address.
func reachable(text string) (string, error) {
	addr, err := netip.ParseAddr(text)
	addr = addr.Unmap()
	const others = "other machines can't reach this one by it; `ip -brief address` lists what there is"
	switch {
	case err != nil:
		return text, errors.New("is not an address: give this machine's IP")
	case addr.IsUnspecified():
		return text, errors.New("is every address and none: give this machine's IP, the one other machines reach it at")
	case addr.Is6() && addr.IsLinkLocalUnicast(), addr.Zone() != "":
		return text, errors.New("is good on one link only: give an address without %, " +
			"global (such as 2001:db8::1) or unique local (such as fd00::1); " + others)
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return text, errors.New("is of many machines: give this machine's own IP; " + others)
	}
	return addr.String(), nil
}

// withPort adds the default port to a host without one.
func withPort(hostport string, port int) (string, error) {
	if hostport == "" {
		return "", errors.New("empty: give a machine's host or host:port")
	}
	if strings.ContainsFunc(hostport, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }) {
		return "", errors.New("neither host nor host:port: there are blanks or unprintable characters in it")
	}
	if host, given, err := net.SplitHostPort(hostport); err == nil {
		if n, err := strconv.ParseUint(given, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("its port %q is not a number from 1 to 65535: give host:port, or the host alone for port %d", given, port)
		}
		if host == "" {
			return "", errors.New("it names no host: give host or host:port")
		}
		return hostport, nil
	}
	host := strings.Trim(hostport, "[]")
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", errors.New("neither host nor host:port")
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// mainAddress is the address this machine would use to reach the outside, or
// its first one that isn't loopback, or loopback. No packet is sent.
func mainAddress() string {
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
