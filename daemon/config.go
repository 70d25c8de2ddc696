package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster/etcdserver"
	"fleettop/cluster/membership"
	"fleettop/daemon/keys"
)

// Defaults of a Config.
const (
	DefaultStateDir      = "/var/lib/fleettop"
	DefaultRunDir        = "/run/fleettop"
	DefaultSocket        = DefaultRunDir + "/fleettop.sock"
	DefaultPort          = 7370
	DefaultDaemonGrace   = 10 * time.Second
	DefaultProbeInterval = membership.DefaultProbeInterval
)

// ManagerKind names who runs the units of this machine.
type ManagerKind string

// Manager kinds.
const (
	ManagerAuto        ManagerKind = "auto"         // systemd where it is this machine's init, else process
	ManagerSystemd     ManagerKind = "systemd"      // the system's systemd
	ManagerSystemdUser ManagerKind = "systemd-user" // the user's systemd
	ManagerProcess     ManagerKind = "process"      // child processes
)

// Config is all a daemon is told. Its zero value, after Complete, is a
// first daemon of a new cluster on this machine's main address.
type Config struct {
	Version string

	MachineID string            // 32 hexadecimal digits; default /etc/machine-id
	Name      string            // for people; default the hostname
	Metadata  map[string]string // for [X-Fleet] MachineMetadata

	// Where its things are. On the user's systemd the defaults are the user's
	// own, and else the machine's.
	StateDir string // etcd's data; survives reboots
	RunDir   string // socket, unit files, agent's notes; must not survive a reboot
	Socket   string // the API's unix socket; default RunDir/fleettop.sock
	Manager  ManagerKind

	// Address is the IP other machines reach this one at; everything listens there.
	Address      string
	addressFound bool // nobody asked for one
	// Port is the first of five consecutive ports: gossip (TCP and UDP),
	// probes, etcd clients, etcd peers, the API for other machines.
	Port int
	// Join lists machines of the cluster to join, as host or host:port of
	// their gossip. Empty starts a new cluster, or goes on with the one in StateDir.
	Join []string

	// KeyFile is the cluster's key. Without one, a daemon listens on loopback only.
	KeyFile      string
	keyIsDefault bool // nobody asked for a key
	// PKI is this machine's certificate where it isn't to be made from the key.
	PKI keys.Files

	// SSH lets people in over SSH, if it is set.
	SSH SSH

	// EtcdEndpoints uses an existing etcd cluster instead of an embedded one.
	EtcdEndpoints []string
	// EtcdTLS is for EtcdEndpoints.
	EtcdTLS etcdserver.TLS

	// DaemonGrace is how long a machine whose daemon is gone, but which
	// still answers, keeps its units.
	DaemonGrace time.Duration
	// ProbeInterval sets the failure detector's pace.
	ProbeInterval time.Duration

	Log *slog.Logger
}

var machineIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Complete fills in defaults and refuses what can't work, saying what to do.
func (c *Config) Complete() error {
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if err := c.identify(); err != nil {
		return err
	}
	if err := c.chooseManager(); err != nil {
		return err
	}
	defaults, err := c.defaultPlaces()
	if err != nil {
		return err
	}
	c.StateDir = orDefault(c.StateDir, defaults.state)
	c.RunDir = orDefault(c.RunDir, defaults.run)
	c.KeyFile = orDefault(c.KeyFile, defaults.key)
	c.keyIsDefault = c.KeyFile == defaults.key
	c.Socket = orDefault(c.Socket, filepath.Join(c.RunDir, "fleettop.sock"))
	if len(c.Socket) > 107 {
		return fmt.Errorf("the socket's path %s is longer than the 107 bytes the kernel takes: choose a shorter --run-dir or --socket", c.Socket)
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Port < 1 || c.Port > 65536-ports {
		return fmt.Errorf("port %d is out of range: fleettop uses %d ports from --port on, so choose one from 1 to %d", c.Port, ports, 65536-ports)
	}
	if p := c.PKI; p != (keys.Files{}) && (p.CertFile == "" || p.KeyFile == "" || p.CAFile == "") {
		return errors.New("certificates of your own need all three of --tls-cert, --tls-key and --tls-ca")
	}
	if c.Address == "" {
		c.Address, c.addressFound = mainAddress(), true
	}
	addr, err := netip.ParseAddr(c.Address)
	if err != nil || addr.IsUnspecified() {
		return fmt.Errorf("--address %q is not an address other machines can reach: give this machine's IP", c.Address)
	}
	if err := c.SSH.complete(c.Address); err != nil {
		return err
	}
	for i, seed := range c.Join {
		if c.Join[i], err = withPort(seed, DefaultPort); err != nil {
			return fmt.Errorf("--join %q: %w", seed, err)
		}
	}
	if c.DaemonGrace == 0 {
		c.DaemonGrace = DefaultDaemonGrace
	}
	if c.ProbeInterval == 0 {
		c.ProbeInterval = DefaultProbeInterval
	}
	if c.DaemonGrace < 0 || c.ProbeInterval < membership.MinProbeInterval || c.ProbeInterval > 5*time.Second {
		return errors.New("--daemon-grace can't be negative, and --probe-interval must be from 50ms to 5s")
	}
	return nil
}

// chooseManager settles who runs the units.
func (c *Config) chooseManager() error {
	switch c.Manager {
	case "", ManagerAuto:
		st, err := os.Stat("/run/systemd/system")
		switch {
		case err != nil || !st.IsDir():
			c.Manager = ManagerProcess
		case os.Geteuid() == 0:
			c.Manager = ManagerSystemd
		default:
			c.Manager = ManagerSystemdUser
		}
	case ManagerSystemd, ManagerSystemdUser, ManagerProcess:
	default:
		return fmt.Errorf("unknown manager %q: choose auto, systemd, systemd-user or process", c.Manager)
	}
	return nil
}

// places are where a daemon keeps its things unless it is told.
type places struct{ state, run, key string }

// defaultPlaces are the machine's, or the user's own for a daemon on the user's systemd.
func (c *Config) defaultPlaces() (p places, err error) {
	if c.Manager != ManagerSystemdUser {
		return places{DefaultStateDir, DefaultRunDir, keys.DefaultFile}, nil
	}
	runtime := os.Getenv("XDG_RUNTIME_DIR")
	if runtime == "" {
		return p, errors.New("XDG_RUNTIME_DIR is not set, so this user's systemd can't be found: log in as the user, or set it to /run/user/UID; " +
			"--manager=process runs units without systemd")
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return p, fmt.Errorf("find this user's configuration: %w", err)
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return p, fmt.Errorf("find this user's state: %w", err)
		}
		state = filepath.Join(home, ".local/state")
	}
	return places{filepath.Join(state, "fleettop"), filepath.Join(runtime, "fleettop"), filepath.Join(config, "fleettop/key")}, nil
}

func (c *Config) identify() error {
	if c.MachineID == "" {
		raw, err := os.ReadFile("/etc/machine-id")
		if err != nil {
			return fmt.Errorf("this machine has no identity: %w: run systemd-machine-id-setup, or give --machine-id", err)
		}
		c.MachineID = strings.TrimSpace(string(raw))
	}
	if !machineIDForm.MatchString(c.MachineID) {
		return fmt.Errorf("machine-id %q is not 32 lowercase hexadecimal digits: run systemd-machine-id-setup, or give --machine-id", c.MachineID)
	}
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("this machine's hostname: %w: give --name", err)
		}
		c.Name = host
	}
	for k, v := range c.Metadata {
		if k == "" || strings.ContainsAny(k+v, "\"'\n") || strings.ContainsAny(k, "= ,") {
			return fmt.Errorf("metadata %q=%q: a key needs letters and neither spaces, commas, quotes nor '='", k, v)
		}
	}
	return nil
}

func (c *Config) gossipAddress() string { return c.at(0) }
func (c *Config) probeAddress() string  { return c.at(1) }
func (c *Config) etcdClient() string    { return c.at(2) }
func (c *Config) etcdPeer() string      { return c.at(3) }
func (c *Config) apiAddress() string    { return c.at(apiPort) }

const (
	apiPort = 4 // of the API for other machines, counted from Port
	ports   = 5 // from Port on
)

func (c *Config) at(offset int) string {
	return net.JoinHostPort(c.Address, strconv.Itoa(c.Port+offset))
}

func (c *Config) embedsEtcd() bool { return len(c.EtcdEndpoints) == 0 }

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// withPort adds the default port to a host without one.
func withPort(hostport string, port int) (string, error) {
	if hostport == "" {
		return "", errors.New("empty: give a machine's host or host:port")
	}
	if _, _, err := net.SplitHostPort(hostport); err == nil {
		return hostport, nil
	}
	host := strings.Trim(hostport, "[]")
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "", errors.New("neither host nor host:port")
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// mainAddress is the address this machine would use to reach the outside, or
// its first one that isn't loopback, or loopback. No packet is sent.
func mainAddress() string {
	for _, target := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		if conn, err := net.Dial("udp", target); err == nil {
			ip := conn.LocalAddr().(*net.UDPAddr).IP
			conn.Close()
			if !ip.IsLoopback() {
				return ip.String()
			}
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}

// unitsDir is where a manager keeps this daemon's unit files.
func (c *Config) unitsDir() string { return filepath.Join(c.RunDir, "units") }
