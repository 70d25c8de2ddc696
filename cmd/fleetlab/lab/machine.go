package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is one machine of a lab. Its fields don't change. Its methods may be
// called from several goroutines.
type Machine struct {
	Name      string     // also its hostname: n1, n2, ...
	IP        netip.Addr // on the lab's switch
	MachineID string     // kept across boots

	index int
	lab   *Lab
}

// ErrOff means that the machine has no power.
var ErrOff = errors.New("the machine is off; boot it first")

// fail wraps an error of something done to the machine.
func (m *Machine) fail(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", verb, m.Name, err)
}

// Boot gives the machine power and returns at once; WaitBooted waits. Its disk
// is as it was, /run is empty, and its cable as Cut, Slow and Lossy left it.
// Booting right after Kill waits for what is left of the last run to be gone.
func (m *Machine) Boot(ctx context.Context) error {
	return m.fail("boot", m.change(func(st *machineState) error {
		if m.pid1Of(st.Supervisor) != 0 {
			return errors.New("it is running already")
		}
		if err := waitEnd(ctx, st.Supervisor); err != nil {
			return err
		}
		if err := m.unwire(st); err != nil {
			return err
		}
		procs, err := m.makeGroups()
		if err != nil {
			return err
		}
		if err := m.wire(st); err != nil {
			return err
		}
		st.Supervisor, err = m.start(procs)
		st.Boots++
		return err
	}))
}

// start runs systemd-nspawn for the machine in cgroups of its own.
func (m *Machine) start(procs []string) (process, error) {
	console, err := os.OpenFile(m.Console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return process{}, err
	}
	defer console.Close()
	args := append([]string{"-c", joinGroups, "sh", strconv.Itoa(len(procs))}, procs...)
	args = append(args, nspawnArgs(m, separateDirs("/"))...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = nspawnEnv(unifiedRoot(cgroupHome) != "")
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for the lab, not for its machines
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	supervisor := thisProcess(cmd.Process.Pid)
	m.lab.children.Go(func() { _ = cmd.Wait() }) // how it ended is in the console's log
	m.lab.log.Debug("machine has power", "lab", m.lab.name, "machine", m.Name, "pid", supervisor.PID)
	return supervisor, nil
}

// Console returns the path of the file that has what the machine wrote on its console, over all boots.
func (m *Machine) Console() string { return filepath.Join(m.dir(), "console.log") }

// lastWords returns the end of the console's log, for an error.
func (m *Machine) lastWords() string {
	const most = 500
	log, err := os.ReadFile(m.Console())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(log[max(0, len(log)-most):]))
}

