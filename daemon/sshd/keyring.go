package sshd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// keyring is the file of keys, as it is now.
type keyring struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	keys  map[string]*entry
	seen  version
	fault string // why the file can't be used, as told
}

// version changes whenever a file does, its owner and mode included.
type version struct {
	dev, ino   uint64
	size       int64
	mtim, ctim unix.Timespec
}

func versionOf(st unix.Stat_t) version {
	return version{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
}

// openKeyring reads a file of keys, and refuses one that isn't safe.
func openKeyring(path string, log *slog.Logger) (*keyring, error) {
	k := &keyring{path: path, log: log}
	raw, st, err := readTrusted(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		// systemd's service sees no home directory.
		err = fmt.Errorf("%w: name a file that root can read, such as /etc/fleettop/ssh_keys", err)
	}
	if err != nil {
		return nil, fmt.Errorf("the SSH keys: %w", err)
	}
	k.take(raw, st)
	if len(k.keys) == 0 {
		log.Warn("nobody can come in over SSH yet: no key can be used", "file", path)
	}
	return k, nil
}

func (k *keyring) take(raw []byte, st unix.Stat_t) {
	k.keys = parseKeys(raw, func(line int, why string) {
		k.log.Warn("an SSH key can't be used: "+why, "file", k.path, "line", line)
	})
	k.seen = versionOf(st)
}

// refresh reads the file again if it changed. While it can't be used, nobody is let in.
func (k *keyring) refresh() {
	var now unix.Stat_t
	if k.fault == "" && unix.Stat(k.path, &now) == nil && versionOf(now) == k.seen {
		return
	}
	raw, st, err := readTrusted(k.path)
	if err != nil {
		k.keys, k.seen = nil, version{}
		if k.fault != err.Error() {
			k.fault = err.Error()
			k.log.Error("nobody can come in over SSH: "+k.fault, "file", k.path)
		}
		return
	}
	k.fault = ""
	k.take(raw, st)
	k.log.Info("read the SSH keys again", "file", k.path, "keys", len(k.keys))
}

// find returns what the file says of a key now, or nil if it may not be used
// from there.
func (k *keyring) find(key gossh.PublicKey, from netip.Addr, now time.Time) *entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh()
	e := k.keys[string(key.Marshal())]
	if e == nil || !e.admits(from, now) {
		return nil
	}
	return e
}
