package daemon

import (
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

func TestOpenGuard(t *testing.T) {
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
		barred              bool
	}{
		{name: "a key", address: "198.18.0.1", file: key},
		{name: "a key, on loopback", address: "127.0.0.1", file: key},
		{name: "no key", address: "198.18.0.1", file: filepath.Join(dir, "none"), says: "fleettop key generate", barred: true},
		{name: "no key, IPv6", address: "fd00::1", file: filepath.Join(dir, "none"), says: "join-command", barred: true},
		{name: "the file that was named is not there", address: "127.0.0.1", file: filepath.Join(dir, "none"), says: "no " + filepath.Join(dir, "none"), barred: true},
		{name: "others can read it", address: "127.0.0.1", file: open, says: "chmod 600"},
		{name: "own certificates without a key", address: "127.0.0.1", file: filepath.Join(dir, "none"), pki: keys.Files{CertFile: "c", KeyFile: "k", CAFile: "a"}, says: "key generate", barred: true},
		{name: "own certificates that aren't there", address: "127.0.0.1", file: key, pki: keys.Files{CertFile: "c", KeyFile: "k", CAFile: "a"}, says: "give a pair"},
	} {
		cfg := Config{MachineID: someID, Name: "n1", Address: c.address, KeyFile: c.file, PKI: c.pki, RunDir: filepath.Join(dir, "run"), Log: slog.New(slog.DiscardHandler)}
		if err := cfg.Complete(); err != nil {
			t.Fatal(err)
		}
		_, err := openGuard(&cfg)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrNoKey) != c.barred {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.says)
		}
	}
}

func TestRefusalsAreToldOncePerSource(t *testing.T) {
	var log lockedWriter
	g := &guard{log: slog.New(slog.NewTextHandler(&log, nil)), told: map[string]time.Time{}}
	lines := func() int { return strings.Count(log.text(), "\n") }
	for range 5 {
		g.RejectionLogger("API")("198.18.0.9:1234", "tls: bad certificate")
		g.RejectionLogger("API")("198.18.0.9:1235", "tls: bad certificate")
	}
	g.RejectionLogger("gossip")("198.18.0.9:1", "it speaks in clear")
	for _, own := range []string{"EOF", "read tcp: connection reset by peer", "accept: use of closed network connection"} {
		g.RejectionLogger("etcd")("198.18.0.8:1", own)
	}
	if lines() != 2 || !strings.Contains(log.text(), "198.18.0.9") {
		t.Errorf("logged:\n%s", log.text())
	}
	for i := range 4 * refusedMost {
		g.RejectionLogger("API")(fmt.Sprintf("198.18.%d.%d:1", i/256, i%256), "no certificate")
	}
	if n := lines(); n > refusedMost+1 || !strings.Contains(log.text(), "very many addresses") {
		t.Errorf("logged %d lines", n)
	}
	if now := time.Now(); !g.tellOf("API 198.18.0.9", now.Add(refusedEvery)) || g.tellOf("API 198.18.0.9", now.Add(refusedEvery+time.Second)) {
		t.Error("not told of again after a while")
	}
}
