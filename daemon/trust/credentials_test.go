package trust

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fleettop/daemon/keys"
)

const someID = "0123456789abcdef0123456789abcdef"

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := keys.NewRing(keys.Generate()).Create(key); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, keys.NewRing(keys.Generate()).Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, address, file string
		pki                 keys.Files
		says                string // and what to do
		barred, optional    bool
	}{
		{name: "a key", address: "198.18.0.1", file: key},
		{name: "a key, on loopback", address: "127.0.0.1", file: key},
		{name: "no key, and none was asked for", address: "127.0.0.1", file: filepath.Join(dir, "none"), optional: true},
		{name: "no key, and none was asked for, beyond loopback", address: "198.18.0.1", file: filepath.Join(dir, "none"),
			optional: true, says: "fleettop key generate", barred: true},
		{name: "no key", address: "198.18.0.1", file: filepath.Join(dir, "none"), says: "fleettop key generate",
			barred: true},
		{name: "no key, IPv6", address: "fd00::1", file: filepath.Join(dir, "none"), says: "join-command", barred: true},
		{name: "the file that was named is not there", address: "127.0.0.1", file: filepath.Join(dir, "none"), says: "no " +
			filepath.Join(dir, "none"), barred: true},
		{name: "others can read it", address: "127.0.0.1", file: open, says: "chmod 600"},
		{name: "own certificates without a key", address: "127.0.0.1", file: filepath.Join(dir, "none"),
			pki: keys.Files{CertFile: "c", KeyFile: "k", CAFile: "a"}, says: "key generate", barred: true},
		{name: "own certificates that aren't there", address: "127.0.0.1", file: key,
			pki: keys.Files{CertFile: "c", KeyFile: "k", CAFile: "a"}, says: "give a pair"},
	} {
		_, err := Open(Config{Machine: someID, Address: c.address, KeyFile: c.file, KeyOptional: c.optional, PKI: c.pki,
			Dir: filepath.Join(dir, "tls"), Log: slog.New(slog.DiscardHandler)})
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) ||
			errors.Is(err, ErrNoKey) != c.barred {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.says)
		}
	}
}

func TestRejectionsAreLoggedOncePerSource(t *testing.T) {
	var log bytes.Buffer
	c, err := Open(Config{Address: "127.0.0.1", KeyFile: filepath.Join(t.TempDir(), "none"), KeyOptional: true,
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	lines := func() int { return strings.Count(log.String(), "\n") }
	for range 5 {
		c.RejectionLogger("API")("198.18.0.9:1234", "tls: bad certificate")
		c.RejectionLogger("API")("198.18.0.9:1235", "tls: bad certificate")
	}
	c.RejectionLogger("gossip")("198.18.0.9:1", "it speaks in clear")
	for _, own := range []string{"EOF", "read tcp: connection reset by peer", "accept: use of closed network connection"} {
		c.RejectionLogger("etcd")("198.18.0.8:1", own)
	}
	if lines() != 2 || !strings.Contains(log.String(), "198.18.0.9") {
		t.Errorf("logged:\n%s", log.String())
	}
	for i := range 4 * rejectedMost {
		c.RejectionLogger("API")(fmt.Sprintf("198.18.%d.%d:1", i/256, i%256), "no certificate")
	}
	if n := lines(); n > rejectedMost+1 || !strings.Contains(log.String(), "very many addresses") {
		t.Errorf("logged %d lines", n)
	}
	if now := time.Now(); !c.rejected.shouldLog("API 198.18.0.9", now.Add(rejectedEvery)) ||
		c.rejected.shouldLog("API 198.18.0.9", now.Add(rejectedEvery+time.Second)) {
		t.Error("not logged again after a while")
	}
}
