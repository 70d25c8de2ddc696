package stats

import (
	"context"
	"math"
	"sync"
	"time"

	"fleettop/daemon/api"
)

const (
	// historyEvery is how far the points of a history are apart, and historyPoints how many
	// there are: an hour of them.
	historyEvery  = 30 * time.Second
	historyPoints = int(time.Hour / historyEvery)
	// historyUnits is of how many units there is a history; those that came first keep theirs.
	historyUnits = 1000
)

// point is what was used over one interval. It is small, as there are many of them.
type point struct {
	cpu    float32 // cores, on average; negative where nothing was measured
	memory uint32  // KiB at the end of the interval
}

// series are the points of the machine or of a unit, a ring once it is full.
type series struct {
	points []point
	next   int // where the next point goes, once it is full
	gaps   int // at the end
}

func (s *series) add(p point) {
	s.gaps++
	if p.cpu >= 0 {
		s.gaps = 0
	}
	if len(s.points) < historyPoints {
		s.points = append(s.points, p)
		return
	}
	s.points[s.next] = p
	s.next = (s.next + 1) % historyPoints
}

// wire returns the points as the API has them, the oldest first.
func (s *series) wire() (cpu []float64, memory []int64) {
	cpu, memory = make([]float64, 0, len(s.points)), make([]int64, 0, len(s.points))
	for i := range s.points {
		p := s.points[(s.next+i)%len(s.points)]
		cpu, memory = append(cpu, float64(p.cpu)), append(memory, int64(p.memory)<<10)
	}
	return cpu, memory
}

// history is what the machine and its units used during the last hour. Its methods are safe for
// concurrent use.
type history struct {
	mu      sync.Mutex // guards what follows
	last    reading
	machine series
	units   map[string]*series
}

// note takes in a reading, about historyEvery after the last one. Where readings were missed, as
// while the machine was suspended, there are gaps.
func (h *history) note(r reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.last
	h.last = r
	if last.at.IsZero() {
		return // there is nothing to compare it with
	}
	missed := int((r.at.Sub(last.at)+historyEvery/2)/historyEvery) - 1
	for range min(max(0, missed), historyPoints) {
		h.add(map[string]point{}, point{cpu: -1})
	}
	used := between("", last, r)
	units := make(map[string]point, len(used.Units))
	for _, u := range used.Units {
		units[u.Name] = newPoint(u.CPU, u.Memory)
	}
	h.add(units, newPoint(used.CPU, used.Memory))
}

func newPoint(cpu float64, memory int64) point {
	return point{float32(cpu), uint32(min(memory>>10, math.MaxUint32))}
}

// add gives the machine a point and each unit that is known one; a unit that had none for an hour is forgotten.
func (h *history) add(units map[string]point, machine point) {
	h.machine.add(machine)
	for name, s := range h.units {
		p, ok := units[name]
		if !ok {
			p = point{cpu: -1}
		}
		s.add(p)
		if s.gaps >= historyPoints {
			delete(h.units, name)
		}
		delete(units, name)
	}
	for name, p := range units {
		if len(h.units) >= historyUnits {
			return
		}
		if h.units == nil {
			h.units = map[string]*series{}
		}
		s := &series{}
		s.add(p)
		h.units[name] = s
	}
}

// of returns the history of the machine, or of a unit where one is named; ok is false where there is none.
func (h *history) of(machine, unit string) (out api.StatsHistory, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.machine
	if unit != "" {
		if s, ok = h.units[unit]; !ok {
			return out, false
		}
	}
	if len(s.points) == 0 {
		return out, false
	}
	out = api.StatsHistory{Machine: machine, Unit: unit, Every: historyEvery.Seconds(),
		Ago: max(0, time.Since(h.last.at).Seconds()), CPUs: h.last.host.cpus, MemoryTotal: h.last.host.memoryTotal}
	out.CPU, out.Memory = s.wire()
	return out, true
}

// Run keeps the history until ctx ends: it measures every half minute.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(historyEvery)
	defer tick.Stop()
	for {
		r, err := s.collector.read()
		if err == nil {
			s.history.note(r)
		} else {
			s.cfg.Log.Debug("the figures for the history can't be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// historyWithin is how long a machine may take to tell its history.
const historyWithin = time.Second

// History implements server.StatsKeeper.
func (s *Service) History(ctx context.Context, unit string, machines []string, local bool) []api.StatsHistory {
	own := func() []api.StatsHistory {
		if h, ok := s.history.of(s.cfg.Self, unit); ok {
			return []api.StatsHistory{h}
		}
		return nil
	}
	if local {
		return own()
	}
	return gather(ctx, s, machines, historyWithin, func(ctx context.Context, id string) ([]api.StatsHistory, error) {
		if id == s.cfg.Self {
			return own(), nil
		}
		c, err := s.cfg.Peers.Client(id)
		if err != nil {
			return nil, err
		}
		return c.LocalStatsHistory(ctx, unit)
	}, nil)
}
