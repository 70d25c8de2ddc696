package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/cluster/membership"
	"fleettop/daemon/api"
	"fleettop/daemon/drill"
	"fleettop/daemon/etcdnode"
	"fleettop/daemon/keys"
	"fleettop/daemon/notify"
	"fleettop/daemon/presence"
	"fleettop/daemon/trust"
	"fleettop/units"
	"fleettop/units/systemd"
)

// Defaults of a Config.
const (
	DefaultStateDir      = "/var/lib/fleettop"
	DefaultRunDir        = "/run/fleettop"
	DefaultSocket        = DefaultRunDir + "/fleettop.sock"
	DefaultPort          = 7370
	DefaultEtcdPrefix    = "/fleettop"
	DefaultDaemonGrace   = 10 * time.Second
	DefaultBackupEvery   = 24 * time.Hour
	DefaultBackupKeep    = 7
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

// Config says how a daemon runs. Its zero value, after Complete, is a
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
	// FleetSocket is one more, where clients of CoreOS fleet look for it; empty for none.
	FleetSocket string
	Manager     ManagerKind

	// Address is the IP other machines reach this one at; everything listens there.
	Address      string
	addressFound bool // the operator gave none
	// Port is the first of five consecutive ports: gossip (TCP and UDP),
	// probes, etcd clients, etcd peers, the API for other machines.
	Port int
	// Join lists machines of the cluster to join, as host or host:port of
	// their gossip. Empty starts a new cluster, or goes on with the one in StateDir.
	Join []string

	// KeyFile is the cluster's key. Without one, a daemon listens on loopback only.
	KeyFile      string
	keyIsDefault bool // the operator named no key file
	// PKI is this machine's certificate where it isn't to be made from the key.
	PKI keys.Files

	// SSH lets people in over SSH, if it is set.
	SSH SSH

	// Notify are the receivers that the leader tells what happens.
	Notify []*notify.Receiver

	// BackupDir has backups that the daemon makes BackupEvery and of which it keeps BackupKeep; empty for none.
	BackupDir   string
	BackupEvery time.Duration
	BackupKeep  int

	// EtcdEndpoints uses an existing etcd cluster instead of an embedded one.
	EtcdEndpoints []string
	// EtcdPrefix is where this cluster keeps its things in the etcd of
	// EtcdEndpoints; default DefaultEtcdPrefix. Clusters that share an etcd have
	// one each, and none begins with another's.
	EtcdPrefix string
	// EtcdTLS is for EtcdEndpoints.
	EtcdTLS keys.Files

	// DaemonGrace is how long a machine whose daemon is gone, but which
	// still answers, keeps its units.
	DaemonGrace time.Duration
	// ProbeInterval sets the failure detector's pace.
	ProbeInterval time.Duration

	// Reload asks to read again what can be read again while the daemon runs;
	// nil for never.
	Reload <-chan os.Signal

	Log *slog.Logger
}

var machineIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Complete fills in defaults and refuses what can't work: its errors
// name the option and say what to do.
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
	defaults, err := PlacesOf(c.Manager)
	if err != nil {
		return err
	}
	if c.RunDir == "" && defaults.RunDir == "" {
		return errNoRuntimeDir
	}
	c.StateDir = orDefault(c.StateDir, defaults.StateDir)
	c.RunDir = orDefault(c.RunDir, defaults.RunDir)
	c.KeyFile = orDefault(c.KeyFile, defaults.KeyFile)
	c.keyIsDefault = c.KeyFile == defaults.KeyFile
	c.Socket = orDefault(c.Socket, filepath.Join(c.RunDir, "fleettop.sock"))
	for path, options := range map[string]string{c.Socket: "--run-dir or --socket", c.FleetSocket: "--fleet-socket"} {
		if len(path) > 107 {
			return fmt.Errorf("the socket's path %s is longer than the 107 bytes the kernel takes: choose a shorter %s",
				path, options)
		}
	}
	if c.FleetSocket != "" && (c.FleetSocket == c.Socket || c.FleetSocket == c.viewSocket()) {
		return fmt.Errorf("--fleet-socket %s has the place of another socket of this daemon: leave it out, as fleet's API "+
			"is there too, or choose another path", c.FleetSocket)
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	if c.Port < 1 || c.Port > 65536-ports {
		return fmt.Errorf("port %d is out of range: fleettop uses %d ports from --port on, so choose one from 1 to %d",
			c.Port, ports, 65536-ports)
	}
	if p := c.PKI; p != (keys.Files{}) && (p.CertFile == "" || p.KeyFile == "" || p.CAFile == "") {
		return errors.New("certificates of your own need all three of --tls-cert, --tls-key and --tls-ca")
	}
	if c.Address == "" {
		c.Address, c.addressFound = presence.MainAddress(), true
	}
	if c.Address, err = reachable(c.Address); err != nil {
		return fmt.Errorf("--address %q %w", c.Address, err)
	}
	if err := c.SSH.complete(c.Address); err != nil {
		return err
	}
	for i, seed := range c.Join {
		if c.Join[i], err = withPort(seed, DefaultPort); err != nil {
			return fmt.Errorf("--join %q: %w", seed, err)
		}
	}
	if err := c.completeEtcd(); err != nil {
		return err
	}
	if err := c.completeBackups(); err != nil {
		return err
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

func (c *Config) completeBackups() error {
	if c.BackupEvery == 0 {
		c.BackupEvery = DefaultBackupEvery
	}
	if c.BackupKeep == 0 {
		c.BackupKeep = DefaultBackupKeep
	}
	switch {
	case c.BackupDir == "" && (c.BackupEvery != DefaultBackupEvery || c.BackupKeep != DefaultBackupKeep):
		return errors.New("--backup-every and --backup-keep go with --backup-dir: give that too, or leave them out")
	case c.BackupDir != "" && !filepath.IsAbs(c.BackupDir):
		return fmt.Errorf("--backup-dir %q: give the whole path, as /var/lib/fleettop/backups", c.BackupDir)
	case c.BackupEvery < leastBackup:
		return fmt.Errorf("--backup-every %s is too often: give %s at least", c.BackupEvery, leastBackup)
	case c.BackupKeep < 1:
		return errors.New("--backup-keep must be 1 at least")
	}
	return nil
}

// leastBackup is the least time between backups.
const leastBackup = time.Minute

var prefixForm = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

func (c *Config) completeEtcd() error {
	c.EtcdPrefix = orDefault(c.EtcdPrefix, DefaultEtcdPrefix)
	switch {
	case c.embedsEtcd() && c.EtcdPrefix != DefaultEtcdPrefix:
		return errors.New("--etcd-prefix goes with --etcd-endpoints: give that too, or leave it out")
	case !prefixForm.MatchString(c.EtcdPrefix):
		return fmt.Errorf("--etcd-prefix %q: give a path of letters, digits, dots, underscores and dashes, as "+
			"/fleettop/berlin",
			c.EtcdPrefix)
	}
	return nil
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
		return fmt.Errorf("machine-id %q is not 32 lowercase hexadecimal digits: run systemd-machine-id-setup, or give "+
			"--machine-id", c.MachineID)
	}
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("this machine's hostname: %w: give --name", err)
		}
		c.Name = host
	}
	if !cluster.Printable(c.Name) {
		return fmt.Errorf("the name %q has characters that can't be shown: give --name of letters, digits and such", c.Name)
	}
	for k, v := range c.Metadata {
		if err := cluster.CheckMetadata(k, v); err != nil {
			return err
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

func (c *Config) trust() trust.Config {
	return trust.Config{Machine: c.MachineID, Address: c.Address, KeyFile: c.KeyFile, KeyOptional: c.keyIsDefault,
		PKI: c.PKI,
		Dir: c.tlsDir(), Log: c.Log}
}

func (c *Config) etcdnode(credentials *trust.Credentials, gossip *membership.Membership) etcdnode.Config {
	return etcdnode.Config{Machine: c.MachineID, Name: c.Name, StateDir: c.StateDir, NewCluster: randomID(), Join: c.Join,
		PeerAddr: c.etcdPeer(), ClientAddr: c.etcdClient(), Endpoints: c.EtcdEndpoints, TLS: c.EtcdTLS, Prefix: c.EtcdPrefix,
		Credentials: credentials, Gossip: gossip, Log: c.Log}
}

func (c *Config) drillWait() drill.WaitConfig {
	return drill.WaitConfig{StateDir: c.StateDir, RunDir: c.RunDir, Boot: bootID(), Address: c.Address, Port: c.Port,
		Ports: ports, NotesPath: c.notesPath(), Log: c.Log,
		OpenManager: func(ctx context.Context) (units.Manager, error) { return openManager(ctx, c) }}
}

// watchesAddress reports whether the daemon is to start again when this machine
// has another address: where it found the one it has by itself, and would not be
// refused at another.
func (c *Config) watchesAddress(credentials *trust.Credentials) bool {
	own := net.ParseIP(c.Address)
	return c.addressFound && (!own.IsLoopback() || credentials.Identity() != nil)
}

// viewSocket is where viewers find the API, beside the socket for operators.
func (c *Config) viewSocket() string { return api.ViewSocket(c.Socket) }

func (c *Config) embedsEtcd() bool { return len(c.EtcdEndpoints) == 0 }

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// unitsDir is where a manager keeps this daemon's unit files.
func (c *Config) tlsDir() string { return filepath.Join(c.RunDir, "tls") }

func (c *Config) unitsDir() string { return filepath.Join(c.RunDir, "units") }

// fence is how this daemon's manager runs the machine's fence: as another
// process of this program.
func (c *Config) fence() systemd.FenceOptions {
	program, err := os.Executable()
	if err != nil {
		c.Log.Warn("no exclusive units on this machine: this program can't be found", "error", err)
		return systemd.FenceOptions{}
	}
	command := []string{program, "fence"}
	if c.Manager == ManagerSystemdUser {
		command = append(command, "--of-user")
	}
	return systemd.FenceOptions{Dir: filepath.Join(c.RunDir, "fence"), Command: command}
}

func (c *Config) notesPath() string { return filepath.Join(c.RunDir, "agent.json") }
