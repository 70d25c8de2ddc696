package stats

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fleettop/units"
	"fleettop/units/proc"
)

// unitUses measures units: by their cgroups where they have some and the kernel
// accounts for them, else by summing up their processes.
func (h host) unitUses(list []units.Status) map[string]use {
	out := make(map[string]use, len(list))
	if len(list) == 0 {
		return out
	}
	wanted := map[string]bool{}
	for _, st := range list {
		wanted[st.Name] = true
	}
	tree, groups := h.groups(wanted)
	var table processes // read only if needed
	for _, st := range list {
		if st.Active == "inactive" || st.Active == "failed" {
			continue
		}
		group, ok := groups[st.Name]
		if !ok && st.PID == 0 {
			continue
		}
		var u use
		cpuKnown, memoryKnown := false, false
		if ok {
			u.cpu, cpuKnown = h.groupCPU(tree, group)
			u.memory, memoryKnown = h.groupMemory(tree, group)
		}
		if !cpuKnown || !memoryKnown {
			if table == nil {
				table = h.processes()
			}
			pids := table.of(st.PID)
			if ok {
				pids = groupProcesses(filepath.Join(tree, group))
			}
			byPID, memory := map[int]time.Duration{}, int64(0)
			for _, pid := range pids {
				if p, ok := table[pid]; ok {
					byPID[pid] = p.CPU
					memory += p.Resident
				}
			}
			if !cpuKnown {
				u.byPID = byPID
			}
			if !memoryKnown {
				u.memory = memory
			}
		}
		out[st.Name] = u
	}
	return out
}

// depthMost is how deep units' groups may lie below the root: slices in slices.
const depthMost = 8

// groups finds the units' groups in the hierarchy that systemd keeps them in:
// the unified one, or systemd's own on a v1 host. They are relative to tree.
func (h host) groups(wanted map[string]bool) (tree string, found map[string]string) {
	found = map[string]string{}
	for _, tree = range []string{h.cgroups, filepath.Join(h.cgroups, "unified"), filepath.Join(h.cgroups, "systemd")} {
		if _, err := os.Stat(filepath.Join(tree, "cgroup.procs")); err != nil {
			continue
		}
		_ = filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || path == tree {
				return nil // what went away meanwhile
			}
			rel, _ := filepath.Rel(tree, path)
			// Another systemd of this machine may have a unit of the same name.
			if wanted[d.Name()] && (h.user == "" || strings.Contains(rel, h.user+"/")) {
				found[d.Name()] = rel
				return fs.SkipDir
			}
			if strings.Count(rel, "/") >= depthMost || !strings.HasSuffix(d.Name(), ".slice") && d.Name() != h.user {
				return fs.SkipDir
			}
			return nil
		})
		if len(found) > 0 {
			return tree, found
		}
	}
	return tree, found
}

// groupCPU is what the processes of a group have used, those that ended included.
func (h host) groupCPU(tree, group string) (time.Duration, bool) {
	if text, err := os.ReadFile(filepath.Join(tree, group, "cpu.stat")); err == nil {
		for line := range strings.Lines(string(text)) {
			if us, ok := strings.CutPrefix(line, "usage_usec "); ok {
				n, err := strconv.ParseInt(strings.TrimSpace(us), 10, 64)
				return time.Duration(n) * time.Microsecond, err == nil
			}
		}
	}
	for _, controller := range []string{"cpu,cpuacct", "cpuacct"} {
		if n, ok := readNumber(filepath.Join(h.cgroups, controller, group, "cpuacct.usage")); ok {
			return time.Duration(n), true
		}
	}
	return 0, false
}

func (h host) groupMemory(tree, group string) (int64, bool) {
	if n, ok := readNumber(filepath.Join(tree, group, "memory.current")); ok {
		return n, true
	}
	return readNumber(filepath.Join(h.cgroups, "memory", group, "memory.usage_in_bytes"))
}

func readNumber(path string) (int64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// groupProcesses are the processes of a group and those below it.
func groupProcesses(dir string) []int {
	var pids []int
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // what went away meanwhile
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// processes is the table of processes, by number.
type processes map[int]proc.Stat

func (h host) processes() processes {
	list, _ := proc.All(h.proc) // without it there is nothing to sum up
	table := make(processes, len(list))
	for _, p := range list {
		table[p.PID] = p
	}
	return table
}

// of are a process, those of its session and those that descend from it.
func (t processes) of(pid int) []int {
	main, ok := t[pid]
	if !ok {
		return nil
	}
	family := map[int]bool{pid: true}
	member := func(id int) bool {
		for seen := 0; id > 1 && seen < 256; seen++ {
			if family[id] {
				return true
			}
			id = t[id].Parent
		}
		return false
	}
	var out []int
	for id, p := range t {
		// A unit's process leads a session of its own; one that doesn't shares ours.
		if id == pid || p.Session == main.Session && main.Session == pid || member(id) {
			out = append(out, id)
		}
	}
	return out
}
