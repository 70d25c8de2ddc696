package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fleettop/daemon/keys"
	"fleettop/units/broadcast"
)

// ErrNoKey means that a daemon would be open to the network without a key.
var ErrNoKey = errors.New("this daemon has no cluster key")

const (
	refusedEvery = 10 * time.Minute // between words about the same source at the same door
	refusedMost  = 256              // sources that are told of in that time
)

// guard keeps the daemon's doors: what it proves itself with, whom it lets in,
// and a word about whom it doesn't. Without a key it has no identity, and the
// doors are on loopback.
type guard struct {
	log      *slog.Logger
	identity *keys.Identity // nil without a key

	change broadcast.Signal // of the ring

	mu    sync.Mutex // guards what follows
	rings rings
	told  map[string]time.Time
	full  time.Time // when told had no place left
}

// rings say how far this machine has come with the ring that the cluster agreed on.
type rings struct {
	file   keys.Ring // what the key file has
	gossip keys.Ring // what gossip uses
	done   keys.Ring // what file, certificates, gossip and etcd all have
}

// openGuard reads the key, and refuses to go on without one beyond loopback.
func openGuard(cfg *Config) (*guard, error) {
	g := &guard{log: cfg.Log, told: map[string]time.Time{}}
	ring, err := keys.Load(cfg.KeyFile)
	switch addr, _ := netip.ParseAddr(cfg.Address); {
	case errors.Is(err, fs.ErrNotExist) && cfg.keyIsDefault && addr.IsLoopback() && cfg.PKI == (keys.Files{}):
		return g, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no %s, and it would listen on %s, open to everybody there.\n"+
			"To begin a cluster, make one: fleettop key generate --key-file %s\n"+
			"To join one, run here the line that `fleettop join-command` prints on one of its machines, or copy its key file here, mode 0600.\n"+
			"To try fleettop out on this machine alone, use --address 127.0.0.1, or `fleettop demo`", ErrNoKey, cfg.KeyFile, cfg.Address, cfg.KeyFile)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run as root, or choose another --key-file", err)
	case err != nil:
		return nil, err
	}
	g.identity, err = keys.NewIdentity(keys.Config{Machine: cfg.MachineID, Address: net.ParseIP(cfg.Address), Ring: ring, PKI: cfg.PKI,
		Dir: filepath.Join(cfg.RunDir, "tls")})
	g.rings = rings{file: ring, gossip: ring, done: ring}
	return g, err
}

// reached returns how far this machine has come with the ring.
func (g *guard) reached() rings {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rings
}

// reach notes a step with the ring.
func (g *guard) reach(note func(*rings)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	note(&g.rings)
}

// String is the IDs of the keys.
func (g *guard) String() string {
	if g.identity == nil {
		return "none"
	}
	return g.identity.Ring().String()
}

// setRing makes the doors follow another ring.
func (g *guard) setRing(r keys.Ring) error {
	if err := g.identity.SetRing(r); err != nil {
		return err
	}
	g.change.Notify()
	return nil
}

// Changed returns a channel closed at the next change of the ring.
func (g *guard) Changed() <-chan struct{} { return g.change.Changed() }

// Identity is what this machine proves itself with; nil without a key.
func (g *guard) Identity() *keys.Identity { return g.identity }

// KeyIDs are the IDs of the accepted keys, the one in use first; nil without a key.
func (g *guard) KeyIDs() []string {
	if g.identity == nil {
		return nil
	}
	return g.identity.Ring().IDs()
}

func (g *guard) gossipKey() []byte {
	if g.identity == nil {
		return nil
	}
	return g.identity.Ring().Primary().Gossip()
}

func (g *guard) otherGossipKeys() [][]byte {
	if g.identity == nil {
		return nil
	}
	var others [][]byte
	for _, k := range g.identity.Ring().Keys()[1:] {
		others = append(others, k.Gossip())
	}
	return others
}

// EtcdServer is what an embedded etcd serves with.
func (g *guard) EtcdServer() keys.Files {
	if g.identity == nil {
		return keys.Files{}
	}
	return g.identity.Files()
}

// EtcdClient is what its clients use; nil is plain text.
func (g *guard) EtcdClient() (*tls.Config, error) {
	if g.identity == nil {
		return nil, nil
	}
	return g.identity.EtcdConfig()
}

// refuser returns what a door tells of somebody it didn't let in: from which
// address, and why.
func (g *guard) RejectionLogger(listener string) func(source, why string) {
	return func(source, why string) {
		if strings.HasSuffix(why, "EOF") || strings.HasSuffix(why, "reset by peer") || strings.HasSuffix(why, net.ErrClosed.Error()) {
			return // a mere look at the port, or our own end
		}
		if host, _, err := net.SplitHostPort(source); err == nil {
			source = host
		}
		if g.tellOf(listener+" "+source, time.Now()) {
			g.log.Warn("refused: "+why, "door", listener, "source", source)
		}
	}
}

// tellOf reports whether it is time for a word about a source.
func (g *guard) tellOf(source string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, ok := g.told[source]; ok && now.Sub(at) < refusedEvery {
		return false
	}
	for s, at := range g.told {
		if now.Sub(at) >= refusedEvery {
			delete(g.told, s)
		}
	}
	if len(g.told) >= refusedMost {
		if now.Sub(g.full) >= refusedEvery {
			g.full = now
			g.log.Warn("refused connections come from very many addresses; the others are not told of", "for", refusedEvery)
		}
		return false
	}
	g.told[source] = now
	return true
}
