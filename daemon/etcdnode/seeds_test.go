package etcdnode

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A cache that a power loss emptied, or that is anything else, is warned of and made again.
func TestUnreadableSeedsAreMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"empty":       func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"garbled":     func(path string) error { return os.WriteFile(path, []byte("[\"127.0.0.1"), 0o600) },
		"a FIFO":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"other types": func(path string) error { return os.WriteFile(path, []byte(`{"a":1}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, seedsFile)
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			s := openSeeds(dir, slog.New(slog.NewTextHandler(&log, nil)))
			if !s.existed || len(s.list()) > 0 || !strings.Contains(log.String(), "level=WARN") ||
				!strings.Contains(log.String(), path) {
				t.Errorf("existed %v, %v; the log: %s", s.existed, s.list(), log.String())
			}
			if err := s.keep([]string{"b", "a"}); err != nil {
				t.Fatal(err)
			}
			if again := openSeeds(dir, slog.New(slog.DiscardHandler)).list(); !slices.Equal(again, []string{"a", "b"}) {
				t.Errorf("read again: %q", again)
			}
		})
	}
}

func TestSeedsAreKept(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	s := openSeeds(dir, quiet)
	if s.existed || len(s.list()) > 0 {
		t.Fatalf("a new file: %v", s)
	}
	for _, list := range [][]string{{"b:1", "a:1"}, nil} { // nobody found is no reason to forget
		if err := s.keep(list); err != nil {
			t.Fatal(err)
		}
	}
	if s = openSeeds(dir, quiet); !s.existed || strings.Join(s.list(), " ") != "a:1 b:1" {
		t.Errorf("read back %v", s)
	}
}
