package stats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// host is where the kernel tells its figures.
type host struct {
	proc, cgroups string
	// user is the group of the user's systemd that runs the units; "" for the system's.
	user string
}

// hostUse is what the whole machine uses.
type hostUse struct {
	busy        time.Duration // of all cores together, since boot
	cpus        int
	memory      int64
	memoryTotal int64
	load1       float64
	uptime      float64
}

func (h host) use() (u hostUse, err error) {
	stat, err := os.ReadFile(filepath.Join(h.proc, "stat"))
	if err != nil {
		return u, err
	}
	if u.busy, u.cpus, err = parseStat(string(stat)); err != nil {
		return u, err
	}
	mem, err := os.ReadFile(filepath.Join(h.proc, "meminfo"))
	if err != nil {
		return u, err
	}
	u.memory, u.memoryTotal = parseMeminfo(string(mem))
	if load, err := os.ReadFile(filepath.Join(h.proc, "loadavg")); err == nil {
		u.load1, _ = strconv.ParseFloat(firstWord(string(load)), 64)
	}
	if up, err := os.ReadFile(filepath.Join(h.proc, "uptime")); err == nil {
		u.uptime, _ = strconv.ParseFloat(firstWord(string(up)), 64)
	}
	return u, nil
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// parseStat reads /proc/stat: what the cores did besides idling and waiting for disks.
func parseStat(text string) (busy time.Duration, cpus int, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		if fields[0] != "cpu" {
			cpus++
			continue
		}
		if len(fields) < 9 {
			return 0, 0, errors.New("/proc/stat has too few numbers")
		}
		for _, i := range []int{1, 2, 3, 6, 7, 8} { // user nice system irq softirq steal
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("/proc/stat: %w", err)
			}
			busy += time.Duration(n) * tick
		}
	}
	if cpus == 0 {
		return 0, 0, errors.New("/proc/stat tells of no CPU")
	}
	return busy, cpus, nil
}

// parseMeminfo returns what is not available for programs any more, and all there is.
func parseMeminfo(text string) (used, total int64) {
	var available int64
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch key {
		case "MemTotal":
			total = n << 10
		case "MemAvailable":
			available = n << 10
		}
	}
	return total - available, total
}
