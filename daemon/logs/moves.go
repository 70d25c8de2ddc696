package logs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/journal"
	"fleettop/units"
)

const (
	// holdFor is how long the first lines of a unit on its new machine wait
	// for its outage to be known, so that the divider before them can tell it.
	holdFor = 2 * time.Second
	// holdMost is how many lines wait.
	holdMost = 10000
)

// moves are what is known of units that were moved, by unit: whose lines wait
// for the outage, and whose divider went without one.
type moves struct {
	held map[string]*hold
	told map[string]string // the machine the unit came to
}

type hold struct {
	from, to string
	lines    []item
	first    time.Time // when the first of them came
}

// hold keeps a line that has to wait.
func (m *moves) hold(it item, now time.Time) bool {
	h := m.held[it.Unit]
	if h == nil || it.Kind != "" || it.Machine != h.to {
		return false
	}
	if len(h.lines) == 0 {
		h.first = now
	}
	h.lines = append(h.lines, it)
	return true
}

// expire lets lines go that have waited for long enough.
func (m *moves) expire(c *conductor, now time.Time) (left time.Duration) {
	for _, unit := range sortedKeys(m.held) {
		h := m.held[unit]
		if len(h.lines) == 0 {
			continue
		}
		wait := h.first.Add(holdFor).Sub(now)
		if wait <= 0 || len(h.lines) >= holdMost {
			m.told[unit] = h.to
			c.giveUp(unit, h, h.first)
		} else if left == 0 || wait < left {
			left = wait
		}
	}
	return left
}

// giveUp says that a unit moved without knowing its outage, and lets its lines go.
func (c *conductor) giveUp(unit string, h *hold, at time.Time) {
	delete(c.moves.held, unit)
	c.put(c.divider(unit, h.from, h.to, nil, at))
	h.release(c)
}

func (h *hold) release(c *conductor) {
	for _, it := range h.lines {
		c.put(it.Entry)
	}
	h.lines = nil
}

// apply takes a newer state of the cluster, and says what moved.
func (c *conductor) apply(snap *cluster.Snapshot, events []cluster.Event) {
	before := c.snap
	c.snap = snap
	if !cluster.SameMap(before.Assignments, snap.Assignments) {
		c.moved(before, snap)
	}
	for _, e := range events {
		if e.ID > c.lastEvent.ID {
			c.lastEvent = e
		}
		if e.Kind != cluster.EventActive || e.Outage == nil {
			continue
		}
		if h := c.moves.held[e.Unit]; h != nil && h.to == e.To {
			delete(c.moves.held, e.Unit)
			c.put(c.divider(e.Unit, h.from, h.to, e.Outage, e.Time.Add(-e.Outage.Start)))
			h.release(c)
		} else if to, told := c.moves.told[e.Unit]; told && to == e.To {
			delete(c.moves.told, e.Unit)
			c.note(c.prefix(e.Unit) + fmt.Sprintf("is active on %s, outage %s", snap.Label(e.To), outage(*e.Outage)))
		}
	}
}

// moved finds the units that were taken from one machine and given to another.
func (c *conductor) moved(before, after *cluster.Snapshot) {
	came := map[string]string{}
	for k := range after.Assignments {
		if _, had := before.Assignments[k]; !had && selected(c.names, k.Unit) {
			came[k.Unit] = k.Machine
		}
	}
	left := map[string]string{}
	for k := range before.Assignments {
		if _, has := after.Assignments[k]; !has && came[k.Unit] != "" {
			left[k.Unit] = k.Machine
		}
	}
	for _, unit := range sortedKeys(left) {
		from, to := left[unit], came[unit]
		if first := c.moves.held[unit]; first != nil { // it moves on before its outage is known
			at := first.first
			if at.IsZero() {
				at = time.Now()
			}
			c.giveUp(unit, first, at)
		}
		delete(c.moves.told, unit)
		verdict, judged := after.Verdicts[from] // written with the move
		launched := after.Assignments[cluster.UnitOnMachine{Machine: to, Unit: unit}].Desired == units.Launched
		if judged && verdict.State != cluster.Up && launched {
			c.moves.held[unit] = &hold{from: from, to: to}
			continue
		}
		c.moves.told[unit] = to
		c.put(c.divider(unit, from, to, nil, time.Now()))
	}
}

// divider is the line between two machines.
func (c *conductor) divider(unit, from, to string, o *cluster.Outage, at time.Time) journal.Entry {
	text := c.prefix(unit) + fmt.Sprintf("moved %s → %s", c.snap.Label(from), c.snap.Label(to))
	if o != nil {
		text += ", outage " + outage(*o)
	}
	return journal.Entry{Kind: journal.KindDivider, Time: at, Machine: to, Unit: unit, Text: text}
}

// prefix names the unit where there are several.
func (c *conductor) prefix(unit string) string {
	if len(c.names) == 1 && !isGlob(c.names[0]) {
		return ""
	}
	return unit + " "
}

func outage(o cluster.Outage) string { return fmt.Sprintf("%.2fs", o.Total().Seconds()) }

func sortedKeys[V any, K cmp.Ordered](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
