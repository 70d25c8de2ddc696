package stats

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
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
	fs, err := procfs.NewFS(h.proc)
	if err != nil {
		return u, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return u, err
	}
	if u.cpus = len(stat.CPU); u.cpus == 0 {
		return u, errors.New("/proc/stat tells of no CPU")
	}
	c := stat.CPUTotal
	busy := c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ + c.Steal // and no waiting for disks
	u.busy = time.Duration(busy * float64(time.Second)).Round(tick)
	mem, err := fs.Meminfo()
	if err != nil {
		return u, err
	}
	u.memoryTotal = bytesOf(mem.MemTotalBytes)
	u.memory = u.memoryTotal - bytesOf(mem.MemAvailableBytes)
	if load, err := fs.LoadAvg(); err == nil {
		u.load1 = load.Load1
	}
	u.uptime = h.uptime()
	return u, nil
}

func bytesOf(n *uint64) int64 {
	if n == nil {
		return 0
	}
	return int64(*n)
}

// uptime is for how many seconds the machine runs; 0 if that isn't known.
func (h host) uptime() float64 {
	up, err := os.ReadFile(filepath.Join(h.proc, "uptime"))
	if err != nil {
		return 0
	}
	seconds, _, _ := strings.Cut(string(up), " ")
	n, _ := strconv.ParseFloat(seconds, 64)
	return n
}
