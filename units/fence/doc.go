// Package fence holds the units of a machine that must never run twice at once.
// A fence is a process of its own with a deadline, which the daemon extends with
// each renewal that the cluster's store has acknowledged. At the deadline the
// process ends and fails, and the init system stops the units bound to it,
// whatever became of the daemon. The deadline is on CLOCK_BOOTTIME, which goes
// on while the machine sleeps.
package fence
