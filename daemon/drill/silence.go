package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepSockets keeps every network socket of this process for the program that it
// is replaced by. No one reads them then: no peer is told that this one has ended.
func keepSockets() error {
	fds, err := networkSockets()
	for _, fd := range fds {
		if _, keepErr := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); keepErr != nil && !errors.Is(keepErr, unix.EBADF) {
			err = errors.Join(err, fmt.Errorf("keep a socket: %w", keepErr)) // and not one that was just closed
		}
	}
	if err != nil {
		for _, fd := range fds {
			unix.CloseOnExec(fd)
		}
	}
	return err
}

// networkSockets returns the descriptors of this process's sockets that other machines may reach.
func networkSockets() (fds []int, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err == nil && (domain == unix.AF_INET || domain == unix.AF_INET6) {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

// listens reports whether a socket accepts connections.
func listens(fd int) bool {
	yes, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && yes != 0
}

// closeAll closes sockets without a word to the peers but a reset, as a machine that booted would answer them.
func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // no stream, no linger
		_ = unix.Close(fd)
	}
}

// Silence keeps a port from answering at all, as a machine without power would.
type Silence struct{ fds []int }

// KeepSilent takes a TCP port and has a listener there whose queue is full: the
// kernel drops what comes, and doesn't refuse it.
func KeepSilent(ip string, port int) (*Silence, error) {
	at, err := netip.ParseAddr(ip)
	if err != nil {
		return nil, fmt.Errorf("silence port %d: %w", port, err)
	}
	var addr unix.Sockaddr = &unix.SockaddrInet6{Port: port, Addr: at.As16()}
	family := unix.AF_INET6
	if at.Is4() {
		addr, family = &unix.SockaddrInet4{Port: port, Addr: at.As4()}, unix.AF_INET
	}
	s := &Silence{}
	socket := func() (int, error) {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			s.fds = append(s.fds, fd)
		}
		return fd, err
	}
	fd, err := socket()
	if err == nil {
		err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.Bind(fd, addr),
			unix.Listen(fd, 0))
	}
	for range 2 {
		if err == nil {
			if fd, err = socket(); err == nil {
				if err = unix.Connect(fd, addr); errors.Is(err, unix.EINPROGRESS) {
					err = nil
				}
			}
		}
	}
	if err != nil {
		s.End()
		return nil, fmt.Errorf("silence port %d: %w", port, err)
	}
	return s, nil
}

// End gives the port back. Silence may be nil.
func (s *Silence) End() {
	if s != nil {
		closeAll(s.fds)
		s.fds = nil
	}
}

// holdPorts keeps n ports from first on silent, and the first for datagrams, too, where no inherited socket does.
// What can't be held is left out. The caller calls what is returned.
func holdPorts(ctx context.Context, address string, first, n int) (release func(), err error) {
	var held []*Silence
	for port := first; port < first+n; port++ {
		s, silenceErr := KeepSilent(address, port)
		held, err = append(held, s), errors.Join(err, silenceErr)
	}
	var config net.ListenConfig
	datagrams, _ := config.ListenPacket(ctx, "udp", net.JoinHostPort(address, strconv.Itoa(first))) // no one reads it
	return func() {
		for _, s := range held {
			s.End()
		}
		if datagrams != nil {
			datagrams.Close()
		}
	}, err
}