// WaitBooted waits until the machine's systemd has started everything, even if some of it failed.
func (m *Machine) WaitBooted(ctx context.Context) error {
	for {
		// It fails while systemd isn't there to be asked yet, and while it is
		// too young to have a socket.
		out, err := m.Exec(ctx, "systemctl", "is-system-running", "--wait")
		state := strings.TrimSpace(out)
		if state == "running" || state == "degraded" {
			return nil
		}
		if ctx.Err() != nil {
			return m.fail("wait for", fmt.Errorf("it did not boot in time: %w; is-system-running said %q (%v); its console: %s",
				context.Cause(ctx), state, err, m.lastWords()))
		}
		st, stErr := m.readState()
		if stErr != nil || !st.Supervisor.alive() {
			return m.fail("wait for", fmt.Errorf("%w; its console: %s", ErrOff, m.lastWords()))
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Running says whether the machine has power.
func (m *Machine) Running() bool { return m.Pid1() != 0 }

// Pid1 returns the machine's PID 1 as the host numbers it; 0 if the machine is off.
func (m *Machine) Pid1() int {
	st, err := m.readState()
	if err != nil {
		return 0
	}
	return m.pid1Of(st.Supervisor)
}

// pid1Of returns the child of a supervisor that is PID 1 of a namespace below ours.
func (m *Machine) pid1Of(supervisor process) int {
	if !supervisor.alive() {
		return 0
	}
	for _, pid := range childrenOf(supervisor.PID) {
		if isInit(pid) && thisProcess(pid).alive() {
			return pid
		}
	}
	return 0
}

// childrenOf returns a process's children, from the kernel's list where it keeps one.
func childrenOf(pid int) []int {
	var children []int
	id := strconv.Itoa(pid)
	if list, err := os.ReadFile(filepath.Join("/proc", id, "task", id, "children")); err == nil {
		for _, field := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
		return children
	}
	statuses, _ := filepath.Glob("/proc/[0-9]*/status") // the pattern is well-formed
	for _, path := range statuses {
		status, _ := os.ReadFile(path)
		if bytes.Contains(status, []byte("\nPPid:\t"+id+"\n")) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// isInit says whether a process is PID 1 of a namespace below ours.
func isInit(pid int) bool {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	ids := strings.Fields(line)
	return len(ids) > 1 && ids[len(ids)-1] == "1"
}

// waitEnd waits until a supervisor has ended.
func waitEnd(ctx context.Context, p process) error {
	return waitFor(ctx, "the last run's supervisor to end", func() bool { return !p.alive() })
}

func (m *Machine) waitGone(ctx context.Context) error {
	st, err := m.readState()
	if err != nil {
		return nil // no state, no process that we know of
	}
	return m.fail("wait for", waitEnd(ctx, st.Supervisor))
}

// Kill is a power loss: no packet leaves the machine after it, not even the
// ones by which a kernel closes a dead process's connections, and all its
// processes end at once. It returns when they did, within milliseconds, and
// tells when the power went.
func (m *Machine) Kill() (died time.Time, err error) {
	pid := m.Pid1()
	if pid == 0 {
		return time.Time{}, m.fail("kill", ErrOff)
	}
	pid1 := thisProcess(pid)
	died = time.Now()
	if err := m.setLink(false); err != nil {
		return died, m.fail("kill", err)
	}
	resumeDisks(m.dir()) // a process that waits for its disk can't be killed
	if root := unifiedRoot(cgroupHome); root != "" {
		// All at once where the kernel can (5.14); PID 1 takes the others with it anyway.
		_ = writeControl(filepath.Join(root, m.group(), "payload"), "cgroup.kill", "1")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return died, m.fail("kill", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := m.setFrozen(ctx, false); err != nil { // its supervisor would be frozen with it
		return died, m.fail("kill", err)
	}
	m.lab.log.Info("machine lost power", "lab", m.lab.name, "machine", m.Name)
	return died, m.fail("kill", waitFor(ctx, "its processes to end", func() bool { return !pid1.alive() }))
}

// The signals by which systemd is told to go down in good order, as
// `systemctl poweroff` and `systemctl reboot` do.
const (
	sigRTMin    = 34 // glibc's, which systemd counts from
	sigPowerOff = syscall.Signal(sigRTMin + 4)
	sigReboot   = syscall.Signal(sigRTMin + 5)
)

// PowerOff shuts the machine down in good order and returns when it is off.
func (m *Machine) PowerOff(ctx context.Context) error {
	return m.fail("power off", m.shutDown(ctx, sigPowerOff))
}

// Reboot shuts the machine down in good order and boots it again; WaitBooted waits for that.
func (m *Machine) Reboot(ctx context.Context) error {
	if err := m.shutDown(ctx, sigReboot); err != nil {
		return m.fail("reboot", err)
	}
	return m.Boot(ctx)
}

func (m *Machine) shutDown(ctx context.Context, sig syscall.Signal) error {
	st, err := m.readState()
	if err != nil {
		return err
	}
	pid := m.pid1Of(st.Supervisor)
	if pid == 0 {
		return ErrOff
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return err
	}
	if err := waitEnd(ctx, st.Supervisor); err != nil {
		return err
	}
	return m.change(func(st *machineState) error { return m.unwire(st) })
}

// Freeze stops all processes of the machine where they are, as a hung kernel
// or a paused virtual machine would; its network still answers ARP and pings.
func (m *Machine) Freeze() error { return m.fail("freeze", m.freeze(true)) }

// Thaw lets them go on.
func (m *Machine) Thaw() error { return m.fail("thaw", m.freeze(false)) }

func (m *Machine) freeze(frozen bool) error {
	if !m.Running() {
		return ErrOff
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return m.setFrozen(ctx, frozen)
}
