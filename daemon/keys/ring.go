package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxKeys is how many keys a ring holds: the one in use, and one that comes or goes.
const maxKeys = 2

const fileHeader = `# fleettop's cluster key. Whoever can read it is a machine of the cluster and
# can do anything there: mode 0600, and never in a repository or a chat.
# The first key is used; another one is accepted while keys rotate.
`

// ErrNoKey is what is wrong with a text without a key.
var ErrNoKey = errors.New("there is no cluster key in it: make one with `fleettop key generate`")

// Ring is the keys that are accepted; the first, the primary, is used. It
// doesn't change: its methods return other rings. The zero value is empty.
type Ring struct{ keys []Key }

// NewRing is a ring of these keys, the primary first.
func NewRing(keys ...Key) Ring { return Ring{keys: slices.Clone(keys)} }

// Empty reports whether there is no key.
func (r Ring) Empty() bool { return len(r.keys) == 0 }

// Primary is the key in use. The ring must not be empty.
func (r Ring) Primary() Key { return r.keys[0] }

// Keys are all keys, the primary first.
func (r Ring) Keys() []Key { return slices.Clone(r.keys) }

// IDs are the keys' IDs, the primary's first.
func (r Ring) IDs() []string {
	ids := make([]string, 0, len(r.keys))
	for _, k := range r.keys {
		ids = append(ids, k.ID())
	}
	return ids
}

// Equal reports whether two rings hold the same keys in the same order.
func (r Ring) Equal(o Ring) bool { return slices.Equal(r.keys, o.keys) }

// String is the IDs.
func (r Ring) String() string { return strings.Join(r.IDs(), " ") }

// Text is the ring as it is kept in a file; it is as secret as the keys.
func (r Ring) Text() []byte {
	var b strings.Builder
	b.WriteString(fileHeader)
	for _, k := range r.keys {
		fmt.Fprintf(&b, "%s %s\n", k.ID(), base64.RawURLEncoding.EncodeToString(k.secret[:]))
	}
	return []byte(b.String())
}

// Parse reads what Text wrote. Its errors name lines, and never show a secret.
func Parse(text []byte) (Ring, error) {
	var r Ring
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 2 {
			return Ring{}, fmt.Errorf("line %d is not a key's ID and the key: copy the file again as it is", i+1)
		}
		raw, err := base64.RawURLEncoding.DecodeString(words[1])
		if err != nil || len(raw) != secretLen {
			return Ring{}, fmt.Errorf("the key in line %d is damaged: copy the file again as it is", i+1)
		}
		k := Key{secret: [secretLen]byte(raw)}
		switch {
		case k.ID() != words[0]:
			return Ring{}, fmt.Errorf("the key in line %d is not the one its ID names: copy the file again as it is", i+1)
		case slices.Contains(r.keys, k):
			return Ring{}, fmt.Errorf("line %d repeats a key: take it out", i+1)
		}
		r.keys = append(r.keys, k)
	}
	switch {
	case r.Empty():
		return Ring{}, ErrNoKey
	case len(r.keys) > maxKeys:
		return Ring{}, fmt.Errorf("there are %d keys, and %d are the most: keep the newest", len(r.keys), maxKeys)
	}
	return r, nil
}
