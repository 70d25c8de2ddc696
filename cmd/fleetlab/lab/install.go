package lab

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Where fleettop is installed on a machine.
const (
	BinaryPath  = "/usr/local/bin/fleettop"
	UnitName    = "fleettop.service"
	unitPath    = "/etc/systemd/system/" + UnitName
	EnvFilePath = "/etc/fleettop/fleettop.env"
)

// InstallOptions say what to install.
type InstallOptions struct {
	Binary      string // the host's path of the static binary
	ServiceFile string // the host's path of the unit file; installed as fleettop.service
	// NoKey leaves the machine without the lab's cluster key.
	NoKey bool
	// Env returns a machine's environment file, such as FLEETTOP_OPTIONS;
	// nil leaves the file as it is.
	Env func(*Machine) map[string]string
}

// Install installs fleettop on all machines, as Machine.Install does.
func (l *Lab) Install(ctx context.Context, opts InstallOptions) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, m := range l.Machines() {
		group.Go(func() error { return m.Install(ctx, opts) })
	}
	return group.Wait()
}

// Install puts fleettop on a machine, running or not, and enables it; it
// doesn't start or restart it. Installing again is an upgrade: the binary of a
// running daemon is replaced, not overwritten.
func (m *Machine) Install(ctx context.Context, opts InstallOptions) error {
	if err := m.CopyIn(opts.Binary, BinaryPath, 0o755); err != nil {
		return err
	}
	if err := m.CopyIn(opts.ServiceFile, unitPath, 0o644); err != nil {
		return err
	}
	if !opts.NoKey {
		if err := m.placeKey(); err != nil {
			return err
		}
	}
	if opts.Env != nil {
		if err := m.WriteFile(EnvFilePath, []byte(envFile(opts.Env(m))), 0o600); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "systemctl", "--root="+m.root(), "enable", UnitName).CombinedOutput()
	if err != nil {
		return m.fail("enable fleettop on", fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out))))
	}
	if !m.Running() {
		return nil
	}
	return m.Systemctl(ctx, "daemon-reload")
}

// Systemctl runs systemctl in the machine.
func (m *Machine) Systemctl(ctx context.Context, args ...string) error {
	_, err := m.Exec(ctx, append([]string{"systemctl"}, args...)...)
	return err
}

// StartFleettop starts the daemon and returns when it says it is ready.
func (m *Machine) StartFleettop(ctx context.Context) error {
	return m.Systemctl(ctx, "start", UnitName)
}

// StopFleettop stops the daemon and returns when it has ended.
func (m *Machine) StopFleettop(ctx context.Context) error {
	return m.Systemctl(ctx, "stop", UnitName)
}

// RestartFleettop stops and starts the daemon.
func (m *Machine) RestartFleettop(ctx context.Context) error {
	return m.Systemctl(ctx, "restart", UnitName)
}

// envFile writes a systemd environment file, sorted.
func envFile(env map[string]string) string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "%s=\"%s\"\n", name, quote.Replace(env[name]))
	}
	return b.String()
}
