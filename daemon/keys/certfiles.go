package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"fleettop/units/atomicfile"
)

// certFiles keeps a certificate, its key and the authorities as files, for
// those that take nothing else. Without a directory it keeps none.
type certFiles struct {
	dir string

	mu   sync.Mutex   // guards held, and is held while files are written
	held *credentials // what the files have; nil for nothing, or for not known
}

func (f *certFiles) names() Files {
	in := func(name string) string { return filepath.Join(f.dir, name) }
	return Files{CertFile: in("cert.pem"), KeyFile: in("key.pem"), CAFile: in("ca.pem")}
}

// write puts credentials into the files, and calls done while no other writer
// can come in between. It replaces all files or none.
func (f *certFiles) write(c *credentials, key ed25519.PrivateKey, done func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.replace(c, key); err != nil {
		return err
	}
	done()
	return nil
}

// keep writes the files unless they hold the credentials already. Where others
// came into use while it waited, it leaves the files alone.
func (f *certFiles) keep(c *credentials, key ed25519.PrivateKey, current func() *credentials) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if current() != c || f.held == c && f.complete() {
		return nil
	}
	return f.replace(c, key)
}

// complete reports whether all files are there; f.mu is held.
func (f *certFiles) complete() bool {
	if f.dir == "" {
		return true
	}
	names := f.names()
	for _, path := range []string{names.CertFile, names.KeyFile, names.CAFile} {
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// replace writes the files beside the old ones, and then moves them there; if a
// move fails it puts the old content back. The key is always the same, so who
// reads the files one by one gets a pair that fits. f.mu is held.
func (f *certFiles) replace(c *credentials, key ed25519.PrivateKey) error {
	if f.dir == "" {
		f.held = c
		return nil
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("keep this machine's certificate: %w", err)
	}
	had := f.held
	f.held = nil
	err := f.move(c, key)
	if err != nil && had != nil {
		err = errors.Join(err, f.move(had, key))
	}
	if err != nil {
		return fmt.Errorf("keep this machine's certificate: %w: see that files can be written in %s", err, f.dir)
	}
	f.held = c
	return nil
}

func (f *certFiles) move(c *credentials, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var certs, authorities bytes.Buffer
	for _, der := range c.cert.Certificate {
		_ = pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	for _, a := range c.signers {
		_ = pem.Encode(&authorities, &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	}
	names := f.names()
	return atomicfile.ReplaceAll([]atomicfile.File{
		{Path: names.KeyFile, Data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})},
		{Path: names.CertFile, Data: certs.Bytes()},
		{Path: names.CAFile, Data: authorities.Bytes()},
	}, 0o600, f.dir)
}
