package state

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fleettop/cluster"
)

// fillMachines makes the machines of a snapshot, and sums it up.
func (r *Reducer) fillMachines(s *Snapshot, now time.Time) {
	if r.order == nil {
		r.order = slices.SortedFunc(maps.Values(r.machines), func(a, b *machine) int {
			return cmp.Or(natural(a.Label, b.Label), cmp.Compare(a.ID, b.ID))
		})
		s.byMachine = nil
	}
	all := make([]Machine, len(r.order))
	s.Machines = make([]*Machine, len(r.order))
	for i, m := range r.order {
		all[i] = m.Machine
		all[i].Use = r.stats[m.ID]
		if by := r.machines[m.Health.By]; by != nil && by != m {
			all[i].SeenBy = by.Label
		}
		if w, ok := r.whatIf[m.ID]; ok {
			all[i].WhatIf = &w
		}
		s.Machines[i] = &all[i]
		m.slot, m.rows = i, 0
	}
	if s.byMachine == nil {
		s.byMachine = make(map[string]int, len(r.order))
		for i, m := range r.order {
			s.byMachine[m.ID] = i
		}
	}
	s.Counts, s.Moving, s.Quick = Counts{}, 0, time.Time{}
	r.fillRows(s, now)
	for _, m := range s.Machines {
		s.Counts.addMachine(m)
	}
}

// fillRows hands each machine its rows, cut from one array.
func (r *Reducer) fillRows(s *Snapshot, now time.Time) {
	for _, row := range s.Rows {
		if row.home != nil {
			row.home.rows++
		}
	}
	array := make([]*Row, len(s.Rows))
	for i, m := range r.order {
		s.Machines[i].Rows, array = array[:0:m.rows], array[m.rows:]
	}
	words := tally{}
	for _, row := range s.Rows {
		words.count(row.Word)
		s.Counts.Moods[row.Mood]++
		if row.home != nil {
			m := s.Machines[row.home.slot]
			m.Rows = append(m.Rows, row)
			if row.Mood == Bad {
				m.Bad++
			}
		}
		if row.Move == nil || !row.Move.Fresh(now) {
			continue
		}
		if row.Move.Running() {
			s.Moving++
			if until := row.Move.Began.Add(time.Minute); until.After(s.Quick) {
				s.Quick = until
			}
		}
		if m := s.Machine(row.Move.From); m != nil && row.Machine != row.Move.From {
			m.Leaving = append(m.Leaving, row)
		}
		if m := s.Machine(row.Move.To); m != nil && row.Machine == row.Move.To {
			m.Coming = append(m.Coming, row)
		}
	}
	s.Counts.Units = words
}

// tally counts words; there are few of them, so that a list is faster than a map.
type tally []Count

// Count is a word and how often it is there.
type Count struct {
	Word string
	N    int
}

func (t *tally) count(word string) {
	for i := range *t {
		if (*t)[i].Word == word {
			(*t)[i].N++
			return
		}
	}
	*t = append(*t, Count{word, 1})
}

func (c *Counts) addMachine(m *Machine) {
	c.Machines++
	up := m.Health.State.Runs()
	if up {
		c.MachinesUp++
	}
	if m.Seat == cluster.Voter {
		c.Voters++
		if up {
			c.VotersUp++
		}
	}
	if w := m.WhatIf; w != nil && up {
		c.Checked++
		if w.Strands > c.Strands {
			c.Stranding, c.Strands = m.ID, w.Strands
		}
	}
}

// machineWord is a machine's state in one word.
func machineWord(m *Machine) (string, Mood) {
	switch m.Health.State {
	case cluster.Suspect:
		return "suspect", Busy
	case cluster.DaemonGone:
		return "no daemon", Busy
	case cluster.Failed:
		if m.Drill.Out() {
			return "drill", Bad
		}
		return "failed", Bad
	case cluster.Down:
		if m.Departure == cluster.Left {
			return "left", Idle
		}
		return "down", Bad
	case "":
		return "unknown", Busy
	}
	switch m.Schedule {
	case cluster.Cordoned:
		return "cordoned", Busy
	case cluster.Drained:
		return "drained", Busy
	}
	return "up", Good
}

// WordSince is since when a machine is what its word says; zero if that isn't known.
func (m *Machine) WordSince() time.Time {
	if m.Health.State == cluster.Up && m.Schedule != cluster.Schedulable {
		return m.ScheduledAt
	}
	return m.Health.Since
}

// LeavingAt are those of Leaving that still count at a time: on their way, or
// gone not long ago; moved says how many of them have another machine.
func (m *Machine) LeavingAt(now time.Time) (rows []*Row, moved int) {
	for _, r := range m.Leaving {
		if !r.Move.Fresh(now) {
			continue
		}
		rows = append(rows, r)
		if r.Machine != "" {
			moved++
		}
	}
	return rows, moved
}

// Share is how much of all a machine's CPUs is in use, from 0 to 1.
func (u *Use) Share() float64 { return share(u.CPU, float64(u.CPUs)) }

// Role is a machine's part in the cluster, in words.
func (m *Machine) Role() string {
	var words []string
	if m.Leader {
		words = append(words, "leader")
	}
	if m.Seat != cluster.NoSeat {
		words = append(words, string(m.Seat))
	}
	return strings.Join(words, " ")
}

// natural compares names so that n2 comes before n10.
func natural(a, b string) int {
	for a != "" && b != "" {
		an, bn := digits(a), digits(b)
		if an > 0 && bn > 0 {
			x, y := strings.TrimLeft(a[:an], "0"), strings.TrimLeft(b[:bn], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[an:], b[bn:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
