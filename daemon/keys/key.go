package keys

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

const secretLen = 32

// Key is one cluster key. Who has it is a machine of the cluster.
type Key struct{ secret [secretLen]byte }

// Generate makes a new key.
func Generate() Key {
	var k Key
	rand.Read(k.secret[:])
	return k
}

// ID names the key without telling anything of it: 16 hexadecimal digits.
func (k Key) ID() string { return hex.EncodeToString(k.derive("id", 8)) }

// Gossip is the key that encrypts gossip, for AES-256.
func (k Key) Gossip() []byte { return k.derive("gossip", 32) }

// String is the ID, so that no log ever shows the secret.
func (k Key) String() string { return k.ID() }

// GoString is the ID, too.
func (k Key) GoString() string { return k.ID() }

// derive makes a secret of its own for each purpose.
func (k Key) derive(purpose string, n int) []byte {
	out, err := hkdf.Key(sha256.New, k.secret[:], nil, "fleettop v1 "+purpose, n)
	if err != nil {
		panic("keys: hkdf of a fixed length: " + err.Error()) // only for lengths no purpose has
	}
	return out
}
