package membership

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"
)

const (
	largestPacket = 64 << 10
	packetsRoom   = 1 << 20 // bytes of packets that the kernel keeps for us, if it may
	bindTries     = 10      // for a port that is free for TCP and for UDP
	carrierPause  = 50 * time.Millisecond
)

// transport carries gossip: packets by UDP and streams by TCP, on one port. It
// does what memberlist's own does, which throws 64 KiB away for each packet of
// a few dozen bytes: most of the garbage of a daemon that idles.
type transport struct {
	log     *slog.Logger
	tcp     *net.TCPListener
	udp     *net.UDPConn
	packets chan *memberlist.Packet
	streams chan net.Conn
	heard   func(from netip.AddrPort, at time.Time) // called for each packet; must not block

	stop    chan struct{}
	closing sync.Once
	running sync.WaitGroup
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// startBarrier keeps out what others send until it is opened. memberlist passes that
// on from its first moment, to a serf that is put together only when
// serf.Create has returned.
type startBarrier struct {
	memberlist.NodeAwareTransport
	open chan struct{}
}

// PacketCh implements memberlist.Transport; it blocks until the barrier is open.
func (b startBarrier) PacketCh() <-chan *memberlist.Packet {
	<-b.open
	return b.NodeAwareTransport.PacketCh()
}

// StreamCh implements memberlist.Transport; it blocks until the barrier is open.
func (b startBarrier) StreamCh() <-chan net.Conn {
	<-b.open
	return b.NodeAwareTransport.StreamCh()
}

// openTransport opens a transport at an IP and port; 0 is any that is free.
func openTransport(ip string, port int, log *slog.Logger, heard func(from netip.AddrPort, at time.Time)) (
	*transport, error) {
	t := &transport{log: log, heard: heard, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
		stop: make(chan struct{})}
	tries := 1
	if port == 0 {
		tries = bindTries
	}
	var err error
	for range tries {
		if err = t.bind(net.ParseIP(ip), port); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	for size := packetsRoom; size >= largestPacket && t.udp.SetReadBuffer(size) != nil; {
		size /= 2
	}
	t.running.Go(t.accept)
	t.running.Go(t.receive)
	return t, nil
}

func (t *transport) bind(ip net.IP, port int) (err error) {
	if t.tcp, err = net.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: port}); err != nil {
		return err
	}
	if t.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: ip, Port: t.port()}); err != nil {
		return errors.Join(err, t.tcp.Close())
	}
	return nil
}

func (t *transport) port() int { return t.tcp.Addr().(*net.TCPAddr).Port }

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	at := t.tcp.Addr().(*net.TCPAddr)
	if port == 0 {
		port = at.Port
	}
	if ip == "" && !at.IP.IsUnspecified() {
		return at.IP, port, nil
	}
	if ip == "" {
		var err error
		if ip, err = sockaddr.GetPrivateIP(); err != nil || ip == "" {
			return nil, 0, fmt.Errorf("this machine has no private address that others could reach (%v): give one", err)
		}
	}
	parsed := net.ParseIP(ip)
	if parsed == nil {
		return nil, 0, fmt.Errorf("%q is not an IP address", ip)
	}
	if v4 := parsed.To4(); v4 != nil {
		parsed = v4
	}
	return parsed, port, nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	_, err = t.udp.WriteToUDPAddrPort(b, to)
	return time.Now(), err
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, to.Addr)
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(to.Addr, timeout)
}

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport. It returns when nothing arrives any more.
func (t *transport) Shutdown() error {
	var err error
	t.closing.Do(func() {
		close(t.stop)
		err = errors.Join(t.tcp.Close(), t.udp.Close())
	})
	t.running.Wait()
	return err
}

func (t *transport) accept() {
	for {
		conn, err := t.tcp.AcceptTCP()
		if err != nil {
			if !t.rest("accept a stream of gossip", err) {
				return
			}
			continue
		}
		select {
		case t.streams <- conn:
		case <-t.stop:
			conn.Close()
			return
		}
	}
}

func (t *transport) receive() {
	buf := make([]byte, largestPacket)
	for {
		n, from, err := t.udp.ReadFromUDPAddrPort(buf)
		at := time.Now()
		if err != nil {
			if !t.rest("receive gossip", err) {
				return
			}
			continue
		}
		if n == 0 {
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		t.heard(from, at)
		p := &memberlist.Packet{Buf: append(make([]byte, 0, n), buf[:n]...), From: net.UDPAddrFromAddrPort(from),
			Timestamp: at}
		select {
		case t.packets <- p:
		case <-t.stop:
			return
		}
	}
}

// rest pauses after a failure, so that one that lasts takes no CPU. It is
// false when the failure is the end.
func (t *transport) rest(what string, err error) bool {
	select {
	case <-t.stop:
		return false
	case <-time.After(carrierPause):
	}
	t.log.Warn("could not "+what, "error", err)
	return true
}
