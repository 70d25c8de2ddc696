// Package hosts reads the units that machines run under files of their own:
// this machine's from its manager, and the others' from their daemons.
package hosts

import (
	"context"
	"errors"

	"fleettop/daemon/api/client"
	"fleettop/units"
)

// Peers reaches the other machines.
type Peers interface {
	Client(machineID string) (*client.Client, error)
}

// Service implements server.Hosts.
type Service struct {
	self    string
	manager units.Manager
	peers   Peers
}

// New returns a Service of the machine self.
func New(self string, manager units.Manager, peers Peers) *Service {
	return &Service{self: self, manager: manager, peers: peers}
}

// HostUnit implements server.Hosts.
func (s *Service) HostUnit(ctx context.Context, machineID, unit string) (units.HostUnit, error) {
	if machineID != s.self {
		c, err := s.peers.Client(machineID)
		if err != nil {
			return units.HostUnit{}, err
		}
		return c.HostUnit(ctx, machineID, unit)
	}
	host, ok := s.manager.(units.Host)
	if !ok {
		return units.HostUnit{}, errors.New("it runs units without systemd, so it has no units of a host")
	}
	return host.HostUnit(ctx, unit)
}
