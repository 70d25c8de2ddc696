package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

// peersFile is where a peerBook is, in the state directory.
const peersFile = "peers.json"

// peerBook remembers the gossip addresses of the cluster's machines on disk.
type peerBook struct {
	path string

	mu    sync.Mutex // guards known
	known []string
}

func openPeerBook(path string) (*peerBook, error) {
	b := &peerBook{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &b.known)
	}
	if err != nil {
		return nil, fmt.Errorf("read the addresses of the cluster's machines: %w: remove %s and start with --join", err, path)
	}
	return b, nil
}

func (b *peerBook) empty() bool { return len(b.list()) == 0 }

func (b *peerBook) list() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.known)
}

// keep replaces what is remembered. An empty list is not worth remembering:
// it only says that nobody was found yet.
func (b *peerBook) keep(addresses []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	addresses = slices.Sorted(slices.Values(addresses))
	if len(addresses) == 0 || slices.Equal(addresses, b.known) {
		return nil
	}
	raw, err := json.Marshal(addresses)
	if err == nil {
		err = os.WriteFile(b.path+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(b.path+".new", b.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", b.path, err)
	}
	b.known = addresses
	return nil
}
