package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// LimitMemory gives all processes of the running machine together so many bytes
// of memory, until it is off; what they have already is not taken from them,
// and on a v1 host not counted. A process that then needs more than there is,
// is killed by the kernel: the one with the highest OOMScoreAdjust. Less than
// one byte lifts the limit.
func (m *Machine) LimitMemory(limit int64) error {
	return m.fail("limit the memory of", m.limitMemory(limit))
}

func (m *Machine) limitMemory(limit int64) error {
	if !m.Running() {
		return ErrOff
	}
	value := strconv.FormatInt(limit, 10)
	if home := filepath.Join(cgroupHome, "memory"); exists(filepath.Join(home, "memory.limit_in_bytes")) {
		if limit < 1 {
			value = "-1"
		}
		return m.limitByGroup(home, value)
	}
	if limit < 1 {
		value = "max"
	}
	root := unifiedRoot(cgroupHome)
	if root == "" {
		return errors.New("the kernel accounts no memory: it has no controller for that")
	}
	if err := writeControl(root, "cgroup.subtree_control", "+memory"); err != nil {
		return fmt.Errorf("the kernel accounts no memory: %w", err)
	}
	return writeControl(filepath.Join(root, m.group()), "memory.max", value)
}

// limitByGroup moves the machine's processes into a cgroup of the v1 memory
// controller, below that of this process, and limits it.
func (m *Machine) limitByGroup(home, value string) error {
	own, err := ownGroup("memory")
	if err != nil {
		return err
	}
	dir := filepath.Join(home, own, m.group())
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := m.change(func(st *machineState) error { st.Memory = dir; return nil }); err != nil {
		return err
	}
	// Again for what was forked by one that had not been moved yet.
	for range 3 {
		for _, root := range hierarchies(cgroupHome) {
			for _, pid := range groupProcesses(filepath.Join(root, m.group())) {
				_ = writeControl(dir, "cgroup.procs", strconv.Itoa(pid)) // it may have ended
			}
		}
	}
	// What the group has from before may be above the limit; the kernel then tries to get it back.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err = writeControl(dir, "memory.limit_in_bytes", value); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// ownGroup returns this process's cgroup of a v1 controller.
func ownGroup(controller string) (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && parts[1] == controller {
			return parts[2], nil
		}
	}
	return "", fmt.Errorf("this process is in no cgroup of %s", controller)
}

// removeMemory removes what limitByGroup made.
func (m *Machine) removeMemory() error {
	st, err := m.readState()
	if err != nil || st.Memory == "" {
		return nil
	}
	if err := os.Remove(st.Memory); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the memory cgroup of %s: %w", m.Name, err)
	}
	return nil
}
