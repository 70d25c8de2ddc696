package daemon

import (
	"context"
	"os"
	"path/filepath"

	"fleettop/journal"
	"fleettop/journal/journald"
	"fleettop/journal/proclog"
)

// logDir is where the process manager's units log. It outlives a boot, as
// systemd's journal does.
func (c *Config) logDir() string { return filepath.Join(c.StateDir, "log") }

// openLog returns the log of the units of this machine, and what has to run
// for it, which may be nil.
func openLog(cfg *Config) (journal.Source, func(context.Context) error, error) {
	switch cfg.Manager {
	case ManagerSystemd, ManagerSystemdUser:
		src, err := journald.Open(journald.Options{Machine: cfg.MachineID, User: cfg.Manager == ManagerSystemdUser})
		return src, nil, err
	default:
		held := func(unit string) bool {
			_, err := os.Lstat(filepath.Join(cfg.RunDir, "process", "units", unit))
			return err == nil
		}
		store, err := proclog.Open(proclog.Options{Dir: cfg.logDir(), Machine: cfg.MachineID, Held: held, Log: cfg.Log})
		if err != nil {
			return nil, nil, err
		}
		return store, store.Run, nil
	}
}
