package units

import (
	"context"
	"fmt"
)

// HostUnit is a unit that a machine has under a file of the host's own.
type HostUnit struct {
	Name    string `json:"name"`
	Path    string `json:"path"`    // of its file
	Content string `json:"content"` // exactly as in the file
	Active  string `json:"active"`  // systemd's active state
	Sub     string `json:"sub"`
	PID     int    `json:"pid,omitempty"`
}

// Running returns nil if the unit runs, or is on the way to, and can be taken
// over as that; otherwise an error that says what to do. on is the machine's name.
func (u HostUnit) Running(on string) error {
	switch u.Active {
	case "active", "reloading", "refreshing", "activating":
		return nil
	case "deactivating":
		return fmt.Errorf("%s is being stopped on %s (%s); wait until it has ended, and start it there or submit its file",
			u.Name, on, u.Sub)
	case "failed":
		return fmt.Errorf("%s has failed on %s; start it there first with `systemctl start`, or remove its file from the host and submit that", u.Name, on)
	}
	return fmt.Errorf("%s does not run on %s (%s %s); start it there first with `systemctl start`, or remove its file "+
		"from the host and submit that", u.Name, on, u.Active, u.Sub)
}

// Host takes units over from a machine and gives them back, without touching
// their processes. systemd.Manager implements it. Methods block until the work
// is done or ctx ends.
type Host interface {
	// HostUnit returns a unit of the host that can be taken over: one whose whole
	// file is one that an administrator put there. ErrNotLoaded if the host has no
	// such unit, and ErrNotAdoptable, wrapped, where it can't be moved.
	// A UnitFile with TakeOver hands it to the Manager.
	HostUnit(ctx context.Context, name string) (HostUnit, error)

	// Release gives a unit that is held to the host: its file is put among the
	// host's own and returned by path, and the manager forgets it. A unit with an
	// [Install] section is enabled. ErrNotLoaded if it isn't held.
	Release(ctx context.Context, name string) (path string, err error)
}
