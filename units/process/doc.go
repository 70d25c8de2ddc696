// Package process runs units as plain child processes, for hosts without
// systemd and for the demo. It behaves as systemd does for what it supports,
// and refuses the rest when a unit is loaded: nothing in a unit file is
// silently ignored (the tables in options.go say what is done with each option).
//
// Without cgroups, the processes of a unit are known by the INVOCATION_ID in
// their environment, by the sessions its commands were started in, and by
// descent from any of these, so that what double-forks away dies with its unit
// too. Only a process that cleared its environment and left its session and
// whose parent is gone can escape.
//
// An INVOCATION_ID begins with a mark of the unit and its state directory. When
// a record is lost or can't be read, the unit's processes are found by it, or
// by their output, which goes to the unit's log; the unit then counts as
// running, and is never started a second time.
//
// Units survive the daemon. Every step is recorded in the state directory
// before and after it is taken, and a new Manager on the same directory
// finds the processes by number and start time, and waits for them through pidfds.
// What such a process exited with is known from Linux 6.15 on, which tells
// strangers too, or if the zombie was seen before its parent reaped it. An exit status that nobody can know counts as
// a failure, so that Restart=on-failure restarts, unless the unit was
// being stopped.
//
// Two things differ from systemd without an option to say so: SIGPIPE is not
// ignored, and PATH always has /sbin and /bin. The daemon does not reap
// strangers: as process 1 of a container it needs an init above it.
//
// A unit whose daemon is away is not restarted, and its sd_notify messages
// are lost; both go on when the daemon is back.
package process
