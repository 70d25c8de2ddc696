package stats

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"fleettop/daemon/api"
	"fleettop/units"
)

const (
	// Every is how often a follower gets figures.
	Every = 2 * time.Second
	// fresh is how old figures may be that several followers share.
	fresh = Every - 200*time.Millisecond
	// glance is what the first figures are measured over.
	glance = 250 * time.Millisecond
	// stale is when the last measurement is too old to measure from.
	stale = 3 * Every
)

// Collector measures this machine. Its methods are safe for concurrent use.
type Collector struct {
	machine string
	list    func() []units.Status // the units of this machine
	host    host

	mu    sync.Mutex // guards what follows, and is held while measuring
	last  reading
	stats api.Stats // made of last and the one before
}

// NewCollector returns a Collector. list tells which units there are.
func NewCollector(machine string, list func() []units.Status) *Collector {
	return &Collector{machine: machine, list: list, host: host{proc: "/proc", cgroups: "/sys/fs/cgroup"}}
}

// reading is what the counters said at a moment.
type reading struct {
	at    time.Time
	host  hostUse
	units map[string]use
}

// use is what a unit has used so far, by the processes or the group that it was counted in.
type use struct {
	cpu    time.Duration
	byPID  map[int]time.Duration // instead of cpu, where processes were summed up
	memory int64
}

// Sample measures, or returns what was measured a moment ago. The first time
// it takes a quarter of a second.
func (c *Collector) Sample() (api.Stats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.Machine != "" && time.Since(c.stats.Time) < fresh {
		return c.stats, nil
	}
	if time.Since(c.last.at) > stale {
		first, err := c.read()
		if err != nil {
			return api.Stats{}, err
		}
		c.last = first
		time.Sleep(glance)
	}
	next, err := c.read()
	if err != nil {
		return api.Stats{}, err
	}
	c.stats = between(c.machine, c.last, next)
	c.last = next
	return c.stats, nil
}

func (c *Collector) read() (reading, error) {
	r := reading{at: time.Now()}
	var err error
	if r.host, err = c.host.use(); err != nil {
		return r, err
	}
	r.units = c.host.unitUses(c.list())
	return r, nil
}

// between is what was used from one reading to the next.
func between(machine string, a, b reading) api.Stats {
	over := b.at.Sub(a.at).Seconds()
	s := api.Stats{Time: b.at, Machine: machine, CPUs: b.host.cpus, Memory: b.host.memory, MemoryTotal: b.host.memoryTotal,
		Load1: b.host.load1, Uptime: b.host.uptime}
	if over <= 0 {
		return s
	}
	s.CPU = max(0, (b.host.busy-a.host.busy).Seconds()/over)
	for name, u := range b.units {
		before, known := a.units[name]
		spent := u.cpu - before.cpu
		if u.byPID != nil {
			spent = 0
			for pid, cpu := range u.byPID {
				spent += max(0, cpu-before.byPID[pid])
			}
		}
		if !known || spent < 0 { // new, or started again
			spent = 0
		}
		s.Units = append(s.Units, api.UnitStats{Name: name, CPU: spent.Seconds() / over, Memory: u.memory})
	}
	slices.SortFunc(s.Units, func(x, y api.UnitStats) int { return cmp.Compare(x.Name, y.Name) })
	return s
}
