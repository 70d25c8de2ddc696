package drill

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	sddaemon "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"fleettop/units"
	"fleettop/units/atomicfile"
	"fleettop/units/fence"
	"fleettop/units/retry"
)

// waitLook is the time between looks at the clock, which may jump over a sleep.
const waitLook = 500 * time.Millisecond

// WaitConfig says whose drill is waited for.
type WaitConfig struct {
	StateDir, RunDir string
	Boot             string // of the machine
	Address          string
	Port, Ports      int    // those that the daemon listens on
	NotesPath        string // the agent's
	// OpenManager opens the manager of the units that are to be forgotten.
	OpenManager func(context.Context) (units.Manager, error)
	Log         *slog.Logger
}

// Wait returns when no drill has this machine out. Until then nothing of it
// answers on the network, and its units are forgotten as a boot would. When ctx
// ends, the drill ends with it.
func Wait(ctx context.Context, cfg WaitConfig) error {
	m, known, err := readMark(cfg.StateDir)
	if err != nil {
		cfg.Log.Warn("what says that this machine is out for a drill can't be read; going on", "error", err)
	}
	if !known {
		return nil
	}
	left := m.left(cfg.Boot, fence.Now())
	if err != nil || left == 0 {
		return removeMark(cfg.StateDir)
	}
	cfg.Log.Info("out for a drill: silent until its end", "drill", m.ID, "left", left.Round(time.Millisecond))
	sddaemon.SdNotify(false, sddaemon.SdNotifyReady+"\nSTATUS=out for a drill; it ends by itself, or by a restart of this service")
	inherited, err := networkSockets()
	if err != nil {
		cfg.Log.Warn("the sockets from before the drill can't be found", "error", err)
	}
	inherited = slices.DeleteFunc(inherited, func(fd int) bool {
		full := listens(fd)
		if full {
			_ = unix.Close(fd) // it would take connections until its queue is full
		}
		return full
	})
	release, err := holdPorts(ctx, cfg.Address, cfg.Port, cfg.Ports)
	if err != nil {
		cfg.Log.Warn("a port isn't silent: to the others the daemon seems to have crashed, rather than the machine", "error", err)
	}
	cleaned := false
	for ctx.Err() == nil {
		if !cleaned {
			cleaned = cfg.clean(ctx, m.ID)
		}
		if left = m.left(cfg.Boot, fence.Now()); left == 0 && cleaned {
			break
		}
		sddaemon.SdNotify(false, sddaemon.SdNotifyWatchdog)
		retry.Pause(ctx, max(time.Millisecond, min(left, waitLook)))
	}
	release()
	closeAll(inherited)
	sddaemon.SdNotify(false, "STATUS=")
	cfg.Log.Info("the drill is over: starting", "drill", m.ID)
	return removeMark(cfg.StateDir)
}

// clean forgets the units, and reports whether that was done. A unit that was not
// killed in time ends with it.
func (cfg WaitConfig) clean(ctx context.Context, id string) bool {
	manager, err := cfg.OpenManager(ctx)
	if err == nil {
		err = errors.Join(forget(ctx, manager), manager.Close())
	}
	if err == nil {
		err = os.RemoveAll(cfg.NotesPath)
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(cfg.RunDir, lastFile), []byte(id), 0o600)
	}
	if err != nil && ctx.Err() == nil {
		cfg.Log.Warn("the units of before the drill are not forgotten yet; trying again", "error", err)
	}
	return err == nil
}
