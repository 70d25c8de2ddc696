package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Quality is how bad a cable is. The zero value is a perfect one.
type Quality struct {
	Delay  time.Duration `json:"delay,omitempty"`  // of each frame, each way: a round trip takes twice that
	Jitter time.Duration `json:"jitter,omitempty"` // Delay varies by up to this, evenly
	Loss   float64       `json:"loss,omitempty"`   // percent of the frames, each way
}

func (q Quality) check() error {
	if q.Delay < 0 || q.Jitter < 0 || q.Delay > time.Minute || q.Jitter > q.Delay {
		return fmt.Errorf("a delay of %v ± %v: use up to a minute, and no more jitter than delay", q.Delay, q.Jitter)
	}
	if !(q.Loss >= 0 && q.Loss <= 100) {
		return fmt.Errorf("a loss of %v %%: use 0 to 100", q.Loss)
	}
	return nil
}

// String says it for people.
func (q Quality) String() string {
	if q == (Quality{}) {
		return "perfect"
	}
	return fmt.Sprintf("%v ± %v, %g %% lost, each way", q.Delay, q.Jitter, q.Loss)
}

// Slow delays every frame to and from the machine, until Perfect; what Lossy
// set stays. It is the kernel's netem where it has one, or else a cable in
// user space that does the same.
func (m *Machine) Slow(delay, jitter time.Duration) error {
	return m.fail("slow", m.setQuality(func(q Quality) Quality {
		q.Delay, q.Jitter = delay, jitter
		return q
	}))
}

// Lossy drops a percentage of the frames to and from the machine, until
// Perfect; what Slow set stays.
func (m *Machine) Lossy(percent float64) error {
	return m.fail("make lossy", m.setQuality(func(q Quality) Quality {
		q.Loss = percent
		return q
	}))
}

// Perfect undoes Slow and Lossy.
func (m *Machine) Perfect() error {
	return m.fail("make perfect", m.setQuality(func(Quality) Quality { return Quality{} }))
}

// Quality returns what Slow and Lossy set.
func (m *Machine) Quality() (Quality, error) {
	st, err := m.readState()
	return st.Quality, m.fail("read state of", err)
}

// Cable says for people how the machine is connected: its Quality, or that it is cut.
func (m *Machine) Cable() string {
	st, err := m.readState()
	switch {
	case err != nil:
		return err.Error()
	case st.Cut:
		return "cut"
	default:
		return st.Quality.String()
	}
}

func (m *Machine) setQuality(f func(Quality) Quality) error {
	return m.change(func(st *machineState) error {
		q := f(st.Quality)
		if err := q.check(); err != nil {
			return err
		}
		st.Quality = q
		if m.pid1Of(st.Supervisor) == 0 {
			return nil // the next boot sees to it
		}
		if err := m.removeCable(st); err != nil {
			return err
		}
		return m.applyQuality(st)
	})
}

// applyQuality connects the machine's cable, which no quality was applied to
// yet, to the bridge: itself, with netem, or by way of a cable in user space.
func (m *Machine) applyQuality(st *machineState) error {
	if st.Quality == (Quality{}) {
		return m.lab.plugIntoBridge(m.Name)
	}
	err := m.addNetem(st.Quality)
	if err == nil {
		st.Netem = true
		return m.lab.plugIntoBridge(m.Name)
	}
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("netem: %w", err)
	}
	return m.addCable(st)
}

func (l *Lab) plugIntoBridge(name string) error {
	return inNamespace(l.switchNamespace(), func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("cable %s: %w", name, err)
		}
		bridge, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		return netlink.LinkSetMaster(link, bridge)
	})
}

// removeCable takes away what gives the machine's cable its quality. What isn't there is fine.
func (m *Machine) removeCable(st *machineState) error {
	if st.Netem {
		if err := m.removeNetem(); err != nil {
			return err
		}
		st.Netem = false
	}
	// A cable in user space ends when its TAP is gone.
	if err := inNamespace(m.lab.switchNamespace(), func() error { return deleteLink(m.Name + cableTail) }); err != nil {
		return err
	}
	endProcess(st.Cable)
	st.Cable = process{}
	return nil
}

