package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sddaemon "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"fleettop/cluster"
	"fleettop/units/diskfault"
	"fleettop/units/filelock"
	"fleettop/units/proc"
)

// lockDir makes sure that one daemon at a time works in a directory. The lock
// ends with the process.
func lockDir(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %s", err, diskfault.Advice(err, "--state-dir"))
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NONBLOCK, 0o600) // not to wait for a FIFO's other end
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, diskfault.Advice(err, "--state-dir"))
	}
	if err := filelock.Lock(f); err != nil {
		f.Close()
		if errors.Is(err, filelock.ErrHeld) {
			return nil, fmt.Errorf("another daemon works in %s: stop it first, or choose another --state-dir", dir)
		}
		return nil, err
	}
	return func() { f.Close() }, nil
}

// bootID identifies this boot of the machine: the kernel's, and the start of its
// first process, as a container boots many times under one kernel.
func bootID() string {
	boot, err := proc.BootID()
	if err != nil {
		return ""
	}
	if first, err := proc.Read(proc.Root, 1); err == nil {
		boot += "/" + strconv.FormatUint(first.Start, 10)
	}
	return boot
}

// departureOf returns why the daemon was asked to stop: with its machine, or with
// the user's systemd that runs its units, where systemd says that it is
// stopping, else to be restarted.
func departureOf(ctx context.Context, manager ManagerKind) cluster.Departure {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return cluster.Restarting
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	whose := []string{"--system"}
	if manager == ManagerSystemdUser {
		whose = append(whose, "--user")
	}
	for _, w := range whose {
		if systemdState(ctx, w) == "stopping" {
			return cluster.ShutDown
		}
	}
	return cluster.Restarting
}

// systemdState is how a systemd says that it is, or "".
func systemdState(ctx context.Context, whose string) string {
	for ctx.Err() == nil {
		// Its exit code is not zero for any state but running.
		state, err := exec.CommandContext(ctx, "systemctl", whose, "is-system-running").Output()
		// Without KillMode=process systemd, which is ending the daemon, may end this one with it.
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
			return strings.TrimSpace(string(state))
		}
	}
	return ""
}

// notifySystemd says that the daemon is ready, and feeds systemd's watchdog
// for as long as alive returns nil, until ctx ends.
func notifySystemd(ctx context.Context, alive func(context.Context) error) {
	sddaemon.SdNotify(false, sddaemon.SdNotifyReady)
	interval, err := sddaemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		<-ctx.Done()
	} else {
		tick := time.NewTicker(interval / 3)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				askCtx, cancel := context.WithTimeout(ctx, interval/3)
				if alive(askCtx) == nil {
					sddaemon.SdNotify(false, sddaemon.SdNotifyWatchdog)
				}
				cancel()
			}
		}
	}
	sddaemon.SdNotify(false, sddaemon.SdNotifyStopping)
}
