package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

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
			return "", fmt.Errorf("its port %q is not a number from 1 to 65535: give host:port, or the host alone for "+
				"port %d", given, port)
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
