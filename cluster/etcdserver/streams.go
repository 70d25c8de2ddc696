package etcdserver

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// etcd means to give up a connection to another member that is silent for five
// seconds, and doesn't: its transport sets Dial beside DialContext, and
// net/http takes the latter, which knows no time limit. After a network cut of
// a minute, raft then waits for TCP to repeat what it sent, as long again. So
// the kernel ends these connections, and etcd makes others.
const (
	streamPatience = 5 * time.Second // without the other kernel acknowledging anything
	streamLook     = 5 * time.Second // how often connections are looked for
)

// limitStreams gives the connections with the other members their time limit.
func (s *Server) limitStreams() {
	look := time.NewTicker(streamLook)
	defer look.Stop()
	for {
		if err := s.limitOpenStreams(); err != nil {
			s.cfg.Logger.Debug("limit the time of etcd's connections", "error", err)
		}
		select {
		case <-s.stop:
			return
		case <-look.C:
		}
	}
}

func (s *Server) limitOpenStreams() error {
	ours, others := s.peerAddrs()
	return eachSocket(func(fd int) error {
		local, _ := unix.Getsockname(fd)
		remote, err := unix.Getpeername(fd)
		if err != nil || addrPort(local).Port() != ours && !others[addrPort(remote)] {
			return nil // it listens, or is another's
		}
		return limitSilence(fd)
	})
}

// limitSilence has the kernel end a connection after streamPatience of silence, idle or not.
func limitSilence(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(streamPatience.Milliseconds())},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(streamPatience.Seconds())},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// peerAddrs returns the port at which the other members reach this one, and the addresses of all.
func (s *Server) peerAddrs() (port uint16, all map[netip.AddrPort]bool) {
	all = map[netip.AddrPort]bool{}
	for _, m := range s.etcd.Server.Cluster().Members() {
		for _, text := range m.PeerURLs {
			if u, err := url.Parse(text); err == nil {
				if a, err := netip.ParseAddrPort(u.Host); err == nil {
					all[netip.AddrPortFrom(a.Addr().Unmap(), a.Port())] = true
				}
			}
		}
	}
	if _, text, err := net.SplitHostPort(s.cfg.ListenPeerAddr); err == nil {
		n, _ := strconv.ParseUint(text, 10, 16)
		port = uint16(n)
	}
	return port, all
}

// eachSocket calls f with a descriptor of each TCP connection of this process.
// It is a copy, so that it is the same connection all the time; f must not keep it.
func eachSocket(f func(fd int) error) error {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	var failed error
	for _, e := range list {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fd, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			continue // it is closed by now
		}
		if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err == nil && p == unix.IPPROTO_TCP {
			if err := f(fd); err != nil {
				failed = err
			}
		}
		unix.Close(fd)
	}
	return failed
}

// addrPort returns the zero value for what has no IP address.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
