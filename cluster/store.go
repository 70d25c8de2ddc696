package cluster

import (
	"context"
	"errors"
	"time"
)

// Errors a Store returns, to be tested with errors.Is.
var (
	// ErrConflict means that somebody else changed the thing first: read again, decide again.
	ErrConflict = errors.New("changed by somebody else meanwhile")
	// ErrNotFound means that there is no such unit or machine.
	ErrNotFound = errors.New("not found")
	// ErrExists means that there is one already.
	ErrExists = errors.New("exists already")
	// ErrNotLeader means that the caller's term is over; nothing was written.
	ErrNotLeader = errors.New("no longer the leader")
	// ErrSessionLost means that the session's lease is gone; open a new one.
	ErrSessionLost = errors.New("session lost")
	// ErrUnavailable wraps every failure to reach the store or its quorum.
	ErrUnavailable = errors.New("the store is unavailable")
)

// UnusableError says why a store can't be used until a person changes
// something. It is also an ErrUnavailable, but waiting doesn't help.
type UnusableError struct {
	Cause  string // a sentence without its end
	Advice string // what to do
}

// Error implements error.
func (e *UnusableError) Error() string { return "the cluster's store can't be used: " + e.Cause }

// Is reports whether target is ErrUnavailable.
func (e *UnusableError) Is(target error) bool { return target == ErrUnavailable }

// Scope chooses what a watch sees.
type Scope struct {
	// Machine, if set, limits the watch to that machine's record, run and
	// assignments, and the leader. Empty means everything.
	Machine string
	// Events includes the timeline's new events in changes.
	Events bool
}

// Store keeps the cluster's state. etcdstore and memstore implement it, and
// both pass the suite in package storetest. Every method blocks until done or
// ctx ends, and returns an error wrapping ErrUnavailable where the store or
// its quorum can't be reached.
type Store interface {
	// Watch returns a snapshot and the changes after it, without a gap.
	// The channel is closed when ctx ends or the watch breaks (store lost,
	// revision compacted, reader too slow); the caller watches again.
	Watch(ctx context.Context, scope Scope) (*Snapshot, <-chan Change, error)

	// PutUnits writes units in as few transactions as it can. A unit with
	// Generation 1 must not exist yet (else ErrExists); any other
	// must exist with exactly the generation before (else ErrConflict, or
	// ErrNotFound). The slice has one entry a unit, nil for success.
	PutUnits(ctx context.Context, list []Unit) ([]error, error)
	// DeleteUnits removes units whatever their generation: nil or ErrNotFound
	// each. Assignments are withdrawn by the leader.
	DeleteUnits(ctx context.Context, names []string) ([]error, error)

	// UpdateMachine reads a machine's record, lets f change it and writes it
	// back, again if somebody else was first or the answer was lost: f may
	// find its own change. Where there is none yet f gets a zero Machine with only ID set, and
	// Overrides where a record of before had some. An error from f ends it.
	UpdateMachine(ctx context.Context, id string, f func(*Machine) error) error
	// DeleteMachine removes a machine's record, or ErrNotFound. Its Overrides are kept for the
	// record that the machine gets when it joins again.
	DeleteMachine(ctx context.Context, id string) error

	// Register opens a session for a run of a daemon: a lease, kept alive
	// until Close or loss, holding the machine's run and statuses. It
	// replaces a previous run with the same Address at once; a
	// living run from another address is *DuplicateError.
	Register(ctx context.Context, run Run, ttl time.Duration) (Session, error)
	// Evict ends a run's lease at once, on evidence that its machine is dead:
	// its run and statuses vanish, and its leadership if it had it. No such run: nil.
	Evict(ctx context.Context, machine, runID string) error

	// Campaign blocks until the session leads, and returns the leadership.
	// Resign gives it up.
	Campaign(ctx context.Context, s Session) (Leader, error)
	Resign(ctx context.Context, l Leader) error

	// Apply writes the leader's findings and moves, each move atomically, all
	// guarded by the term: when it is over nothing more is written and
	// ErrNotLeader returned. They share transactions as far as these hold them,
	// the hold, verdicts and the marks of what has finished first, and what has no place last.
	// A move whose Unit changed since (generation) or whose From assignment changed is skipped with
	// ErrConflict in its entry. It returns the revision of the last write (0 for none).
	// With nothing to write it says whether the term goes on.
	Apply(ctx context.Context, term int64, moves []Move, found Findings) (revision int64, errs []error, err error)

	// Record appends to the timeline. Event IDs and zero times are filled in.
	Record(ctx context.Context, events ...Event) error
	// Events returns the newest limit events at or after since, oldest first.
	Events(ctx context.Context, since time.Time, limit int) ([]Event, error)
	// EventsAfter returns the events that were recorded after one revision of the
	// store and not after another one, in the order in which they were recorded.
	EventsAfter(ctx context.Context, after, upTo int64) ([]Event, error)
	// Told returns up to which revision a receiver of notices was told of the
	// events; 0 for one that no daemon has told anything.
	Told(ctx context.Context, receiver string) (revision int64, err error)
	// SetTold notes up to which revision a receiver was told. It never goes back.
	SetTold(ctx context.Context, receiver string, revision int64) error

	// ClusterID returns the cluster's identity, made at first use.
	ClusterID(ctx context.Context) (string, error)
	Close() error
}

