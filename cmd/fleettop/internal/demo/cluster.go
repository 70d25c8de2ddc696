package demo

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"fleettop/daemon/drill"
	"fleettop/daemon/keys"
	"fleettop/units/process"
)

const (
	portsEach = 5  // a daemon's consecutive ports
	portTries = 50 // draws of a port range before giving up
	firstPort = 20000
	lastPort  = 32000 // below the kernel's range for outgoing connections
)

// Machine is one daemon of the demo.
type Machine struct {
	Name   string
	ID     string
	Socket string // of its API

	dir     string
	port    int
	args    []string
	cmd     *exec.Cmd // nil while powered off
	exited  chan struct{}
	silence *drill.Silence // what stands in its place on the network while it is off
}

// On reports whether the machine is powered on.
func (m *Machine) On() bool { return m.cmd != nil }

// LogFile is where the machine's daemon logs.
func (m *Machine) LogFile() string { return filepath.Join(m.dir, "daemon.log") }

// Cluster is a running demo. Its methods are not safe for concurrent use.
type Cluster struct {
	Machines []*Machine

	binary string
	dir    string
}

// Start runs n daemons of the given fleettop binary below a new temporary
// directory. It returns as soon as they are started; Close ends them.
func Start(binary string, n int) (*Cluster, error) {
	dir, err := os.MkdirTemp("", "fleettop-demo-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{binary: binary, dir: dir}
	keyFile := filepath.Join(dir, "key")
	if err := keys.NewRing(keys.Generate()).Create(keyFile); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for i := range n {
		m := &Machine{Name: "n" + strconv.Itoa(i+1), ID: newMachineID()}
		m.dir = filepath.Join(dir, m.Name)
		m.Socket = filepath.Join(m.dir, "run", "fleettop.sock")
		if m.port, err = c.freePorts(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.Machines = append(c.Machines, m)
	}
	for i, m := range c.Machines {
		m.args = []string{"daemon", "--manager=process", "--address=127.0.0.1", "--port=" + strconv.Itoa(m.port),
			"--machine-id=" + m.ID, "--name=" + m.Name, "--metadata=rack=" + strconv.Itoa(i%2+1),
			"--key-file=" + keyFile, "--state-dir=" + filepath.Join(m.dir, "state"), "--run-dir=" + filepath.Join(m.dir, "run")}
		for j, seed := range c.Machines {
			// The first start needs one machine that founds the cluster.
			if j != i && i != 0 {
				m.args = append(m.args, "--join=127.0.0.1:"+strconv.Itoa(seed.port))
			}
		}
		if err := c.PowerOn(m); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

func newMachineID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// freePorts finds consecutive free ports on loopback, for TCP and UDP.
func (c *Cluster) freePorts() (int, error) {
	var b [2]byte
	for range portTries {
		rand.Read(b[:])
		port := firstPort + (int(b[0])<<8|int(b[1]))%((lastPort-firstPort)/portsEach)*portsEach
		taken := false
		for _, m := range c.Machines {
			taken = taken || m.port == port
		}
		if !taken && portsFree(port) {
			return port, nil
		}
	}
	return 0, errors.New("found no five free ports in a row on 127.0.0.1: stop something that listens there")
}

func portsFree(port int) bool {
	for p := port; p < port+portsEach; p++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			return false
		}
		l.Close()
		u, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			return false
		}
		u.Close()
	}
	return true
}

// PowerOn boots a machine: what it had in memory is gone, its disk is as it was.
func (c *Cluster) PowerOn(m *Machine) error {
	if m.On() {
		return fmt.Errorf("machine %s is on already", m.Name)
	}
	m.silence.End()
	m.silence = nil
	if err := os.RemoveAll(filepath.Join(m.dir, "run")); err != nil {
		return err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(m.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.binary, m.args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A terminal's Ctrl-C is for the demo, which then ends its machines itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("boot %s: %w", m.Name, err)
	}
	m.cmd, m.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		cmd.Wait()
		close(exited)
	}(m.exited)
	return nil
}

// Exited is closed when the machine's daemon has ended by itself or by PowerOff.
func (m *Machine) Exited() <-chan struct{} { return m.exited }

// PowerOff cuts a machine's power: its daemon and all its units are killed
// without a word, and nothing answers in their place. It returns the moment of death.
func (c *Cluster) PowerOff(m *Machine) (time.Time, error) {
	if !m.On() {
		return time.Time{}, fmt.Errorf("machine %s is off already", m.Name)
	}
	died := time.Now()
	m.killDaemon()
	// At once, before the units are found and killed: while the port refuses
	// connections, the others take the machine for one that only lost its daemon.
	var err error
	m.silence, err = drill.KeepSilent("127.0.0.1", m.port+1)
	return died, errors.Join(err, m.killUnits())
}

func (m *Machine) killDaemon() {
	_ = m.cmd.Process.Kill() // it may have ended by itself
	<-m.exited
	m.cmd = nil
}

// killUnits ends the units, which outlive the daemon.
func (m *Machine) killUnits() error { return process.Kill(filepath.Join(m.dir, "run", "process")) }

// Close ends all machines and their units and removes their files.
func (c *Cluster) Close() error {
	var errs []error
	for _, m := range c.Machines {
		if m.On() {
			m.killDaemon()
			errs = append(errs, m.killUnits())
		}
		m.silence.End()
		m.silence = nil
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// Path returns where a file of the demo lies; an empty name is the directory, with a slash.
func (c *Cluster) Path(name string) string { return c.dir + string(filepath.Separator) + name }
