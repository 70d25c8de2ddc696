package sshd

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	gossh "golang.org/x/crypto/ssh"

	"fleettop/units/atomicfile"
	"fleettop/units/safefile"
)

// hostKeyFile is where the host key is, in its directory.
const hostKeyFile = "ssh_host_ed25519_key"

// hostKey returns the key that this server proves itself with. It is made once
// and kept, so that people's known_hosts stay right.
func hostKey(dir string) (text []byte, signer gossh.Signer, err error) {
	path := filepath.Join(dir, hostKeyFile)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeHostKey(path); err == nil {
			st, err = os.Stat(path)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the SSH host key: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, nil, fmt.Errorf("the SSH host key %s can be read by others, who could pass for this machine: remove it, and a new one is made", path)
	}
	if text, err = safefile.Read(path, maxKeysFile); err != nil {
		return nil, nil, fmt.Errorf("the SSH host key: %w", err)
	}
	if signer, err = gossh.ParsePrivateKey(text); err != nil {
		return nil, nil, fmt.Errorf("the SSH host key %s: %w: remove it, and a new one is made", path, err)
	}
	return text, signer, nil
}

// makeHostKey writes a new key, whole or not at all.
func makeHostKey(path string) error {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	block, err := gossh.MarshalPrivateKey(private, "fleettop")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, pem.EncodeToMemory(block), 0o600)
}
