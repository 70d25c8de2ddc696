package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// TokenLifetime is how long a token lets a machine join.
const TokenLifetime = 15 * time.Minute

const (
	tokenPrefix = "ftj1-"
	tokenIDLen  = 16
	tokenPinLen = 16
	tokenMACLen = 16
	tokenLen    = 8 + tokenIDLen + tokenPinLen + tokenMACLen
)

// Refusals of tokens.
var (
	ErrBadToken     = errors.New("this is no token of this cluster's: print a new line with `fleettop join-command` on one of its machines")
	ErrTokenExpired = errors.New("the token is too old: print a new line with `fleettop join-command`, and see that both machines have the right time")
	ErrTokenUsed    = errors.New("the token was used already, and is good for one machine: print a new line with `fleettop join-command`; if nobody of yours used it, rotate the key with `fleettop key rotate`")
)

// Token lets one machine fetch the cluster's key, once and for a short time.
type Token struct {
	Expires time.Time
	id      [tokenIDLen]byte
	pin     [tokenPinLen]byte // the beginning of the authority's fingerprint
	mac     [tokenMACLen]byte
}

// NewToken makes a token with the key. Any machine with the key can check it.
func (k Key) NewToken(now time.Time) (Token, error) {
	a, err := k.authority()
	if err != nil {
		return Token{}, err
	}
	t := Token{Expires: now.Add(TokenLifetime).Truncate(time.Second)}
	rand.Read(t.id[:])
	t.pin = pinOf(a.cert.RawSubjectPublicKeyInfo)
	t.mac = k.macOf(t)
	return t, nil
}

func pinOf(publicKey []byte) [tokenPinLen]byte {
	sum := sha256.Sum256(publicKey)
	return [tokenPinLen]byte(sum[:tokenPinLen])
}

func (k Key) macOf(t Token) [tokenMACLen]byte {
	m := hmac.New(sha256.New, k.derive("join token", 32))
	m.Write(t.body())
	return [tokenMACLen]byte(m.Sum(nil)[:tokenMACLen])
}

func (t Token) body() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(t.Expires.Unix()))
	b = append(b, t.id[:]...)
	return append(b, t.pin[:]...)
}

// Text is the token as it is handed on. It is secret until used.
func (t Token) Text() string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(t.body(), t.mac[:]...))
}

// ID names a token without giving it away.
func (t Token) ID() string { return hex.EncodeToString(t.id[:]) }

// String is the ID, so that no log shows the token.
func (t Token) String() string { return t.ID() }

// ParseToken reads what Text wrote; Check reports whether it is any good.
func ParseToken(text string) (Token, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(raw) != tokenLen {
		return Token{}, ErrBadToken
	}
	seconds := binary.BigEndian.Uint64(raw)
	if seconds > 1<<40 {
		return Token{}, ErrBadToken
	}
	t := Token{Expires: time.Unix(int64(seconds), 0)}
	raw = raw[8:]
	copy(t.id[:], raw)
	copy(t.pin[:], raw[tokenIDLen:])
	copy(t.mac[:], raw[tokenIDLen+tokenPinLen:])
	return t, nil
}

// Check reports whether a token was made with one of the ring's keys and is
// still good. That it wasn't used before is for the caller to see to.
func (r Ring) Check(t Token, now time.Time) error {
	for _, k := range r.keys {
		if want := k.macOf(t); hmac.Equal(want[:], t.mac[:]) {
			if now.After(t.Expires) || t.Expires.After(now.Add(TokenLifetime+skew)) {
				return ErrTokenExpired
			}
			return nil
		}
	}
	return ErrBadToken
}

// pins reports whether an authority's public key is the token's.
func (t Token) pins(publicKey []byte) bool {
	pin := pinOf(publicKey)
	return bytes.Equal(pin[:], t.pin[:])
}