// Session is a lease held by a running daemon.
type Session interface {
	// Done is closed when the lease is lost or the session closed.
	Done() <-chan struct{}
	// Renewed is the time just before the last acknowledged renewal was sent.
	Renewed() time.Time
	// Inherited names the units whose statuses the session took over from
	// this machine's run before. It doesn't change.
	Inherited() []string
	// PutStatuses writes and removes statuses of this machine under the lease.
	// ErrSessionLost if the lease is gone.
	PutStatuses(ctx context.Context, puts []Status, deletes []string) error
	// RenewFence writes that the machine may run exclusive units for a lease that
	// begins when the call was made, guarded by the session as PutStatuses is. It
	// returns when the store's quorum has it.
	RenewFence(ctx context.Context, lease time.Duration) error
	// Confirm asks the store's quorum whether an assignment of this machine is as
	// given while the session holds: ErrConflict if it is another one or gone.
	Confirm(ctx context.Context, a Assignment) error
	// Close ends the session. With revoke the run and its statuses vanish at once;
	// without, they stay until the lease runs out, as a restart wants.
	Close(ctx context.Context, revoke bool) error
}

// DuplicateError says that another living daemon has the same machine-id.
type DuplicateError struct{ Run Run }

// Error implements error.
func (e *DuplicateError) Error() string {
	return "machine-id " + e.Run.Machine + " is already in use by the daemon at " + e.Run.Address +
		": give this machine an identity of its own (systemd-machine-id-setup, or --machine-id) and start again"
}

// Move is one change of assignment decided by the leader.
//
//   - From nil, To set: a placement.
//   - From set, To nil: a withdrawal.
//   - both, on different machines: a move, in one transaction. With Keep the
//     assignment From stays, until another move withdraws it.
//   - both, on the same machine: an update of desired state, content or restart.
type Move struct {
	Unit   string
	From   *Assignment
	To     *Assignment
	Reason string
	Keep   bool
	// StopFirst says that the unit may start on To only when it has ended on From.
	// Store ignores it: the leader splits such a move in two.
	StopFirst bool
	// Generation of the unit the move was decided on; 0 when the unit is gone.
	Generation int64
	// Becomes, if set, is the unit from here on, one generation later. Forget
	// removes it. Either is in one transaction with the move.
	Becomes *Unit
	Forget  bool
	// Fenced, if set, is the last renewal of the fence of From's machine, on whose
	// end the move relies; Revision is 0 for none ever. The move is skipped with
	// ErrConflict where the machine has a run, or renewed its fence since.
	Fenced *Fence
}
