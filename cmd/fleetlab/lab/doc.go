// Package lab boots real systemd machines on one Linux box, for people and for
// end-to-end tests.
//
// A lab is a switch (a bridge in a network namespace of its own) and machines
// n1..nN. Each machine is a systemd-nspawn container with its own PID 1,
// D-Bus, journald, /etc, /var, /usr/local, network namespace and cgroup; only
// /usr is shared with the host, read-only. A machine boots in well under a
// second and can be killed like a power loss, frozen, unplugged, and put
// behind a slow or lossy cable.
//
//	l, err := lab.New(lab.Options{Name: "web"})
//	defer l.Down(context.Background())
//	err = l.Up(ctx, 3)
//	n1 := l.Machines()[0]
//	out, err := n1.Exec(ctx, "systemctl", "is-system-running")
//	died, err := n1.Kill()
//
// A lab's state lives on disk, so that another process can take hold of it
// with Open. It needs root, systemd-nspawn, nsenter and dbus on the host.
//
// # Cgroups and accounting
//
// Each machine has a cgroup in every hierarchy systemd uses (one on a v2 host,
// "systemd" and "unified" on a hybrid one), or the machines would share one and
// kill each other's processes. Where the host has the unified hierarchy, the
// machine's systemd runs on it, and CPUUsageNSec works. MemoryCurrent and
// TasksCurrent work only where the unified hierarchy has the memory and pids
// controllers: on a pure v2 host. On a hybrid host, which has them on v1, they
// are "[not set]".
//
// # What a machine doesn't do
//
// A machine has no logind, no networkd, no getty and no way out of the lab,
// and it shares the host's kernel, clock (which it can't set) and memory. A reboot from inside
// leaves it off, as systemd-nspawn has its caller boot it again: use Reboot.
// Its own disk is a directory of the host: a power loss doesn't lose what
// was written but not synced.
package lab
