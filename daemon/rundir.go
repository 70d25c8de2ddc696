package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fleettop/daemon/listen"
	"fleettop/units/atomicfile"
	"fleettop/units/diskfault"
)

// runDirLook is the time between looks at what must be in the run directory:
// another program may empty /run/fleettop at any time.
const runDirLook = 2 * time.Second

// makeRunDir makes the run directory, which the sockets are in, unless it is
// there. Among all users' temporary files it must be this user's alone.
func makeRunDir(dir string) error {
	if dir != temporaryRunDir(os.Geteuid()) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("%w: %s", err, diskfault.Advice(err, "--run-dir"))
		}
		return nil
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", err, diskfault.Advice(err, "--run-dir"))
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || !info.IsDir() ||
		info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is there and isn't a directory of this user's alone (mode 0700): remove it, or choose "+
			"another --run-dir", dir)
	}
	return nil
}

// keepRunDir makes again what vanished from the run directory, and renews the
// certificate's files, until ctx ends. It returns an error where only systemd
// can make the directory, which it does when it starts the daemon again.
func (n *node) keepRunDir(ctx context.Context, listeners *listen.Listeners) error {
	tick := time.NewTicker(runDirLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-n.cfg.Reload:
			n.reload(listeners)
		}
		_, err := os.Lstat(n.cfg.RunDir)
		if errors.Is(err, fs.ErrNotExist) {
			if err = makeRunDir(n.cfg.RunDir); err == nil {
				n.log.Warn("the run directory was gone; it was made again", "directory", n.cfg.RunDir)
			}
		}
		if errors.Is(err, unix.EROFS) && underSystemd() {
			return fmt.Errorf("the run directory is gone, and only systemd can make it: "+
				"starting again, which leaves the units as they are: %w", err)
		}
		if err != nil {
			n.log.Warn("the run directory is gone and can't be made again; trying again", "error", err)
			continue
		}
		listeners.Restore()
		if err := n.credentials.Refresh(); err != nil {
			n.log.Warn("this machine's certificate can't be renewed or written; the one in use goes on, trying again",
				"error", err)
		}
	}
}

// reload reads again what can be read again while the daemon runs.
func (n *node) reload(listeners *listen.Listeners) {
	listeners.Reload()
	n.log.Info("asked to read everything again: SSH keys and certificates are; " +
		"each flag needs a restart, which leaves the units as they are")
	n.credentials.CheckKeyFile()
}

// underSystemd reports whether systemd started this process and waits for its notifications.
func underSystemd() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// tidy removes what a daemon that was killed left of files that it had not written to their end.
// The caller has the state directory's lock.
func tidy(cfg *Config) error {
	return errors.Join(atomicfile.Tidy(cfg.StateDir), atomicfile.Tidy(cfg.RunDir), atomicfile.Tidy(cfg.tlsDir()),
		atomicfile.Tidy(filepath.Dir(cfg.KeyFile), filepath.Base(cfg.KeyFile)))
}
