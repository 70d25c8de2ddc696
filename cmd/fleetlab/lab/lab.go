package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Options say what lab to make. The zero value is a lab named "lab".
type Options struct {
	// Name tells labs apart: 1 to 16 lower-case letters and digits, the
	// first a letter. Namespaces and cgroups carry it as fleetlab-NAME-.
	Name string
	// Dir holds the lab's machines and state; /var/lib/fleetlab/NAME by default.
	Dir string
	// Subnet is an IPv4 /24; by default one of 198.18.0.0/15 that no other lab has.
	Subnet string
	// CableCommand, if set, is run as a process of its own for a slow or lossy
	// cable on a kernel without netem: a program that calls RunCable. Without it
	// such a cable is a goroutine of this process and ends with it.
	CableCommand []string
	// Layers are directories laid over the machines' /usr, read-only, the last
	// one on top: programs that this host doesn't have. Only for a host whose
	// /bin and /lib are in /usr.
	Layers []string
	// Disks are directories of every machine that are ext4 file systems of their
	// own, of so many MiB, which StallDisk can stall.
	Disks map[string]int
	// Log gets a line for what the lab does; nil discards it.
	Log *slog.Logger
}

const (
	defaultName = "lab"
	stateHome   = "/var/lib/fleetlab"
	mostCount   = 200
)

var validName = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

// Lab is a set of machines on one switch. Its methods may be called from
// several goroutines.
type Lab struct {
	name   string
	dir    string
	subnet netip.Prefix // zero until Up has chosen one
	cable  []string
	layers []string // absolute
	disks  map[string]int
	log    *slog.Logger

	mu       sync.Mutex // guards machines and subnet
	machines []*Machine

	children sync.WaitGroup // the goroutines of this process that wait for supervisors and run cables
}

