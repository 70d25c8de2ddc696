package etcdnode

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

const (
	seedsFile = "peers.json" // in the state directory
	seedsSize = 1 << 20      // bytes of it at most
)

// seedFile remembers the gossip addresses of the cluster's machines on disk.
type seedFile struct {
	path    string
	existed bool // when it was opened: this machine was in a cluster

	mu    sync.Mutex // guards known
	known []string
}

// openSeeds reads what is remembered. A file that can't be read is warned of
// and made again when gossip hears the cluster: the others call this machine.
func openSeeds(stateDir string, log *slog.Logger) *seedFile {
	s := &seedFile{path: filepath.Join(stateDir, seedsFile)}
	raw, err := safefile.Read(s.path, seedsSize)
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	s.existed = true
	if err == nil {
		err = json.Unmarshal(raw, &s.known)
	}
	if err != nil {
		s.known = nil
		log.Warn("the addresses of the cluster's machines can't be read; they are written again when one of them calls, "+
			"or start with --join", "file", s.path, "error", err)
	}
	return s
}

func (s *seedFile) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known)
}

// keep replaces what is remembered. An empty list is not worth remembering:
// it only says that no machine was found yet.
func (s *seedFile) keep(addresses []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	addresses = slices.Sorted(slices.Values(addresses))
	if len(addresses) == 0 || slices.Equal(addresses, s.known) {
		return nil
	}
	raw, err := json.Marshal(addresses)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(s.path, raw, 0o600); err != nil {
		return err
	}
	s.known = addresses
	return nil
}

// SaveSeeds notes gossip addresses of a cluster, which the daemon with this
// state directory is to join at its next start. Its error is about the
// file, with what to do.
func SaveSeeds(stateDir string, addresses []string) error {
	return (&seedFile{path: filepath.Join(stateDir, seedsFile)}).keep(addresses)
}

// ForgetSeeds removes what SaveSeeds and a Node noted: with these addresses a new
// cluster here would look for the old one. A missing file is no error.
func ForgetSeeds(stateDir string) error {
	err := os.Remove(filepath.Join(stateDir, seedsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
