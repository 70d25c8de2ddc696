package lab

import (
	"errors"
	"io/fs"
	"path/filepath"

	"fleettop/daemon/keys"
)

const keyFile = "fleettop.key"

// KeyFile returns the path, on the host, of the cluster key that Install puts
// on the lab's machines. It goes with the lab.
func (l *Lab) KeyFile() string { return filepath.Join(l.dir, keyFile) }

// Key returns the lab's cluster key, made when first asked for.
func (l *Lab) Key() (keys.Ring, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ring, err := keys.Load(l.KeyFile())
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	ring = keys.NewRing(keys.Generate())
	return ring, ring.Create(l.KeyFile())
}

// placeKey puts the lab's key on a machine that has none. One that has keeps
// what rotation may have made of it.
func (m *Machine) placeKey() error {
	if _, err := m.ReadFile(keys.DefaultFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ring, err := m.lab.Key()
	if err != nil {
		return m.fail("make a key for", err)
	}
	return m.WriteFile(keys.DefaultFile, ring.Text(), 0o600)
}
