package sshd

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	gossh "golang.org/x/crypto/ssh"

	"fleettop/daemon/api"
)

const (
	minRSA     = 2048
	maxComment = 64
)

// entry is a line of the file of keys.
type entry struct {
	key     gossh.PublicKey
	role    api.Role
	who     string         // its comment, else its fingerprint
	from    []netip.Prefix // where it may be used; empty for everywhere
	expires time.Time      // zero for never
}

// same reports whether an entry gives what another gave.
func (e *entry) same(o *entry) bool {
	return e.role == o.role && e.who == o.who && e.expires.Equal(o.expires) && slices.Equal(e.from, o.from)
}

// admits reports whether the key may be used from an address at a time.
func (e *entry) admits(addr netip.Addr, now time.Time) bool {
	if !e.expires.IsZero() && !now.Before(e.expires) {
		return false
	}
	return len(e.from) == 0 || slices.ContainsFunc(e.from, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// needless are options of OpenSSH's that ask for what is so here for every key.
var needless = []string{"no-agent-forwarding", "no-port-forwarding", "no-x11-forwarding", "no-user-rc"}

// parseEntry reads a line. An option that it can't keep to is an error: to let
// somebody in without it would be to let them do more than was meant.
func parseEntry(line []byte) (*entry, error) {
	key, comment, options, _, err := gossh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, fmt.Errorf("it is no public key: copy the one line of a .pub file")
	}
	if _, ok := key.(*gossh.Certificate); ok {
		return nil, fmt.Errorf("it is a certificate: give the public key")
	}
	if err := strong(key); err != nil {
		return nil, err
	}
	e := &entry{key: key, role: api.Viewer, who: clean(comment)}
	if e.who == "" {
		e.who = gossh.FingerprintSHA256(key)
	}
	roles := 0
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		name, value = strings.ToLower(name), strings.Trim(value, `"`)
		switch {
		case name == "fleettop-role":
			if e.role = api.Role(value); e.role != api.Viewer && e.role != api.Operator {
				return nil, fmt.Errorf("its role is %q: choose viewer or operator", value)
			}
			if roles++; roles > 1 {
				return nil, errors.New("it has two roles: leave one fleettop-role, or one line, for the key")
			}
		case name == "from":
			if e.from, err = parseFrom(value); err != nil {
				return nil, err
			}
		case name == "expiry-time":
			if e.expires, err = parseExpiry(value); err != nil {
				return nil, err
			}
		case slices.Contains(needless, name):
		default:
			return nil, fmt.Errorf("it has the option %s, which is not kept to here: leave it out; there are fleettop-role, from and expiry-time", name)
		}
	}
	return e, nil
}

func strong(key gossh.PublicKey) error {
	ck, ok := key.(gossh.CryptoPublicKey)
	if !ok {
		return nil // a key in hardware
	}
	if k, ok := ck.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		return fmt.Errorf("it is an RSA key of %d bits: make another one with ssh-keygen -t ed25519", k.N.BitLen())
	}
	if !slices.Contains(keyTypes, key.Type()) {
		return fmt.Errorf("it is of the kind %s, which is too weak: make another one with ssh-keygen -t ed25519", key.Type())
	}
	return nil
}

// parseFrom reads addresses and networks. Host names are refused, as whoever
// answers for them would decide.
func parseFrom(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for word := range strings.SplitSeq(list, ",") {
		word = strings.TrimSpace(word)
		p, err := netip.ParsePrefix(word)
		if addr, bad := netip.ParseAddr(word); err != nil && bad == nil {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("it may be used from %q: give addresses and networks such as 192.0.2.0/24, neither names nor patterns", word)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// parseExpiry reads a time as OpenSSH has it, with Z for UTC.
func parseExpiry(text string) (time.Time, error) {
	zone := time.Local
	digits, utc := strings.CutSuffix(text, "Z")
	if utc {
		zone = time.UTC
	}
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(form) != len(digits) {
			continue
		}
		if t, err := time.ParseInLocation(form, digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("it expires at %q: give YYYYMMDD or YYYYMMDDHHMM, with Z for UTC", text)
}

// clean makes a comment fit for a line of a log.
func clean(comment string) string {
	comment = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(comment))
	if runes := []rune(comment); len(runes) > maxComment {
		comment = string(runes[:maxComment-1]) + "…"
	}
	return comment
}

// parseKeys reads a file of keys, by their bytes. Lines that can't be used are
// told of by number and left out. Of a key in several lines the one counts that
// lets it do least: the first, but as a viewer if any of them says so.
func parseKeys(raw []byte, skipped func(line int, why string)) map[string]*entry {
	keys := map[string]*entry{}
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			skipped(n, err.Error())
			continue
		}
		id := string(e.key.Marshal())
		first := keys[id]
		switch {
		case first == nil:
			keys[id] = e
		case e.role == api.Viewer && first.role == api.Operator:
			first.role = api.Viewer
			skipped(n, "it has the key of an earlier line, and another role: the key may look and not act until one of them is taken out")
		default:
			skipped(n, "it has the key of an earlier line, which counts: take one of them out")
		}
	}
	return keys
}
