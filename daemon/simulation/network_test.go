//go:build !race

package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"fleettop/cluster/membership"
)

const (
	wire     = 200 * time.Microsecond // from one machine to another
	mailbox  = 512                    // packets that wait to be read; what comes besides is lost
	probes   = ":7374"
	gossip   = ":7370"
	firstNet = "10.0.0."
)

// network carries packets and streams between machines. Each way between two
// machines can be cut by itself.
type network struct {
	mu    sync.Mutex // guards what follows
	rng   *rand.Rand
	ports map[string]*port // by gossip address
	cut   map[[2]int]bool  // from, to
	loss  map[int]int      // percent of what a machine sends and is sent
	delay map[int]time.Duration
	twice int // percent of packets that come twice
}

func newNetwork(rng *rand.Rand) *network {
	return &network{rng: rng, ports: map[string]*port{}, cut: map[[2]int]bool{}, loss: map[int]int{},
		delay: map[int]time.Duration{}}
}

// port is a machine's place in the network while its daemon runs.
type port struct {
	net     *network
	machine *machine
	heard   func(from netip.AddrPort, at time.Time)
	packets chan *memberlist.Packet
	streams chan net.Conn
	stop    chan struct{}
	closing sync.Once
}

var _ memberlist.NodeAwareTransport = (*port)(nil)

func (n *network) plug(m *machine) func(heard func(netip.AddrPort, time.Time)) memberlist.NodeAwareTransport {
	return func(heard func(netip.AddrPort, time.Time)) memberlist.NodeAwareTransport {
		p := &port{net: n, machine: m, heard: heard, packets: make(chan *memberlist.Packet, mailbox),
			streams: make(chan net.Conn, mailbox), stop: make(chan struct{})}
		n.mu.Lock()
		n.ports[m.addr+gossip] = p
		n.mu.Unlock()
		return p
	}
}

// carries reports whether what from sends reaches to.
func (n *network) carries(from, to *machine) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cut[[2]int{from.n, to.n}] && from.awake() && to.awake()
}

// takes is how long a packet is under way.
func (n *network) takes(from, to *machine) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return wire + n.delay[from.n] + n.delay[to.n]
}

// chance is true in some of a hundred cases.
func (n *network) chance(percent int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return percent > 0 && n.rng.IntN(100) < percent
}

func (n *network) lossOf(from, to *machine) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(n.loss[from.n], n.loss[to.n])
}

func (n *network) at(addr string) *port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ports[addr]
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (p *port) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.ParseIP(p.machine.addr).To4(), 7370, nil
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (p *port) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return p.WriteTo(b, a.Addr)
}

// WriteTo implements memberlist.Transport.
func (p *port) WriteTo(b []byte, addr string) (time.Time, error) {
	to := p.net.at(addr)
	if to == nil || !p.net.carries(p.machine, to.machine) || p.net.chance(p.net.lossOf(p.machine, to.machine)) {
		return time.Now(), nil
	}
	copies := 1
	if p.net.chance(p.net.twice) {
		copies = 2
	}
	body := append([]byte(nil), b...)
	for range copies {
		time.AfterFunc(p.net.takes(p.machine, to.machine), func() { to.receive(body, p.machine) })
	}
	return time.Now(), nil
}

func (p *port) receive(b []byte, from *machine) {
	if !p.net.carries(from, p.machine) {
		return
	}
	at := netip.MustParseAddrPort(from.addr + gossip)
	p.heard(at, time.Now())
	select {
	case p.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(at), Timestamp: time.Now()}:
	default:
	}
}

// PacketCh implements memberlist.Transport.
func (p *port) PacketCh() <-chan *memberlist.Packet { return p.packets }

// StreamCh implements memberlist.Transport.
func (p *port) StreamCh() <-chan net.Conn { return p.streams }

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (p *port) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return p.DialTimeout(a.Addr, timeout)
}

// DialTimeout implements memberlist.Transport. A packet that is lost is sent again after a second, as TCP does.
func (p *port) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to := p.net.at(addr)
	if to == nil {
		time.Sleep(timeout)
		return nil, timedOut(addr)
	}
	takes := 2 * p.net.takes(p.machine, to.machine)
	if p.net.chance(2 * p.net.lossOf(p.machine, to.machine)) {
		takes += time.Second
	}
	if takes >= timeout || !p.net.carries(p.machine, to.machine) || !p.net.carries(to.machine, p.machine) {
		time.Sleep(timeout)
		return nil, timedOut(addr)
	}
	time.Sleep(takes)
	select {
	case <-to.stop:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: connection refused", addr)}
	default:
	}
	here, there := net.Pipe()
	select {
	case to.streams <- there:
		return here, nil
	default:
		return nil, timedOut(addr)
	}
}

func timedOut(addr string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: i/o timeout", addr)}
}

// Shutdown implements memberlist.Transport.
func (p *port) Shutdown() error {
	p.closing.Do(func() { close(p.stop) })
	return nil
}

// probe is a probe of a machine's daemon, as membership.Probe makes it.
func (m *machine) probe(ctx context.Context, addr, id string, patience membership.Patience,
	report func(membership.Verdict)) {
	sleep := func(d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-ctx.Done():
			report(membership.Unknown)
			return false
		}
	}
	to := m.sim.byAddress(addr)
	net := m.sim.net
	takes := 2 * net.takes(m, to)
	if net.chance(2 * net.lossOf(m, to)) {
		takes += time.Second
	}
	through := func() bool { return to.powered() && m.sim.linked(m, to) }
	if takes > patience.Allowed || !through() {
		if !sleep(patience.Allowed) {
			return
		}
		report(membership.Silent)
		if takes > patience.Allowed+patience.Late || !through() {
			sleep(patience.Late)
			return
		}
		if !sleep(takes - patience.Allowed) {
			return
		}
	} else if !sleep(takes) {
		return
	}
	switch {
	case !to.hasDaemon():
		report(membership.Refused)
	case !to.awake():
		report(membership.Reached)
		if sleep(max(patience.Allowed, 2*takes)) {
			report(membership.Hung)
		}
	default:
		report(membership.Reached)
		if sleep(takes) {
			report(membership.Answered)
		}
	}
}

// ask is a question to a machine about another one, as membership.Ask puts it.
func (m *machine) ask(ctx context.Context, addr, _, id string, limit time.Duration) membership.Verdict {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	to := m.sim.byAddress(addr)
	takes := 2 * m.sim.net.takes(m, to)
	if m.sim.net.chance(2 * m.sim.net.lossOf(m, to)) {
		takes += time.Second
	}
	if !to.awake() || !m.sim.linked(m, to) || pause(ctx, takes) != nil {
		<-ctx.Done()
		return membership.Unknown
	}
	saw := to.tracker.Load().Look(ctx, id)
	if pause(ctx, takes/2) != nil || !to.awake() || !m.sim.linked(m, to) {
		return membership.Unknown
	}
	return saw
}

// tell tells another machine of a doubt, as membership.Doubt does.
func (m *machine) tell(ctx context.Context, addr, id string, limit time.Duration) {
	to := m.sim.byAddress(addr)
	takes := 2 * m.sim.net.takes(m, to)
	if takes > limit || m.sim.net.chance(2*m.sim.net.lossOf(m, to)) || pause(ctx, takes) != nil {
		return
	}
	if to.awake() && m.sim.linked(m, to) {
		to.tracker.Load().Doubt(id)
	}
}
