package systemd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"fleettop/units"
	"fleettop/units/broadcast"
	"fleettop/units/retry"
)

// Options configures a Manager. The zero value is the system's manager.
type Options struct {
	// Dir holds the unit files; nobody else may write there.
	// /run/fleettop/units if empty, or for User $XDG_RUNTIME_DIR/fleettop/units.
	Dir string
	// Known are units that a manager of this directory held before, since the
	// machine booted. One of them that systemd runs without a file is held.
	Known []string
	// Fence is how a fence for exclusive units is run; without one there is none.
	Fence FenceOptions
	// User drives the calling user's own systemd instead of the system's.
	User bool
	// Logger is slog's default logger if nil.
	Logger *slog.Logger
}

const (
	systemDir   = "/run/fleettop/units"
	systemLinks = "/run/systemd/system"
	systemHost  = "/etc/systemd/system"

	dialPatience   = 10 * time.Second // for systemd to answer a new connection
	reloadPatience = 2 * time.Minute  // systemd gives its generators 90 s
	stopPatience   = 5 * time.Minute  // for a unit to stop before it is unloaded
	redialLeast    = 20 * time.Millisecond
	redialMost     = time.Second
)

var errClosed = errors.New("this manager was closed")

// Manager runs units by systemd. It implements units.Manager.
type Manager struct {
	files store
	at    addresses
	fence FenceOptions
	user  bool // drives a user's own systemd
	log   *slog.Logger

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	reloads reloader
	loads   gatherer

	changing sync.Mutex // held while files, links and enablement change

	mu       sync.Mutex // guards what follows, and every unit
	table    table
	sess     *session         // nil before the first connection
	live     bool             // sess is connected and the table is what it says
	turned   broadcast.Signal // of live, or the manager closes
	lastErr  error            // why there is no connection
	watchers map[*watcher]struct{}

	dropInDirs []string // of units held, as of the last look
}

var (
	_ units.Manager = (*Manager)(nil)
	_ units.Host    = (*Manager)(nil)
)

// Open connects to systemd and adopts the units found in the directory,
// without touching them. It fails where systemd doesn't answer. The caller
// closes the Manager.
func Open(ctx context.Context, opts Options) (*Manager, error) {
	dir, links, host, at := systemDir, systemLinks, systemHost, systemAddresses()
	if opts.User {
		runtime := os.Getenv("XDG_RUNTIME_DIR")
		if runtime == "" {
			return nil, errors.New("XDG_RUNTIME_DIR is not set, so this user's systemd can't be found; log in as the user, or set it to /run/user/UID")
		}
		dir, links = filepath.Join(runtime, "fleettop/units"), filepath.Join(runtime, "systemd/user")
		at = userAddresses(runtime)
		config, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("this user's unit files can't be found: %w; set HOME", err)
		}
		host = filepath.Join(config, "systemd/user")
	}
	if opts.Dir != "" {
		dir = opts.Dir
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	return open(ctx, store{dir: dir, links: links, host: host}, at, opts, log)
}

func open(ctx context.Context, files store, at addresses, opts Options, log *slog.Logger) (*Manager, error) {
	m := &Manager{files: files, at: at, fence: opts.Fence, user: opts.User, log: log, table: newTable(),
		watchers: map[*watcher]struct{}{}}
	held, pending, err := m.files.open()
	if err != nil {
		return nil, err
	}
	for _, f := range held {
		m.table.add(f).visible = true
	}
	suspects := m.suspect(opts.Known)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.reloads.init(m, pending)
	if err := m.connect(ctx); err != nil {
		m.cancel()
		return nil, err
	}
	m.acquit(suspects)
	m.wg.Go(m.run)
	m.wg.Go(m.watchFiles)
	if pending {
		// A manager before this one wrote files and didn't live to have them read.
		if err := m.reloads.reload(ctx); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// suspect adds units to the table that were held before and have no file any more.
func (m *Manager) suspect(known []string) (names []string) {
	for _, name := range known {
		if n, err := units.ParseName(name); err == nil && !n.IsTemplate() && m.table.byName[name] == nil {
			m.table.add(heldFile{name: name}).visible = true
			names = append(names, name)
		}
	}
	return names
}

// acquit forgets those that don't run, or that the host has a file of by now.
func (m *Manager) acquit(names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if u := m.table.byName[name]; u.load != "not-found" || u.ended() {
			m.table.remove(name)
		}
	}
}

// Close ends watches and the connection. Units keep running.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.live = false
	m.lastErr = errClosed
	m.cancel()
	m.cutWatchers()
	m.turned.Notify()
	m.mu.Unlock()
	m.wg.Wait()
	return nil
}

