package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fleettop/units"
)

// DefaultDir is where a manager keeps its state unless told otherwise. It
// should not outlive a boot, as the processes don't.
const DefaultDir = "/run/fleettop/process"

// DefaultLogDir is where the output of units goes unless told otherwise.
const DefaultLogDir = "/var/log/fleettop"

var errClosed = errors.New("the process manager was closed; its units go on as they were")

// Options configures a Manager. The zero value is that of a daemon run by root.
type Options struct {
	// Dir keeps unit files, records and sockets; DefaultDir if empty. One
	// Manager at a time has it open.
	Dir string
	// LogDir gets a file for each unit, NAME.log, that its processes
	// append to themselves. DefaultLogDir if empty.
	LogDir string
	// Logger gets the manager's own log; slog.Default() if nil.
	Logger *slog.Logger
}

// Manager runs units as child processes. It implements units.Manager.
type Manager struct {
	dir, logDir string
	log         *slog.Logger
	host        *host
	disk        *disk
	spawn       *spawner
	scan        scanner
	hub         *hub
	null        *os.File
	files       files
	fileWait    time.Duration // for one call of files
	closing     chan struct{}
	wg          sync.WaitGroup // of everything but the spawner
	close       func() error

	loading sync.Mutex // held by Load, and by Unload while it removes
	mu      sync.Mutex // guards what follows
	units   map[string]*unit
	strays  map[string][]stat // found when the manager was opened, by the mark of their unit
}

var _ units.Manager = (*Manager)(nil)

// New opens the manager of a state directory, and adopts the units it finds
// there: those that run go on, those that ended while no daemon ran are found
// dead, and restarted where Restart= says so.
func New(opts Options) (*Manager, error) {
	m := &Manager{dir: opts.Dir, logDir: opts.LogDir, log: opts.Logger, hub: newHub(), closing: make(chan struct{}),
		files: newFiles(), fileWait: fileWait, units: map[string]*unit{}}
	if m.dir == "" {
		m.dir = DefaultDir
	}
	if m.logDir == "" {
		m.logDir = DefaultLogDir
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	m.close = sync.OnceValue(m.shut)
	var err error
	if m.dir, err = filepath.Abs(m.dir); err != nil {
		return nil, err
	}
	if longest := notifyPath(m.dir, ""); len(longest) > maxSocketPath {
		return nil, fmt.Errorf("%s is too long for the sockets in it: choose a path shorter by %d characters", m.dir,
			len(longest)-maxSocketPath)
	}
	if m.logDir, err = filepath.Abs(m.logDir); err != nil {
		return nil, err
	}
	if m.host, err = readHost(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.logDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w: choose another one, or run as a user who may write there",
			err)
	}
	if m.disk, err = openDisk(m.dir); err != nil {
		return nil, err
	}
	if m.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		m.spawn, err = newSpawner(fileWait)
	}
	if err == nil {
		err = m.adopt()
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// logPath is the path of a unit's log.
func (m *Manager) logPath(name string) string { return filepath.Join(m.logDir, name+".log") }

// Close releases the manager. Units keep running.
func (m *Manager) Close() error { return m.close() }

func (m *Manager) shut() error {
	close(m.closing)
	m.hub.close()
	m.mu.Lock()
	list := make([]*unit, 0, len(m.units))
	for _, u := range m.units {
		list = append(list, u)
	}
	m.mu.Unlock()
	_, ended := within(newFiles(), closeWait, func() struct{} {
		for _, u := range list {
			<-u.done
		}
		m.wg.Wait()
		if m.spawn != nil {
			m.spawn.close()
		}
		if m.null != nil {
			_ = m.null.Close()
		}
		return struct{}{}
	})
	if !ended {
		m.log.Error("units that wait for a file system were left as they are", "units", busy(list))
	}
	return m.disk.close()
}

// busy lists the units whose goroutine has not ended.
func busy(list []*unit) []string {
	var names []string
	for _, u := range list {
		select {
		case <-u.done:
		default:
			names = append(names, u.name)
		}
	}
	return names
}

func (m *Manager) unit(name string) *unit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.units[name]
}

// hold starts a unit's goroutine; false if the manager is closed.
func (m *Manager) hold(u *unit) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.closing:
		return false
	default:
	}
	m.units[u.name] = u
	m.wg.Go(u.run)
	return true
}

// Load implements units.Manager. [Install] sections change nothing: the
// cluster starts units, not the boot.
func (m *Manager) Load(ctx context.Context, files []units.UnitFile) (map[string]error, error) {
	m.loading.Lock()
	defer m.loading.Unlock()
	bad := map[string]error{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return bad, err
		}
		select {
		case <-m.closing:
			return bad, errClosed
		default:
		}
		if err := m.load(f); err != nil {
			bad[f.Name] = fmt.Errorf("load %s: %w", f.Name, err)
		}
	}
	return bad, nil
}

