package membership

import (
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// DefaultProbeInterval is how often a member probes another one. With three to
// twenty members it takes a silent machine to failed in about five intervals.
const DefaultProbeInterval = 100 * time.Millisecond

// MinProbeInterval is the shortest interval allowed; below it, one scheduling
// hiccup of the machine looks like a death.
const MinProbeInterval = 50 * time.Millisecond

// Config says who this member is and how it gossips.
type Config struct {
	ID            string // the machine-id; unique in the cluster
	BindAddr      string // IP to listen on; empty for all
	BindPort      int    // UDP and TCP port to listen on; 0 for any free one
	AdvertiseAddr string // IP the others reach it at; empty: BindAddr, or a private address of this machine
	AdvertisePort int    // port the others reach it at; 0 for BindPort
	Tags          map[string]string
	// SecretKey encrypts the gossip: 16, 24 or 32 bytes. Empty means no
	// encryption. All members must accept it: it is their SecretKey, too, or
	// one of their OtherKeys.
	SecretKey []byte
	// OtherKeys are accepted besides it.
	OtherKeys [][]byte
	// Refused is called for what was sent without an accepted key: from which
	// address and why. It must not block. Nil logs it.
	Refused func(source, why string)
	// ProbeInterval is how often another member is probed; 0 for
	// DefaultProbeInterval. All members should have the same.
	ProbeInterval time.Duration
	// OnConflict is called with the address of another living member that claims
	// this ID, at most once a minute for each address. It is called from a
	// goroutine of its own and must not call Close or Leave itself.
	OnConflict func(err *ConflictError)
	Logger     *slog.Logger // nil for slog.Default
	// Transport carries the gossip in place of UDP and TCP, as simulations and
	// tests want; nil for those. It notes each packet that it receives by heard, which doesn't block.
	Transport func(heard func(from netip.AddrPort, at time.Time)) memberlist.NodeAwareTransport
}

// ConflictError says that another living member has the same ID.
type ConflictError struct {
	ID      string
	Address string // the other member's
}

// Error implements error.
func (e *ConflictError) Error() string {
	return "machine-id " + e.ID + " is already in use by the member at " + e.Address +
		": give this machine an identity of its own (systemd-machine-id-setup, or --machine-id) and start again"
}

// complete fills in defaults and refuses what can't work.
func (c *Config) complete() error {
	if c.ID == "" {
		return errors.New("a member needs an ID: set the machine-id (systemd-machine-id-setup, or --machine-id)")
	}
	if c.ProbeInterval == 0 {
		c.ProbeInterval = DefaultProbeInterval
	}
	if c.ProbeInterval < MinProbeInterval {
		return fmt.Errorf("a probe interval of %s is shorter than %s: choose a longer one", c.ProbeInterval, MinProbeInterval)
	}
	if c.BindAddr == "" {
		c.BindAddr = "0.0.0.0"
	}
	for _, a := range []string{c.BindAddr, c.AdvertiseAddr} {
		if a != "" && net.ParseIP(a) == nil {
			return fmt.Errorf("%q is not an IP address: give the gossip address as one", a)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// serfConfig is the tuned detector. A silent machine is first probed after
// less than one interval on average (all the others probe in turn), the probe
// is given up after one interval, and the suspicion lasts three.
func (c *Config) serfConfig(transport memberlist.Transport, keyring *memberlist.Keyring, logger *log.Logger,
	ping memberlist.PingDelegate, alive aliveDelegate, events chan<- serf.Event) *serf.Config {
	ml := memberlist.DefaultLANConfig()
	ml.Name = c.ID
	ml.BindAddr, ml.BindPort = c.BindAddr, c.BindPort
	ml.AdvertiseAddr, ml.AdvertisePort = c.AdvertiseAddr, c.AdvertisePort
	if ml.AdvertisePort == 0 {
		ml.AdvertisePort = c.BindPort
	}
	ml.SecretKey, ml.Keyring = c.SecretKey, keyring
	ml.Logger = logger
	ml.Transport = transport
	ml.Ping = ping
	ml.Alive, ml.Merge = alive, alive

	ml.ProbeInterval = c.ProbeInterval
	// Half of the interval is left for indirect probes and the fallback to
	// TCP; a timeout as long as the interval would leave them none.
	ml.ProbeTimeout = c.ProbeInterval / 2
	ml.IndirectChecks = 3
	ml.SuspicionMult = 3
	// How much longer a suspicion lasts that no other member confirms. It is
	// what keeps a member that is itself starved of CPU from declaring the
	// others dead, and what the last survivor of three has to wait.
	ml.SuspicionMaxTimeoutMult = 4
	ml.AwarenessMaxMultiplier = 4
	// A round without anything to say costs next to nothing, and a suspicion that
	// arrives sooner is confirmed or refuted sooner.
	ml.GossipInterval = c.ProbeInterval / 2
	ml.GossipNodes = 3
	ml.GossipToTheDeadTime = 30 * time.Second
	ml.PushPullInterval = 15 * time.Second
	// A stream that doesn't get through in a second is tried again rather
	// than waited for: reconnecting to a healed machine hangs on this.
	ml.TCPTimeout = time.Second
	// A machine that failed may come back with a new address at once.
	ml.DeadNodeReclaimTime = time.Millisecond
	ml.EnableCompression = false // saves nothing on messages of this size

	sc := serf.DefaultConfig()
	sc.NodeName = c.ID
	sc.Tags = c.Tags
	sc.MemberlistConfig = ml
	sc.Logger = logger
	sc.EventCh = events
	// Coordinates would take the ping delegate, and no code reads them.
	sc.DisableCoordinates = true
	// serf would shut this member down without a message if it lost the vote.
	// Conflicts are reported instead; see conflict.go.
	sc.EnableNameConflictResolution = false
	sc.EventBuffer = 64
	sc.QueryBuffer = 16
	sc.BroadcastTimeout = time.Second
	sc.LeavePropagateDelay = 3 * c.ProbeInterval
	sc.ReconnectInterval = time.Second
	// A machine that was off for a month is still tried, so that one cut
	// off for long finds its way back by itself.
	sc.ReconnectTimeout = 30 * 24 * time.Hour
	sc.TombstoneTimeout = 24 * time.Hour
	return sc
}

// suspicionLimit is the longest a suspicion can last before it is confirmed
// or refuted, with room for gossip to arrive.
func (c *Config) suspicionLimit() time.Duration {
	return 20*c.ProbeInterval + time.Second
}
