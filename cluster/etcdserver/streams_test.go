package etcdserver

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStreamsHaveATimeLimit: the kernel ends each connection between members
// whose other end is silent, on both sides, and leaves those of clients alone.
func TestStreamsHaveATimeLimit(t *testing.T) {
	f, client, _ := grow(t)
	write(t, client, "k", "v")
	peers := map[uint16]bool{}
	for _, s := range f.servers {
		port, _ := s.peerAddrs()
		peers[port] = true
	}
	look := func() (streams int, wrong error) {
		err := eachSocket(func(fd int) error {
			local, _ := unix.Getsockname(fd)
			remote, err := unix.Getpeername(fd)
			if err != nil {
				return nil
			}
			limit, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			if err != nil {
				return err
			}
			idle, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
			if err != nil {
				return err
			}
			from, to := addrPort(local), addrPort(remote)
			if stream := peers[from.Port()] || peers[to.Port()]; stream {
				streams++
				if limit != 5000 || idle != 5 {
					wrong = fmt.Errorf("%v to %v: a time limit of %d ms, a probe after %d s", from, to, limit, idle)
				}
			} else if limit == 5000 {
				wrong = fmt.Errorf("%v to %v is no stream of raft's, and has its limit", from, to)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return streams, wrong
	}
	// Each of three members has two streams from each other one.
	const least = 3 * 2 * 2 * 2
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		streams, wrong := look()
		if streams >= least && wrong == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d ends of streams, want %d; %v", streams, least, wrong)
		}
	}
}