func (m *Manager) load(f units.UnitFile) error {
	name, err := units.ParseName(f.Name)
	if err != nil {
		return err
	}
	if len(f.Name) > units.MaxNameLength {
		return fmt.Errorf("its name is %d bytes long: shorten it to at most %d, so that files can be named after it",
			len(f.Name), units.MaxNameLength)
	}
	cfg, hash, err := m.compile(name, f.Content)
	if err != nil {
		return err
	}
	if f.Hash != "" {
		hash = f.Hash
	}
	path := m.disk.unitPath(f.Name)
	u := m.unit(f.Name)
	if old, err := os.ReadFile(path); u == nil || err != nil || string(old) != f.Content {
		if err := m.disk.write(path, []byte(f.Content)); err != nil {
			return fmt.Errorf("write %s: %w: make room there, or let the daemon write there", path, err)
		}
	}
	if u == nil {
		u = newUnit(m, f.Name)
		u.cfg, u.st.Hash = cfg, hash
		found := m.claim(f.Name)
		if st, err := m.disk.load(f.Name); err == nil && st.Boot == m.host.bootID && st.Sub == subDead {
			found = nil // left alone when the unit was unloaded
		}
		u.rediscover(found)
		if err := u.save(); err != nil {
			return errors.Join(fmt.Errorf("record its state: %w: make room in %s", err, m.dir), m.disk.remove(f.Name))
		}
		u.resume()
		u.publish()
		if !m.hold(u) {
			return errClosed
		}
		return nil
	}
	done := make(chan struct{})
	if u.post(func() { u.configure(cfg, hash); close(done) }) {
		select {
		case <-done:
			return nil
		case <-u.done:
		}
	}
	return errClosed
}

func (m *Manager) compile(name units.Name, content string) (*config, string, error) {
	f, err := units.ParseFile(content)
	if err != nil {
		return nil, "", err
	}
	cfg, err := compile(name, f, m.host)
	return cfg, f.Hash(), err
}

// Unload implements units.Manager.
func (m *Manager) Unload(ctx context.Context, names []string) (map[string]error, error) {
	var mu sync.Mutex // guards bad
	bad := map[string]error{}
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			if err := m.unload(ctx, name); err != nil {
				mu.Lock()
				defer mu.Unlock()
				bad[name] = fmt.Errorf("unload %s: %w", name, err)
			}
		})
	}
	wg.Wait()
	select {
	case <-m.closing:
		return bad, errClosed
	default:
		return bad, ctx.Err()
	}
}

func (m *Manager) unload(ctx context.Context, name string) error {
	if err := m.Stop(ctx, name); errors.Is(err, units.ErrNotLoaded) {
		return nil
	} else if err != nil {
		return err
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	u := m.unit(name)
	if u == nil {
		return nil
	}
	done := make(chan error, 1)
	if !u.post(func() { done <- u.forget() }) {
		return errClosed
	}
	var err error
	select {
	case err = <-done:
	case <-u.done:
		select {
		case err = <-done:
		default:
			return errClosed
		}
	}
	if err == nil {
		m.mu.Lock()
		delete(m.units, name)
		m.mu.Unlock()
		<-u.done
	}
	return err
}

// Start implements units.Manager.
func (m *Manager) Start(ctx context.Context, name string) error { return m.job(ctx, "start", name) }

// Stop implements units.Manager.
func (m *Manager) Stop(ctx context.Context, name string) error { return m.job(ctx, "stop", name) }

// Restart implements units.Manager.
func (m *Manager) Restart(ctx context.Context, name string) error { return m.job(ctx, "restart", name) }

func notLoaded(verb, name string) error {
	return fmt.Errorf("%s %s: %w: load it first", verb, name, units.ErrNotLoaded)
}

// job hands a request to a unit and waits for its result. If ctx ends first, the job goes on.
func (m *Manager) job(ctx context.Context, verb, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	u := m.unit(name)
	if u == nil {
		return notLoaded(verb, name)
	}
	j := &job{verb: verb, done: make(chan error, 1)}
	u.post(func() { u.handle(j) })
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w", verb, name, ctx.Err())
	case <-u.done:
	}
	select {
	case err := <-j.done:
		return err
	case <-m.closing:
		return fmt.Errorf("%s %s: %w", verb, name, errClosed)
	default:
		return notLoaded(verb, name)
	}
}

// startWanted starts what a unit wants, without waiting; names that aren't held are passed over, as with systemd.
func (m *Manager) startWanted(names []string) {
	for _, name := range names {
		if u := m.unit(name); u != nil {
			m.wg.Go(func() { u.post(func() { u.handle(&job{verb: "start", done: make(chan error, 1)}) }) })
		}
	}
}

// Watch implements units.Manager. Changes that gather while the reader is
// busy come as one batch.
func (m *Manager) Watch(ctx context.Context) ([]units.Status, <-chan []units.Status, error) {
	return m.hub.watch(ctx, &m.wg)
}