// New returns a lab that Up will build. It touches nothing on the host.
func New(opts Options) (*Lab, error) {
	l := &Lab{name: opts.Name, dir: opts.Dir, cable: opts.CableCommand, disks: opts.Disks, log: opts.Log}
	if l.name == "" {
		l.name = defaultName
	}
	if !validName.MatchString(l.name) {
		return nil, fmt.Errorf("lab name %q: use 1 to 16 lower-case letters and digits, starting with a letter", l.name)
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.dir == "" {
		l.dir = filepath.Join(stateHome, l.name)
	}
	dir, err := filepath.Abs(l.dir)
	if err != nil {
		return nil, fmt.Errorf("lab directory %s: %w", l.dir, err)
	}
	l.dir = dir
	for _, layer := range opts.Layers {
		path, err := filepath.Abs(layer)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", layer, err)
		}
		l.layers = append(l.layers, path)
	}
	if opts.Subnet != "" {
		if l.subnet, err = parseSubnet(opts.Subnet); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// ErrNotUp means that there is no such lab.
var ErrNotUp = errors.New("the lab is not up; start it with `fleetlab up`")

// Open takes hold of a lab that some process brought up, by Options.Name. The
// error wraps ErrNotUp if there is none.
func Open(opts Options) (*Lab, error) {
	l, err := New(opts)
	if err != nil {
		return nil, err
	}
	dir, err := register(registryHome).find(l.name)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", l.name, err)
	}
	state, err := readLabState(dir)
	if err != nil {
		return nil, fmt.Errorf("lab %s: %w", l.name, err)
	}
	l.adopt(dir, state)
	return l, nil
}

// Info describes a lab found on this host.
type Info struct {
	Name     string
	Dir      string
	Subnet   string
	Machines int
	Running  int // machines with power
}

// List returns the labs of this host, sorted by name.
func List() ([]Info, error) {
	names, err := register(registryHome).names()
	if err != nil {
		return nil, err
	}
	var infos []Info
	for _, name := range names {
		l, err := Open(Options{Name: name})
		if err != nil {
			continue // what Up would clean away
		}
		info := Info{Name: name, Dir: l.dir, Subnet: l.Subnet().String(), Machines: len(l.machines)}
		for _, m := range l.machines {
			if m.Running() {
				info.Running++
			}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// adopt makes l the lab that a state file describes.
func (l *Lab) adopt(dir string, state labState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dir, l.subnet, l.layers = dir, state.Subnet, state.Layers
	l.machines = nil
	for _, id := range state.Machines {
		l.machines = append(l.machines, &Machine{Name: id.Name, IP: id.IP, MachineID: id.MachineID, index: id.Index, lab: l})
	}
}

// Name returns the lab's name.
func (l *Lab) Name() string { return l.name }

// Dir returns the directory that holds the lab's machines.
func (l *Lab) Dir() string { return l.dir }

// Subnet returns the machines' network; the zero Prefix before Up.
func (l *Lab) Subnet() netip.Prefix {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.subnet
}

// Gateway returns the address of the switch, as which Dial and InSwitch
// appear to the machines. Only valid once the lab is up.
func (l *Lab) Gateway() netip.Addr { return hostOf(l.Subnet(), switchHost) }

// Machines returns n1, n2, ... in this order; empty before Up.
func (l *Lab) Machines() []*Machine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.machines)
}

// Machine returns a machine by its name or number: "n2" or "2".
func (l *Lab) Machine(name string) (*Machine, error) {
	machines := l.Machines()
	for _, m := range machines {
		if m.Name == name || strconv.Itoa(m.index) == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("lab %s has no machine %q; it has n1 to n%d", l.name, name, len(machines))
}

// Up builds the lab, boots n machines and waits until they are booted. What a
// crashed lab of the same name left behind is removed first; a lab that
// another living process brought up is not touched, and is an error. When Up
// fails, or ctx ends, nothing is left.
func (l *Lab) Up(ctx context.Context, n int) (err error) {
	if n < 1 || n > mostCount {
		return fmt.Errorf("a lab of %d machines: choose 1 to %d", n, mostCount)
	}
	if err := checkHost(); err != nil {
		return err
	}
	began := time.Now()
	if err := l.claim(ctx, n); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Down(context.WithoutCancel(ctx)))
		}
	}()
	if err := l.makeSwitch(); err != nil {
		return fmt.Errorf("lab %s: make the switch: %w", l.name, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range l.Machines() {
		group.Go(func() error {
			if err := m.makeRoot(n); err != nil {
				return fmt.Errorf("lab %s: make %s: %w", l.name, m.Name, err)
			}
			for path, size := range l.disks {
				if err := m.makeDisk(path, size); err != nil {
					return fmt.Errorf("lab %s: make %s: %w", l.name, m.Name, err)
				}
			}
			if err := m.Boot(ctx); err != nil {
				return err
			}
			return m.WaitBooted(ctx)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	l.log.Info("lab is up", "lab", l.name, "machines", n, "subnet", l.subnet, "took",
		time.Since(began).Round(time.Millisecond))
	return nil
}

// claim takes the lab's name and subnet for this process, after removing what
// a dead process left under the name, and writes the state file.
func (l *Lab) claim(ctx context.Context, n int) error {
	reg := register(registryHome)
	unlock, err := reg.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if dir, err := reg.find(l.name); err == nil {
		if err := l.removeOld(ctx, dir); err != nil {
			return err
		}
	} else if err := l.removeOld(ctx, l.dir); err != nil {
		return err
	}
	if err := checkVacant(l.dir); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	taken := append(reg.subnets(), hostSubnets()...)
	subnet := l.Subnet()
	if !subnet.IsValid() {
		if subnet, err = chooseSubnet(l.name, taken); err != nil {
			return err
		}
	} else if i := slices.IndexFunc(taken, subnet.Overlaps); i >= 0 {
		return fmt.Errorf("lab %s: subnet %s is in use as %s; choose another, or none to let the lab choose", l.name, subnet,
			taken[i])
	}
	state := newLabState(l.name, subnet, n)
	state.Layers = l.layers
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	if err := writeLabState(l.dir, state); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	if err := reg.add(l.name, l.dir); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	l.adopt(l.dir, state)
	return nil
}

// removeOld takes down what there is of a lab of our name, and of one in dir.
func (l *Lab) removeOld(ctx context.Context, dir string) error {
	old := &Lab{name: l.name, dir: dir, log: l.log}
	state, err := readLabState(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.sweep(ctx, nil)
	case err == nil && state.Name != l.name:
		return fmt.Errorf("lab %s: %s belongs to lab %s: choose another directory", l.name, dir, state.Name)
	case err == nil:
		if state.Owner.alive() {
			return fmt.Errorf("lab %s is in use by process %d; take it down first, or choose another name", l.name,
				state.Owner.PID)
		}
		old.adopt(dir, state)
	}
	// A state file that can't be read is a lab's all the same.
	l.log.Info("removing what an earlier lab left", "lab", l.name, "dir", dir)
	return old.down(ctx)
}

// Disown lets the lab outlive this process. A later Up under the same name
// takes it for left over, so ask Open first.
func (l *Lab) Disown() error {
	state, err := readLabState(l.dir)
	if err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	state.Owner = process{}
	if err := writeLabState(l.dir, state); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	return nil
}

// Down ends the lab and removes all of it: processes, namespaces, links,
// cgroups and files. Taking down a lab that isn't up does nothing.
func (l *Lab) Down(ctx context.Context) error {
	unlock, err := register(registryHome).lock()
	if err != nil {
		return err
	}
	defer unlock()
	// Whatever is registered under the name goes, also if its state was lost.
	if dir, err := register(registryHome).find(l.name); err == nil {
		state, _ := readLabState(dir)
		l.adopt(dir, state)
	}
	return l.down(ctx)
}

// down is Down with the registry locked.
func (l *Lab) down(ctx context.Context) error {
	err := l.sweep(ctx, l.Machines())
	if err == nil {
		err = removeLab(l.dir)
	}
	if err == nil {
		err = register(registryHome).remove(l.name)
		_ = os.Remove(stateHome) // unless another lab is in it
	}
	l.children.Wait()
	if err != nil {
		return fmt.Errorf("take lab %s down: %w; repeat it with `fleetlab down --name %s`", l.name, err, l.name)
	}
	l.mu.Lock()
	l.machines = nil
	l.mu.Unlock()
	l.log.Info("lab is down", "lab", l.name)
	return nil
}

// sweep ends the processes and removes the namespaces and cgroups that carry
// the lab's prefix, whether a state file knows them or not.
func (l *Lab) sweep(ctx context.Context, machines []*Machine) error {
	var errs []error
	resumeDisks(l.dir)
	errs = append(errs, endGroups(ctx, l.prefix()))
	for _, m := range machines {
		errs = append(errs, m.waitGone(ctx))
	}
	errs = append(errs, l.endCables(machines), removeNamespaces(l.prefix()), removeTraces(l.prefix()),
		removeGroups(ctx, l.prefix()))
	for _, m := range machines {
		errs = append(errs, m.removeMemory())
	}
	return errors.Join(errs...)
}

// prefix begins the name of everything of this lab that has a name on the host.
func (l *Lab) prefix() string { return "fleetlab-" + l.name + "-" }

// DownOnSignal takes the lab down when SIGINT, SIGTERM or SIGHUP arrives, and
// then lets the signal end the process. A signal that the process was started
// to ignore, as by nohup, stays ignored. The returned function undoes that.
func (l *Lab) DownOnSignal() (stop func()) {
	signals := make(chan os.Signal, 1)
	done := make(chan struct{})
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-done:
		case s := <-signals:
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := l.Down(ctx); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			signal.Reset(s)
			_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
		}
	})
	return sync.OnceFunc(func() {
		signal.Stop(signals)
		close(done)
		wait.Wait()
	})
}
