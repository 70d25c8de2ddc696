package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrOtherKey means that something is sealed with keys that are not here.
var ErrOtherKey = errors.New("the cluster has another key now: run here the line that `fleettop join-command` prints on one of its machines")

// Sealed is a ring as the cluster agreed on it. Only who has one of its keys
// can open it, so it may lie where it can be read.
type Sealed struct {
	Generation int64     `json:"generation"` // grows with each change
	IDs        []string  `json:"ids"`        // of the keys, the primary's first
	Newest     string    `json:"newest"`     // ID of the key that came last
	Since      time.Time `json:"since"`      // when that was
	// Boxes hold the ring's text, sealed with each of its keys, by their IDs.
	Boxes map[string][]byte `json:"boxes"`
}

// Seal seals a ring for everybody who has one of its keys.
func (r Ring) Seal(generation int64, newest string, since time.Time) (Sealed, error) {
	s := Sealed{Generation: generation, IDs: r.IDs(), Newest: newest, Since: since, Boxes: map[string][]byte{}}
	for _, k := range r.keys {
		box, err := k.box()
		if err != nil {
			return Sealed{}, err
		}
		nonce := make([]byte, box.NonceSize())
		rand.Read(nonce)
		s.Boxes[k.ID()] = box.Seal(nonce, nonce, r.Text(), s.context())
	}
	return s, nil
}

// Open opens a ring with the keys that are here. It returns an error wrapping
// ErrOtherKey if it needs another one.
func (s Sealed) Open(have Ring) (Ring, error) {
	for _, k := range have.keys {
		sealed, ok := s.Boxes[k.ID()]
		if !ok {
			continue
		}
		box, err := k.box()
		if err != nil {
			return Ring{}, err
		}
		n := box.NonceSize()
		if len(sealed) < n {
			return Ring{}, errors.New("the cluster's sealed keys are damaged: rotate again")
		}
		text, err := box.Open(nil, sealed[:n], sealed[n:], s.context())
		if err != nil {
			return Ring{}, fmt.Errorf("open the cluster's keys: %w", err)
		}
		r, err := Parse(text)
		if err == nil && !slices.Equal(r.IDs(), s.IDs) {
			err = errors.New("the cluster's sealed keys are not those they are said to be")
		}
		return r, err
	}
	return Ring{}, fmt.Errorf("open the cluster's keys %s: %w", strings.Join(s.IDs, " "), ErrOtherKey)
}

// context is what is told in clear and must not be changed either.
func (s Sealed) context() []byte {
	return fmt.Appendf(nil, "%d %v %s %d", s.Generation, s.IDs, s.Newest, s.Since.UnixNano())
}

func (k Key) box() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive("seal", 32))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
