package process

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"sync"

	"fleettop/units/proc"
)

// stat is what is known of a process at a glance.
type stat struct {
	procID
	Parent, Session int
	Zombie          bool
	Invocation      string // INVOCATION_ID in its environment, if that can be read
}

// readStat returns what is known of a process, but for its invocation.
func readStat(pid int) (stat, error) {
	p, err := proc.Read(proc.Root, pid)
	return statOf(p), err
}

func statOf(p proc.Stat) stat {
	return stat{procID: procID{PID: p.PID, Start: p.Start}, Parent: p.Parent, Session: p.Session, Zombie: p.Ended()}
}

// readTable looks at every process but this one.
func readTable() ([]stat, error) {
	all, err := proc.All(proc.Root)
	if err != nil {
		return nil, err
	}
	self := os.Getpid()
	list := make([]stat, 0, len(all))
	for _, p := range all {
		if p.PID == self {
			continue
		}
		s := statOf(p)
		if !s.Zombie && s.Session != 0 { // session 0 is the kernel's own threads
			s.Invocation = invocationOf(p.PID)
		}
		list = append(list, s)
	}
	return list, nil
}

var invocationMark = []byte("INVOCATION_ID=")

func invocationOf(pid int) string {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return "" // another user's, or gone
	}
	for len(env) > 0 {
		var v []byte
		v, env, _ = bytes.Cut(env, []byte{0})
		if id, ok := bytes.CutPrefix(v, invocationMark); ok {
			return string(id)
		}
	}
	return ""
}

// scanner shares readings of the process table: whoever asks while one is
// being made gets the next one, together with all others who asked meanwhile.
type scanner struct {
	mu   sync.Mutex // guards next
	next *scan
	busy sync.Mutex // held while reading
}

type scan struct {
	once  sync.Once
	table []stat
	err   error
}

// table returns a reading that began after the call.
func (s *scanner) table() ([]stat, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = new(scan)
	}
	mine := s.next
	s.mu.Unlock()
	mine.once.Do(func() {
		s.busy.Lock()
		defer s.busy.Unlock()
		s.mu.Lock()
		s.next = nil // whoever asks from here on needs a later reading
		s.mu.Unlock()
		mine.table, mine.err = readTable()
	})
	return mine.table, mine.err
}

// members picks a unit's processes from a table: those that carry its
// invocation, those in the sessions its commands were started in, and all
// that descend from them.
func members(table []stat, invocation string, sessions, roots []procID) []procID {
	leader := make(map[int]uint64, len(sessions))
	for _, s := range sessions {
		leader[s.PID] = s.Start
	}
	alive := make(map[int]uint64, len(table))
	children := map[int][]int{}
	for i, p := range table {
		alive[p.PID] = p.Start
		children[p.Parent] = append(children[p.Parent], i)
	}
	in := make([]bool, len(table))
	var queue []int
	add := func(i int) {
		if !in[i] {
			in[i] = true
			queue = append(queue, i)
		}
	}
	for i, p := range table {
		start, inSession := leader[p.Session]
		if now, ok := alive[p.Session]; ok && now != start || p.Start < start {
			inSession = false // the number is another session's by now
		}
		if p.Invocation != "" && p.Invocation != invocation {
			inSession = false // it says whose it is
		}
		if inSession || slices.Contains(roots, p.procID) || invocation != "" && p.Invocation == invocation {
			add(i)
		}
	}
	for len(queue) > 0 {
		p := table[queue[0]]
		queue = queue[1:]
		for _, i := range children[p.PID] {
			add(i)
		}
	}
	var list []procID
	for i, p := range table {
		if in[i] && !p.Zombie {
			list = append(list, p.procID)
		}
	}
	return list
}
