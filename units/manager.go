package units

import (
	"context"
	"errors"
)

// Errors a Manager returns, to be tested with errors.Is.
var (
	// ErrHostUnit means that the host itself owns a unit of that name; it is never shadowed.
	ErrHostUnit = errors.New("the host already owns a unit of this name")
	// ErrNotAdoptable means that a host's unit can't become the cluster's. The error that wraps it says why.
	ErrNotAdoptable = errors.New("it can't be adopted")
	// ErrNotLoaded means that the manager holds no such unit.
	ErrNotLoaded = errors.New("not loaded on this machine")
)

// JobError says that a job on a unit ended in something other than success.
// The unit's Status has the details.
type JobError struct {
	Unit   string
	Verb   string // start, stop, restart
	Result string // systemd's job result or unit result: failed, timeout, dependency, exit-code, ...
	Detail string // a sentence for a person; may be empty
}

// Error implements error.
func (e *JobError) Error() string {
	s := e.Verb + " " + e.Unit + ": " + e.Result
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// UnitFile is a named unit file to be handed to a Manager.
type UnitFile struct {
	Name    string
	Content string
	Hash    string
	// TakeOver says that the host's own unit of this name is to be replaced by
	// this one while it runs on; see Host. The host's file is kept beside its
	// place, under a name ending in AdoptedSuffix. Of a link the target is kept.
	TakeOver bool
}

// AdoptedSuffix ends the name of a host's file that was taken over.
const AdoptedSuffix = ".adopted"

// Manager runs units on one machine. It is implemented by systemd.Manager and
// process.Manager, and both pass the suite in package managertest.
//
// A Manager holds the units it was given with Load until Unload, across
// restarts of the daemon: closing a Manager, or losing its process, never
// stops a unit, and a new Manager finds them running. Units that exist on the
// host but were not given to Load are invisible to it.
//
// Methods may be called from several goroutines. They block until the work is
// done or ctx ends.
type Manager interface {
	// Load takes a batch of unit files: it writes them all, enables those
	// with an [Install] section, and makes them known with a single reload.
	// A unit already held gets the new content; a running one keeps running.
	// The map has an entry for each file that was refused or did not load
	// (ErrHostUnit, a bad setting, a full disk), and never keeps the other
	// files from being loaded. The error is for what failed as a whole.
	Load(ctx context.Context, files []UnitFile) (map[string]error, error)

	// Unload forgets units: stops those that run, disables and removes
	// their files, with a single reload. Unknown names are ignored.
	// The map has an entry for each unit that could not be unloaded.
	Unload(ctx context.Context, names []string) (map[string]error, error)

	// Start, Stop and Restart run a job and wait for its result: a started
	// service runs its program. Starting a running unit and stopping one that
	// isn't running succeed. The error is a *JobError if the job failed, and
	// ErrNotLoaded if the unit isn't held.
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error

	// Watch returns the status of every unit held, sorted by name, and a
	// channel of later changes, in order. An unloaded unit is reported with
	// Load "not-found". The channel is closed when ctx ends or when the manager
	// may have missed a change; the caller then calls Watch again.
	Watch(ctx context.Context) ([]Status, <-chan []Status, error)

	// Close releases the manager. Units keep running.
	Close() error
}
