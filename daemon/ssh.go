package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"fleettop/daemon/sshd"
)

// SSH is the daemon's own SSH server. Its zero value is none.
type SSH struct {
	Listen         string // host:port; without a host, on Config.Address
	AuthorizedKeys string // file of the keys that may come in
	// Run does what a person came for; see sshd.Config.
	Run func(context.Context, *sshd.Session) int
}

// complete checks what was given, with the address of this machine.
func (s *SSH) complete(address string) error {
	if (s.Listen == "") != (s.AuthorizedKeys == "") {
		return errors.New("--ssh-listen and --ssh-authorized-keys go together: give both, or neither")
	}
	if s.Listen == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if n, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || n == 0 {
		return fmt.Errorf("--ssh-listen %q is no address to listen on: give :2222, or host:port", s.Listen)
	}
	s.Listen = net.JoinHostPort(orDefault(host, address), port)
	return nil
}
