package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"fleettop/units"
	"fleettop/units/atomicfile"
	"fleettop/units/fence"
	"fleettop/units/retry"
)

// FenceUnit is the service that is the fence.
const FenceUnit = "fleettop-fence.service"

// boundToFence is the drop-in of exclusive units. After= makes systemd refuse a
// start without the fence, whatever became of it since the start was asked for.
const boundToFence = "# By fleettop, for Exclusive=true: systemd stops the unit when the fence ends.\n" +
	"[Unit]\nBindsTo=" + FenceUnit + "\nAfter=" + FenceUnit + "\n"

const (
	killEvery = 50 * time.Millisecond // what is left of units whose fence ended
	killLimit = 10 * time.Second
)

var _ units.Fencer = (*Manager)(nil)

// FenceOptions are how a fence is run.
type FenceOptions struct {
	// Dir is where the fence and its daemon meet, and nobody else may write.
	Dir string
	// Command runs fence.Serve in a directory, which is its last argument; with
	// a further one, --end, it runs EndFenced.
	Command []string
}

// NoFence implements units.Fencer.
func (m *Manager) NoFence() string {
	if len(m.fence.Command) == 0 {
		return "it was started without one"
	}
	return ""
}

// FenceClock implements units.Fencer.
func (m *Manager) FenceClock() time.Duration { return fence.Now() }

// ExtendFence implements units.Fencer.
func (m *Manager) ExtendFence(ctx context.Context, until time.Duration) (string, error) {
	return fence.Extend(ctx, m.fence.Dir, until)
}

// LimitFence implements units.Fencer.
func (m *Manager) LimitFence(ctx context.Context, until time.Duration) (string, error) {
	return fence.Limit(ctx, m.fence.Dir, until)
}

// LowerFence implements units.Fencer.
func (m *Manager) LowerFence(ctx context.Context) error { return fence.Lower(ctx, m.fence.Dir) }

// RaiseFence implements units.Fencer.
func (m *Manager) RaiseFence(ctx context.Context, until func() time.Duration) (string, error) {
	if why := m.NoFence(); why != "" {
		return "", fmt.Errorf("raise the fence: %s", why)
	}
	s, err := m.session(ctx)
	if err != nil {
		return "", fmt.Errorf("raise the fence: %w", err)
	}
	if err := m.writeFence(ctx, s); err != nil {
		return "", fmt.Errorf("raise the fence: %w", err)
	}
	var stopping sync.WaitGroup
	var mu sync.Mutex // guards failed
	var failed error
	for _, name := range m.exclusive() {
		stopping.Go(func() {
			if err := m.runJob(ctx, stop, name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			}
		})
	}
	if stopping.Wait(); failed != nil {
		return "", fmt.Errorf("raise the fence: what runs without it: %w", failed)
	}
	if err := fence.Arm(m.fence.Dir, until()); err != nil {
		return "", err
	}
	o, err := s.job(ctx, start.method, FenceUnit)
	if err != nil {
		return "", fmt.Errorf("raise the fence: start %s: %w", FenceUnit, err)
	}
	if o.result != "done" {
		return "", fmt.Errorf("raise the fence: start %s: %s; see `journalctl -u %s`", FenceUnit, o.result, FenceUnit)
	}
	return fence.Extend(ctx, m.fence.Dir, until())
}

// exclusive returns the exclusive units that are held, by name.
func (m *Manager) exclusive() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, u := range m.table.byName {
		if u.file.exclusive {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// writeFence puts the fence's unit file in place, where it isn't, and has systemd read it.
func (m *Manager) writeFence(ctx context.Context, s *session) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	path, content := m.files.link(FenceUnit), m.fence.unit(m.user)
	was, err := os.ReadFile(path)
	if err == nil && bytes.Equal(was, []byte(content)) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.reloads.touch()
	if err := atomicfile.Replace(path, []byte(content), 0o644, m.files.links); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if m.spareReload(ctx, s, []string{FenceUnit}) {
		return nil
	}
	return m.reloads.reload(ctx)
}

// unit is the fence's unit file.
func (o FenceOptions) unit(user bool) string {
	command := make([]string, 0, len(o.Command)+1)
	for _, word := range append(slices.Clone(o.Command), o.Dir) {
		command = append(command, quoted(word))
	}
	line := strings.Join(command, " ")
	priority := ""
	if !user {
		priority = "Nice=-10\nCPUWeight=1000\nOOMScoreAdjust=-1000\n"
	}
	return `# By fleettop.
[Unit]
Description=fleettop's fence: stops exclusive units when the cluster may start them elsewhere
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=` + line + `
ExecStopPost=` + line + ` --end
# The fence says how long the watchdog has to wait: until its deadline. One that
# hangs is killed then.
WatchdogSec=10s
WatchdogSignal=SIGKILL
TimeoutStartSec=5s
TimeoutStopSec=30s
Restart=no
TimerSlackNSec=1ms
Environment=GOMAXPROCS=2
` + priority
}

// quoted is a word of a command line in a unit file.
func quoted(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`).Replace(word) + `"`
}

// checkBound refuses to start an exclusive unit that systemd hasn't bound to the
// fence, after having it read its files anew.
func (m *Manager) checkBound(ctx context.Context, s *session, v verb, name string, path dbus.ObjectPath) error {
	m.mu.Lock()
	u := m.table.byName[name]
	exclusive := u != nil && u.file.exclusive
	m.mu.Unlock()
	if !exclusive {
		return nil
	}
	for reloaded := false; ; reloaded = true {
		var value dbus.Variant
		var bound []string
		err := s.wait(s.property(ctx, path, unitIface, "BindsTo")).Store(&value)
		if err == nil {
			err = value.Store(&bound)
		}
		if err == nil && slices.Contains(bound, FenceUnit) {
			return nil
		}
		if reloaded {
			return &units.JobError{Unit: name, Verb: v.name, Result: "not-fenced",
				Detail: "it is exclusive and systemd did not bind it to " + FenceUnit}
		}
		if err := m.reloads.reload(ctx); err != nil {
			return fmt.Errorf("%s %s: %w", v.name, name, err)
		}
	}
}

// EndFenced kills what is left of the units that were bound to the fence when
// the grace is over. The fence's service runs it when the fence has ended,
// while systemd stops the units. It returns when they have ended.
func EndFenced(ctx context.Context, user bool) error {
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	end := fence.Now() + units.FenceGrace
	connect := sd.NewSystemdConnectionContext
	if user {
		connect = sd.NewUserConnectionContext
	}
	conn, err := connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	bound, err := conn.GetUnitPropertyContext(ctx, FenceUnit, "BoundBy")
	if err != nil {
		return err
	}
	names, _ := bound.Value.Value().([]string)
	for {
		list, err := conn.ListUnitsByNamesContext(ctx, names)
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(u sd.UnitStatus) bool {
			return u.ActiveState == "inactive" || u.ActiveState == "failed"
		})
		if len(list) == 0 {
			return nil
		}
		if wait := min(killEvery, end-fence.Now()); wait > 0 {
			if !retry.Pause(ctx, wait) {
				return ctx.Err()
			}
			continue
		}
		for _, u := range list { // one that has just ended has nothing to kill
			_ = conn.KillUnitWithTarget(ctx, u.Name, sd.All, int32(unix.SIGKILL))
		}
		if !retry.Pause(ctx, killEvery) {
			return ctx.Err()
		}
	}
}