// endProcess gives a process a second to end and kills it then.
func endProcess(p process) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if waitFor(ctx, "a process to end", func() bool { return !p.alive() }) != nil {
		_ = syscall.Kill(p.PID, syscall.SIGKILL)
	}
}

// endCables ends the cables in user space of the lab.
func (l *Lab) endCables(machines []*Machine) error {
	if !exists(filepath.Join(netnsHome, l.switchNamespace())) {
		return nil
	}
	err := inNamespace(l.switchNamespace(), func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		var errs []error
		for _, link := range links {
			if link.Type() == "tun" || link.Type() == "tuntap" {
				errs = append(errs, deleteLink(link.Attrs().Name))
			}
		}
		return errors.Join(errs...)
	})
	for _, m := range machines {
		if st, stErr := m.readState(); stErr == nil {
			endProcess(st.Cable)
		}
	}
	return err
}

// addNetem has the kernel spoil both directions: what the switch sends to the
// machine, and what the machine sends.
func (m *Machine) addNetem(q Quality) error {
	return m.bothEnds(func(link netlink.Link) error {
		netem := netlink.NewNetem(netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0),
			Parent: netlink.HANDLE_ROOT},
			netlink.NetemQdiscAttrs{Latency: uint32(q.Delay.Microseconds()), Jitter: uint32(q.Jitter.Microseconds()),
				Loss: float32(q.Loss), Limit: laneFrames})
		return netlink.QdiscAdd(netem)
	})
}

func (m *Machine) removeNetem() error {
	return m.bothEnds(func(link netlink.Link) error {
		return netlink.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index,
			Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}, QdiscType: "netem"})
	})
}

func (m *Machine) bothEnds(f func(netlink.Link) error) error {
	for namespace, name := range map[string]string{m.lab.switchNamespace(): m.Name, m.group(): nicName} {
		err := inNamespace(namespace, func() error {
			link, err := netlink.LinkByName(name)
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				return nil // gone with what was set on it
			}
			if err != nil {
				return err
			}
			return f(link)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addCable puts a cable in user space between the machine's cable and the
// bridge: a goroutine of this process, or a process of its own.
func (m *Machine) addCable(st *machineState) error {
	tap, nic, err := m.openCable()
	if err != nil {
		return fmt.Errorf("cable in user space: %w", err)
	}
	if len(m.lab.cable) == 0 {
		m.lab.children.Go(func() {
			if err := CarryFrames(tap, nic, st.Quality); err != nil {
				m.lab.log.Warn("cable broke", "lab", m.lab.name, "machine", m.Name, "error", err)
			}
		})
		return nil
	}
	defer tap.Close()
	defer nic.Close()
	cmd := exec.Command(m.lab.cable[0], append(m.lab.cable[1:len(m.lab.cable):len(m.lab.cable)],
		cableArgs(st.Quality)...)...)
	cmd.ExtraFiles = []*os.File{tap, nic}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	complaints, err := os.OpenFile(m.Console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer complaints.Close()
	cmd.Stderr = complaints
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cable in user space: %w", err)
	}
	st.Cable = thisProcess(cmd.Process.Pid)
	m.lab.children.Go(func() { _ = cmd.Wait() }) // it said why on stderr
	return nil
}

// openCable makes the TAP that is the bridge's port from now on, and a socket
// on the machine's cable, which then is in no bridge.
func (m *Machine) openCable() (tap, nic *os.File, err error) {
	err = inNamespace(m.lab.switchNamespace(), func() error {
		link, err := netlink.LinkByName(m.Name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetNoMaster(link); err != nil {
			return err
		}
		if nic, err = openPacket(link.Attrs().Index); err != nil {
			return err
		}
		name := m.Name + cableTail
		if tap, err = openTAP(name); err != nil {
			nic.Close()
			return err
		}
		port, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(port)
		}
		if err != nil {
			tap.Close()
			nic.Close()
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if err := m.lab.plugIntoBridge(m.Name + cableTail); err != nil {
		tap.Close()
		nic.Close()
		return nil, nil, err
	}
	return tap, nic, nil
}
