package units

import "context"

// HostUnit is a unit that runs on a machine under a file of the host's own.
type HostUnit struct {
	Name    string `json:"name"`
	Path    string `json:"path"`    // of its file
	Content string `json:"content"` // exactly as in the file
	PID     int    `json:"pid,omitempty"`
}

// Host takes units over from a machine and gives them back, without touching
// their processes. systemd.Manager implements it. Methods block until the work
// is done or ctx ends.
type Host interface {
	// HostUnit returns a unit of the host that can be taken over: one that runs,
	// whose whole file is one that an administrator put there. ErrNotLoaded if
	// the host has no such unit; any other error says why it can't be moved.
	// A UnitFile with TakeOver hands it to the Manager.
	HostUnit(ctx context.Context, name string) (HostUnit, error)

	// Release gives a unit that is held to the host: its file is put among the
	// host's own and returned by path, and the manager forgets it. A unit with an
	// [Install] section is enabled. ErrNotLoaded if it isn't held.
	Release(ctx context.Context, name string) (path string, err error)
}