// spawn runs f in a goroutine Close waits for, unless it was called before.
func (m *Manager) spawn(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return false
	}
	m.wg.Go(f)
	return true
}

// run replaces the connection each time it is lost, until Close.
func (m *Manager) run() {
	for {
		m.mu.Lock()
		s := m.sess
		m.mu.Unlock()
		m.serve(s)
		if m.ctx.Err() != nil {
			return
		}
		m.log.Warn("the connection to systemd was lost; connecting again")
		m.mu.Lock()
		m.live, m.lastErr = false, errLost
		m.cutWatchers()
		m.turned.Notify()
		m.mu.Unlock()
		for delay := retry.NewDelay(redialLeast, redialMost); ; {
			err := m.connect(m.ctx)
			if err == nil {
				break
			}
			m.mu.Lock()
			m.lastErr = err
			m.mu.Unlock()
			m.log.Debug("systemd doesn't answer", "error", err)
			if !delay.Wait(m.ctx) {
				return
			}
		}
	}
}

// serve blocks until a connection is lost, and follows up its reloads.
func (m *Manager) serve(s *session) {
	for {
		select {
		case <-s.bus.Context().Done():
			return
		case <-s.replaced:
			s.bus.Close()
			return
		case <-s.reloaded:
			m.missFiles()
			m.lookForAltered(s)
			if err := m.resync(m.ctx, s, true); err != nil && m.ctx.Err() == nil {
				m.log.Warn("after systemd's reload its units could not be read; connecting again", "error", err)
				s.bus.Close()
				return
			}
		}
	}
}

// connect makes a new connection and reads all units anew.
func (m *Manager) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	s := newSession(m)
	m.mu.Lock()
	m.sess = s
	m.table.forget()
	m.mu.Unlock()
	if err := s.dial(ctx); err != nil {
		return err
	}
	if err := m.resync(ctx, s, false); err != nil {
		s.bus.Close()
		return fmt.Errorf("reading systemd's units: %w", err)
	}
	m.lookForAltered(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return errClosed
	}
	m.live, m.lastErr = true, nil
	m.turned.Notify()
	return nil
}

// session returns the connection, waiting for one to be made.
func (m *Manager) session(ctx context.Context) (*session, error) {
	for {
		m.mu.Lock()
		s, live, turned, err := m.sess, m.live, m.turned.Changed(), m.lastErr
		m.mu.Unlock()
		switch {
		case m.ctx.Err() != nil:
			return nil, errClosed
		case live && s.bus.Connected():
			return s, nil
		}
		select {
		case <-turned:
		case <-m.ctx.Done():
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// signal takes a signal of a connection. It is called by the connection's
// reader, so in systemd's order, and never blocks.
func (m *Manager) signal(s *session, sig *dbus.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s != m.sess {
		return
	}
	switch sig.Name {
	case propertiesIface + ".PropertiesChanged":
		u := m.table.byPath[sig.Path]
		if u == nil {
			return
		}
		was, ended := u.active, u.times["InactiveEnterTimestamp"]
		if u.changed(sig) {
			m.noticeReset(s, u, was, ended)
			m.mark(u.name)
		}
	case managerIface + ".JobNew":
		var id uint32
		var job dbus.ObjectPath
		var name string
		if dbus.Store(sig.Body, &id, &job, &name) == nil {
			m.jobNew(s, job, name)
		}
	case managerIface + ".JobRemoved":
		var id uint32
		var job dbus.ObjectPath
		var name, result string
		if dbus.Store(sig.Body, &id, &job, &name, &result) == nil {
			o := outcome{result: result}
			if u := m.table.byName[name]; u != nil {
				o.unit = u.unitResult()
			}
			s.jobs.done(job, o)
			m.jobRemoved(s, job, name, result)
		}
	case "org.freedesktop.DBus.NameOwnerChanged":
		// Another systemd, or the same one executed anew, knows nothing of what this one was asked.
		// Closing the connection waits for its reader, that is, for this call.
		select {
		case s.replaced <- struct{}{}:
		default:
		}
	case managerIface + ".Reloading":
		var begins bool
		if dbus.Store(sig.Body, &begins) == nil && !begins {
			select {
			case s.reloaded <- struct{}{}:
			default:
			}
		}
	}
}
