package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroupHome = "/sys/fs/cgroup"

// hierarchies returns the roots of the cgroup trees in which each machine gets
// a cgroup of its own: the single tree of a v2 host; systemd's two of a hybrid
// host; systemd's one of a v1 host, and there the freezer's, which systemd
// leaves alone and processes inherit.
func hierarchies(home string) []string {
	if exists(filepath.Join(home, "cgroup.procs")) {
		return []string{home}
	}
	var roots []string
	for _, name := range []string{"systemd", "unified"} {
		if exists(filepath.Join(home, name, "cgroup.procs")) {
			roots = append(roots, filepath.Join(home, name))
		}
	}
	freezer := filepath.Join(home, "freezer")
	if unifiedRoot(home) == "" && exists(filepath.Join(freezer, "cgroup.procs")) {
		roots = append(roots, freezer)
	}
	return roots
}

// unifiedRoot returns the root of the v2 tree, or "" on a v1 host.
func unifiedRoot(home string) string {
	for _, root := range []string{home, filepath.Join(home, "unified")} {
		if exists(filepath.Join(root, "cgroup.controllers")) {
			return root
		}
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// group returns the name of the machine's cgroup, which is also that of its network namespace.
func (m *Machine) group() string { return m.lab.prefix() + m.Name }

// makeGroups makes the machine's cgroups and returns their cgroup.procs files.
func (m *Machine) makeGroups() ([]string, error) {
	var procs []string
	for _, root := range hierarchies(cgroupHome) {
		dir := filepath.Join(root, m.group())
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make cgroup: %w", err)
		}
		procs = append(procs, filepath.Join(dir, "cgroup.procs"))
	}
	if len(procs) == 0 {
		return nil, fmt.Errorf("no cgroup hierarchy below %s that systemd could use: mount cgroup2 there", cgroupHome)
	}
	return procs, nil
}

// ownGroups returns all cgroups at the top of a hierarchy that carry the prefix.
func ownGroups(prefix string) []string {
	var dirs []string
	for _, root := range hierarchies(cgroupHome) {
		found, _ := filepath.Glob(filepath.Join(root, prefix+"*")) // the pattern is well-formed
		dirs = append(dirs, found...)
	}
	return dirs
}

// endGroups kills every process in cgroups that carry the prefix, and waits
// until there are none. The machines go first: their supervisors then end by
// themselves and tidy up; those that don't within two seconds are killed too.
func endGroups(ctx context.Context, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	patience := time.Now().Add(2 * time.Second)
	return waitFor(ctx, "the machines' processes to end", func() bool {
		left := 0
		for _, dir := range ownGroups(prefix) {
			_ = writeControl(dir, "cgroup.freeze", "0")
			doomed := groupProcesses(filepath.Join(dir, "payload"))
			all := groupProcesses(dir)
			if time.Now().After(patience) {
				doomed = all
			}
			for _, pid := range doomed {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			_ = writeControl(dir, "freezer.state", "THAWED")
			left += len(all)
		}
		return left == 0
	})
}

// groupProcesses returns the living processes in a cgroup and all below it.
func groupProcesses(dir string) []int {
	var pids []int
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // a cgroup that went away meanwhile has no processes
		}
		data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err == nil && pid > 0 && thisProcess(pid).alive() {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// removeGroups removes the cgroups that carry the prefix, deepest first. The
// kernel may hold an empty one for a moment.
func removeGroups(ctx context.Context, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return waitFor(ctx, "the machines' cgroups to be removable", func() bool {
		for _, dir := range ownGroups(prefix) {
			removeGroup(dir)
		}
		return len(ownGroups(prefix)) == 0
	})
}

func removeGroup(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeGroup(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // the caller looks at what is left
}

// writeControl writes a cgroup's control file, which has to exist.
func writeControl(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// setFrozen stops or resumes all processes of the machine, by the best means
// the host has, and returns when they are.
func (m *Machine) setFrozen(ctx context.Context, frozen bool) error {
	if root := unifiedRoot(cgroupHome); root != "" {
		dir := filepath.Join(root, m.group())
		value := "0"
		if frozen {
			value = "1"
		}
		if err := writeControl(dir, "cgroup.freeze", value); err != nil {
			return err
		}
		return waitFor(ctx, "the freezer", func() bool {
			events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
			return err == nil && strings.Contains(string(events), "frozen "+value)
		})
	}
	if dir := filepath.Join(cgroupHome, "freezer", m.group()); exists(dir) {
		state := "THAWED"
		if frozen {
			state = "FROZEN"
		}
		return waitFor(ctx, "the freezer", func() bool {
			if err := writeControl(dir, "freezer.state", state); err != nil {
				return false
			}
			now, err := os.ReadFile(filepath.Join(dir, "freezer.state"))
			return err == nil && strings.TrimSpace(string(now)) == state
		})
	}
	sig := syscall.SIGCONT
	if frozen {
		sig = syscall.SIGSTOP
	}
	// Twice, for what was forked while the first round went.
	for range 2 {
		for _, pid := range groupProcesses(filepath.Join(hierarchies(cgroupHome)[0], m.group(), "payload")) {
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// waitFor polls for something the kernel gives no event for, closely at first.
func waitFor(ctx context.Context, what string, done func() bool) error {
	pause := 500 * time.Microsecond
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-time.After(pause):
		}
		pause = min(pause*3/2, 25*time.Millisecond)
	}
	return nil
}
