package trust

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"fleettop/daemon/keys"
	"fleettop/units/broadcast"
)

// ErrNoKey means that a daemon would be open to the network without a key.
var ErrNoKey = errors.New("this daemon has no cluster key")

// Config says whose credentials they are and where the key is.
type Config struct {
	Machine string // its ID
	Address string // the IP other machines reach it at
	KeyFile string
	// KeyOptional says that the operator named no key file: on loopback the
	// daemon goes on without a key.
	KeyOptional bool
	PKI         keys.Files // a certificate of the operator's; none for one made from the key
	Dir         string     // where the certificate's files go
	Log         *slog.Logger
}

// Credentials are what a machine proves itself with, whom it lets in, and the
// log of whom it doesn't. Without a key they have no identity, and the daemon
// listens on loopback. Their methods may be called from several goroutines.
type Credentials struct {
	cfg      Config
	log      *slog.Logger
	identity *keys.Identity // nil without a key
	rejected rejections

	change broadcast.Signal // of the ring

	mu       sync.Mutex // guards progress
	progress progress
}

// progress says how far this machine has come with the ring that the cluster agreed on.
type progress struct {
	file   keys.Ring // what the key file has
	gossip keys.Ring // what gossip uses
	done   keys.Ring // what file, certificates, gossip and etcd all have
}

// Open reads the key. It returns an error wrapping ErrNoKey where there is none
// and the machine would listen beyond loopback, or its key file was named.
func Open(cfg Config) (*Credentials, error) {
	c := &Credentials{cfg: cfg, log: cfg.Log, rejected: rejections{log: cfg.Log, at: map[string]time.Time{}}}
	ring, err := keys.Load(cfg.KeyFile)
	switch addr, _ := netip.ParseAddr(cfg.Address); {
	case errors.Is(err, fs.ErrNotExist) && cfg.KeyOptional && addr.IsLoopback() && cfg.PKI == (keys.Files{}):
		return c, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no %s, and it would listen on %s, open to everybody there.\n"+
			"To begin a cluster, make one: fleettop key generate --key-file %s\n"+
			"To join one, run here the line that `fleettop join-command` prints on one of its machines, "+
			"or copy its key file here, mode 0600.\n"+
			"To try fleettop out on this machine alone, use --address 127.0.0.1, or `fleettop demo`",
			ErrNoKey, cfg.KeyFile, cfg.Address, cfg.KeyFile)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run as root, or choose another --key-file", err)
	case err != nil:
		return nil, err
	}
	c.identity, err = keys.NewIdentity(keys.Config{Machine: cfg.Machine, Address: net.ParseIP(cfg.Address), Ring: ring,
		PKI: cfg.PKI, Dir: cfg.Dir})
	c.progress = progress{file: ring, gossip: ring, done: ring}
	return c, err
}

// reached returns how far this machine has come with the ring.
func (c *Credentials) reached() progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress
}

// reach notes a step with the ring.
func (c *Credentials) reach(note func(*progress)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note(&c.progress)
}

// InUse are the IDs of the keys that file, certificates, gossip and etcd all
// have, the one in use first; nil without a key.
func (c *Credentials) InUse() []string {
	if c.identity == nil {
		return nil
	}
	return c.reached().done.IDs()
}

// Refresh renews the certificate if it is time, and its files if they are gone.
// After an error the certificate in use goes on: try again.
func (c *Credentials) Refresh() error {
	if c.identity == nil {
		return nil
	}
	return c.identity.Refresh()
}

// CheckKeyFile warns of a key file that the next start would not take as it is.
func (c *Credentials) CheckKeyFile() {
	if c.identity == nil {
		return
	}
	ring, err := keys.Load(c.cfg.KeyFile)
	switch {
	case err != nil:
		c.log.Warn("the cluster key can't be read any more, so the daemon would not start again", "error", err)
	case !ring.Equal(c.reached().file):
		c.log.Warn("the key file holds another key than the one in use, which the next start takes",
			"file", c.cfg.KeyFile, "used", c.String(), "there", ring.String())
	}
}

// String is the IDs of the keys.
func (c *Credentials) String() string {
	if c.identity == nil {
		return "none"
	}
	return c.identity.Ring().String()
}

// setRing makes the credentials follow another ring.
func (c *Credentials) setRing(r keys.Ring) error {
	if err := c.identity.SetRing(r); err != nil {
		return err
	}
	c.change.Notify()
	return nil
}

// Changed returns a channel closed at the next change of the ring.
func (c *Credentials) Changed() <-chan struct{} { return c.change.Changed() }

// Identity is what this machine proves itself with; nil without a key.
func (c *Credentials) Identity() *keys.Identity { return c.identity }

// KeyIDs are the IDs of the accepted keys, the one in use first; nil without a key.
func (c *Credentials) KeyIDs() []string {
	if c.identity == nil {
		return nil
	}
	return c.identity.Ring().IDs()
}

// GossipKeys are the keys that gossip is encrypted with: the one in use, and the
// others that are accepted. They are nil without a key.
func (c *Credentials) GossipKeys() (primary []byte, others [][]byte) {
	if c.identity == nil {
		return nil, nil
	}
	list := c.identity.Ring().Keys()
	for _, k := range list[1:] {
		others = append(others, k.Gossip())
	}
	return list[0].Gossip(), others
}

// EtcdServer is what an embedded etcd serves with.
func (c *Credentials) EtcdServer() keys.Files {
	if c.identity == nil {
		return keys.Files{}
	}
	return c.identity.Files()
}

// EtcdClient is what its clients use; nil is plain text.
func (c *Credentials) EtcdClient() (*tls.Config, error) {
	if c.identity == nil {
		return nil, nil
	}
	return c.identity.EtcdConfig()
}
