package process

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// markLength is the length of the part of an invocation that names the unit.
const markLength = 16

// mark begins the invocations of a unit of a state directory. By it, processes
// are known to be the unit's when there is nothing else left of it.
func mark(dir, unit string) string {
	sum := sha256.Sum256([]byte(dir + "\x00" + unit))
	return hex.EncodeToString(sum[:])[:markLength]
}

// newInvocation names a run of a unit.
func newInvocation(dir, unit string) string {
	id := make([]byte, (32-markLength)/2)
	_, _ = rand.Read(id) // it never fails
	return mark(dir, unit) + hex.EncodeToString(id)
}

// findStrays groups the processes of a table that may be of a unit by its
// mark. They carry it in their environment, or write to the unit's log, for
// programs that overwrite their environment.
func findStrays(table []stat, dir, logDir string) map[string][]stat {
	strays := map[string][]stat{}
	for _, p := range table {
		if p.Zombie || p.Session == 0 {
			continue
		}
		switch unit := unitOfOutput(p.PID, logDir); {
		case unit != "":
			m := mark(dir, unit)
			strays[m] = append(strays[m], p)
		case len(p.Invocation) == 32:
			m := p.Invocation[:markLength]
			strays[m] = append(strays[m], p)
		}
	}
	return strays
}

// unitOfOutput returns the unit to whose log a process writes, or "".
func unitOfOutput(pid int, logDir string) string {
	for _, fd := range []string{"1", "2"} {
		target, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/" + fd)
		if err != nil || filepath.Dir(target) != logDir {
			continue
		}
		if unit, ok := strings.CutSuffix(filepath.Base(target), ".log"); ok {
			return unit
		}
	}
	return ""
}

// claim returns the unit's processes that were found without a record when the
// manager was opened and are still there. It gives them once.
func (m *Manager) claim(unit string) []stat {
	m.mu.Lock()
	key := mark(m.dir, unit)
	found := m.strays[key]
	delete(m.strays, key)
	m.mu.Unlock()
	return slices.DeleteFunc(found, func(p stat) bool {
		now, err := readStat(p.PID)
		return err != nil || now.Start != p.Start || now.Zombie
	})
}

// rediscover makes a record for a unit whose own is lost, of processes that
// are the unit's. Which command they are of is not known: the unit counts as
// running, so that it isn't started a second time. Without any it never ran.
func (u *unit) rediscover(found []stat) {
	u.st = record{Boot: u.m.host.bootID, Hash: u.st.Hash, Sub: subDead, Since: now()}
	if len(found) == 0 {
		return
	}
	u.st.Sub, u.st.Result = subRunning, resultSuccess
	u.st.Invocation = newInvocation(u.m.dir, u.name)
	start := map[int]uint64{}
	for _, p := range found {
		start[p.PID] = p.Start
	}
	pids := make([]int, 0, len(found))
	var leaders, eldest []procID
	for _, p := range found {
		pids = append(pids, p.PID)
		if strings.HasPrefix(p.Invocation, mark(u.m.dir, u.name)) {
			u.st.Invocation = p.Invocation
		}
		// A leader that is gone leaves its session to the others.
		if session := (procID{p.Session, start[p.Session]}); !slices.Contains(u.st.Sessions, session) {
			u.st.Sessions = append(u.st.Sessions, session)
		}
		if _, ok := start[p.Parent]; !ok {
			eldest = append(eldest, p.procID)
			if p.Session == p.PID {
				leaders = append(leaders, p.procID)
			}
		}
	}
	switch {
	case len(leaders) == 1:
		u.st.Main = &leaders[0]
	case len(eldest) == 1:
		u.st.Main = &eldest[0]
	}
	slices.Sort(pids)
	u.log.Warn("the unit's record was lost, and its processes were found; it counts as running", "pids", pids)
}
