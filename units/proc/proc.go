// Package proc reads what the kernel says of processes, and of this boot, in /proc.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Root is where the kernel shows its processes.
const Root = "/proc"

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// Stat is what the kernel tells everybody of a process.
type Stat struct {
	PID             int
	Start           uint64 // in clock ticks since boot; with PID it names a process for good
	Parent, Session int
	State           byte          // 'R', 'S', 'Z', ...
	CPU             time.Duration // used by it, not by its children
	Resident        int64         // bytes of memory
	// Exit is how a process ended whose parent hasn't reaped it yet. It is 0 for
	// a caller that may not know it, and -1 where the kernel doesn't tell.
	Exit int64
}

// Ended reports whether the process has ended and only waits to be reaped.
func (s Stat) Ended() bool { return s.State == 'Z' || s.State == 'X' }

// SinceBoot is the time of a Stat's Start, from the boot on.
func SinceBoot(start uint64) time.Duration { return time.Duration(start) * tick }

// Read returns the stat of a process. The error wraps fs.ErrNotExist or
// syscall.ESRCH where there is no such process.
func Read(root string, pid int) (Stat, error) {
	b, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return Stat{}, err
	}
	return parse(pid, b)
}

// Fields of the line, counted from the one after the program's name.
const (
	fieldState, fieldParent, fieldSession = 0, 1, 3
	fieldUser, fieldSystem, fieldStart    = 11, 12, 19
	fieldResident, fieldExit              = 21, 49
)

// parse reads the fields behind the program's name, which may hold anything.
func parse(pid int, b []byte) (Stat, error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) <= fieldResident {
		return Stat{}, fmt.Errorf("/proc/%d/stat: %q makes no sense", pid, b)
	}
	var failed error
	number := func(field int) int64 {
		n, err := strconv.ParseInt(string(f[field]), 10, 64)
		if err != nil {
			failed = fmt.Errorf("/proc/%d/stat: %q makes no sense", pid, b)
		}
		return n
	}
	s := Stat{PID: pid, State: f[fieldState][0],
		Parent: int(number(fieldParent)), Session: int(number(fieldSession)),
		Start: uint64(number(fieldStart)), CPU: time.Duration(number(fieldUser)+number(fieldSystem)) * tick,
		Resident: number(fieldResident) * int64(os.Getpagesize()), Exit: -1}
	if len(f) > fieldExit {
		s.Exit = number(fieldExit)
	}
	return s, failed
}

// All returns the stats of all processes, in no order.
func All(root string) ([]Stat, error) {
	d, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	_ = d.Close()
	if err != nil {
		return nil, err
	}
	list := make([]Stat, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := Read(root, pid); err == nil { // else it has ended
			list = append(list, s)
		}
	}
	return list, nil
}

// BootID returns the kernel's identification of this boot, with its hyphens.
func BootID() (string, error) {
	b, err := os.ReadFile(filepath.Join(Root, "sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w: mount /proc and start again", err)
	}
	return strings.TrimSpace(string(b)), nil
}
