package daemon

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const (
	peersFile = "peers.json" // where a peerBook is, in the state directory
	peersSize = 1 << 20      // bytes of it at most
)

// peerBook remembers the gossip addresses of the cluster's machines on disk.
type peerBook struct {
	path    string
	existed bool // when it was opened: this machine was in a cluster

	mu    sync.Mutex // guards known
	known []string
}

// openPeerBook reads what is remembered. A file that can't be read is warned of
// and made again when gossip hears the cluster: the others call this machine.
func openPeerBook(path string, log *slog.Logger) *peerBook {
	b := &peerBook{path: path}
	raw, err := safefile.Read(path, peersSize)
	if errors.Is(err, fs.ErrNotExist) {
		return b
	}
	b.existed = true
	if err == nil {
		err = json.Unmarshal(raw, &b.known)
	}
	if err != nil {
		b.known = nil
		log.Warn("the addresses of the cluster's machines can't be read; they are written again when one of them calls, "+
			"or start with --join", "file", path, "error", err)
	}
	return b
}

func (b *peerBook) list() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.known)
}

// keep replaces what is remembered. An empty list is not worth remembering:
// it only says that no machine was found yet.
func (b *peerBook) keep(addresses []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	addresses = slices.Sorted(slices.Values(addresses))
	if len(addresses) == 0 || slices.Equal(addresses, b.known) {
		return nil
	}
	raw, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(b.path, raw, 0o600); err != nil {
		return err
	}
	b.known = addresses
	return nil
}
