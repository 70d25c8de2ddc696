package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"fleettop/daemon/etcdnode"
	"fleettop/daemon/trust"
	"fleettop/units/diskfault"
)

// JoinConfig says how a new machine gets the cluster's key.
type JoinConfig struct {
	Token     string
	Addresses []string // host or host:port of the API of machines of the cluster
	KeyFile   string   // where the key goes; one that is there is kept beside it
	StateDir  string   // where the daemon will look for the cluster's addresses
}

// Joined says what Join did.
type Joined struct {
	Key   string // ID of the key
	Aside string // where the key is that was there before; "" if there was none, or the same
}

// Join hands a token in for the cluster's key, and keeps the key and the
// cluster's addresses for the daemon. A key that it replaces is kept.
// Its errors say whether the token is used up.
func Join(ctx context.Context, cfg JoinConfig) (Joined, error) {
	if len(cfg.Addresses) == 0 {
		return Joined{}, errors.New("no address of the cluster: give the whole line that `fleettop join-command` printed")
	}
	var addresses []string
	for _, a := range cfg.Addresses {
		address, err := withPort(a, DefaultPort+apiPort)
		if err != nil {
			return Joined{}, fmt.Errorf("address %q: %w", a, err)
		}
		addresses = append(addresses, address)
	}
	grant, err := trust.FetchKey(ctx, cfg.Token, addresses)
	if err != nil {
		return Joined{}, err
	}
	joined, err := keepGrant(cfg, grant)
	if err != nil {
		return Joined{}, fmt.Errorf("%w; the token is used up, so print a new line with `fleettop join-command` first", err)
	}
	return joined, nil
}

// keepGrant writes down what a machine needs to know before its daemon starts.
// The key comes last: with it, the daemon starts.
func keepGrant(cfg JoinConfig, grant trust.Grant) (Joined, error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return Joined{}, fmt.Errorf("%w: %s", err, diskfault.Advice(err, "--state-dir"))
	}
	if err := etcdnode.SaveSeeds(cfg.StateDir, grant.Gossip); err != nil {
		return Joined{}, err
	}
	if err := os.Remove(departedPath(cfg.StateDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Joined{}, fmt.Errorf("%w: remove it", err)
	}
	aside, err := trust.KeepKey(grant.Ring, cfg.KeyFile)
	return Joined{Key: grant.Ring.Primary().ID(), Aside: aside}, err
}
