package state

import (
	"cmp"
	"slices"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
)

// Snapshot is everything the console shows, at one moment. It is immutable
// and safe to share.
type Snapshot struct {
	Gen   uint64 // grows with each snapshot
	Rows  []*Row // by unit, then machine
	Conn  Conn
	Store api.Store

	ClusterID string
	Self      string // the machine that answers
	Version   string // of its daemon
	Leader    cluster.Leader
	Ahead     time.Duration // of the daemon's clock, before the one here
	Unled     time.Time     // since when none leads; zero while one does, or where that isn't known

	Machines []*Machine // by name
	Timeline []*Entry   // oldest first
	Counts   Counts
	Moving   int       // rows whose stopwatch runs
	Quick    time.Time // until when one of them shows tenths of a second

	byRow     map[string]int // index in Rows
	byMachine map[string]int // index in Machines
}

// Conn is the console's own connection.
type Conn struct {
	Up       bool
	Quiet    bool      // up, and nothing has come for longer than it should
	Endpoint string    // in use, or tried
	Since    time.Time // it is up, or down
	Err      string    // why it is down
	Seen     time.Time // the last line came
	Retry    time.Time // of the next try, while down
}

// Counts sum up a snapshot.
type Counts struct {
	Machines, MachinesUp int
	Voters, VotersUp     int
	Units                []Count // rows by word
	Moods                [4]int  // rows by mood
	// Stranding is the machine whose death would strand the most units; empty if none would.
	Stranding string
	Strands   int
	Checked   int // machines the what-if has looked at, of those up
}

// Machine is a machine with what runs there. It is immutable.
type Machine struct {
	api.Machine
	Label   string // its name, or the beginning of its ID
	Mood    Mood
	SeenBy  string // the other machine whose evidence its health rests on; empty if that isn't known
	Word    string
	Rows    []*Row // assigned there, by unit
	Coming  []*Row // on their way there; part of Rows
	Leaving []*Row // on their way from there, or moved away not long ago
	Bad     int    // rows in trouble
	WhatIf  *api.WhatIf
	Use     *Use // nil without figures

	hay string
}

// Use is what a machine uses.
type Use struct {
	api.Stats
	History []float64 // CPU, 0 to 1, oldest first
	units   map[string]api.UnitStats
}

// Row returns the row with an ID, or nil.
func (s *Snapshot) Row(id string) *Row {
	if i, ok := s.byRow[id]; ok {
		return s.Rows[i]
	}
	return nil
}

// Machine returns the machine with an ID, or nil.
func (s *Snapshot) Machine(id string) *Machine {
	if i, ok := s.byMachine[id]; ok {
		return s.Machines[i]
	}
	return nil
}

// Called is a machine's name, for people.
func (s *Snapshot) Called(id string) string {
	if m := s.Machine(id); m != nil {
		return m.Label
	}
	return cluster.Machine{ID: id}.Label()
}

// Of returns the rows of a unit.
func (s *Snapshot) Of(unit string) []*Row {
	if r := s.Row(unit); r != nil {
		return []*Row{r}
	}
	// Those of a global unit are next to each other, as rows are by ID.
	from, _ := slices.BinarySearchFunc(s.Rows, unit+" ", func(r *Row, id string) int { return cmp.Compare(r.ID, id) })
	to := from
	for to < len(s.Rows) && s.Rows[to].Unit == unit {
		to++
	}
	return s.Rows[from:to:to]
}

// UseOf is what a row's unit uses where it is.
func (s *Snapshot) UseOf(r *Row) (api.UnitStats, bool) {
	m := s.Machine(r.Machine)
	if m == nil || m.Use == nil {
		return api.UnitStats{}, false
	}
	u, ok := m.Use.units[r.Unit]
	return u, ok
}
