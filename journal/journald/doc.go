// Package journald reads systemd's journal from its files, as they are
// described in systemd's JOURNAL_FILE_FORMAT, without libsystemd and without
// running journalctl.
//
// Reading the files is what makes a line appear within some 20 ms: journald
// itself tells its readers of new entries only every 250 ms. It also lets one
// reader serve all units of a machine, whose fields it needs to decode only
// where somebody wants them.
//
// Files are read, never mapped: one that is cut short or vacuumed meanwhile is
// a short read, not a signal. An entry or an object that makes no sense is left out,
// and the rest goes on. Rotation, vacuuming, a restart of journald and a clock
// that jumps back (journald then begins another file) are followed without a gap.
//
// Regular and compact files with keyed or old hashes and LZ4 or zstd are read. XZ, which
// systemd wrote before version 246 only where it was built without LZ4, is not:
// such a field reads as a sentence saying so.
package journald
