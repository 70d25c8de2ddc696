package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// deafen makes a socket drop all that comes, unanswered.
func deafen(fd int) error {
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
}

// silence deafens every network socket of this process, and keeps them for the
// program that this one is replaced by: the kernel then answers for none of them.
// Where that fails, all is as it was.
func silence() error {
	fds, err := networkSockets()
	if err != nil {
		return err
	}
	for i, fd := range fds {
		err := deafen(fd)
		if err == nil {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
		}
		if err != nil && !errors.Is(err, unix.EBADF) { // one that was just closed
			for _, done := range fds[:i+1] {
				_ = unix.SetsockoptInt(done, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
				unix.CloseOnExec(done)
			}
			return fmt.Errorf("silence a socket: %w", err)
		}
	}
	return nil
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

// closeAll closes sockets without a word to the peers but a reset, as a machine that booted would answer them.
func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // no stream, no linger
		_ = unix.Close(fd)
	}
}

// holdPorts listens on ports, deaf, where no inherited socket does: else the kernel would refuse for them.
// What can't be held is left out. The caller closes what is returned.
func holdPorts(ctx context.Context, address string, first, n int) (held []interface{ Close() error }) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		err := error(nil)
		return errors.Join(c.Control(func(fd uintptr) { err = deafen(int(fd)) }), err)
	}}
	for port := first; port < first+n; port++ {
		if l, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port))); err == nil {
			held = append(held, l)
		}
	}
	if u, err := config.ListenPacket(ctx, "udp", net.JoinHostPort(address, strconv.Itoa(first))); err == nil {
		held = append(held, u)
	}
	return held
}
