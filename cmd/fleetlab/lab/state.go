package lab

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process names a process for good: a later one with the same PID has another start time.
type process struct {
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"` // in clock ticks after boot
}

// thisProcess returns the identity of a living process; zero if there is none.
func thisProcess(pid int) process {
	stat, err := readStat(pid)
	if err != nil {
		return process{}
	}
	return process{PID: pid, Start: stat.start}
}

// alive says whether the process still runs; a zombie doesn't.
func (p process) alive() bool {
	if p.PID <= 0 {
		return false
	}
	stat, err := readStat(p.PID)
	return err == nil && stat.start == p.Start && stat.state != 'Z' && stat.state != 'X'
}

type procStat struct {
	state byte
	start uint64
}

func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads a line of /proc/PID/stat. The command's name, in parentheses,
// may hold spaces and parentheses itself.
func parseStat(line string) (procStat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	const state, start = 0, 19 // as counted after the name
	if len(fields) <= start {
		return procStat{}, fmt.Errorf("process status %q is too short", line)
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return procStat{}, fmt.Errorf("process status %q: %w", line, err)
	}
	return procStat{state: fields[state][0], start: ticks}, nil
}

// labState is what a lab is; it doesn't change while the lab is up, but for the owner.
type labState struct {
	Name     string       `json:"name"`
	Subnet   netip.Prefix `json:"subnet"`
	Owner    process      `json:"owner"` // the process that brought it up and will take it down; zero for nobody
	Machines []identity   `json:"machines"`
	Layers   []string     `json:"layers,omitempty"`
}

// identity is what a machine keeps across boots.
type identity struct {
	Index     int        `json:"index"`
	Name      string     `json:"name"`
	IP        netip.Addr `json:"ip"`
	MachineID string     `json:"machineID"`
}

// newLabState draws up a lab of n machines, owned by this process.
func newLabState(name string, subnet netip.Prefix, n int) labState {
	state := labState{Name: name, Subnet: subnet, Owner: thisProcess(os.Getpid())}
	for i := 1; i <= n; i++ {
		state.Machines = append(state.Machines, identity{Index: i, Name: machineName(i), IP: hostOf(subnet, i),
			MachineID: newMachineID()})
	}
	return state
}

func newMachineID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

func machineName(i int) string { return "n" + strconv.Itoa(i) }

// machineState is what changes while the lab is up. It is changed under the
// machine's lock (Machine.change) and read without.
type machineState struct {
	Supervisor process `json:"supervisor"` // systemd-nspawn, of the last boot
	Boots      int     `json:"boots"`
	Cut        bool    `json:"cut,omitempty"`
	Quality    Quality `json:"quality"`
	Cable      process `json:"cable"`            // the process of a cable in user space, if it is one
	Netem      bool    `json:"netem,omitempty"`  // the kernel gives the quality
	Memory     string  `json:"memory,omitempty"` // the directory of the cgroup that limits its memory
}

const labFile = "lab.json"

// removeLab removes a lab's files, and its directory unless somebody else's are in it.
func removeLab(dir string) error {
	machines, _ := filepath.Glob(filepath.Join(dir, "n[0-9]*")) // the pattern is well-formed
	for _, m := range machines {
		if err := removeTree(m); err != nil {
			return err
		}
	}
	for _, path := range []string{filepath.Join(dir, keyFile), filepath.Join(dir, labFile), dir} {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

// checkVacant refuses a directory in which a lab would mix with other files.
func checkVacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s has files that are not a lab's: choose another directory", dir)
	}
	return nil
}

func readLabState(dir string) (labState, error) {
	var state labState
	err := readJSON(filepath.Join(dir, labFile), &state)
	return state, err
}

func writeLabState(dir string, state labState) error {
	return writeJSON(filepath.Join(dir, labFile), state)
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file in one step, so that a reader sees the old or the new one.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// lockFile takes an exclusive lock that other processes and other callers in
// this one respect, and waits for it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// readState returns the machine's state; zero before its first boot.
func (m *Machine) readState() (machineState, error) {
	var state machineState
	err := readJSON(m.statePath(), &state)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return state, err
}

// change alters the machine's state under its lock. The state is saved even
// when f fails, as f then has done a part.
func (m *Machine) change(f func(*machineState) error) error {
	if _, err := os.Stat(m.dir()); err != nil {
		return ErrNotUp
	}
	unlock, err := lockFile(filepath.Join(m.dir(), "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	state, err := m.readState()
	if err != nil {
		return err
	}
	return errors.Join(f(&state), writeJSON(m.statePath(), state))
}

func (m *Machine) dir() string  { return filepath.Join(m.lab.dir, m.Name) }
func (m *Machine) root() string { return filepath.Join(m.dir(), "root") }

// local is the machine's own /usr/local. It is beside root, as below it the
// host's /usr would hide it from systemd-nspawn.
func (m *Machine) local() string     { return filepath.Join(m.dir(), "local") }
func (m *Machine) statePath() string { return filepath.Join(m.dir(), "state.json") }
