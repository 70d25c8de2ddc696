package process

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
)

// stat is what is known of a process at a glance.
type stat struct {
	procID
	Parent, Session int
	Zombie          bool
	Invocation      string // INVOCATION_ID in its environment, if that can be read
}

// readStat reads /proc/PID/stat.
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	return parseStat(pid, b)
}

// parseStat reads the fields behind the program's name, which may hold anything.
func parseStat(pid int, b []byte) (stat, error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat: %q makes no sense", pid, b)
	}
	s := stat{procID: procID{PID: pid}, Zombie: f[0][0] == 'Z' || f[0][0] == 'X'}
	var err1, err2, err3 error
	s.Parent, err1 = strconv.Atoi(string(f[1]))
	s.Session, err2 = strconv.Atoi(string(f[3]))
	s.Start, err3 = strconv.ParseUint(string(f[19]), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return stat{}, fmt.Errorf("/proc/%d/stat: %q makes no sense", pid, b)
	}
	return s, nil
}

// readTable looks at every process but this one.
func readTable() ([]stat, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close()
	if err != nil {
		return nil, err
	}
	self := os.Getpid()
	list := make([]stat, 0, len(names))
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil || pid == self {
			continue
		}
		s, err := readStat(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		if !s.Zombie && s.Session != 0 { // session 0 is the kernel's own threads
			s.Invocation = invocationOf(pid)
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
