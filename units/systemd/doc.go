// Package systemd is a units.Manager over systemd's D-Bus interface.
//
// The units it holds are the files in its own directory, under /run, so they
// outlive the daemon and not the machine's uptime. Each is known to systemd
// by a link from its runtime unit directory: such a link is what
// `systemctl link --runtime` makes, it outlives daemon-reload, and three
// hundred of them cost three hundred system calls and no round trip.
//
// One connection carries calls and signals, so that both are in systemd's own
// order. It goes straight to systemd where that is allowed, which works
// without a dbus-daemon, and through the bus otherwise. A connection that is
// lost is replaced as a whole: watches end, and what is known of the units is
// read anew.
package systemd
