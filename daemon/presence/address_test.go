package presence

import (
	"net/netip"
	"slices"
	"testing"
)

func TestOutdated(t *testing.T) {
	a, b, loopback := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("127.0.0.1")
	for _, c := range []struct {
		name     string
		own, now netip.Addr
		has      []netip.Addr
		want     bool
	}{
		{"all as it was", a, a, []netip.Addr{loopback, a}, false},
		{"another is the main one, and ours still there", a, b, []netip.Addr{loopback, a, b}, false},
		{"ours is gone", a, b, []netip.Addr{loopback, b}, true},
		{"the network is down", a, loopback, []netip.Addr{loopback}, false},
		{"the network came up late", loopback, a, []netip.Addr{loopback, a}, true},
		{"there is no network", loopback, loopback, []netip.Addr{loopback}, false},
	} {
		if got := outdated(c.own, c.now, c.has); got != c.want {
			t.Errorf("%s: outdated is %v", c.name, got)
		}
	}
	if has, err := addresses(); err != nil || !slices.Contains(has, loopback) {
		t.Errorf("this machine has %v, %v", has, err)
	}
}
