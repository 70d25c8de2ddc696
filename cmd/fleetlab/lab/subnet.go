package lab

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"slices"
)

// labSpace is the range RFC 2544 sets aside for testing networks.
var labSpace = netip.MustParsePrefix("198.18.0.0/15")

const (
	labSubnets = 512 // /24s in labSpace
	switchHost = 254
)

// chooseSubnet returns a /24 of labSpace that overlaps none of the taken ones:
// the same one for the same name as long as it is free.
func chooseSubnet(name string, taken []netip.Prefix) (netip.Prefix, error) {
	h := fnv.New32a()
	h.Write([]byte(name))
	start := int(h.Sum32() % labSubnets)
	for i := range labSubnets {
		subnet := nthSubnet((start + i) % labSubnets)
		if !slices.ContainsFunc(taken, subnet.Overlaps) {
			return subnet, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no free /24 in %s for lab %s; take a lab down that you don't need (`fleetlab list`)", labSpace, name)
}

func nthSubnet(n int) netip.Prefix {
	base := labSpace.Addr().As4()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{base[0], base[1] + byte(n>>8), byte(n), 0}), 24)
}

func parseSubnet(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() || p.Bits() != 24 || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("lab subnet %q: use an IPv4 /24 such as 198.18.7.0/24", s)
	}
	return p, nil
}

// hostOf returns a subnet's n-th address.
func hostOf(subnet netip.Prefix, n int) netip.Addr {
	if !subnet.IsValid() {
		return netip.Addr{}
	}
	a := subnet.Addr().As4()
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

// hostSubnets returns the networks the host itself is in. A lab would not get
// in their way, having namespaces of its own, but would confuse its reader.
func hostSubnets() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var subnets []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			subnets = append(subnets, p.Masked())
		}
	}
	return subnets
}
