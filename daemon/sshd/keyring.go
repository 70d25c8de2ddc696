package sshd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// keyring is the file of keys, as it is now.
type keyring struct {
	path string
	log  *slog.Logger

	loaded  atomic.Pointer[keyfile]
	reading sync.Mutex // held to read the file after it changed; who finds it unchanged needs no lock
}

// keyfile is what a file of keys had when it was read. It doesn't change.
type keyfile struct {
	keys  map[string]*entry
	seen  version
	fault string // why the file can't be used, as told; "" if it can
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
	if len(k.take(raw, st).keys) == 0 {
		log.Warn("nobody can come in over SSH yet: no key can be used", "file", path)
	}
	return k, nil
}

func (k *keyring) take(raw []byte, st unix.Stat_t) *keyfile {
	f := &keyfile{seen: versionOf(st)}
	f.keys = parseKeys(raw, func(line int, why string) {
		k.log.Warn("an SSH key can't be used: "+why, "file", k.path, "line", line)
	})
	k.loaded.Store(f)
	return f
}

// unchanged reports whether the file is as it was read.
func (k *keyring) unchanged(f *keyfile) bool {
	var now unix.Stat_t
	return f.fault == "" && unix.Stat(k.path, &now) == nil && versionOf(now) == f.seen
}

// current is the file as it is now. While it can't be used, nobody is let in.
func (k *keyring) current() *keyfile {
	if f := k.loaded.Load(); k.unchanged(f) {
		return f
	}
	k.reading.Lock()
	defer k.reading.Unlock()
	was := k.loaded.Load()
	if k.unchanged(was) {
		return was
	}
	raw, st, err := readTrusted(k.path)
	if err != nil {
		if was.fault != err.Error() {
			k.log.Error("nobody can come in over SSH: "+err.Error(), "file", k.path)
		}
		f := &keyfile{fault: err.Error()}
		k.loaded.Store(f)
		return f
	}
	f := k.take(raw, st)
	k.log.Info("read the SSH keys again", "file", k.path, "keys", len(f.keys))
	return f
}

// find returns what the file says of a key now, or nil if it may not be used
// from there.
func (k *keyring) find(key gossh.PublicKey, from netip.Addr, now time.Time) *entry {
	e := k.current().keys[string(key.Marshal())]
	if e == nil || !e.admits(from, now) {
		return nil
	}
	return e
}
