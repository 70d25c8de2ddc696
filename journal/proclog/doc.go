// Package proclog keeps and reads the logs of units that run as plain child
// processes. Each unit's processes append to one file by themselves, so that
// neither losing nor restarting the daemon stops, blocks or kills them, or
// loses a line. What is left to the daemon is to look on:
//
// Stamps. Whenever a file has grown, its new length and the time are noted, in
// an index beside it. A line is of the time at which its last byte was
// noticed, some milliseconds after it was written. While no daemon runs nothing is
// noticed: what was written meanwhile is of the time of the file's last change.
//
// Bounds. Of a file that has grown beyond the limit the beginning is given
// back to the file system as a hole; its length, and with it every place in it,
// stays. Processes write on, not a byte is lost or copied, and
// cursors stay good. While no daemon runs a file may grow beyond the limit; the
// next one sets that right. Where a file system has no holes, a file that is too
// long is emptied instead. A file nobody has written to for a week, of a unit that isn't held
// any more, is removed.
//
// A line may begin with a priority, <0> to <7>, as systemd has it. A line longer
// than 1 MiB is cut into several.
package proclog
