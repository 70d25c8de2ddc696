package systemd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"fleettop/units"
)

// environmentFile is one of systemd's property EnvironmentFiles.
type environmentFile struct {
	Path     string // may be a pattern
	Optional bool
}

// resultRefused is the result of a unit that names a file which can't be read, as systemd has it.
const resultRefused = "resources"

// checkFiles refuses to start a unit that names a file which would stop systemd: it reads
// EnvironmentFile= and PIDFile= itself, in the manager's only thread, and opening a FIFO waits
// for a writer there. What the daemon can't see, as its own service hides /home, /tmp and the
// like from it, passes.
func (s *session) checkFiles(ctx context.Context, v verb, name string, path dbus.ObjectPath) error {
	iface, _ := specialIface(name)
	if iface == "" {
		return nil
	}
	environment := s.property(ctx, path, iface, "EnvironmentFiles")
	pid := s.pidFile(ctx, name, path)

	var named []namedFile
	var value dbus.Variant
	var files []environmentFile
	if s.wait(environment).Store(&value) == nil && value.Store(&files) == nil {
		for _, f := range files {
			paths, _ := filepath.Glob(f.Path) // one that is no pattern is what it names
			for _, p := range paths {
				named = append(named, namedFile{"EnvironmentFile", p})
			}
		}
	}
	if file := pid(); file != "" {
		named = append(named, namedFile{"PIDFile", file})
	}
	for _, f := range named {
		if what := f.blocks(); what != "" {
			return &units.JobError{Unit: name, Verb: v.name, Result: resultRefused,
				Detail: fmt.Sprintf("%s: %s: it is %s, and this machine's systemd would wait for it for ever: name a plain file",
					f.option, f.path, what)}
		}
	}
	return nil
}

// pidFile asks for a unit's PIDFile= and returns a func that waits for the answer; empty for none.
func (s *session) pidFile(ctx context.Context, name string, path dbus.ObjectPath) func() string {
	iface, _ := specialIface(name)
	if iface == "" {
		return func() string { return "" }
	}
	call := s.property(ctx, path, iface, "PIDFile")
	return func() string {
		var value dbus.Variant
		var file string
		if s.wait(call).Store(&value) != nil || value.Store(&file) != nil {
			return ""
		}
		return file
	}
}

// namedFile is a file that an option of a unit names.
type namedFile struct{ option, path string }

// blocks says what reading a file would wait for; empty if it ends.
func (f namedFile) blocks() string {
	info, err := os.Stat(f.path)
	switch {
	case err != nil:
		return ""
	case info.Mode()&os.ModeNamedPipe != 0:
		return "a FIFO"
	case info.Mode()&os.ModeCharDevice != 0 && info.Sys().(*syscall.Stat_t).Rdev != unix.Mkdev(1, 3): // /dev/null
		return "a device"
	}
	return ""
}
