package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fleettop/daemon/api/client"
)

// A cache that a power loss emptied, or that is anything else, is warned of and made again.
func TestUnreadablePeersAreMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"garbled":     func(path string) error { return os.WriteFile(path, []byte("[\"127.0.0.1"), 0o600) },
		"a FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"other types": func(path string) error { return os.WriteFile(path, []byte(`{"a":1}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), peersFile)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			log := &lockedWriter{}
			b := openPeerBook(path, slog.New(slog.NewTextHandler(log, nil)))
			if !b.existed || len(b.list()) > 0 || !strings.Contains(log.text(), "level=WARN") || !strings.Contains(log.text(), path) {
				t.Errorf("existed %v, %v; the log: %s", b.existed, b.list(), log.text())
			}
			if err := b.keep([]string{"b", "a"}); err != nil {
				t.Fatal(err)
			}
			if again := openPeerBook(path, slog.New(slog.DiscardHandler)).list(); !slices.Equal(again, []string{"a", "b"}) {
				t.Errorf("read again: %q", again)
			}
		})
	}
}

// A machine without data of its own, whose cache is unreadable, founds no
// cluster: it waits for the others to call.
func TestUnreadablePeersFoundNoCluster(t *testing.T) {
	t.Parallel()
	m1 := newMachine(t, 1)
	m2, m3 := m1.startThree()
	m4 := newMachine(t, 4, m1)
	m4.start()
	member := func(ctx context.Context, c *client.Client) (bool, error) {
		list, err := c.Machines(ctx)
		return err == nil && len(list.Machines) == 4 && list.Store.Connected, err
	}
	m4.until("four machines", member)
	m4.until("the addresses on disk", func(context.Context, *client.Client) (bool, error) {
		return len(openPeerBook(filepath.Join(m4.cfg.StateDir, peersFile), slog.New(slog.DiscardHandler)).list()) == 3, nil
	})
	m4.halt()
	m4.cfg.Join = nil
	if err := os.WriteFile(filepath.Join(m4.cfg.StateDir, peersFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m4.start()
	m4.until("four machines again", member)
	if m4.log.contains("founded a new cluster") {
		t.Error("it founded a cluster")
	}
	_, _ = m2, m3
}
