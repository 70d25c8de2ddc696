package agent

import (
	"context"
	"errors"

	"fleettop/units"
)

// release gives a unit to the host and returns the path of its file there.
func (a *Agent) release(ctx context.Context, unit string) (path string, err error) {
	host, ok := a.cfg.Manager.(units.Host)
	if !ok {
		return "", errors.New("this machine runs units without systemd, so there is no host to give them to; destroy the unit instead")
	}
	return host.Release(ctx, unit)
}

// released notes that the host has a unit. It isn't taken back, whatever
// becomes of the daemon, as long as its assignment stays as it is.
func (a *Agent) released(s Step, path string) {
	n := noteOf(s.Assignment)
	n.Released = path
	a.note(s.Unit, n)
	a.drops(s.Unit)
}

// isTheHosts reports whether an error of handing a unit's file to the manager
// says that the host has the unit already, as it is to. A machine that rebooted
// has no note of what it gave to its host.
func isTheHosts(s Step, err error) bool {
	return s.Assignment.Release && errors.Is(err, units.ErrHostUnit)
}
